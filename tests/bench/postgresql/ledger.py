"""Checks that the tables of a variant's PostgreSQL database have every debit exactly once."""

from collections import Counter
from collections.abc import Mapping

from tests.bench.accounts import ALL_POSTINGS, UNBALANCED, WALLETS, Books, compare_books
from tests.bench.postgresql.server import query


async def read_ledger(
    database_url: str, groups: Mapping[str, str], acknowledged: Counter[str]
) -> Books:
    """Compare the books with the acknowledged debits, as `compare_books` does."""
    return compare_books(
        await query(database_url, WALLETS),
        await query(database_url, UNBALANCED),
        (await query(database_url, ALL_POSTINGS))[0][0],
        groups,
        acknowledged,
    )
