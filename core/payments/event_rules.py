"""Rules of gateway events: the state of a payment by the events about it. Pure.

The state is a function of the *set* of facts, so neither their order nor a repeated delivery
matters: of outcomes the highest rank counts, refunds are summed by their ids or are the gateway's
own sum, and a dispute is open until it is closed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from core.gateways.events import Fact, FactKind

CHARGED: Final = frozenset(("succeeded", "partially_refunded", "refunded", "disputed"))
"""Statuses of a payment whose card was charged, whatever came after."""
EVENT_LIFE: Final = timedelta(days=3)
"""How long an event waits for its payment; the gateways repeat deliveries for as long."""
_RANKS: Final = {
    # Of two outcomes of a payment, by its row or a fact, the higher rank counts.
    "failed": 0,
    "needs_review": 0,
    "pending": 0,
    "requires_action": 1,
    "held_for_review": 1,
    "declined": 2,
    "succeeded": 3,
}
_STATUSES: Final = {
    FactKind.REQUIRES_ACTION: "requires_action",
    FactKind.HELD: "held_for_review",
    FactKind.FAILED: "declined",
    FactKind.SUCCEEDED: "succeeded",
}


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """A stored fact, with the columns that order facts."""

    event_id: str
    occurred_at: datetime
    transaction_id: str
    payment_id: str | None
    fact: Fact


@dataclass(frozen=True, slots=True)
class PaymentState:
    """The part of a payment that gateway events change. Amounts are in minor units."""

    status: str
    transaction_id: str | None
    decline_code: str | None
    amount_refunded_minor: int
    taken_back_minor: int = 0
    """Total to debit from the wallet of a funding."""
    is_charged: bool = False
    """Whether the card was charged, so that a funding credits its wallet."""


def events_of_payment(
    events: Sequence[RecordedEvent],
    *,
    transaction_id: str | None,
    amount_minor: int,
    currency: str,
) -> tuple[str | None, list[RecordedEvent], list[RecordedEvent]]:
    """Return a payment's transaction id, the events about it, and those that contradict it.

    A payment has one transaction: its own, or else the one with the outcome of the highest rank.
    """
    if transaction_id is None:
        best = min(
            (each for each in events if each.payment_id is not None),
            key=lambda each: (-_rank(each.fact), each.occurred_at, each.event_id),
            default=None,
        )
        transaction_id = best.transaction_id if best else None
    agreeing: list[RecordedEvent] = []
    contradicting: list[RecordedEvent] = []
    for each in events:
        is_same = each.transaction_id == transaction_id and each.fact.currency in (None, currency)
        is_whole = each.fact.kind is not FactKind.SUCCEEDED or (
            each.fact.amount_minor == amount_minor
        )
        (agreeing if is_same and is_whole else contradicting).append(each)
    return transaction_id, agreeing, contradicting


def outcome_event(events: Sequence[RecordedEvent]) -> RecordedEvent | None:
    """Return the event with a payment's outcome; of several of one rank the latest."""
    outcomes = [each for each in events if each.fact.kind in _STATUSES]
    return max(
        outcomes,
        key=lambda each: (_rank(each.fact), each.occurred_at, each.event_id),
        default=None,
    )


def next_state(
    state: PaymentState, events: Sequence[RecordedEvent], *, amount_minor: int
) -> PaymentState:
    """Return the state of a payment that is not pending after all events about it.

    voided                              voided
    charged, a dispute open or lost     disputed
    charged, refunded                   refunded or partially_refunded
    charged                             succeeded
    otherwise                           the outcome of the highest rank
    """
    base = "succeeded" if state.status in CHARGED else state.status
    best = outcome_event(events)
    decline_code = state.decline_code
    is_voided = base == "voided" or any(each.fact.kind is FactKind.VOIDED for each in events)
    if base == "voided":
        base = "succeeded" if state.is_charged else "failed"
    if best is not None and _rank(best.fact) >= _RANKS[base]:
        base = _STATUSES[best.fact.kind]
        decline_code = best.fact.decline_code
    is_charged = base == "succeeded"
    refunded = 0
    if is_charged or is_voided:
        refunded = min(amount_minor, max(state.amount_refunded_minor, _refunded(events)))
    lost, is_disputed = _disputes(events)
    if is_voided:
        status, taken = "voided", amount_minor
    elif is_charged:
        status = "disputed" if is_disputed else _by_refunds(refunded, amount_minor)
        taken = min(amount_minor, refunded + lost)
    else:
        status, taken = base, 0
    return PaymentState(
        status,
        state.transaction_id,
        None if is_charged else decline_code,
        refunded,
        taken if is_charged else 0,
        is_charged,
    )


def _rank(fact: Fact) -> int:
    return _RANKS[_STATUSES[fact.kind]] if fact.kind in _STATUSES else 0


def _refunded(events: Sequence[RecordedEvent]) -> int:
    sums = [each.fact.amount_minor or 0 for each in events if each.fact.kind is FactKind.REFUNDED]
    by_refund: dict[str | None, int] = {}
    for each in events:
        if each.fact.kind is FactKind.REFUND:
            # A refund's amount never changes; the maximum keeps the sum independent of order.
            refund_id = each.fact.object_id
            by_refund[refund_id] = max(by_refund.get(refund_id, 0), each.fact.amount_minor or 0)
    return max([sum(by_refund.values()), *sums])


def _disputes(events: Sequence[RecordedEvent]) -> tuple[int, bool]:
    """Return the amount lost in disputes, and whether one is open or lost."""
    facts = [each.fact for each in events]
    opened = {fact.object_id for fact in facts if fact.kind is FactKind.DISPUTED}
    closed = {fact.object_id for fact in facts if fact.kind is FactKind.DISPUTE_CLOSED}
    lost: dict[str | None, int] = {}
    for fact in facts:
        if fact.kind is FactKind.DISPUTE_CLOSED and fact.is_lost:
            # As for refunds: the maximum keeps the sum independent of order.
            lost[fact.object_id] = max(lost.get(fact.object_id, 0), fact.amount_minor or 0)
    return sum(lost.values()), bool(lost or opened - closed)


def _by_refunds(refunded_minor: int, amount_minor: int) -> str:
    if refunded_minor == 0:
        return "succeeded"
    return "refunded" if refunded_minor >= amount_minor else "partially_refunded"
