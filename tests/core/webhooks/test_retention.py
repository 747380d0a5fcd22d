"""Old gateway events are deleted in batches, but for those that a payment depends on."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select

from core.database.schema import businesses, webhook_events
from core.database.transactions import Database
from core.payments import event_store
from core.webhooks import service as webhooks_service
from core.webhooks.service import IGNORED_LIFE, WebhooksService

AGE = IGNORED_LIFE
SECOND = timedelta(seconds=1)


@pytest.fixture
async def database(database_url: str) -> Any:
    opened = Database(database_url)
    yield opened
    await opened.close()


async def store(database: Database, events: dict[str, tuple[str, timedelta]]) -> None:
    """Store events of these states and ages."""
    async with database.transaction() as transaction:
        now = transaction.now
        words = {
            "business_id": "B",
            "name": "n",
            "email": "e",
            "domain": "d",
            "default_env": "TEST",
        }
        business = words | {"active": True, "api_key_hash": "h", "created_at": now}
        execute = transaction.connection.execute
        await execute(insert(businesses), business | {"updated_at": now})
        for event_id, (state, age) in events.items():
            row = {
                "business_id": "B",
                "gateway": "stripe",
                "env": "TEST",
                "event_id": event_id,
                "type": "t",
                "needs_lookup": False,
                "checks": 0,
                "state": state,
                "occurred_at": now - age,
                "received_at": now - age,
                "look_at": now if state == "waiting" else None,
            }
            await execute(insert(webhook_events), row)


async def left(database: Database) -> set[str]:
    async with database.read() as transaction:
        rows = await transaction.connection.execute(select(webhook_events.c.event_id))
        return set(rows.scalars())


def service(database: Database) -> WebhooksService:
    nothing: Any = None
    return WebhooksService(database, nothing, nothing, {}, nothing)


async def test_only_old_events_on_which_nothing_depends_are_deleted(database: Database) -> None:
    states = ("waiting", "applied", "contradicting", "ignored")
    old = {f"old {state}": (state, AGE + SECOND) for state in states}
    new = {f"new {state}": (state, AGE - timedelta(hours=1)) for state in states}
    await store(database, old | new)
    await service(database).reap()
    assert await left(database) == {*old, *new} - {"old ignored"}


async def test_old_events_are_deleted_in_batches_until_none_is_left(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks_service, "REAP_BATCH", 2)
    await store(database, {f"evt_{n}": ("ignored", AGE + n * SECOND) for n in range(1, 6)})
    async with database.transaction() as transaction:
        before = transaction.now - AGE
        assert await event_store.delete_ignored(transaction, before, 2) == 2
    assert await left(database) == {"evt_1", "evt_2", "evt_3"}, "the oldest go first"
    await service(database).reap()
    assert await left(database) == set()


async def test_what_is_due_is_counted_and_not_deleted(database: Database) -> None:
    await store(database, {"old": ("ignored", AGE + SECOND), "new": ("ignored", SECOND)})
    async with database.listing() as transaction:
        counted = await event_store.count_ignored(transaction, transaction.now - AGE)
        assert counted[0] == 1
        assert counted[1] is not None
        assert counted[1] < transaction.now - AGE
    assert await left(database) == {"old", "new"}
