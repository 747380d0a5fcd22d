"""Idempotency records: one request, one effect, one answer for 24 hours."""
