"""Authorize.Net: the present state of a charge or refund, and the void of a held charge."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from core.gateways.authorize.codes import EFFECTIVE_REFUNDS, FAILED_REFUNDS
from core.gateways.authorize.events import charge_fact, read, refund_fact, with_details
from core.gateways.authorize.gateway import AuthorizeGateway
from core.gateways.authorize.requests import AUTHORIZATION
from core.gateways.authorize.responses import Transaction
from core.gateways.events import APPROVED, Fact, FactKind
from core.gateways.gateway import (
    CustomerMissing,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    HeldForReview,
    ObjectKind,
    Succeeded,
)
from core.money import Amount
from tests.core.gateways.running import closed_port, serving
from tests.core.gateways.running_authorize import (
    FAILED,
    MERCHANT,
    REASON_BY_AMOUNT,
    REVOKED_KEY,
    a_charge,
    authorize_at,
    charge_with,
    charged,
    details_answer,
    transaction_answer,
)
from tests.sandbox.running import Sandbox

VOIDS = {"request": "createTransactionRequest"}
READS = {"request": "getTransactionDetailsRequest"}


@pytest.fixture
async def gateway(sandbox: Sandbox) -> AsyncIterator[AuthorizeGateway]:
    async with authorize_at(sandbox.url) as made:
        yield made


# --- A transaction's state as a fact ---------------------------------------------------------


def a_transaction(**changes: Any) -> Transaction:
    shown = Transaction(
        transaction_id="601",
        type="authCaptureTransaction",
        status="settledSuccessfully",
        submitted_at=datetime(2030, 1, 2, tzinfo=UTC),
        invoice_number="PAY-1",
        customer_id="51",
        authorized=Decimal("25.50"),
        settling=Decimal("25.50"),
        response_code="1",
        reason_code="1",
    )
    return replace(shown, **changes)


PAID = Fact(FactKind.SUCCEEDED, 2550)


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({}, PAID),
        ({"status": "capturedPendingSettlement"}, PAID),
        ({"status": "chargeback", "settling": Decimal("0.00")}, PAID),
        ({"status": "FDSPendingReview"}, Fact(FactKind.HELD)),
        ({"status": "FDSAuthorizedPendingReview"}, Fact(FactKind.HELD)),
        ({"status": "underReview"}, Fact(FactKind.HELD)),
        ({"authorized": None, "settling": None}, None),
        ({"status": "settlementError"}, None),
        ({"status": "authorizedPendingCapture"}, None),
        ({"status": "new"}, None),
    ],
)
def test_a_charges_status_is_a_fact(changes: dict[str, Any], fact: Fact | None) -> None:
    assert charge_fact(a_transaction(**changes)) == fact


@pytest.mark.parametrize(
    ("status", "codes", "kind", "decline_code"),
    [
        ("voided", ("1", "1"), FactKind.VOIDED, None),
        ("declined", ("2", "44"), FactKind.FAILED, "incorrect_cvc"),
        ("declined", ("1", "1"), FactKind.FAILED, "generic_decline"),
        ("failedReview", ("4", "253"), FactKind.FAILED, "fraudulent"),
        ("expired", ("4", "253"), FactKind.FAILED, "canceled"),
        ("generalError", ("3", "19"), FactKind.FAILED, "processing_error"),
        ("communicationError", ("1", "1"), FactKind.FAILED, "processing_error"),
    ],
)
def test_an_unpaid_charge_is_a_fact(
    status: str, codes: tuple[str, str], kind: FactKind, decline_code: str | None
) -> None:
    fact = charge_fact(a_transaction(status=status, response_code=codes[0], reason_code=codes[1]))
    assert fact is not None
    assert (fact.kind, fact.decline_code) == (kind, decline_code)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, FactKind.REFUND) for status in sorted(EFFECTIVE_REFUNDS)),
        *((status, FactKind.REFUND_FAILED) for status in sorted(FAILED_REFUNDS)),
        ("underReview", None),
        ("settlementError", None),
        ("new", None),
    ],
)
def test_a_refunds_status_is_a_fact(status: str, kind: FactKind | None) -> None:
    refund = a_transaction(type="refundTransaction", status=status)
    assert refund_fact(refund) == (kind and Fact(kind, 2550, object_id="601"))


# --- Reading ---------------------------------------------------------------------------------


async def control(sandbox: Sandbox, what: str, **body: Any) -> Any:
    status, shown = await sandbox.control("POST", f"authorize/{what}", body)
    assert status < 300, shown
    return shown


async def paid_transaction(gateway: AuthorizeGateway) -> str:
    outcome = await gateway.charge(MERCHANT, await charge_with(gateway))
    assert isinstance(outcome, Succeeded)
    return outcome.transaction_id


async def settled_transaction(sandbox: Sandbox, gateway: AuthorizeGateway) -> str:
    paid = await paid_transaction(gateway)
    await control(sandbox, "transactions", transaction=paid, status="settledSuccessfully")
    return paid


async def held_transaction(gateway: AuthorizeGateway) -> str:
    charge = await charge_with(gateway, REASON_BY_AMOUNT, amount=Amount(25300, "usd"))
    outcome = await gateway.charge(MERCHANT, charge)
    assert isinstance(outcome, HeldForReview)
    return outcome.transaction_id


async def test_a_charge_is_read_through_its_review_and_settlement(
    sandbox: Sandbox, gateway: AuthorizeGateway
) -> None:
    transaction_id = await held_transaction(gateway)
    kinds = []
    for status in (None, "capturedPendingSettlement", "settledSuccessfully", "declined"):
        if status is not None:
            await control(sandbox, "transactions", transaction=transaction_id, status=status)
        fact = await gateway.read_state(MERCHANT, ObjectKind.PAYMENT, transaction_id)
        assert fact is not None
        kinds.append(fact.kind)
    assert kinds == [FactKind.HELD, FactKind.SUCCEEDED, FactKind.SUCCEEDED, FactKind.FAILED]


async def test_a_refund_is_read_and_can_be_voided(
    sandbox: Sandbox, gateway: AuthorizeGateway
) -> None:
    paid = await settled_transaction(sandbox, gateway)
    refund = await control(sandbox, "refunds", transaction=paid, amount=5)
    expected = Fact(FactKind.REFUND, 500, object_id=refund["id"])
    assert await gateway.read_state(MERCHANT, ObjectKind.REFUND, refund["id"]) == expected
    await control(sandbox, "transactions", transaction=refund["id"], status="voided")
    assert await gateway.read_state(MERCHANT, ObjectKind.REFUND, refund["id"]) == replace(
        expected, kind=FactKind.REFUND_FAILED
    )


async def test_what_the_account_does_not_have_is_none(
    sandbox: Sandbox, gateway: AuthorizeGateway
) -> None:
    paid = await settled_transaction(sandbox, gateway)
    refund = (await control(sandbox, "refunds", transaction=paid))["id"]
    for kind, identifier in (
        (ObjectKind.PAYMENT, "60999999999"),
        (ObjectKind.PAYMENT, "pi_1"),
        (ObjectKind.PAYMENT, ""),
        (ObjectKind.PAYMENT, refund),
        (ObjectKind.REFUND, paid),
        (ObjectKind.DISPUTE, paid),
    ):
        assert await gateway.read_state(MERCHANT, kind, identifier) is None


async def test_a_read_without_an_answer_is_an_error(
    sandbox: Sandbox, gateway: AuthorizeGateway
) -> None:
    await sandbox.schedule_fault("error_500", match=READS)
    with pytest.raises(GatewayUnknown):
        await gateway.read_state(MERCHANT, ObjectKind.PAYMENT, "60000000001")
    keys = {"api_login_id": MERCHANT.login_id, "transaction_key": REVOKED_KEY}
    await control(sandbox, "keys", **keys)
    with pytest.raises(GatewayRefused):
        await gateway.read_state(
            replace(MERCHANT, secret_key=REVOKED_KEY), ObjectKind.PAYMENT, "60000000001"
        )
    async with authorize_at(f"http://127.0.0.1:{closed_port()}") as down:
        with pytest.raises(GatewayUnavailable):
            await down.read_state(MERCHANT, ObjectKind.PAYMENT, "60000000001")


# --- Events that need the details ------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status", "fact"),
    [
        ("refund.created", "refundPendingSettlement", FactKind.REFUND),
        ("void.created", "voided", FactKind.REFUND_FAILED),
        ("authcapture.created", "refundPendingSettlement", None),
    ],
)
def test_an_event_about_a_refund_is_of_the_charge_that_it_refunds(
    kind: str, status: str, fact: FactKind | None
) -> None:
    payload = {"id": "602", "responseCode": 1, "authAmount": 25.5}
    body = {"notificationId": "n", "eventType": f"net.authorize.payment.{kind}", "payload": payload}
    event = read(json.dumps(body).encode(), datetime(2030, 1, 2, tzinfo=UTC))
    assert event.needs_lookup
    refund = a_transaction(
        transaction_id="602", type="refundTransaction", status=status, reference_id="601"
    )
    completed = with_details(event, refund)
    assert (completed.transaction_id, completed.payment_id) == ("601", None)
    assert completed.fact == (fact and Fact(fact, 2550, object_id="602"))


@pytest.mark.parametrize(
    ("kind", "status", "settling", "fact", "needs_lookup"),
    [
        ("authorization.created", "authorizedPendingCapture", "25.50",
         Fact(FactKind.AUTHORIZED, 2550), False),
        ("priorAuthCapture.created", "capturedPendingSettlement", "10.00",
         Fact(FactKind.SUCCEEDED, 1000), True),
        ("priorAuthCapture.created", "settlementError", "10.00", None, True),
        ("fraud.approved", "authorizedPendingCapture", "25.50",
         Fact(FactKind.SUCCEEDED, 2550, message=APPROVED), False),
        ("void.created", "voided", "0.00", Fact(FactKind.VOIDED), True),
    ],
)  # fmt: skip
def test_an_event_about_an_authorization_tells_what_is_captured(
    kind: str, status: str, settling: str, fact: Fact | None, *, needs_lookup: bool
) -> None:
    """What is captured is in the details: the event's amount may be the authorized one."""
    payload = {"id": "601", "responseCode": 1, "authAmount": 25.5, "invoiceNumber": "PAY-1"}
    body = {"notificationId": "n", "eventType": f"net.authorize.payment.{kind}", "payload": payload}
    event = read(json.dumps(body).encode(), datetime(2030, 1, 2, tzinfo=UTC))
    assert event.needs_lookup is needs_lookup
    if needs_lookup:
        shown = {"type": AUTHORIZATION, "status": status, "settling": Decimal(settling)}
        event = with_details(event, a_transaction(**shown))
    assert (event.payment_id, event.fact) == ("PAY-1", fact)


def authorization(**changes: Any) -> Transaction:
    return a_transaction(**({"type": AUTHORIZATION} | changes))


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"status": "authorizedPendingCapture"}, Fact(FactKind.AUTHORIZED, 2550)),
        ({"settling": Decimal("10.00")}, Fact(FactKind.SUCCEEDED, 1000)),
        ({"status": "voided"}, Fact(FactKind.VOIDED)),
        ({"status": "authorizedPendingRelease"}, None),
    ],
)
def test_an_authorizations_status_is_a_fact(changes: dict[str, Any], fact: Fact | None) -> None:
    assert charge_fact(authorization(**changes)) == fact


# --- Canceling -------------------------------------------------------------------------------


async def test_a_held_charge_is_voided_once_and_for_all(gateway: AuthorizeGateway) -> None:
    transaction_id = await held_transaction(gateway)
    for _ in range(2):
        fact = await gateway.cancel_payment(MERCHANT, transaction_id)
        assert fact.kind is FactKind.VOIDED


async def test_an_approved_charge_is_not_voided(
    sandbox: Sandbox, gateway: AuthorizeGateway
) -> None:
    transaction_id = await paid_transaction(gateway)
    assert await gateway.cancel_payment(MERCHANT, transaction_id) == PAID
    assert await charged(sandbox) == [2550]


async def test_a_charge_that_was_approved_during_the_void_is_not_canceled() -> None:
    charge, shown = a_charge(), ["FDSPendingReview", "capturedPendingSettlement"]

    async def answer(request: web.Request) -> web.Response:
        if "createTransactionRequest" in await request.text():
            return transaction_answer(charge, FAILED, responseCode="3", messages=None, error="16")
        return details_answer(charge, transactionStatus=shown.pop(0))

    async with serving(answer) as url, authorize_at(url) as gateway:
        assert await gateway.cancel_payment(MERCHANT, "60000000001") == PAID


async def test_a_void_with_a_lost_answer_is_unknown_and_can_be_repeated(
    sandbox: Sandbox, gateway: AuthorizeGateway
) -> None:
    transaction_id = await held_transaction(gateway)
    await sandbox.schedule_fault("reset_after", match=VOIDS)
    with pytest.raises(GatewayUnknown):
        await gateway.cancel_payment(MERCHANT, transaction_id)
    fact = await gateway.cancel_payment(MERCHANT, transaction_id)
    assert fact.kind is FactKind.VOIDED


async def test_a_missing_charge_cannot_be_canceled(gateway: AuthorizeGateway) -> None:
    with pytest.raises(CustomerMissing):
        await gateway.cancel_payment(MERCHANT, "60999999999")
