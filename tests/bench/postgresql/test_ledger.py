"""read_ledger accepts correct books and detects every kind of damage."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from google.type.money_pb2 import Money

from nivisco.payments.v1 import wallet_pb2
from tests.bench.accounts import HOT, ONE, open_accounts
from tests.bench.postgresql.ledger import read_ledger
from tests.bench.postgresql.server import execute
from tests.bench.size import Size
from tests.core.running import Business, running_core, settings_for

CENT = Money(nanos=10**7)
SIZE = replace(Size.small(), businesses=1, wallets=1)
ACKNOWLEDGED = Counter({HOT: 2, ONE: 1})


async def groups_after_three_charges(tmp_path: Path, url: str) -> dict[str, str]:
    """Charge the hot wallet twice and another one once; return the group of each."""
    async with running_core(settings_for(tmp_path, database_url=url)) as client:
        accounts = await open_accounts(client, SIZE)
        for group in (HOT, ONE, HOT):
            [account] = accounts[group]
            business = Business(client, account.credentials)
            await business.call(
                wallet_pb2.ChargeWalletRequest(user_id=account.user_id, amount=CENT)
            )
    return {each.wallet_id: group for group, every in accounts.items() for each in every}


async def test_three_charges_balance(tmp_path: Path, postgresql_database: str) -> None:
    groups = await groups_after_three_charges(tmp_path, postgresql_database)
    books = await read_ledger(postgresql_database, groups, ACKNOWLEDGED)
    assert books.balance, books.differences
    assert books.summary.startswith("3 debits of 3 wallets, 6 history rows, ")


@pytest.mark.parametrize(
    ("damage", "acknowledged", "difference"),
    [
        ([], {HOT: 3, ONE: 1}, f"2 debits of {HOT} in place of 3"),
        ([], {HOT: 2, ONE: 2}, f"1 debits of {ONE} in place of 2"),
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
            f"0 debits of {HOT} in place of 2",
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
