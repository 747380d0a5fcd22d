"""Secrets: the keyring and API keys."""
