"""Checks the invariants of the database. Read-only."""
