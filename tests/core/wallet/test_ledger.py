"""The ledger function against a plain model: any list of movements, the same books."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from core.business import store as business_store
from core.database import Database, Transaction
from core.ids import new_wallet_transaction_id
from core.migrations.upgrade import migrate
from core.schema import postings, wallet_transactions, wallets
from core.users import store as users_store
from core.wallet import ledger
from core.wallet import store as wallet_store
from core.wallet.rules import Direction, Movement, MovementRefusal
from tests.databases import drop_database, fresh_database

BATCHES = st.lists(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(Direction), st.integers(1, 50)),
        min_size=1,
        max_size=8,
    ),
    max_size=6,
)


async def three_wallets(transaction: Transaction) -> list[str]:
    await business_store.insert_business(
        transaction, business_id="B", name="n", email="a@b.c", domain="b.c", api_key_hash="h"
    )
    found = []
    for number in range(3):
        await users_store.insert_user(
            transaction, business_id="B", user_id=f"U{number}", name="n", email="e", currency="usd"
        )
        wallet = await wallet_store.wallet_of_user(
            transaction, business_id="B", user_id=f"U{number}", env="TEST", currency="usd"
        )
        found.append(wallet.wallet_id)
    return found


async def check(url: str, batches: list[list[tuple[int, Direction, int]]]) -> None:
    database = Database(url)
    await migrate(database)
    model = [0, 0, 0]
    accepted = 0
    async with database.transaction() as transaction:
        ids = await three_wallets(transaction)
    for batch in batches:
        movements = [
            Movement("B", ids[which], new_wallet_transaction_id(), direction, minor, "s", "r")
            for which, direction, minor in batch
        ]
        async with database.transaction() as transaction:
            results = await ledger.move(transaction, movements)
        for (which, direction, minor), result in zip(batch, results, strict=True):
            after = model[which] + (minor if direction is Direction.CREDIT else -minor)
            if after < 0:
                assert result is MovementRefusal.WALLET_TOO_LOW
                continue
            assert not isinstance(result, MovementRefusal)
            model[which] = after
            accepted += 1
            assert result.balance_minor == after
    async with database.transaction() as transaction:
        execute = transaction.connection.execute
        for wallet_id, expected in zip(ids, model, strict=True):
            stored = await execute(
                select(wallets.c.balance_minor).where(wallets.c.wallet_id == wallet_id)
            )
            replayed = await execute(
                select(func.coalesce(func.sum(postings.c.amount_minor), 0)).where(
                    postings.c.account == wallet_id
                )
            )
            assert (stored.scalar_one(), replayed.scalar_one()) == (expected, expected)
        total = await execute(select(func.coalesce(func.sum(postings.c.amount_minor), 0)))
        rows = await execute(select(func.count()).select_from(wallet_transactions))
        assert (total.scalar_one(), rows.scalar_one()) == (0, accepted)
    await database.close()


@settings(max_examples=25, deadline=None)
@given(BATCHES)
def test_the_books_agree_with_the_model_after_any_lists_of_movements_on_sqlite(
    batches: list[list[tuple[int, Direction, int]]],
) -> None:
    with TemporaryDirectory() as directory:
        asyncio.run(check(f"sqlite:///{Path(directory) / 'n.db'}", batches))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(BATCHES)
def test_the_books_agree_with_the_model_after_any_lists_of_movements_on_postgresql(
    postgresql: str, batches: list[list[tuple[int, Direction, int]]]
) -> None:
    url = fresh_database(postgresql)
    try:
        asyncio.run(check(url, batches))
    finally:
        drop_database(postgresql, url)
