"""Charges and saves cards at Authorize.Net."""
