"""The ledger function with long, wrong and concurrent lists of movements."""

import asyncio
import random
from collections.abc import Sequence

import pytest
from sqlalchemy.exc import IntegrityError

from core.database.transactions import Database, Transaction
from core.users.service import existing_user
from core.wallet import ledger, store
from core.wallet.rules import Movement, MovementRefusal, WalletState
from tests.core.database.recording import recorded
from tests.core.wallet.ledgers import WalletKey, credit, debit, open_wallets, read_books
from tests.databases import until_blocked


async def wallets_of(database: Database, count: int) -> list[WalletKey]:
    async with database.transaction() as transaction:
        return await open_wallets(transaction, "B", [f"WAL-{n}" for n in range(count)])


async def move(
    database: Database, movements: Sequence[Movement]
) -> list[WalletState | MovementRefusal]:
    async with database.transaction() as transaction:
        return await ledger.move(transaction, movements)


async def test_500_movements_take_as_many_statements_as_one(
    database: Database,
) -> None:
    keys = await wallets_of(database, 100)
    counts: list[int] = []
    for length in (1, 2, 500):
        async with database.transaction() as transaction:
            with recorded() as statements:
                await ledger.move(transaction, [credit(keys[n % 100], 5) for n in range(length)])
        counts.append(len(statements))
        # A server would get one message for each row.
        assert database.has_one_process or not any(each.is_many for each in statements)
    assert counts == [4 if database.has_one_process else 2] * 3


async def test_one_list_moves_2000_wallets(database: Database) -> None:
    keys = await wallets_of(database, 2000)
    results = await move(database, [credit(key, 1 + n) for n, key in enumerate(keys)])
    assert results == [WalletState("TEST", "usd", 1 + n, 1) for n in range(2000)]
    results = await move(database, [debit(key, 1000) for key in keys])
    refused = [result for result in results if result is MovementRefusal.WALLET_TOO_LOW]
    assert len(refused) == 999
    (await read_books(database, ["B"])).assert_consistent()


async def test_movements_of_one_wallet_are_applied_in_order(database: Database) -> None:
    (key,) = await wallets_of(database, 1)
    wanted = [credit(key, 3) if n % 2 else debit(key, 2) for n in range(2000)]
    results = await move(database, wanted)
    assert results[0] is MovementRefusal.WALLET_TOO_LOW
    assert results[-1] == WalletState("TEST", "usd", 1002, 1999)
    (await read_books(database, ["B"])).assert_consistent()


async def test_refused_movements_change_nothing(database: Database) -> None:
    (key,) = await wallets_of(database, 1)
    assert await move(database, [debit(key, 1)] * 2) == [MovementRefusal.WALLET_TOO_LOW] * 2
    assert (await read_books(database, ["B"])).balances == {key: (0, 0)}


async def test_an_empty_list_changes_nothing(database: Database) -> None:
    assert await move(database, []) == []


async def test_a_movement_of_an_unknown_wallet_fails_and_moves_nothing(
    database: Database,
) -> None:
    (key,) = await wallets_of(database, 1)
    with pytest.raises(AssertionError, match="movements name wallets that exist"):
        await move(database, [credit(key, 1), credit(("OTHER", key[1]), 1)])
    assert (await read_books(database, ["B"])).balances == {key: (0, 0)}


@pytest.mark.parametrize("others", [0, 3])
async def test_a_second_credit_of_one_payment_rolls_back_its_list(
    database: Database, others: int
) -> None:
    key, other = await wallets_of(database, 2)
    await move(database, [credit(key, 5, "PAY-1")])
    again = [credit(other, 7) for _ in range(others)]
    with pytest.raises(IntegrityError):
        await move(database, [*again, credit(key, 5, "PAY-1")])
    assert (await read_books(database, ["B"])).balances == {key: (5, 1), other: (0, 0)}


async def test_concurrent_lists_in_any_order_never_deadlock(
    postgresql_only: Database,
) -> None:
    keys = await wallets_of(postgresql_only, 5)
    await move(postgresql_only, [credit(key, 1000) for key in keys])

    async def one_task(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 # nothing secret
        for _ in range(50):
            # Half of the tasks go one way and half the other, most over all wallets.
            order = sorted(chance.sample(keys, chance.choice([1, 3, 5, 5])), reverse=bool(seed % 2))
            await move(
                postgresql_only,
                [
                    chance.choice([credit, debit, debit])(key, chance.randint(1, 60))
                    for key in order
                ],
            )

    async with asyncio.TaskGroup() as tasks:
        for seed in range(8):
            tasks.create_task(one_task(seed))
    books = await read_books(postgresql_only, ["B"])
    books.assert_consistent()
    assert sum(version for _, version in books.balances.values()) > 8 * 50
    totals: dict[str, int] = {}
    for sides in books.postings.values():
        for account, amount, _currency in sides:
            totals[account] = totals.get(account, 0) + amount
    assert sum(totals.values()) == 0


async def test_foreign_keys_to_a_wallet_do_not_wait_for_its_movement(
    postgresql_only: Database,
) -> None:
    """A foreign key asks for a shared lock of the row, which a movement's own lock allows."""
    (key,) = await wallets_of(postgresql_only, 1)
    shared = "SELECT 1 FROM wallets FOR KEY SHARE NOWAIT"
    async with postgresql_only.transaction() as moving:
        await ledger.move(moving, [credit(key, 5)])
        async with postgresql_only.transaction() as referring:
            await referring.connection.run(shared)


async def test_two_first_uses_of_a_wallet_do_not_deadlock(postgresql_only: Database) -> None:
    """A funding locks the user, and a read does not; both create the wallet."""
    ((business_id, user_id),) = await wallets_of(postgresql_only, 1)

    async def wallet_id(transaction: Transaction) -> str:
        wallet = await store.wallet_of_user(
            transaction, business_id=business_id, user_id=user_id, env="LIVE", currency="usd"
        )
        return wallet.wallet_id

    async def read() -> str:
        async with postgresql_only.transaction() as reading:
            found = await wallet_id(reading)
            has_created.set()
            await until_blocked(postgresql_only)  # the funding waits for the wallet
            return found

    has_created = asyncio.Event()
    async with postgresql_only.transaction() as funding:
        await existing_user(funding, business_id, user_id, lock=True)
        read_task = asyncio.create_task(read())
        read_moved = [  # it has created the wallet, or it waits for the user
            asyncio.create_task(has_created.wait()),
            asyncio.create_task(until_blocked(postgresql_only)),
        ]
        await asyncio.wait(read_moved, return_when=asyncio.FIRST_COMPLETED)
        for waiting in read_moved:
            waiting.cancel()
        await asyncio.wait(read_moved)
        funded = await wallet_id(funding)
    assert await read_task == funded
