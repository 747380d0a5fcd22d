"""Gateway events, and what gateways say when asked, in one form for both gateways. No I/O."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Final

TOLERANCE = timedelta(seconds=300)
"""How far a signature's time may be from ours (docs.stripe.com/webhooks#replay-attacks)."""


EXPIRED = "expired"
"""Decline code of an authorization that was released because it was not captured in time."""
APPROVED = "approved"
"""Message of a SUCCEEDED that ends a review: an authorization is only authorized then."""


class FactKind(StrEnum):
    """Kind of a fact."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REQUIRES_ACTION = "requires_action"
    HELD = "held"
    AUTHORIZED = "authorized"
    """The amount is held on the card until it is captured or released. Nothing was charged."""
    CANCELED = "canceled"
    """The payment was canceled before it was charged, and cannot be charged any more."""
    VOIDED = "voided"
    REFUNDED = "refunded"
    """The total refunded so far, by the gateway's own sum."""
    REFUND = "refund"
    """One refund; `object_id` is its id."""
    REFUND_FAILED = "refund_failed"
    """A refund failed or was canceled, so that it moved nothing; `object_id` is its id."""
    DISPUTED = "disputed"
    """A dispute is open, or was opened again; `object_id` is its id."""
    DISPUTE_CLOSED = "dispute_closed"
    """A dispute ended, `is_lost` or won; `object_id` is its id."""
    CARD_CHANGED = "card_changed"
    """A saved card has other details; `object_id` is the gateway's id of the card. The card is
    read at the gateway, so that events count in any order."""
    CARD_REMOVED = "card_removed"
    """A saved card was removed at the gateway; `object_id` is the gateway's id of the card."""

    CARD_SET_UP = "card_set_up"
    """The cardholder authenticated a card that we set up; `object_id` is the set-up's id."""


CARD_FACTS: Final = frozenset((FactKind.CARD_CHANGED, FactKind.CARD_REMOVED, FactKind.CARD_SET_UP))
"""Kinds of facts about a card and no payment."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What an event says happened to a payment or card. Amounts are in minor units."""

    kind: FactKind
    amount_minor: int | None = None
    currency: str | None = None
    """None if the gateway does not say: the payment's currency."""
    object_id: str = ""
    decline_code: str | None = None
    message: str | None = None
    """The gateway's message to the cardholder. Of a refund what the gateway adds to its state: why
    it is not finished (`pending`, `requires_action`), or why it failed (`canceled`, or a reason).
    None if it is finished."""
    is_lost: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a gateway. `fact` is None if no payment and no card is affected."""

    event_id: str
    type: str
    occurred_at: datetime
    transaction_id: str | None = None
    """The gateway's id of the payment."""
    payment_id: str | None = None
    """Our id of the payment, if the event carries it."""
    fact: Fact | None = None
    needs_lookup: bool = False
    """Whether a look-up at the gateway must find the payment of `transaction_id`, which may be the
    id of a charge or refund; or the card of the fact."""
    refund_id: str | None = None
    """Our id of the refund, if it is about one that we made."""
    is_live: bool | None = None
    """Whether it is of the LIVE environment; None if the gateway does not say. Not stored."""


def storable(text: str, length: int = 255) -> str:
    """Return a text as it can be stored.

    Unprintable characters, such as NUL and lone surrogates, are escaped. The end of a text that is
    too long is its hash.
    """
    if not text.isprintable():
        text = text.encode("unicode_escape").decode("ascii")
    if len(text) > length:
        digest = sha256(text.encode()).hexdigest()[:32]
        text = text[: length - len(digest)] + digest
    return text


class UnreadableEvent(Exception):
    """A correctly signed body is not an event."""
