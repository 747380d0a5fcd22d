"""Who the audit trail says acted when no merchant did: scheduler, gateway, or the core's loops."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.server import composition
from nivisco.internal.v1 import operator_pb2, webhooks_pb2
from nivisco.payments.v1 import audit_pb2 as pb
from nivisco.payments.v1 import credentials_pb2, types_pb2
from rpc.errors import CoreError
from rpc.metadata import Credentials, client_address
from tests.core.audit.waiting import events_when
from tests.core.payments.charging import INTENTS, card_holder, charge_request, fund_request
from tests.core.recurring.running import OPERATOR, claim_and_execute, create_job, fill_wallet
from tests.core.running import (
    WEBHOOKS_TOKEN,
    Business,
    Gateway,
    ShiftedClock,
    call,
    create_user,
    register,
    running_core,
    settings_for,
    with_stripe,
)
from tests.end_to_end.signing import STRIPE_SECRET, stripe_event, stripe_signature

CORE, GATEWAY, SCHEDULER = (
    pb.AUDIT_ACTOR_CORE,
    pb.AUDIT_ACTOR_GATEWAY,
    pb.AUDIT_ACTOR_SCHEDULER,
)


@pytest.fixture
def clock() -> ShiftedClock:
    """The core's clock, which a test can move."""
    return ShiftedClock()


@pytest.fixture
async def shop(
    tmp_path: Path, gateway: Gateway, clock: ShiftedClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Business]:
    """A business with Stripe TEST keys, on a core whose sequencer is quick."""
    monkeypatch.setattr(composition, "SEQUENCE_SECONDS", 0.02)
    settings = settings_for(tmp_path, stripe_urls={"TEST": gateway.url, "LIVE": gateway.url})
    async with running_core(settings, clock) as client:
        yield await with_stripe(await register(client))


async def events_of(
    shop: Business, actor: pb.AuditActor.ValueType, *subjects: str, **filters: Any
) -> list[pb.AuditEvent]:
    """Return the events of an actor, once each of these kinds of object is among them."""

    def acted(events: Any) -> list[pb.AuditEvent]:
        return [each for each in events if each.actor == actor]

    events = await events_when(
        shop,
        lambda found: set(subjects) <= {each.subject for each in acted(found)},
        **filters,
    )
    return acted(events)


async def test_an_occurrence_is_charged_by_the_scheduler(
    shop: Business, clock: ShiftedClock
) -> None:
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id)
    job = await create_job(shop, user_id)
    clock.ahead += timedelta(days=1, minutes=1)
    assert await claim_and_execute(shop) == 1
    events = await events_of(shop, SCHEDULER, "wallet_transactions", "recurring_logs")
    assert {each.actor_id for each in events} == {""}
    assert {each.action for each in events} == {"claim_due_occurrences", "execute_occurrence"}
    assert job in {each.subject_id for each in events}
    (debit,) = [each for each in events if each.subject == "wallet_transactions"]
    assert (debit.user_id, debit.change) == (user_id, pb.AUDIT_CHANGE_CREATED)


async def deliver(shop: Business, body: bytes, signature: str) -> None:
    """Deliver a webhook of Stripe as an adapter does."""
    request = webhooks_pb2.ReceiveWebhookRequest(
        business_id=shop.credentials.business_id,
        gateway=types_pb2.GATEWAY_STRIPE,
        body=body,
        signature=signature,
    )
    await call(shop.client, Credentials(service_token=WEBHOOKS_TOKEN), request)


async def test_what_follows_from_a_webhook_is_the_gateway_s(shop: Business) -> None:
    keys = credentials_pb2.ModifyStripeCredentialsRequest.Credentials(
        env=types_pb2.ENV_TEST, stripe_webhook_secret=STRIPE_SECRET
    )
    await shop.call(credentials_pb2.ModifyStripeCredentialsRequest(credentials=keys))
    paid = await shop.call(charge_request(await card_holder(shop)))
    thing = {"id": "re_1", "amount": 500, "currency": "usd", "status": "succeeded"}
    event = stripe_event(
        "evt_1", "refund.created", int(time.time()), payment_intent=paid.transaction_id, **thing
    )
    client_address.set("203.0.113.9")
    with pytest.raises(CoreError):
        await deliver(shop, event.body, stripe_signature(event.body, time.time(), "whsec_forged"))
    await deliver(shop, event.body, stripe_signature(event.body, time.time()))
    events = await events_of(shop, GATEWAY, "payments", payment_id=paid.payment_id)
    client_address.set("")
    assert {each.actor_id for each in events} == {"stripe"}
    assert {each.action for each in events} == {"receive_webhook"}
    assert {each.subject_id for each in events} == {paid.payment_id}


async def test_what_a_loop_resolves_is_the_core_s(
    shop: Business, gateway: Gateway, clock: ShiftedClock
) -> None:
    user_id = await card_holder(shop)
    await gateway.fault("reset_after", INTENTS, times=20, method=None)
    with pytest.raises(CoreError, match="not known yet"):
        await shop.call(fund_request(user_id))
    await gateway.clear()
    clock.ahead += timedelta(seconds=20)
    events = await events_of(shop, CORE, "payments", "wallet_transactions", user_id=user_id)
    assert {(each.actor_id, each.action, each.request_id, each.address) for each in events} == {
        ("", "", "", "")
    }
    verified = await call(shop.client, OPERATOR, operator_pb2.VerifyAuditRequest())
    assert not verified.problems
