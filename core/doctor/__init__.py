"""Examines the database: every invariant, and the rows that break one. Changes nothing."""
