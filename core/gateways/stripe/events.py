"""Checks and reads Stripe's webhooks. No I/O.

The library's own check takes the system's clock and lets a time of the future pass, so the few
lines of https://docs.stripe.com/webhooks#verify-manually are here.
"""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any, Final

from core.gateways.events import TOLERANCE, Event, Fact, FactKind, UnreadableEvent
from core.gateways.stripe.responses import minor_of, payment_id_of

_SIGNATURES_MAX: Final = 16
"""Stripe sends one for each secret of the last day."""
_LIVING: Final = ("pending", "succeeded", "requires_action")
"""Statuses of a refund that takes money (docs.stripe.com/api/refunds/object)."""


def is_signed(body: bytes, header: str, secret: str, now: datetime) -> bool:
    """Tell whether one of the header's v1 signatures is the secret's, and its time is near now."""
    times: list[str] = []
    signatures: list[str] = []
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name == "t":
            times.append(value)
        elif name == "v1":
            signatures.append(value)
    if len(times) != 1 or not (times[0].isascii() and times[0].isdigit() and len(times[0]) < 13):
        return False
    if abs(now.timestamp() - int(times[0])) > TOLERANCE.total_seconds():
        return False
    signed = times[0].encode() + b"." + body
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode()
    fits = [
        hmac.compare_digest(expected, each.encode("utf-8", "replace"))
        for each in signatures[:_SIGNATURES_MAX]
    ]
    return any(fits)


def read(body: bytes) -> Event:
    """Read an event.

    Raises:
        UnreadableEvent: it is none.
    """
    match _object(body):
        case {
            "id": str(event_id),
            "type": str(kind),
            "created": int(created),
            "data": {"object": dict(thing)},
        } if 0 < len(event_id) <= 255 and 0 < created < 1 << 40:
            pass
        case _:
            raise UnreadableEvent
    fact = _fact(kind, thing)
    payment_id = payment_id_of(thing)
    intent = thing.get("id") if kind.startswith("payment_intent.") else thing.get("payment_intent")
    transaction_id = _text(intent)
    if transaction_id is None:
        fact = None
    return Event(
        event_id,
        kind[:255],
        datetime.fromtimestamp(created, UTC),
        transaction_id,
        _text(payment_id, 64),
        fact,
    )


def _object(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableEvent from None


def _text(value: object, most: int = 255) -> str | None:
    if not isinstance(value, str) or not value.isprintable():
        return None
    return value if 0 < len(value) <= most else None


def _fact(kind: str, thing: dict[str, Any]) -> Fact | None:
    match kind:
        case "payment_intent.succeeded":
            return _amount(FactKind.SUCCEEDED, thing, "amount_received")
        case "payment_intent.canceled":
            return Fact(
                FactKind.FAILED,
                decline_code="canceled",
                message="The payment was canceled at Stripe.",
            )
        case "payment_intent.requires_action":
            return Fact(FactKind.REQUIRES_ACTION)
        case "payment_intent.payment_failed":
            return _failure(thing.get("last_payment_error"))
        case "charge.refunded":
            return _amount(FactKind.REFUNDED, thing, "amount_refunded")
        case "refund.created" | "refund.updated" if thing.get("status") in _LIVING:
            return _amount(FactKind.REFUND, thing, "amount")
        # An inquiry (warning_…) takes no money.
        case "charge.dispute.created" if not str(thing.get("status")).startswith("warning_"):
            return _amount(FactKind.DISPUTED, thing, "amount")
        case "charge.dispute.closed":
            is_lost = thing.get("status") == "lost"
            return _amount(FactKind.DISPUTE_CLOSED, thing, "amount", is_lost=is_lost)
        case _:
            return None


def _amount(
    kind: FactKind, thing: dict[str, Any], name: str, *, is_lost: bool = False
) -> Fact | None:
    amount, currency, identity = thing.get(name), _text(thing.get("currency"), 3), thing.get("id")
    if type(amount) is not int or not 0 <= amount < 1 << 53 or currency is None:
        return None
    minor = minor_of(amount, currency)
    if minor is None:
        return None
    return Fact(kind, minor, currency, _text(identity) or "", is_lost=is_lost)


def _failure(error: object) -> Fact:
    told = error if isinstance(error, dict) else {}
    codes = [_text(told.get(name), 64) for name in ("decline_code", "code")]
    if "authentication_required" in codes:
        return Fact(FactKind.REQUIRES_ACTION)
    code = next((each for each in codes if each), "card_declined")
    message = _text(told.get("message"), 500) or "The card was declined."
    return Fact(FactKind.FAILED, decline_code=code, message=message)
