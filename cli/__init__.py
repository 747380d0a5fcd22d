"""The `nivisco` command: starts the processes and sends requests from a terminal."""
