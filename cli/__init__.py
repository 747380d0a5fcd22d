"""The `nivisco` command: starts the processes, and asks them things from a terminal."""
