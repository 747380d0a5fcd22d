"""Writes the client libraries of every language from the reference."""
