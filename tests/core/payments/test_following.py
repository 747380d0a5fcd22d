"""A payment that waits for its customer or a review ends without a webhook, as its gateway says."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from core.database.schema import webhook_events
from core.database.transactions import Database
from core.errors import Refusal
from tests.core.payments.charging import INTENTS
from tests.core.payments.running_service import RunningService, running_service
from tests.core.running import Gateway, ShiftedClock
from tests.core.webhooks.receiving import Hooks, hooks_of
from tests.databases import fresh_sqlite
from tests.end_to_end.signing import authorize_event

CHARGED = ("succeeded", 5000)


@pytest.fixture
async def shop(database_url: str, gateway: Gateway) -> AsyncIterator[RunningService]:
    clock = ShiftedClock()
    async with running_service(
        Database(database_url, clock), clock, gateway, card="pm_card_authenticationRequired"
    ) as running:
        yield running


@pytest.fixture
async def paid(database_url: str, gateway: Gateway) -> AsyncIterator[Hooks]:
    clock = ShiftedClock()
    async with running_service(Database(database_url, clock), clock, gateway) as running:
        yield await hooks_of(running)


async def ask_for_authentication(shop: RunningService) -> str:
    with pytest.raises(Refusal, match="must authenticate"):
        await shop.fund()
    payment = await shop.payment()
    assert payment.transaction_id is not None
    return payment.transaction_id


async def state(shop: RunningService) -> tuple[str, int]:
    return (await shop.payment()).status, await shop.balance()


async def reads(shop: RunningService) -> int:
    async with shop.database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(webhook_events.c.event_id).where(webhook_events.c.type == "nivisco.read")
        )
        return len(rows.all())


async def intent_of(gateway: Gateway) -> dict[str, Any]:
    books = await gateway.books()
    (intent,) = books[0]["payment_intents"]
    return dict(intent)


async def test_an_authentication_that_no_webhook_tells_of_is_found(
    shop: RunningService, gateway: Gateway
) -> None:
    intent = await ask_for_authentication(shop)
    await shop.later(seconds=40)
    assert await state(shop) == ("requires_action", 0)
    await gateway.control("authentications", payment_intent=intent)
    await shop.later(seconds=40)
    assert await state(shop) == CHARGED
    await shop.later(days=3)
    assert await state(shop) == CHARGED


async def test_an_authentication_that_fails_is_a_decline(
    shop: RunningService, gateway: Gateway
) -> None:
    intent = await ask_for_authentication(shop)
    await gateway.control("authentications", payment_intent=intent, succeeds=False)
    await shop.later(seconds=40)
    assert (await state(shop))[0] in ("declined", "requires_action")
    await shop.later(days=1, hours=1)
    assert await state(shop) == ("declined", 0)


async def test_a_payment_that_nobody_authenticates_for_a_day_is_canceled(
    shop: RunningService, gateway: Gateway
) -> None:
    await ask_for_authentication(shop)
    for _ in range(23):
        await shop.later(hours=1)
    assert await state(shop) == ("requires_action", 0)
    assert (await intent_of(gateway))["status"] == "requires_payment_method"
    await shop.later(hours=2)
    assert await state(shop) == ("declined", 0)
    assert (await shop.payment()).decline_code == "canceled"
    assert (await intent_of(gateway))["status"] == "canceled"
    assert (await shop.payment()).look_at is None


async def test_a_customer_who_was_faster_than_the_cancellation_has_paid(
    shop: RunningService, gateway: Gateway
) -> None:
    intent = await ask_for_authentication(shop)
    await gateway.control("authentications", payment_intent=intent)
    await shop.later(days=2)
    assert await state(shop) == CHARGED


async def test_asking_stores_nothing_while_nothing_changes(shop: RunningService) -> None:
    await ask_for_authentication(shop)
    for _ in range(3):
        await shop.later(minutes=10)
    assert await reads(shop) == 0


async def test_a_gateway_that_is_away_is_asked_again(
    shop: RunningService, gateway: Gateway
) -> None:
    intent = await ask_for_authentication(shop)
    await gateway.control("authentications", payment_intent=intent)
    await gateway.fault("reset_before", INTENTS, times=4, method=None)
    await shop.later(seconds=40)
    assert await state(shop) == ("requires_action", 0)
    await gateway.clear()
    await shop.later(hours=1)
    assert await state(shop) == CHARGED


async def test_refund_states_of_one_second_are_read_at_the_gateway(
    paid: Hooks, gateway: Gateway
) -> None:
    refund = await gateway.control("stripe/refunds", payment_intent=paid.intent, status="pending")
    await gateway.control(f"stripe/refunds/{refund['id']}", status="failed")
    # By the events alone the refund failed; then an event says that it did not.
    same = {"id": refund["id"], "amount": 5000}
    await paid.send("evt_1", "refund.failed", 1, **same, status="failed")
    await paid.send("evt_2", "refund.updated", 2, **same, status="succeeded")
    assert await paid.state() == ("refunded", 5000, 0)
    await paid.running.later(seconds=20)
    assert await paid.state() == ("succeeded", 0, 5000)
    assert await reads(paid.running) == 1
    await paid.send("evt_2", "refund.updated", 2, **same, status="succeeded")
    await paid.running.later(hours=2)
    assert (await paid.state(), await reads(paid.running)) == (("succeeded", 0, 5000), 1)


@pytest.mark.parametrize(
    ("status", "state"),
    [("refundSettledSuccessfully", ("refunded", 0)), ("generalError", CHARGED)],
)
async def test_a_refund_at_authorize_net_is_read_once_it_has_settled_or_failed(
    tmp_path: Path, gateway: Gateway, status: str, state: tuple[str, int]
) -> None:
    clock = ShiftedClock()
    database = Database(fresh_sqlite(tmp_path / "nivisco.db"), clock)
    async with running_service(database, clock, gateway, "authorize") as shop:
        await shop.fund()
        charge = (await shop.payment()).transaction_id
        assert charge is not None
        await gateway.authorize("transactions", transaction=charge, status="settledSuccessfully")
        refund = await gateway.control("authorize/refunds", transaction=charge)
        created = authorize_event("n1", "refund.created", 1, refund["id"], authAmount=50.0)
        await shop.webhooks.receive(
            business_id=shop.caller.business_id,
            gateway="authorize",
            body=created.body,
            signature=next(iter(created.headers().values())),
        )
        assert ((await shop.payment()).status, await shop.balance()) == ("refunded", 0)
        await gateway.authorize("transactions", transaction=refund["id"], status=status)
        await shop.later(days=4)
        assert ((await shop.payment()).status, await shop.balance()) == state
        assert (await shop.payment()).look_at is None


async def test_a_contradiction_is_logged_with_both_sides_and_changes_nothing(
    paid: Hooks, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = {"id": "re_1", "amount": 5000, "currency": "eur", "status": "succeeded"}
    await paid.send("evt_1", "refund.created", 1, **foreign)
    await paid.send("evt_1", "refund.created", 1, **foreign)
    assert await paid.state() == ("succeeded", 0, 5000)
    (record,) = [each for each in caplog.records if "contradicts" in each.message]
    sides = vars(record)
    assert (sides["currency"], sides["event_currency"]) == ("usd", "eur")
    assert (sides["event"], sides["amount_minor"]) == ("evt_1", 5000)
    async with paid.running.database.transaction() as transaction:
        states = await transaction.connection.execute(select(webhook_events.c.state))
        assert [row.state for row in states] == ["contradicting"]
