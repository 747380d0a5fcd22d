"""Rules of gateway events: the state of a payment by the events about it. Pure.

The state is a function of the *set* of facts, so neither their order nor a repeated delivery
matters: of outcomes the highest rank counts, and of each refund and dispute, by its id at the
gateway, the latest state.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
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
    FactKind.CANCELED: "declined",
    FactKind.SUCCEEDED: "succeeded",
}
_REFUND_KINDS: Final = (FactKind.REFUND, FactKind.REFUND_FAILED)
_DISPUTE_KINDS: Final = (FactKind.DISPUTED, FactKind.DISPUTE_CLOSED)


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
    """Amount of a funding that its wallet does not have any more."""
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
        # A dispute is in the cardholder's currency.
        currencies = (None, currency, each.fact.currency if _is_dispute(each) else currency)
        is_same = each.transaction_id == transaction_id and each.fact.currency in currencies
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
    state: PaymentState, events: Sequence[RecordedEvent], *, amount_minor: int, currency: str
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
    refunded = min(amount_minor, _refunded(events)) if is_charged or is_voided else 0
    lost, is_disputed = _disputes(events, amount_minor=amount_minor, currency=currency)
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
    """Return the amount of all refunds that have not failed.

    The gateway's sum tells of refunds without events of their own. It is of the time of its event,
    so refunds that failed since are subtracted.
    """
    refunds = _by_object(events, _REFUND_KINDS)
    latest = [_latest(states) for states in refunds]
    known = sum(each.fact.amount_minor or 0 for each in latest if not _has_failed(each))
    sums = [each for each in events if each.fact.kind is FactKind.REFUNDED]
    if not sums:
        return known
    last_sum = max(
        sums, key=lambda each: (each.occurred_at, each.fact.amount_minor or 0, each.event_id)
    )
    total = last_sum.fact.amount_minor or 0
    for states, last in zip(refunds, latest, strict=True):
        if _has_failed(last):
            failed_at = min(each.occurred_at for each in states if _has_failed(each))
            if failed_at >= last_sum.occurred_at:
                total -= last.fact.amount_minor or 0
    return max(known, total)


def _disputes(
    events: Sequence[RecordedEvent], *, amount_minor: int, currency: str
) -> tuple[int, bool]:
    """Return the amount lost in disputes, and whether one is open or lost.

    A dispute whose amount is not in the payment's currency counts as one of the whole payment.
    """
    lost, is_disputed = 0, False
    for states in _by_object(events, _DISPUTE_KINDS):
        fact = _latest(states).fact
        is_open = fact.kind is FactKind.DISPUTED
        is_disputed |= is_open or fact.is_lost
        if not is_open and fact.is_lost:
            is_comparable = fact.amount_minor is not None and fact.currency in (None, currency)
            lost += (fact.amount_minor or 0) if is_comparable else amount_minor
    return lost, is_disputed


def _by_object(
    events: Sequence[RecordedEvent], kinds: Collection[FactKind]
) -> list[list[RecordedEvent]]:
    """Return the events of each refund or dispute."""
    grouped: dict[str, list[RecordedEvent]] = defaultdict(list)
    for each in events:
        if each.fact.kind in kinds:
            grouped[each.fact.object_id].append(each)
    return list(grouped.values())


def _latest(states: Sequence[RecordedEvent]) -> RecordedEvent:
    """Return the event with the latest state of one refund or dispute.

    The gateways' times are in seconds. Of two in one second, the one that can only follow the other
    is later: failed after refunded, closed after open, won after lost.
    """

    def order(each: RecordedEvent) -> tuple[datetime, int, str]:
        fact = each.fact
        is_final = fact.kind in (FactKind.REFUND_FAILED, FactKind.DISPUTE_CLOSED)
        return each.occurred_at, is_final + (is_final and not fact.is_lost), each.event_id

    return max(states, key=order)


def _has_failed(event: RecordedEvent) -> bool:
    return event.fact.kind is FactKind.REFUND_FAILED


def _is_dispute(event: RecordedEvent) -> bool:
    return event.fact.kind in _DISPUTE_KINDS


def _by_refunds(refunded_minor: int, amount_minor: int) -> str:
    if refunded_minor == 0:
        return "succeeded"
    return "refunded" if refunded_minor >= amount_minor else "partially_refunded"
