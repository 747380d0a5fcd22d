"""Publishable keys, for browsers."""
