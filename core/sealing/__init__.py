"""Sealing again what older keys of the keyring sealed."""
