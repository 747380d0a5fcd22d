"""Batches of movements: each request as if it were alone, and never twice."""

import asyncio
import itertools
import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from core.caller import Caller
from core.database.migrations.upgrade import migrate
from core.database.schema import idempotency_records, users, wallets
from core.database.transactions import Database
from core.idempotency.call import Answer
from core.wallet import ledger
from core.wallet.rules import Direction
from core.wallet.service import WalletService
from tests.core.wallet import ledgers
from tests.core.wallet.ledgers import open_wallets, read_books
from tests.core.wallet.moving import (
    batch_of,
    credit,
    debit,
    idempotency_of,
    outcome,
    outcomes,
    request,
)
from tests.databases import until_blocked

TOO_LOW = "The wallet's available balance is below the amount"
REUSED = "The idempotency key was used for another request; use a new one"


async def funded(database: Database, *user_ids: str) -> None:
    """Create users of business B with 100 in their wallets, which have the users' ids."""
    async with database.transaction() as transaction:
        await open_wallets(transaction, "B", user_ids)
    batch = batch_of(database)
    assert await outcomes(batch, [credit(each, 100) for each in user_ids]) == ["100"] * len(
        user_ids
    )


async def balances(database: Database) -> dict[str, int]:
    """Return the balances of business B in whole units, after a check of its books."""
    books = await read_books(database, ["B"])
    books.assert_consistent()
    return {wallet_id: minor // 100 for (_, wallet_id), (minor, _) in books.balances.items()}


async def expire_records(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            update(idempotency_records).values(expires_at=transaction.now - timedelta(hours=1))
        )


WANTED = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(["active-1", "active-2", "inactive", "unknown"]),
            st.sampled_from(list(Direction)),
            st.integers(1, 3) | st.just(9_999_999_999),
            st.sampled_from(["", "", "key-1", "key-2", "key-3"]),
            st.sampled_from(["", "", "USD", "EUR"]),
        ),
        min_size=1,
        max_size=8,
    ),
    max_size=4,
)
_numbers = itertools.count()


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for all examples, as the database's connections belong to it."""
    with asyncio.Runner() as started:
        yield started


@pytest.fixture
def database_of_examples(runner: asyncio.Runner, database_url: str) -> Iterator[Database]:
    """A database of each kind for all examples; each one has businesses of its own."""
    opened = Database(database_url)
    runner.run(migrate(opened))
    yield opened
    runner.run(opened.close())


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(WANTED)
def test_requests_of_one_batch_end_as_they_would_one_by_one(
    runner: asyncio.Runner, database_of_examples: Database, wanted: list[list[Any]]
) -> None:
    runner.run(compare(database_of_examples, wanted))


async def compare(database: Database, wanted: list[list[Any]]) -> None:
    number = next(_numbers)
    together, one_by_one = f"together-{number}", f"one-by-one-{number}"
    async with database.transaction() as transaction:
        for business_id in (together, one_by_one):
            await open_wallets(transaction, business_id, ["active-1", "active-2", "inactive"])
        await transaction.connection.execute(
            update(users).where(users.c.user_id == "inactive").values(active=False)
        )
    batch = batch_of(database)
    for batch_of_requests in wanted:
        ended = await outcomes(
            batch,
            [
                request(together, user_id, direction, units, key, currency=currency)
                for user_id, direction, units, key, currency in batch_of_requests
            ],
        )
        assert ended == [
            await outcome(
                batch, request(one_by_one, user_id, direction, units, key, currency=currency)
            )
            for user_id, direction, units, key, currency in batch_of_requests
        ]
    books = await read_books(database, [together, one_by_one])
    books.assert_consistent()
    states = {
        business_id: {key[1]: state for key, state in books.balances.items() if key[0] == owner}
        for business_id, owner in (("together", together), ("one by one", one_by_one))
    }
    assert states["together"] == states["one by one"]


async def test_concurrent_first_uses_create_one_wallet(database: Database) -> None:
    await funded(database, "USR")
    ended = await outcomes(batch_of(database), [credit("USR", 1, env="LIVE") for _ in range(20)])
    assert sorted(map(int, ended)) == list(range(1, 21))
    assert sorted((await balances_by_env(database)).items()) == [("LIVE", 20), ("TEST", 100)]


async def balances_by_env(database: Database) -> dict[str, int]:
    async with database.read() as transaction:
        rows = await transaction.connection.execute(select(wallets.c.env, wallets.c.balance_minor))
        return {row.env: row.balance_minor // 100 for row in rows}


async def test_a_first_use_that_is_refused_refuses_only_itself(database: Database) -> None:
    await funded(database, "USR")
    ended = await outcomes(
        batch_of(database), [debit("USR", 1, "key", env="LIVE"), debit("USR", 1)]
    )
    assert ended == [TOO_LOW, "99"]


async def test_a_constraint_fails_only_the_requests_of_its_wallet(database: Database) -> None:
    await funded(database, "USR-1", "USR-2", "USR-3")
    async with database.transaction() as transaction:
        await transaction.connection.execute(  # its next version is that of a stored movement
            update(wallets).where(wallets.c.wallet_id == "USR-2").values(version=0)
        )
    batch = batch_of(database)
    first, second, third = await asyncio.gather(
        outcome(batch, debit("USR-1", 1, "key-1")),
        outcome(batch, debit("USR-2", 1, "key-2")),
        outcome(batch, debit("USR-3", 1, "key-3")),
        return_exceptions=True,
    )
    assert (first, third) == ("99", "99")
    assert isinstance(second, IntegrityError)
    assert await outcome(batch, debit("USR-1", 1, "key-1")) == "replay: 99"


async def test_an_existing_wallet_is_read_without_a_transaction_that_writes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await funded(database, "USR")
    monkeypatch.delattr(Database, "transaction")
    wallet = await WalletService(database).get(Caller("B", "TEST"), "USR", "TEST")
    assert (wallet.wallet_id, wallet.balance_minor) == ("USR", 10_000)


async def test_a_batch_that_waits_for_a_wallet_reads_it_as_it_is_then(
    postgresql_only: Database,
) -> None:
    await funded(postgresql_only, "USR", "other")
    batch = batch_of(postgresql_only)
    async with postgresql_only.transaction() as another:
        await ledger.move(another, [ledgers.debit(("B", "USR"), 7_000)])
        ended = asyncio.create_task(
            outcomes(batch, [debit("USR", 50), debit("other", 1), debit("USR", 30)])
        )
        await until_blocked(postgresql_only)
    assert await ended == [TOO_LOW, "99", "0"]
    assert await balances(postgresql_only) == {"USR": 0, "other": 99}


class RolledBack(Exception):
    """Ends the transaction of another core without a commit."""


@pytest.mark.parametrize("commits", [True, False])
async def test_an_answer_that_another_core_stores_while_a_batch_waits_is_replayed(
    postgresql_only: Database, postgresql_database: str, *, commits: bool
) -> None:
    """The batch has read that there is no record when it waits for the wallet."""
    await funded(postgresql_only, "USR", "other")
    elsewhere = Database(postgresql_database)
    with suppress(RolledBack):
        async with elsewhere.transaction() as transaction:
            await batch_of(elsewhere)._run_in(transaction, [debit("USR", 10, "key")])
            requests = [debit("other", 1), debit("USR", 10, "key"), debit("USR", 2)]
            waiting = asyncio.create_task(outcomes(batch_of(postgresql_only), requests))
            await until_blocked(postgresql_only)
            if not commits:
                raise RolledBack
    assert await waiting == ["99", "replay: 90" if commits else "90", "88"]
    await elsewhere.close()
    assert await balances(postgresql_only) == {"USR": 88, "other": 99}


@pytest.mark.parametrize("commits", [True, False])
async def test_a_batch_waits_for_a_record_that_another_core_inserts(
    postgresql_only: Database, *, commits: bool
) -> None:
    """No wallet is waited for: the conflict shows when the batch writes."""
    await funded(postgresql_only, "USR-1", "USR-2")
    another_action = credit("USR-2", 1, "key").call
    another_action.action = "CreateUser"
    with suppress(RolledBack):
        async with postgresql_only.transaction() as transaction:
            await idempotency_of(postgresql_only).keep(
                transaction, another_action, Answer(b"", is_refusal=False)
            )
            requests = [debit("USR-1", 1, "key"), debit("USR-2", 1, "another key")]
            waiting = asyncio.create_task(outcomes(batch_of(postgresql_only), requests))
            await until_blocked(postgresql_only)
            if not commits:
                raise RolledBack
    assert await waiting == [REUSED if commits else "99", "99"]
    assert await balances(postgresql_only) == {"USR-1": 100 if commits else 99, "USR-2": 99}


async def test_the_record_that_replaces_an_expired_one_while_a_batch_waits_is_replayed(
    postgresql_only: Database, postgresql_database: str
) -> None:
    """The batch has read the expired one when it waits for the wallet."""
    await funded(postgresql_only, "USR")
    batch = batch_of(postgresql_only)
    assert await outcome(batch, debit("USR", 1, "key")) == "99"
    await expire_records(postgresql_only)
    elsewhere = Database(postgresql_database)
    async with elsewhere.transaction() as transaction:
        await batch_of(elsewhere)._run_in(transaction, [debit("USR", 1, "key")])
        waiting = asyncio.create_task(outcome(batch, debit("USR", 1, "key")))
        await until_blocked(postgresql_only)
    assert await waiting == "replay: 98"
    await elsewhere.close()
    assert await balances(postgresql_only) == {"USR": 98}


async def test_an_expired_record_that_is_locked_is_not_waited_for(
    postgresql_only: Database,
) -> None:
    """Others lock a record before a wallet, and a batch has locked the wallet already."""
    await funded(postgresql_only, "USR")
    batch = batch_of(postgresql_only)
    assert await outcome(batch, debit("USR", 1, "key")) == "99"
    await expire_records(postgresql_only)
    async with postgresql_only.transaction() as another:
        await idempotency_of(postgresql_only).lock(another, "B", "key")
        assert await outcome(batch, debit("USR", 1, "key")) == "replay: 99"
    assert await outcome(batch, debit("USR", 1, "key")) == "98"


async def test_a_wallet_that_stays_locked_delays_others_once(
    postgresql_only: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.wallet.batch.LOCK_SECONDS", 60.0)  # how long requests are repeated
    await funded(postgresql_only, "locked", "free")
    batch = batch_of(postgresql_only)
    async with postgresql_only.transaction() as hanging:
        await ledger.move(hanging, [ledgers.debit(("B", "locked"), 1)])
        waiting = asyncio.create_task(batch.move(debit("locked", 1, "key")))
        await until_blocked(postgresql_only)
        assert await outcome(batch, debit("free", 1)) == "99"
        # From here on no batch waits for the lock: the request is repeated between the others.
        assert not waiting.done()
        assert [await outcome(batch, debit("free", 1)) for _ in range(3)] == ["98", "97", "96"]
    assert (await waiting).new_balance.units == 98
    assert await balances(postgresql_only) == {"locked": 98, "free": 96}


async def test_batches_of_two_cores_never_deadlock(
    postgresql_only: Database, postgresql_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """They share wallets and keys, with movements that are made outside of batches."""
    user_ids = [f"USR-{number}" for number in range(6)]
    await funded(postgresql_only, *user_ids)
    another = Database(postgresql_database)
    cores = [batch_of(postgresql_only), batch_of(another)]
    chance = random.Random(13)  # noqa: S311 # nothing secret
    keyed = [(f"key-{number}", chance.choice(user_ids)) for number in range(150)]

    async def client(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 # nothing secret
        for key, user_id in chance.sample(keyed, len(keyed)):
            movement = credit(user_id, 1, key)
            ended = await outcome(cores[seed % 2], movement)
            assert ended.removeprefix("replay: ").isdigit()

    async def funding(database: Database) -> None:
        for _ in range(40):
            async with database.transaction() as transaction:
                wanted = [ledgers.credit(("B", each), 100) for each in chance.sample(user_ids, 3)]
                await ledger.move(transaction, wanted)

    async with asyncio.TaskGroup() as tasks:
        for seed in (0, 1):
            tasks.create_task(client(seed))
        tasks.create_task(funding(postgresql_only))
        tasks.create_task(funding(another))
    await another.close()
    assert sum((await balances(postgresql_only)).values()) == 600 + 150 + 2 * 40 * 3
    assert [each.message for each in caplog.records if each.name == "core.wallet"] == []
