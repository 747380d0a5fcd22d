"""The scheduler process: claims due occurrences of recurring jobs and calls the core to execute."""
