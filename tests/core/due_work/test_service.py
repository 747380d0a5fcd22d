"""The queries of a poll, and what it does while the database is away, on each database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import select, update

from core.database.schema import webhook_events
from core.database.transactions import Database, DatabaseUnavailableError, Transaction
from core.due_work.rules import Key
from core.due_work.service import DueWork
from core.due_work.store import EVENTS, PAYMENTS, DueTable
from tests.core.database.migrations.rows import ROWS, write
from tests.core.database.recording import recorded


class Kind:
    """A kind of due work whose looks a test decides."""

    def __init__(self, due: DueTable) -> None:
        self.due = due
        self.looked: list[Key] = []
        self.error: Exception | None = None

    async def look(self, key: Key) -> None:
        self.looked.append(key)
        if self.error is not None:
            raise self.error


async def test_an_idle_poll_is_one_query_for_each_kind(database: Database) -> None:
    due_work = DueWork(database, [Kind(PAYMENTS), Kind(EVENTS)])
    with recorded() as statements:
        assert await due_work.poll() == 0
    assert ["look_at" in each.text for each in statements] == [True, True]


async def add_event(database: Database) -> Key:
    if not await event_row(database):
        for table in ("businesses", "webhook_events"):
            row = ROWS[table]
            if table == "webhook_events":
                async with database.read() as transaction:
                    row = row | {"state": "waiting", "look_at": transaction.now}
            await write(database, table, row)
    return ("B", "stripe", "TEST", "evt_1")


async def event_row(database: Database) -> Any:
    async with database.read() as transaction:
        return (await transaction.connection.execute(select(webhook_events))).one_or_none()


async def test_a_row_whose_look_changes_nothing_is_looked_at_once_in_a_poll(
    database: Database,
) -> None:
    key = await add_event(database)
    kind = Kind(EVENTS)
    due_work = DueWork(database, [kind])
    await due_work.run_once()
    assert kind.looked == [key]
    await due_work.run_once()
    assert kind.looked == [key, key]


async def test_a_failed_look_is_recorded_only_while_the_row_waits_for_one(
    database: Database,
) -> None:
    await add_event(database)
    kind = Kind(EVENTS)
    kind.error = ValueError("a bug")
    await DueWork(database, [kind]).run_once()
    row = await event_row(database)
    assert (row.failed_looks, row.set_aside_at) == (1, None)
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(webhook_events).values(look_at=transaction.now))

    class Ended(Kind):
        async def look(self, key: Key) -> None:
            async with database.transaction() as transaction:
                await transaction.connection.execute(
                    update(webhook_events).values(state="ignored", look_at=None)
                )
            await super().look(key)

    ended = Ended(EVENTS)
    ended.error = ValueError("a bug")
    await DueWork(database, [ended]).run_once()
    row = await event_row(database)
    assert (row.failed_looks, row.set_aside_at, row.look_at) == (1, None, None)


class AwayDatabase(Database):
    """A database that is away as long as a test says so."""

    is_away = False
    refused = 0

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        if self.is_away:
            self.refused += 1
            raise DatabaseUnavailableError("away")
        async with super().read() as transaction:
            yield transaction


async def test_polls_go_on_after_the_database_was_away(
    database: Database, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await add_event(database)
    await database.close()
    away = AwayDatabase(database_url)
    away.is_away = True
    kind = Kind(EVENTS)
    stop = asyncio.Event()
    running = asyncio.create_task(DueWork(away, [kind], poll_seconds=0.001).run(stop))
    async with asyncio.timeout(20):
        while away.refused < 3:
            await asyncio.sleep(0)
        away.is_away = False
        while not kind.looked:
            await asyncio.sleep(0)
    stop.set()
    await running
    await away.close()
    assert "background task failed, retrying" in caplog.messages
