"""What a payment becomes by all that its gateway told of it. Pure.

A payment's state is a function of the *set* of facts, so that neither their order nor a second
delivery matters: outcomes have a rank and the highest holds, refunds are summed by their ids or are
the gateway's own sum, a dispute is open until it is closed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from core.gateways.events import Fact, FactKind

CHARGED: Final = frozenset(("succeeded", "partially_refunded", "refunded", "disputed"))
"""Statuses of a payment whose card was charged; what came after is another matter."""
GIVE_UP_AFTER: Final = timedelta(days=3)
"""How long an event waits for its payment; the gateways deliver for as long."""
_PAUSES: Final = tuple(timedelta(seconds=seconds) for seconds in (5, 15, 60, 300, 900, 3600))
_RANKS: Final = {
    # Of a payment's row, and of a fact: which one holds where both speak of the outcome.
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
    """A fact as it is kept, with what puts facts in one order."""

    event_id: str
    occurred_at: datetime
    transaction_id: str
    payment_id: str | None
    fact: Fact


@dataclass(frozen=True, slots=True)
class PaymentState:
    """What of a payment its gateway's events may change. Amounts are in minor units."""

    status: str
    transaction_id: str | None
    decline_code: str | None
    amount_refunded_minor: int
    taken_back_minor: int = 0
    """What a funding's wallet has to give back in all, once it was credited."""
    is_charged: bool = False
    """Whether the card was charged, so that a funding's wallet has its credit."""


def pause_after(checks: int) -> timedelta:
    """Return how long to leave an event alone that was looked at so many times."""
    return _PAUSES[min(checks, len(_PAUSES) - 1)]


def of_payment(
    told: Sequence[RecordedEvent], *, transaction_id: str | None, amount_minor: int, currency: str
) -> tuple[str | None, list[RecordedEvent], list[RecordedEvent]]:
    """Return a payment's transaction, the facts about it, and those that contradict it.

    A payment has one transaction: its own, or else the one with the most certain outcome.
    """
    if transaction_id is None and told:
        best = min(
            (each for each in told if each.payment_id is not None),
            key=lambda each: (-_rank(each.fact), each.occurred_at, each.event_id),
            default=None,
        )
        transaction_id = best.transaction_id if best else None
    facts: list[RecordedEvent] = []
    others: list[RecordedEvent] = []
    for each in told:
        is_same = each.transaction_id == transaction_id and each.fact.currency in (None, currency)
        is_whole = each.fact.kind is not FactKind.SUCCEEDED or (
            each.fact.amount_minor == amount_minor
        )
        (facts if is_same and is_whole else others).append(each)
    return transaction_id, facts, others


def outcome_of(told: Sequence[RecordedEvent]) -> RecordedEvent | None:
    """Return the fact that tells a payment's outcome; of several equal ones the latest."""
    outcomes = [each for each in told if each.fact.kind in _STATUSES]
    return max(
        outcomes,
        key=lambda each: (_rank(each.fact), each.occurred_at, each.event_id),
        default=None,
    )


def next_state(
    standing: PaymentState, told: Sequence[RecordedEvent], *, amount_minor: int
) -> PaymentState:
    """Return how a payment that is not pending stands by all facts about it."""
    base = "succeeded" if standing.status in CHARGED else standing.status
    best = outcome_of(told)
    decline_code = standing.decline_code
    is_voided = base == "voided" or any(each.fact.kind is FactKind.VOIDED for each in told)
    if base == "voided":
        base = "succeeded" if standing.is_charged else "failed"
    if best is not None and _rank(best.fact) >= _RANKS[base]:
        base = _STATUSES[best.fact.kind]
        decline_code = best.fact.decline_code
    is_charged = base == "succeeded"
    refunded = 0
    if is_charged or is_voided:
        refunded = min(amount_minor, max(standing.amount_refunded_minor, _refunded(told)))
    lost, is_disputed = _disputes(told)
    if is_voided:
        status, taken = "voided", amount_minor
    elif is_charged:
        status = "disputed" if is_disputed else _by_refunds(refunded, amount_minor)
        taken = min(amount_minor, refunded + lost)
    else:
        status, taken = base, 0
    return PaymentState(
        status,
        standing.transaction_id,
        None if is_charged else decline_code,
        refunded,
        taken if is_charged else 0,
        is_charged,
    )


def _rank(fact: Fact) -> int:
    return _RANKS[_STATUSES[fact.kind]] if fact.kind in _STATUSES else 0


def _refunded(recorded: Sequence[RecordedEvent]) -> int:
    sums = [each.fact.amount_minor or 0 for each in recorded if each.fact.kind is FactKind.REFUNDED]
    by_refund: dict[str | None, int] = {}
    for each in recorded:
        if each.fact.kind is FactKind.REFUND:
            # A refund's amount never changes; the maximum keeps the sum independent of order.
            refund_id = each.fact.object_id
            by_refund[refund_id] = max(by_refund.get(refund_id, 0), each.fact.amount_minor or 0)
    return max([sum(by_refund.values()), *sums])


def _disputes(recorded: Sequence[RecordedEvent]) -> tuple[int, bool]:
    """Return how much was lost in disputes, and whether one is open or lost."""
    facts = [each.fact for each in recorded]
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
