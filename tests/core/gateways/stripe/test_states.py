"""Stripe: the present state of a payment, refund or dispute, and the cancellation of a payment."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from core.database.schema import VOID_REASONS
from core.gateways.events import EXPIRED, Fact, FactKind
from core.gateways.gateway import (
    Account,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    ObjectKind,
    RequiresAction,
    Succeeded,
)
from core.gateways.stripe.events import dispute_fact, intent_fact, read, refund_fact
from core.gateways.stripe.gateway import StripeGateway
from tests.core.gateways.running import (
    REVOKED_KEY,
    SHOP,
    charge_with,
    charged,
    closed_port,
    gateway_at,
    serving,
)
from tests.sandbox.running import Sandbox

CANCELED = Fact(
    FactKind.CANCELED, decline_code="canceled", message="The payment was canceled at Stripe."
)
LAPSED = replace(CANCELED, decline_code=EXPIRED)
AUTHORIZED = Fact(FactKind.AUTHORIZED, 2550, "usd", "pi_1")
MANUAL = {"status": "canceled", "capture_method": "manual"}
INTENT = {"object": "payment_intent", "id": "pi_1", "amount_received": 0, "currency": "usd"}


def declined(code: str) -> dict[str, Any]:
    return {"code": "card_declined", "decline_code": code, "message": "Declined."}


# --- An object's state as a fact -------------------------------------------------------------


@pytest.mark.parametrize(
    ("intent", "fact"),
    [
        (
            {"status": "succeeded", "amount_received": 2550},
            Fact(FactKind.SUCCEEDED, 2550, "usd", "pi_1"),
        ),
        ({"status": "canceled"}, CANCELED),
        ({"status": "canceled", "last_payment_error": declined("lost_card")}, CANCELED),
        ({"status": "requires_action"}, Fact(FactKind.REQUIRES_ACTION)),
        ({"status": "requires_confirmation"}, Fact(FactKind.REQUIRES_ACTION)),
        (
            {
                "status": "requires_payment_method",
                "last_payment_error": declined("authentication_required"),
            },
            Fact(FactKind.REQUIRES_ACTION),
        ),
        (
            {"status": "requires_payment_method", "last_payment_error": declined("lost_card")},
            Fact(FactKind.FAILED, decline_code="lost_card", message="Declined."),
        ),
        ({"status": "requires_payment_method", "last_payment_error": None}, None),
        ({"status": "processing"}, None),
        ({"status": "requires_capture"}, None),
        ({"status": "requires_capture", "amount": 2550}, AUTHORIZED),
        (MANUAL | {"cancellation_reason": "expired"}, LAPSED),
        (MANUAL | {"cancellation_reason": "automatic"}, LAPSED),
        (MANUAL | {"cancellation_reason": "requested_by_customer"}, CANCELED),
        ({"status": "canceled", "cancellation_reason": "expired"}, CANCELED),
        ({"status": "succeeded", "amount_received": "2550"}, None),
        ({}, None),
    ],
)
def test_an_intents_state_is_a_fact(intent: dict[str, Any], fact: Fact | None) -> None:
    assert intent_fact(INTENT | intent) == fact


@pytest.mark.parametrize(
    ("kind", "intent"),
    [
        ("succeeded", {"status": "succeeded", "amount_received": 2550}),
        ("canceled", {"status": "canceled"}),
        ("amount_capturable_updated", {"status": "requires_capture", "amount": 2550}),
        ("requires_action", {"status": "requires_action"}),
        (
            "payment_failed",
            {"status": "requires_payment_method", "last_payment_error": declined("lost_card")},
        ),
        (
            "payment_failed",
            {
                "status": "requires_payment_method",
                "last_payment_error": declined("authentication_required"),
            },
        ),
    ],
)
def test_an_event_says_the_same_as_a_read(kind: str, intent: dict[str, Any]) -> None:
    subject = INTENT | intent
    stated, without_status = (
        _event_fact(f"payment_intent.{kind}", each)
        for each in (subject, {name: subject[name] for name in subject if name != "status"})
    )
    assert stated == without_status == intent_fact(subject)


@pytest.mark.parametrize(
    ("charge", "is_told"),
    [
        ({}, True),
        ({"captured": True, "amount": 2550, "amount_captured": 2550}, True),
        ({"captured": False, "amount": 2550, "amount_captured": 0}, False),
        ({"captured": True, "amount": 2550, "amount_captured": 1000}, False),
    ],
)
def test_what_is_released_of_an_authorization_is_not_refunded(
    charge: dict[str, Any], *, is_told: bool
) -> None:
    subject = {"id": "ch_1", "payment_intent": "pi_1", "currency": "usd", "amount_refunded": 500}
    expected = Fact(FactKind.REFUNDED, 500, "usd", "ch_1") if is_told else None
    assert _event_fact("charge.refunded", subject | charge) == expected


def _event_fact(kind: str, subject: dict[str, Any]) -> Fact | None:
    event = {"id": "evt_1", "type": kind, "data": {"object": subject}}
    return read(json.dumps(event).encode(), datetime(2030, 1, 2, tzinfo=UTC)).fact


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        ("pending", FactKind.REFUND, "pending"),
        ("succeeded", FactKind.REFUND, None),
        ("requires_action", FactKind.REFUND, "requires_action"),
        ("failed", FactKind.REFUND_FAILED, "declined"),
        ("canceled", FactKind.REFUND_FAILED, "canceled"),
        ("new", None, None),
    ],
)
def test_a_refunds_status_is_a_fact(
    status: str, kind: FactKind | None, message: str | None
) -> None:
    refund = {"id": "re_1", "amount": 500, "currency": "usd", "status": status}
    refund["failure_reason"] = "declined"
    assert refund_fact(refund) == (kind and Fact(kind, 500, "usd", "re_1", message=message))


def moved(*amounts: int) -> list[dict[str, int]]:
    return [{"amount": amount} for amount in amounts]


@pytest.mark.parametrize(
    ("dispute", "kind", "is_lost"),
    [
        ({"status": "needs_response"}, FactKind.DISPUTED, False),
        ({"status": "under_review"}, FactKind.DISPUTED, False),
        ({"status": "appeal_needs_response"}, FactKind.DISPUTE_CLOSED, True),
        ({"status": "appeal_under_review"}, FactKind.DISPUTE_CLOSED, True),
        ({"status": "won"}, FactKind.DISPUTE_CLOSED, False),
        ({"status": "lost"}, FactKind.DISPUTE_CLOSED, True),
        ({"status": "lost", "balance_transactions": []}, FactKind.DISPUTE_CLOSED, True),
        ({"status": "lost", "balance_transactions": [None]}, FactKind.DISPUTE_CLOSED, True),
        ({"status": "lost", "balance_transactions": moved(-500)}, FactKind.DISPUTE_CLOSED, True),
        (
            {"status": "lost", "balance_transactions": moved(-500, 500)},
            FactKind.DISPUTE_CLOSED,
            False,
        ),
        (
            {"status": "lost", "balance_transactions": moved(-500, 200)},
            FactKind.DISPUTE_CLOSED,
            True,
        ),
        ({"status": "warning_needs_response"}, FactKind.DISPUTE_CLOSED, False),
        ({"status": "warning_under_review"}, FactKind.DISPUTE_CLOSED, False),
        ({"status": "warning_closed"}, FactKind.DISPUTE_CLOSED, False),
        ({"status": "prevented"}, FactKind.DISPUTE_CLOSED, False),
        ({"status": "new"}, None, False),
    ],
)
def test_a_disputes_status_is_a_fact(
    dispute: dict[str, Any], kind: FactKind | None, is_lost: bool
) -> None:
    shown = {"id": "dp_1", "amount": 500, "currency": "usd"} | dispute
    assert dispute_fact(shown) == (kind and Fact(kind, 500, "usd", "dp_1", is_lost=is_lost))


# --- Reading ---------------------------------------------------------------------------------


async def test_a_payment_is_read_as_it_is(sandbox: Sandbox, gateway: StripeGateway) -> None:
    paid = await gateway.charge(SHOP, await charge_with(sandbox))
    waiting = await gateway.charge(
        SHOP, await charge_with(sandbox, "pm_card_authenticationRequired")
    )
    assert isinstance(paid, Succeeded)
    assert isinstance(waiting, RequiresAction)
    payment = ObjectKind.PAYMENT
    assert await gateway.read_state(SHOP, payment, paid.transaction_id) == Fact(
        FactKind.SUCCEEDED, 2550, "usd", paid.transaction_id
    )
    assert await gateway.read_state(SHOP, payment, waiting.transaction_id) == Fact(
        FactKind.REQUIRES_ACTION
    )


async def control(sandbox: Sandbox, path: str, **body: Any) -> Any:
    status, shown = await sandbox.control("POST", path, body)
    assert status < 300, shown
    return shown


async def paid_intent(sandbox: Sandbox, gateway: StripeGateway) -> str:
    outcome = await gateway.charge(SHOP, await charge_with(sandbox))
    assert isinstance(outcome, Succeeded)
    return outcome.transaction_id


@pytest.mark.parametrize("end", ["succeeded", "failed", "canceled"])
async def test_a_refund_is_read_until_its_end(
    sandbox: Sandbox, gateway: StripeGateway, end: str
) -> None:
    intent = await paid_intent(sandbox, gateway)
    refund = await control(
        sandbox, "stripe/refunds", payment_intent=intent, amount=500, status="pending"
    )
    expected = Fact(FactKind.REFUND, 500, "usd", refund["id"], message="pending")
    assert await gateway.read_state(SHOP, ObjectKind.REFUND, refund["id"]) == expected
    await control(sandbox, f"stripe/refunds/{refund['id']}", status=end)
    reason = {"succeeded": None, "failed": "unknown", "canceled": "canceled"}[end]
    expected = replace(expected, message=reason)
    if end != "succeeded":
        expected = replace(expected, kind=FactKind.REFUND_FAILED)
    assert await gateway.read_state(SHOP, ObjectKind.REFUND, refund["id"]) == expected


async def test_a_dispute_is_read_from_inquiry_to_reversal(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    intent = await paid_intent(sandbox, gateway)
    dispute = await control(
        sandbox, "stripe/disputes", payment_intent=intent, status="warning_needs_response"
    )
    seen = []
    for status in (None, "needs_response", "under_review", "lost", "won"):
        if status is not None:
            await control(sandbox, f"stripe/disputes/{dispute['id']}", status=status)
        fact = await gateway.read_state(SHOP, ObjectKind.DISPUTE, dispute["id"])
        assert fact is not None
        assert (fact.amount_minor, fact.object_id) == (2550, dispute["id"])
        seen.append((fact.kind, fact.is_lost))
    assert seen == [
        (FactKind.DISPUTE_CLOSED, False),
        (FactKind.DISPUTED, False),
        (FactKind.DISPUTED, False),
        (FactKind.DISPUTE_CLOSED, True),
        (FactKind.DISPUTE_CLOSED, False),
    ]


@pytest.mark.parametrize(
    ("kind", "path", "shown"),
    [
        (ObjectKind.PAYMENT, "payment_intents", INTENT | {"status": "canceled"}),
        (
            ObjectKind.REFUND,
            "refunds",
            {"object": "refund", "amount": 500, "currency": "usd", "status": "failed"},
        ),
        (
            ObjectKind.DISPUTE,
            "disputes",
            {"object": "dispute", "amount": 500, "currency": "usd", "status": "lost"},
        ),
    ],
)
async def test_an_object_is_read_by_its_id(
    kind: ObjectKind, path: str, shown: dict[str, Any]
) -> None:
    async def answer(request: web.Request) -> web.Response:
        assert (request.method, request.path) == ("GET", f"/v1/{path}/id_1")
        return web.json_response(shown | {"id": "id_1"})

    async with serving(answer) as url, gateway_at(url) as gateway:
        fact = await gateway.read_state(SHOP, kind, "id_1")
    assert fact is not None
    assert fact.kind in (FactKind.CANCELED, FactKind.REFUND_FAILED, FactKind.DISPUTE_CLOSED)


@pytest.mark.parametrize("kind", ObjectKind)
@pytest.mark.parametrize("identifier", ["", "..", "id/1", "id?expand[]=x", "nö"])
async def test_what_is_no_id_is_missing(kind: ObjectKind, identifier: str) -> None:
    async with gateway_at(f"http://127.0.0.1:{closed_port()}") as gateway:
        assert await gateway.read_state(SHOP, kind, identifier) is None


@pytest.mark.parametrize("kind", ObjectKind)
async def test_a_missing_object_is_none(gateway: StripeGateway, kind: ObjectKind) -> None:
    assert await gateway.read_state(SHOP, kind, "pi_unknown") is None


@pytest.mark.parametrize(
    "shown",
    [
        INTENT | {"status": "processing"},
        INTENT | {"status": "new"},
        {"object": "charge", "id": "pi_1", "status": "succeeded"},
    ],
)
async def test_an_unfinished_or_strange_payment_is_unknown(shown: dict[str, Any]) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(shown)

    async with serving(answer) as url, gateway_at(url) as gateway:
        with pytest.raises(GatewayUnknown):
            await gateway.read_state(SHOP, ObjectKind.PAYMENT, "pi_1")


async def test_a_read_without_keys_or_connection_is_an_error(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    await sandbox.control("POST", "keys", {"key": REVOKED_KEY, "revoked": True})
    with pytest.raises(GatewayRefused):
        await gateway.read_state(Account("TEST", REVOKED_KEY), ObjectKind.PAYMENT, "pi_1")
    async with gateway_at(f"http://127.0.0.1:{closed_port()}") as down:
        with pytest.raises(GatewayUnavailable):
            await down.read_state(SHOP, ObjectKind.PAYMENT, "pi_1")


# --- Canceling -------------------------------------------------------------------------------


async def waiting_payment(sandbox: Sandbox, gateway: StripeGateway) -> str:
    charge = await charge_with(sandbox, "pm_card_authenticationRequired")
    outcome = await gateway.charge(SHOP, charge)
    assert isinstance(outcome, RequiresAction)
    return outcome.transaction_id


async def test_a_waiting_payment_is_canceled_once_and_for_all(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    transaction_id = await waiting_payment(sandbox, gateway)
    for _ in range(2):
        assert await gateway.cancel_payment(SHOP, transaction_id) == CANCELED
    assert await gateway.read_state(SHOP, ObjectKind.PAYMENT, transaction_id) == CANCELED


async def test_the_reason_of_a_cancellation_is_stored_at_stripe(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    for reason in VOID_REASONS:
        transaction_id = await waiting_payment(sandbox, gateway)
        assert await gateway.cancel_payment(SHOP, transaction_id, reason) == CANCELED
        path = f"/v1/payment_intents/{transaction_id}"
        _, intent = await sandbox.call("GET", path, key=SHOP.secret_key)
        assert intent["cancellation_reason"] == reason


async def test_a_payment_that_succeeded_is_not_canceled(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    outcome = await gateway.charge(SHOP, await charge_with(sandbox))
    assert isinstance(outcome, Succeeded)
    fact = await gateway.cancel_payment(SHOP, outcome.transaction_id)
    assert fact.kind is FactKind.SUCCEEDED
    assert fact.amount_minor == 2550
    assert await charged(sandbox) == [2550]


@pytest.mark.parametrize("fault", ["reset_before", "reset_after", "cut_body", "error_500_after"])
async def test_a_cancellation_with_an_unclear_answer_is_read(
    sandbox: Sandbox, gateway: StripeGateway, fault: str
) -> None:
    transaction_id = await waiting_payment(sandbox, gateway)
    path = f"/v1/payment_intents/{transaction_id}/cancel"
    await sandbox.schedule_fault(fault, match={"method": "POST", "path": path})
    assert await gateway.cancel_payment(SHOP, transaction_id) == CANCELED


async def test_a_cancellation_that_failed_is_unknown_and_works_later(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    transaction_id = await waiting_payment(sandbox, gateway)
    path = f"/v1/payment_intents/{transaction_id}/cancel"
    await sandbox.schedule_fault("error_500", match={"method": "POST", "path": path})
    with pytest.raises(GatewayUnknown):
        await gateway.cancel_payment(SHOP, transaction_id)
    assert await gateway.cancel_payment(SHOP, transaction_id) == CANCELED


async def test_the_cancellation_of_a_missing_payment_is_refused(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    with pytest.raises(GatewayRefused):
        await gateway.cancel_payment(SHOP, "pi_unknown")
