"""Authorized payments of 50.00 at either gateway, for the tests of captures and voids."""

from typing import Any

from google.type.money_pb2 import Money

from core.caller import Presence, set_presence
from core.idempotency.call import IdempotentCall, call_of
from core.payments.charge_request import ChargeRequest
from core.payments.closing import ClosingRequest
from core.payments.store import Payment
from nivisco.payments.v1 import payments_pb2
from tests.core.payments.running_service import LOGIN, RunningService

CAPTURE_PATH = "/v1/payment_intents/*/capture"


def charge_call(running: RunningService, key: str) -> IdempotentCall:
    request = payments_pb2.ChargeCustomerRequest(
        user_id=running.user_id, capture=False, idempotency_key=key
    )
    return call_of(running.caller, "ChargeCustomer", request)


async def authorize(
    running: RunningService, key: str | None = "charge", *, leaves: bool = False
) -> Payment:
    """Authorize 50.00 for a caller that receives the response, or leaves before."""
    call = charge_call(running, key) if key else None
    request = ChargeRequest(
        "charge", running.user_id, "TEST", Money(units=50), call=call, is_captured=False
    )
    presence = Presence()
    set_presence(presence)
    try:
        return (await running.service.charge(running.caller, request)).payment
    finally:
        presence.end(left=leaves)


def closing_request(
    running: RunningService,
    payment_id: str,
    closing: str = "capture",
    units: int | None = None,
    key: str | None = "close",
) -> ClosingRequest:
    message: Any
    if closing == "capture":
        action = "CapturePayment"
        message = payments_pb2.CapturePaymentRequest(
            payment_id=payment_id,
            amount=Money(units=units) if units else None,
            idempotency_key=key,
        )
    else:
        action = "VoidPayment"
        message = payments_pb2.VoidPaymentRequest(payment_id=payment_id, idempotency_key=key)
    return ClosingRequest(
        closing=closing,
        payment_id=payment_id,
        transaction_id=None,
        env="TEST",
        money=Money(units=units) if units else None,
        call=call_of(running.caller, action, message),
    )


async def close(
    running: RunningService,
    closing: str = "capture",
    units: int | None = None,
    key: str | None = "close",
) -> Payment:
    """Capture or void the only payment."""
    payment_id = (await running.payment()).payment_id
    request = closing_request(running, payment_id, closing, units, key)
    return await running.service.close(running.caller, request)


async def state(running: RunningService) -> tuple[str, int, bool]:
    """Return the payment's status, its amount, and whether a capture or void of it is open."""
    payment = await running.payment()
    return payment.status, payment.amount_minor, payment.is_closing


async def taken(running: RunningService) -> int:
    """Return what the gateway took by its own books, in cents."""
    return sum(each["taken"].get("usd", 0) for each in await running.gateway.books())


async def lose_answer(running: RunningService, kind: str) -> None:
    """Have the gateway lose its answer to the next capture or void, and be away after it."""
    gateway = running.gateway
    payment = await running.payment()
    if payment.gateway == "stripe":
        await gateway.fault(kind, "/v1/payment_intents/*/c*", times=2)
        await gateway.fault("reset_before", "/v1/payment_intents/*", times=20, method="GET")
    else:
        await gateway.authorize_fault(kind)
        await gateway.authorize_fault("reset_before", "getTransactionDetails", times=20)


async def expire(running: RunningService) -> None:
    """Let the authorization expire at its gateway, without an event."""
    payment = await running.payment()
    if payment.gateway == "stripe":
        await running.gateway.control(
            "stripe/cancellations", payment_intent=payment.transaction_id, reason="expired"
        )
    else:
        await set_status(running, "expired")


async def set_status(running: RunningService, status: str) -> None:
    """Set the status of the transaction at Authorize.Net."""
    payment = await running.payment()
    await running.gateway.authorize(
        "transactions", transaction=payment.transaction_id, status=status
    )


async def transactions(running: RunningService) -> list[tuple[str, str]]:
    """Return type and status of all transactions at Authorize.Net."""
    books = await running.gateway.authorize_books(LOGIN)
    return [(each["type"], each["status"]) for each in books["transactions"]]
