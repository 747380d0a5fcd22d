"""What a gateway's webhook says, in one form for both gateways. No I/O."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

TOLERANCE = timedelta(seconds=300)
"""How far a signature's time may be from ours (docs.stripe.com/webhooks#replay-attacks)."""


class FactKind(StrEnum):
    """What happened to a payment."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REQUIRES_ACTION = "requires_action"
    HELD = "held"
    VOIDED = "voided"
    REFUNDED = "refunded"
    """So much was refunded in all, by the gateway's own sum."""
    REFUND = "refund"
    """One refund; `object_id` is its own."""
    DISPUTED = "disputed"
    DISPUTE_CLOSED = "dispute_closed"
    """A dispute ended, `is_lost` or not; `object_id` is its own."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that happened to a payment. Amounts are in minor units of `currency`."""

    kind: FactKind
    amount_minor: int | None = None
    currency: str | None = None
    """None where the gateway does not say: the payment's own."""
    object_id: str = ""
    decline_code: str | None = None
    message: str | None = None
    """The gateway's sentence for the cardholder."""
    is_lost: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a gateway, and the fact in it; None where it tells us nothing."""

    event_id: str
    type: str
    occurred_at: datetime
    transaction_id: str | None = None
    """The gateway's id of the payment that it is about."""
    payment_id: str | None = None
    """Ours, where the event carries it."""
    fact: Fact | None = None
    needs_lookup: bool = False
    """Whether the gateway must be asked which payment `transaction_id` belongs to."""


class UnreadableEvent(Exception):
    """A body that carries a good signature and is no event."""
