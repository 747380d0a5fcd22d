"""Secrets at rest and in memory: the keyring, API keys."""
