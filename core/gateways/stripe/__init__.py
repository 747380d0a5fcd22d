"""Charges and saves cards at Stripe."""
