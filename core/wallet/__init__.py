"""Stored value: a double-entry ledger of user wallets."""
