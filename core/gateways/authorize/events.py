"""Verifies and parses Authorize.Net's webhooks. No I/O.

https://developer.authorize.net/api/reference/features/webhooks.html. An event names its transaction
and the invoice if there is one, which is our payment's id. A refund names only itself.
"""

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from core.gateways.authorize.codes import (
    EFFECTIVE_REFUNDS,
    FAILED_REFUNDS,
    Meaning,
    reading_of_transaction,
)
from core.gateways.authorize.requests import AUTHORIZATION
from core.gateways.authorize.responses import Transaction, reading_of_status
from core.gateways.events import APPROVED, EXPIRED, Event, Fact, FactKind, UnreadableEvent, storable

_PREFIX: Final = "net.authorize.payment."
_CARD_EVENTS: Final = {
    "net.authorize.customer.paymentProfile.updated": FactKind.CARD_CHANGED,
    "net.authorize.customer.paymentProfile.deleted": FactKind.CARD_REMOVED,
}
_AUTHORIZATION: Final = "authorization.created"
_CAPTURE: Final = "priorAuthCapture.created"
_APPROVAL: Final = "fraud.approved"
_OUTCOMES: Final = ("authcapture.created", _AUTHORIZATION, _CAPTURE, _APPROVAL)
_PAYMENT_PREFIX: Final = "PAY-"
_REFUND_PREFIX: Final = "REF-"
REFUND: Final = "refundTransaction"


def signature_age(body: bytes, header: str, signature_key: str, now: datetime) -> timedelta | None:
    """Return 0 if the header is the HMAC-SHA512 of the body under the key's text, or else None.

    The signature has no time, so `now` is unused: replayed events are recognized by their ids.
    """
    del now
    name, _, given = header.strip().partition("=")
    expected = hmac.new(signature_key.encode(), body, hashlib.sha512).hexdigest().encode()
    fits = hmac.compare_digest(expected, given.strip().lower().encode("utf-8", "replace"))
    return timedelta() if fits and name.lower() == "sha512" else None


def read(body: bytes, received_at: datetime) -> Event:
    """Parse an event. One of an unknown format affects no payment.

    An event without a usable time is of `received_at`.

    Raises:
        UnreadableEvent: the body is not an event.
    """
    match _object(body):
        case {"notificationId": str(event_id), "eventType": str(kind), **rest} if event_id:
            pass
        case _:
            raise UnreadableEvent
    occurred_at = _moment(rest.get("eventDate"), received_at)
    event = Event(storable(event_id), storable(kind), occurred_at)
    payload = rest.get("payload")
    if isinstance(payload, dict) and kind in _CARD_EVENTS and (card_id := _id(payload.get("id"))):
        return replace(event, fact=Fact(_CARD_EVENTS[kind], object_id=card_id), needs_lookup=True)
    if not isinstance(payload, dict) or not kind.startswith(_PREFIX):
        return event
    fact, transaction_id = _fact(kind, payload), _id(payload.get("id"))
    event = replace(event, transaction_id=transaction_id)
    if fact is None or transaction_id is None:
        return event
    event = replace(event, fact=fact)
    if fact.kind in (FactKind.REFUND, FactKind.VOIDED):
        # The transaction may be a refund: it names its charge only when it is read, and may have
        # an invoice of its own.
        return replace(event, needs_lookup=True)
    payment_id = _payment_id(payload.get("invoiceNumber")) or _payment_id(
        payload.get("merchantReferenceId")
    )
    # How much was captured is in the transaction.
    needs_lookup = payment_id is None or kind == f"{_PREFIX}{_CAPTURE}"
    return replace(event, payment_id=payment_id, needs_lookup=needs_lookup)


def with_details(event: Event, transaction: Transaction) -> Event:
    """Return an event completed by its transaction; without a fact if the payment is not ours."""
    completed = replace(event, needs_lookup=False)
    if transaction.type != REFUND:
        payment_id = _payment_id(transaction.invoice_number)
        completed = replace(completed, payment_id=payment_id)
        is_success = event.fact is not None and event.fact.kind is FactKind.SUCCEEDED
        if transaction.type == AUTHORIZATION and is_success:
            completed = replace(completed, fact=charge_fact(transaction))
        return completed if payment_id else replace(completed, fact=None)
    completed = replace(
        completed,
        transaction_id=transaction.reference_id or None,
        payment_id=None,
        refund_id=_our_id(transaction.invoice_number, _REFUND_PREFIX),
    )
    match event.fact:
        case Fact(kind=FactKind.REFUND) if completed.transaction_id:
            return completed
        case Fact(kind=FactKind.VOIDED) if completed.transaction_id:
            return replace(completed, fact=refund_fact(transaction))
        case _:
            return replace(completed, fact=None)


def charge_fact(charge: Transaction) -> Fact | None:
    """Return the state of a payment by its transaction; None while its status is unclear."""
    reading = reading_of_status(charge)
    match reading.meaning:
        case Meaning.APPROVED if amount_minor := _amount(charge):
            return Fact(FactKind.SUCCEEDED, amount_minor)
        case Meaning.AUTHORIZED if amount_minor := _minor(charge.authorized):
            return Fact(FactKind.AUTHORIZED, amount_minor)
        case Meaning.HELD:
            return Fact(FactKind.HELD)
        case Meaning.DECLINED if charge.status == "voided":
            return Fact(FactKind.VOIDED)
        case Meaning.DECLINED if charge.status == "expired" and charge.type == AUTHORIZATION:
            return Fact(FactKind.CANCELED, decline_code=EXPIRED, message=reading.message)
        case Meaning.DECLINED:
            code, message = reading.decline_code, reading.message
            return Fact(FactKind.FAILED, decline_code=code, message=message)
        case _:
            return None


def refund_fact(refund: Transaction) -> Fact | None:
    """Return the state of a refund by its transaction; None while its status is unclear."""
    if refund.status in FAILED_REFUNDS:
        kind = FactKind.REFUND_FAILED
    elif refund.status in EFFECTIVE_REFUNDS and _amount(refund):
        kind = FactKind.REFUND
    else:
        return None
    return Fact(kind, _amount(refund), object_id=refund.transaction_id)


def _amount(transaction: Transaction) -> int | None:
    """Return the amount that settles; some statuses show zero there."""
    return _minor(transaction.settling or transaction.authorized)


def _object(body: bytes) -> Any:
    try:
        # Some events begin with a byte order mark, as responses do.
        return json.loads(body.removeprefix(b"\xef\xbb\xbf"), parse_float=Decimal)
    except (ValueError, RecursionError):
        raise UnreadableEvent from None


def _moment(date: object, received_at: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(str(date))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return received_at


def _id(value: object) -> str | None:
    text = str(value) if isinstance(value, str | int) else ""
    return text if text.isascii() and text.isdigit() and 0 < len(text) <= 32 else None


def _payment_id(value: object) -> str | None:
    return _our_id(value, _PAYMENT_PREFIX)


def _our_id(value: object, prefix: str) -> str | None:
    return (
        value
        if isinstance(value, str)
        and value.startswith(prefix)
        and value.isprintable()
        and len(value) <= 20
        else None
    )


def _fact(kind: str, payload: dict[str, Any]) -> Fact | None:
    amount_minor = _minor(payload.get("authAmount"))
    name = kind.removeprefix(_PREFIX)
    if name == "refund.created" and amount_minor:
        return Fact(FactKind.REFUND, amount_minor, object_id=_id(payload.get("id")) or "")
    if name == "void.created":
        return Fact(FactKind.VOIDED)
    if name == "fraud.declined":
        return Fact(FactKind.FAILED, decline_code="fraudulent", message="The card was declined.")
    if name == "fraud.held":
        return Fact(FactKind.HELD)
    if name not in _OUTCOMES:
        return None
    match str(payload.get("responseCode")):
        case "1" if amount_minor:
            is_authorized = name == _AUTHORIZATION
            return Fact(
                FactKind.AUTHORIZED if is_authorized else FactKind.SUCCEEDED,
                amount_minor,
                message=APPROVED if name == _APPROVAL else None,
            )
        case "2":
            reading = reading_of_transaction("2", "")
            return Fact(FactKind.FAILED, decline_code=reading.decline_code, message=reading.message)
        case "4":
            return Fact(FactKind.HELD)
        case _:
            return None


def _minor(value: object) -> int | None:
    """Return an amount in cents: all supported currencies have two decimals."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    amount = Decimal(value)
    if not amount.is_finite() or not 0 < amount < 10**10:
        return None
    cents = amount * 100
    return int(cents) if cents == cents.to_integral_value() else None
