"""Businesses and their API keys."""
