"""Events that wait are looked at each on its own; one that fails is set aside, on each database."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from core.database.schema import webhook_events
from core.database.transactions import Database
from core.due_work import store as due_store
from core.due_work.rules import FAILED_LOOKS_MAX, pause_after
from core.due_work.store import EVENTS, SetAside
from core.payments import event_rules, event_store
from tests.core.payments.running_service import RunningService, running_service
from tests.core.running import Gateway, ShiftedClock
from tests.core.webhooks.receiving import AMOUNT, Hooks, hooks_of

REFUND = {"id": "re_1", "amount": AMOUNT, "status": "succeeded"}


@pytest.fixture
async def hooks(database_url: str, gateway: Gateway) -> AsyncIterator[Hooks]:
    clock = ShiftedClock()
    async with running_service(Database(database_url, clock), clock, gateway) as running:
        yield await hooks_of(running)


async def states(running: RunningService) -> dict[str, str]:
    async with running.database.read() as transaction:
        rows = await transaction.connection.execute(select(webhook_events))
        return {row.event_id: row.state for row in rows if row.event_id.startswith("evt_")}


async def set_aside(running: RunningService) -> list[SetAside]:
    async with running.database.read() as transaction:
        return await due_store.all_set_aside(transaction, 100)


async def test_an_event_whose_application_fails_is_stored_and_set_aside_until_it_is_released(
    hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = hooks.running

    def broken(*_arguments: Any, **_more: Any) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(event_rules, "next_state", broken)
        assert not await hooks.send("evt_1", "refund.created", 1, **REFUND)
        assert await states(running) == {"evt_1": "waiting"}
        for looks in range(FAILED_LOOKS_MAX):
            assert await set_aside(running) == []
            await running.later(seconds=pause_after(looks + 1).total_seconds() + 1)
        (aside,) = await set_aside(running)
        assert (aside.kind, aside.id) == ("webhook_event", "evt_1")
        assert aside.error.startswith("RuntimeError at core/")
    await running.later(hours=2)
    assert await hooks.state() == ("succeeded", 0, AMOUNT)
    async with running.database.transaction() as transaction:
        row = (running.caller.business_id, "evt_1")
        assert await due_store.release(transaction, EVENTS, row)
    await running.later(seconds=0)
    assert await hooks.state() == ("refunded", AMOUNT, 0)
    assert (await set_aside(running), await states(running)) == ([], {"evt_1": "applied"})


async def test_an_unreadable_event_is_set_aside_at_once_and_all_others_are_applied(
    hooks: Hooks,
) -> None:
    running = hooks.running
    async with running.database.transaction() as transaction:
        now = transaction.now
        row = {
            "business_id": running.caller.business_id,
            "gateway": "stripe",
            "env": "TEST",
            "event_id": "evt_0",
            "type": "refund.created",
            "transaction_id": hooks.intent,
            "fact": '{"kind": "of a newer version"}',
            "needs_lookup": False,
            "state": "waiting",
            "occurred_at": now - timedelta(hours=1),
            "received_at": now - timedelta(hours=1),
            "look_at": now - timedelta(hours=1),
            "checks": 0,
        }
        await transaction.connection.execute(webhook_events.insert().values(row))
    await running.later(seconds=0)
    (aside,) = await set_aside(running)
    assert (aside.id, aside.error) == ("evt_0", "the stored fact cannot be read")
    assert not await hooks.send("evt_1", "refund.created", 1, **REFUND)
    assert await hooks.state() == ("refunded", AMOUNT, 0)
    assert await states(running) == {"evt_0": "waiting", "evt_1": "applied"}


async def test_an_event_of_no_payment_is_looked_at_ever_more_rarely_and_ignored_after_three_days(
    hooks: Hooks,
) -> None:
    running = hooks.running
    assert not await hooks.send("evt_1", "refund.created", 1, **REFUND, payment_intent="pi_other")
    looks = 0
    for _ in range(80):
        await running.later(hours=1, seconds=1)
        async with running.database.read() as transaction:
            row = (await transaction.connection.execute(select(webhook_events))).one()
        looks = max(looks, row.checks)
    assert (row.state, row.look_at, await set_aside(running)) == ("ignored", None, [])
    assert 70 <= looks <= 73


async def test_an_event_that_was_taken_is_not_due_for_another_core(hooks: Hooks) -> None:
    running = hooks.running
    assert not await hooks.send("evt_1", "refund.created", 1, **REFUND, payment_intent="pi_other")
    running.clock.ahead += timedelta(minutes=1)
    key = (running.caller.business_id, "stripe", "TEST", "evt_1")
    async with running.database.transaction() as transaction:
        assert await event_store.take_due(transaction, key) is not None
    async with running.database.transaction() as transaction:
        assert await event_store.take_due(transaction, key) is None
