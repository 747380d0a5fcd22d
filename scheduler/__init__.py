"""The process that has the core execute recurring jobs that are due."""
