"""Stripe's API, as far as payments need it."""
