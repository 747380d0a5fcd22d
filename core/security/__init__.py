"""Secrets: the keyring, the services that wrap its keys, and API keys."""
