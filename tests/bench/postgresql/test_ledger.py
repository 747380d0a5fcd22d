"""read_ledger accepts correct books and detects every kind of damage."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from google.type.money_pb2 import Money

from nivisco.payments.v1 import wallet_pb2
from tests.bench.books import open_wallets
from tests.bench.postgresql.ledger import read_ledger
from tests.bench.postgresql.server import execute, query
from tests.core.running import register, running_core, settings_for

CENT = Money(nanos=10**7)
ACKNOWLEDGED = Counter({"hot": 2, "others": 1})


async def groups_after_three_charges(tmp_path: Path, url: str) -> dict[str, str]:
    """Charge the first of two wallets twice and the second once; return the group of each."""
    async with running_core(settings_for(tmp_path, database_url=url)) as client:
        business = await register(client)
        hot, other = await open_wallets(business, 2)
        for user_id in (hot, other, hot):
            await business.call(wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=CENT))
    group_of = {hot: "hot", other: "others"}
    rows = await query(url, "SELECT user_id, wallet_id FROM wallets")
    return {wallet_id: group_of[user_id] for user_id, wallet_id in rows}


async def test_three_charges_balance(tmp_path: Path, postgresql_database: str) -> None:
    groups = await groups_after_three_charges(tmp_path, postgresql_database)
    books = await read_ledger(postgresql_database, groups, ACKNOWLEDGED)
    assert books.balance, books.differences
    assert (books.wallets, books.charges, books.history_rows) == (2, 3, 5)


@pytest.mark.parametrize(
    ("damage", "acknowledged", "difference"),
    [
        ([], {"hot": 3, "others": 1}, "2 debits of hot in place of 3"),
        ([], {"hot": 1, "others": 2}, "1 debits of others in place of 2"),
        (["UPDATE wallets SET balance_minor = balance_minor + 1"], ACKNOWLEDGED, "in place of"),
        (["UPDATE wallets SET version = version + 1"], ACKNOWLEDGED, "has version"),
        (
            ["DELETE FROM postings WHERE account LIKE 'revenue:%'"],
            ACKNOWLEDGED,
            "has not two postings that sum to zero",
        ),
        (
            ["UPDATE postings SET amount_minor = 2 WHERE account LIKE 'revenue:%'"],
            ACKNOWLEDGED,
            "all postings sum to 3",
        ),
        (
            [
                "DELETE FROM postings WHERE transaction_id IN "
                "(SELECT transaction_id FROM wallet_transactions WHERE type = 'debit')",
                "DELETE FROM wallet_transactions WHERE type = 'debit'",
            ],
            ACKNOWLEDGED,
            "0 debits of hot in place of 2",
        ),
    ],
)
async def test_damage_is_detected(
    tmp_path: Path,
    postgresql_database: str,
    damage: Sequence[str],
    acknowledged: dict[str, int],
    difference: str,
) -> None:
    groups = await groups_after_three_charges(tmp_path, postgresql_database)
    for statement in damage:
        await execute(postgresql_database, statement)
    books = await read_ledger(postgresql_database, groups, Counter(acknowledged))
    assert not books.balance
    assert any(difference in each for each in books.differences), books.differences
