"""Verifies and parses Stripe's webhooks. No I/O.

The library's verification uses the system clock and accepts times in the future, so this follows
https://docs.stripe.com/webhooks#verify-manually.
"""

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from core.gateways.events import EXPIRED, Event, Fact, FactKind, UnreadableEvent, storable
from core.gateways.stripe.responses import PAYMENT_ID_KEY, REFUND_ID_KEY, minor_of

_SIGNATURES_MAX: Final = 16
"""Stripe sends one for each secret that was valid in the last day."""
_AHEAD_MAX: Final = timedelta(days=1)
"""How far an event may be ahead of our clock."""
_EFFECTIVE_REFUNDS: Final = ("pending", "succeeded", "requires_action")
"""Statuses of a refund that moves money (docs.stripe.com/api/refunds/object)."""
_FAILED_REFUNDS: Final = ("failed", "canceled")
_DISPUTE_STATES: Final = {
    # docs.stripe.com/api/disputes/object. An inquiry (warning_…) takes no money.
    "needs_response": FactKind.DISPUTED,
    "under_review": FactKind.DISPUTED,
    "won": FactKind.DISPUTE_CLOSED,
    "lost": FactKind.DISPUTE_CLOSED,
    # The loss is appealed; the money stays withdrawn meanwhile.
    "appeal_needs_response": FactKind.DISPUTE_CLOSED,
    "appeal_under_review": FactKind.DISPUTE_CLOSED,
}
_LOST: Final = frozenset(("lost", "appeal_needs_response", "appeal_under_review"))
_EXPIRED: Final = ("automatic", "expired")
"""Reasons of a cancellation by Stripe itself (docs.stripe.com/api/payment_intents/object), as of an
authorization after 7 days (docs.stripe.com/payments/place-a-hold-on-a-payment-method)."""
_INQUIRIES: Final = frozenset(
    ("warning_needs_response", "warning_under_review", "warning_closed", "prevented")
)
_INTENT_STATUSES: Final = {
    # The status of an intent when each of its events happens.
    "payment_intent.succeeded": "succeeded",
    "payment_intent.amount_capturable_updated": "requires_capture",
    "payment_intent.canceled": "canceled",
    "payment_intent.requires_action": "requires_action",
    "payment_intent.payment_failed": "requires_payment_method",
}


_CARD_EVENTS: Final = {
    # docs.stripe.com/api/events/types. A source is a card that was saved before payment methods.
    "payment_method.automatically_updated": FactKind.CARD_CHANGED,
    "payment_method.updated": FactKind.CARD_CHANGED,
    "customer.source.updated": FactKind.CARD_CHANGED,
    "payment_method.detached": FactKind.CARD_REMOVED,
    "customer.source.deleted": FactKind.CARD_REMOVED,
}


def signature_age(body: bytes, header: str, secret: str, now: datetime) -> timedelta | None:
    """Return how old a v1 signature in the header is, or None if none is of the secret.

    The age is negative if the signature's time is ahead of ours.
    """
    times: list[str] = []
    signatures: list[str] = []
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name == "t":
            times.append(value)
        elif name == "v1":
            signatures.append(value)
    if len(times) != 1 or not (times[0].isascii() and times[0].isdigit() and len(times[0]) < 13):
        return None
    signed = hmac.new(secret.encode(), times[0].encode() + b".", hashlib.sha256)
    signed.update(body)
    expected = signed.hexdigest().encode()
    fits = [
        hmac.compare_digest(expected, each.encode("utf-8", "replace"))
        for each in signatures[:_SIGNATURES_MAX]
    ]
    return timedelta(seconds=now.timestamp() - int(times[0])) if any(fits) else None


def read(body: bytes, received_at: datetime) -> Event:
    """Parse an event. One of another format than the classic events affects no payment.

    Such are thin events and those of the v2 API (docs.stripe.com/event-destinations), which have no
    object. An event without a usable time is of `received_at`.

    Raises:
        UnreadableEvent: the body is not an event.
    """
    match _object(body):
        case {"id": str(event_id), "type": str(kind), **rest} if event_id:
            pass
        case _:
            raise UnreadableEvent
    live = rest.get("livemode")
    event = Event(
        storable(event_id),
        storable(kind),
        _moment(rest.get("created"), received_at),
        is_live=live if isinstance(live, bool) else None,
    )
    match rest.get("data"):
        case {"object": {"id": str() as card_id}} if kind in _CARD_EVENTS and _text(card_id):
            return replace(
                event, fact=Fact(_CARD_EVENTS[kind], object_id=card_id), needs_lookup=True
            )
        case {"object": {"id": str() as setup_id, "metadata": {"nivisco_user_id": str()}}} if (
            kind == "setup_intent.succeeded" and _text(setup_id)
        ):
            return replace(
                event, fact=Fact(FactKind.CARD_SET_UP, object_id=setup_id), needs_lookup=True
            )
        case {"object": dict(subject)} if fact := _fact(kind, subject):
            return _with_ids(replace(event, fact=fact), kind, subject)
        case _:
            return event


def with_charge(event: Event, charge: dict[str, Any]) -> Event:
    """Return an event completed by its charge; without a fact if no payment intent made it."""
    intent = _id(charge.get("payment_intent"))
    fact = event.fact if intent else None
    return replace(event, transaction_id=intent, fact=fact, needs_lookup=False)


def _with_ids(event: Event, kind: str, subject: dict[str, Any]) -> Event:
    """Return an event with the ids of its payment; without a fact if it names none.

    Our own ids count only on payment intents and refunds, as we create no other objects.
    """
    metadata = subject.get("metadata")
    ours = metadata if isinstance(metadata, dict) else {}
    if kind.startswith("payment_intent."):
        intent, payment_id = _id(subject), _text(ours.get(PAYMENT_ID_KEY), 64)
        fact = event.fact if intent else None
        return replace(event, transaction_id=intent, payment_id=payment_id, fact=fact)
    if event.fact is not None and event.fact.kind in (FactKind.REFUND, FactKind.REFUND_FAILED):
        event = replace(event, refund_id=_text(ours.get(REFUND_ID_KEY), 64))
    charge = subject.get("charge")
    within = charge.get("payment_intent") if isinstance(charge, dict) else None
    if intent := _id(subject.get("payment_intent")) or _id(within):
        return replace(event, transaction_id=intent)
    if charge_id := _id(charge):
        return replace(event, transaction_id=charge_id, needs_lookup=True)
    return replace(event, fact=None)


def _id(value: object) -> str | None:
    """Return the id of an object, which is expanded or not."""
    return _text(value.get("id") if isinstance(value, dict) else value)


def _moment(created: object, received_at: datetime) -> datetime:
    if type(created) is int and 0 < created <= (received_at + _AHEAD_MAX).timestamp():
        return datetime.fromtimestamp(created, UTC)
    return received_at


def _object(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableEvent from None


def _text(value: object, most: int = 255) -> str | None:
    if not isinstance(value, str) or not value.isprintable():
        return None
    return value if 0 < len(value) <= most else None


def _fact(kind: str, subject: dict[str, Any]) -> Fact | None:
    match kind:
        case _ if kind in _INTENT_STATUSES:
            usual = {"status": _INTENT_STATUSES[kind], "last_payment_error": {}}
            return intent_fact(usual | subject)
        case "charge.refunded":
            return _refunded(subject)
        case "refund.failed":
            return refund_fact({"status": "failed"} | subject) or _refund_failed(subject)
        case "refund.created" | "refund.updated" | "charge.refund.updated":
            return refund_fact(subject)
        case _ if kind.startswith("charge.dispute."):
            return _dispute(kind.removeprefix("charge.dispute."), subject)
        case _:
            return None


def intent_fact(intent: dict[str, Any]) -> Fact | None:
    """Return the state of a payment by its intent; None while it is processed.

    succeeded                                SUCCEEDED
    requires_capture                         AUTHORIZED
    canceled                                 CANCELED; `expired` if it was not captured in time
    requires_action, requires_confirmation   REQUIRES_ACTION
    requires_payment_method                  by its last error: REQUIRES_ACTION or FAILED
    any other, or without an error           None
    """
    error = intent.get("last_payment_error")
    match intent.get("status"):
        case "succeeded":
            return _amount(FactKind.SUCCEEDED, intent, "amount_received")
        case "requires_capture":
            return _amount(FactKind.AUTHORIZED, intent, "amount")
        case "canceled":
            is_expired = (
                intent.get("capture_method") == "manual"
                and intent.get("cancellation_reason") in _EXPIRED
            )
            return Fact(
                FactKind.CANCELED,
                decline_code=EXPIRED if is_expired else "canceled",
                message="The payment was canceled at Stripe.",
            )
        case "requires_action" | "requires_confirmation":
            return Fact(FactKind.REQUIRES_ACTION)
        case "requires_payment_method" if isinstance(error, dict):
            return _failure(error)
        case _:
            return None


def _refunded(charge: dict[str, Any]) -> Fact | None:
    """Return the sum of a charge's refunds; None if it may contain what a capture released.

    Stripe counts what is not captured as refunded once it is released
    (https://docs.stripe.com/api/charges/capture). Each refund has an event of its own, too.
    """
    is_whole = charge.get("captured", True) is True and (
        charge.get("amount_captured") is None
        or charge.get("amount_captured") == charge.get("amount")
    )
    return _amount(FactKind.REFUNDED, charge, "amount_refunded") if is_whole else None


def refund_fact(refund: dict[str, Any]) -> Fact | None:
    """Return the state of a refund; None if its status is unknown."""
    status = refund.get("status")
    if status in _EFFECTIVE_REFUNDS:
        fact = _amount(FactKind.REFUND, refund, "amount")
        return fact and replace(fact, message=None if status == "succeeded" else status)
    return _refund_failed(refund) if status in _FAILED_REFUNDS else None


def _refund_failed(refund: dict[str, Any]) -> Fact | None:
    """Return the state of a refund that failed, with its reason, or was canceled."""
    fact = _amount(FactKind.REFUND_FAILED, refund, "amount")
    is_canceled = refund.get("status") == "canceled"
    reason = "canceled" if is_canceled else _text(refund.get("failure_reason"), 64)
    return fact and replace(fact, message=reason)


def dispute_fact(dispute: dict[str, Any]) -> Fact | None:
    """Return the state of a dispute; None if its status is unknown.

    An inquiry takes no money, as a dispute that was won. A lost one whose money came back, by its
    balance transactions, is won.
    """
    if dispute.get("status") in _INQUIRIES:
        return _dispute("closed", dispute)
    return _dispute("funds_reinstated" if _is_reinstated(dispute) else "updated", dispute)


def _is_reinstated(dispute: dict[str, Any]) -> bool:
    """Return whether a lost dispute's withdrawal was reversed completely."""
    match dispute:
        case {"status": "lost", "balance_transactions": [_, *_] as moved}:
            amounts: list[Any] = [each.get("amount") for each in moved if isinstance(each, dict)]
            is_clear = bool(amounts) and all(type(each) is int for each in amounts)
            return is_clear and sum(amounts) >= 0
        case _:
            return False


def _dispute(change: str, dispute: dict[str, Any]) -> Fact | None:
    """Return the state of a dispute after one of its events; None for an inquiry.

    created, updated, closed     by the dispute's status
    funds_withdrawn              the same, or else open
    funds_reinstated             won: Stripe sends it once a dispute was closed
    """
    status = str(dispute.get("status"))
    kind = _DISPUTE_STATES.get(status)
    match change:
        case "created" if "status" not in dispute:
            kind = FactKind.DISPUTED
        case "funds_withdrawn":
            kind = kind or FactKind.DISPUTED
        case "funds_reinstated":
            kind = FactKind.DISPUTE_CLOSED
        case "closed":
            kind = FactKind.DISPUTE_CLOSED
    if kind is None:
        return None
    is_lost = status in _LOST and change != "funds_reinstated"
    identity = _text(dispute.get("id")) or ""
    # The amount is of the cardholder's currency, which may be one that we do not know.
    return _amount(kind, dispute, "amount", is_lost=is_lost) or Fact(
        kind, currency=_text(dispute.get("currency"), 3), object_id=identity, is_lost=is_lost
    )


def _amount(
    kind: FactKind, subject: dict[str, Any], name: str, *, is_lost: bool = False
) -> Fact | None:
    amount, currency, identity = (
        subject.get(name),
        _text(subject.get("currency"), 3),
        subject.get("id"),
    )
    if type(amount) is not int or not 0 <= amount < 1 << 53 or currency is None:
        return None
    minor = minor_of(amount, currency)
    if minor is None:
        return None
    return Fact(kind, minor, currency, _text(identity) or "", is_lost=is_lost)


def _failure(error: dict[str, Any]) -> Fact:
    codes = [_text(error.get(name), 64) for name in ("decline_code", "code")]
    if "authentication_required" in codes:
        return Fact(FactKind.REQUIRES_ACTION)
    code = next((each for each in codes if each), "card_declined")
    message = _text(error.get("message"), 500) or "The card was declined."
    return Fact(FactKind.FAILED, decline_code=code, message=message)
