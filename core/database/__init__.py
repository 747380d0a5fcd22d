"""Connections, transactions, schema, bulk SQL, paging, clock and migrations."""
