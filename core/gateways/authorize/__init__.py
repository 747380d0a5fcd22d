"""Authorize.Net as a Gateway."""
