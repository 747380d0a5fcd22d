"""Stripe as a Gateway."""
