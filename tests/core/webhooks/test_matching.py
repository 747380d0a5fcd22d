"""Which payment an event is about, and events of formats that we do not follow."""

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select

from core.database.schema import payments, webhook_events
from core.database.transactions import Database
from core.errors import InvalidFields
from core.payments.store import find_payment
from tests.core.payments.running_service import STRIPE_KEY, RunningService, running_service
from tests.core.running import Gateway, ShiftedClock
from tests.core.webhooks.receiving import AMOUNT, Hooks, hooks_of
from tests.databases import fresh_sqlite
from tests.end_to_end.signing import STRIPE_SECRET, stripe_signature

NOW = int(time.time()) - 100


@pytest.fixture
async def running(tmp_path: Path, gateway: Gateway) -> AsyncIterator[RunningService]:
    database = Database(fresh_sqlite(tmp_path / "n.db"))
    async with running_service(database, ShiftedClock(), gateway) as service:
        yield service


@pytest.fixture
async def hooks(running: RunningService) -> Hooks:
    return await hooks_of(running)


async def stored(running: RunningService) -> list[tuple[str, str, str]]:
    """Return environment, id and state of the stored events."""
    columns = (webhook_events.c.env, webhook_events.c.event_id, webhook_events.c.state)
    async with running.database.transaction() as transaction:
        rows = await transaction.connection.execute(select(*columns).order_by(columns[1]))
        return [(row.env, row.event_id, row.state) for row in rows]


def dispute_of(**thing: Any) -> dict[str, Any]:
    lost = {"id": "dp_1", "amount": AMOUNT, "currency": "usd", "status": "lost"}
    return {
        "id": "evt_1",
        "type": "charge.dispute.closed",
        "created": NOW,
        "data": {"object": lost | thing},
    }


async def charge_of(running: RunningService, intent: str) -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"{running.gateway.url}/v1/payment_intents/{intent}",
            headers={"Authorization": f"Bearer {STRIPE_KEY}"},
        ) as response,
    ):
        return str((await response.json())["latest_charge"])


async def test_a_merchants_own_metadata_is_not_ours(hooks: Hooks) -> None:
    for number, metadata in enumerate(
        ({"payment_id": "ORDER-991"}, {"nivisco_payment_id": "PAY-0000000000000000"})
    ):
        refund = {"id": f"re_{number}", "amount": 1000, "status": "succeeded"}
        await hooks.send(f"evt_{number}", "refund.created", 1, metadata=metadata, **refund)
    assert await hooks.state() == ("partially_refunded", 2000, 3000)


async def test_an_intent_is_matched_by_its_own_id_first(hooks: Hooks) -> None:
    await hooks.send(
        "evt_1",
        "charge.dispute.closed",
        1,
        id="dp",
        amount=AMOUNT,
        status="lost",
        payment_intent={"id": hooks.intent, "object": "payment_intent"},
    )
    assert await hooks.state() == ("disputed", 0, 0)


async def test_a_charge_names_its_payment(hooks: Hooks, running: RunningService) -> None:
    charge = await charge_of(running, hooks.intent)
    event = dispute_of(payment_intent=None, charge=charge)
    assert await hooks.send_event(**event) is False
    assert await hooks.state() == ("disputed", 0, 0)


async def test_no_payment_matches_without_an_id(running: RunningService, hooks: Hooks) -> None:
    async with running.database.transaction() as transaction:
        await transaction.connection.execute(
            payments.update().values(status="failed", transaction_id=None)
        )
        found = await find_payment(
            transaction,
            business_id=running.caller.business_id,
            gateway="stripe",
            env="TEST",
            payment_id=None,
            transaction_id=None,
        )
    assert found is None


async def test_an_expanded_charge_names_its_payment(hooks: Hooks) -> None:
    event = dispute_of(charge={"id": "ch_1", "payment_intent": hooks.intent})
    await hooks.send_event(**event)
    assert await hooks.state() == ("disputed", 0, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"object": "v2.core.event", "type": "v2.money_management.x", "created": "2026-01-31T10Z"},
        {"object": "v2.core.event", "type": "payment_intent.succeeded", "data": {"x": 1}},
        {"type": "v1.billing.meter.error_report_triggered", "related_object": {"id": "m"}},
        {"type": "a\ud800b"},
        {"id": "evt_\ud800\x00"},
        {"id": "e" * 300, "type": "t" * 300},
        {"data": {"object": {"id": "\udfff", "payment_intent": "pi_\ud800"}}},
    ],
)
async def test_a_signed_event_of_an_unknown_format_is_acknowledged(
    running: RunningService, changes: dict[str, Any]
) -> None:
    hooks = Hooks(running, "pi_none")
    event = {"id": "evt_1", "type": "invoice.paid", "created": NOW, "data": {"object": {}}}
    assert await hooks.send_event(**event | changes) is False
    assert await hooks.send_event(**event | changes) is True
    assert [state for *_, state in await stored(running)] == ["ignored"]


@pytest.mark.parametrize("created", [10**12, -1, 0, 1 << 39, "2026-01-31T10:00:00Z", None, 1.5])
async def test_an_event_with_an_unusable_time_is_applied(hooks: Hooks, created: object) -> None:
    event = dispute_of(payment_intent=hooks.intent) | {"created": created}
    await hooks.send_event(**event)
    assert await hooks.state() == ("disputed", 0, 0)


async def test_livemode_decides_between_environments_with_one_secret(
    running: RunningService, caplog: pytest.LogCaptureFixture
) -> None:
    hooks = Hooks(running, "pi_none")
    live = dispute_of(payment_intent="pi_live") | {"livemode": True}
    assert await hooks.send_event(**live | {"id": "evt_0"}) is False
    assert await stored(running) == []
    assert "webhook ignored: its environment has no such secret" in caplog.text
    await running.credentials.add(
        running.caller,
        "stripe",
        "LIVE",
        {
            "stripe_secret_key": "sk_live_running_a",
            "stripe_public_key": "pk_live_fake",
            "stripe_webhook_secret": STRIPE_SECRET,
        },
    )
    await hooks.send_event(**live | {"id": "evt_1"})
    await hooks.send_event(**live | {"id": "evt_2", "livemode": False})
    assert [(env, event) for env, event, _ in await stored(running)] == [
        ("LIVE", "evt_1"),
        ("TEST", "evt_2"),
    ]


async def test_a_wrong_signature_is_refused_whatever_it_signs(running: RunningService) -> None:
    body = json.dumps(dispute_of(payment_intent="pi_x") | {"livemode": True}).encode()
    with pytest.raises(InvalidFields):
        await running.webhooks.receive(
            business_id=running.caller.business_id,
            gateway="stripe",
            body=body,
            signature=stripe_signature(body, time.time(), "whsec_other"),
        )
