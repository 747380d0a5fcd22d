"""Authorize.Net's API, as far as payments need it."""
