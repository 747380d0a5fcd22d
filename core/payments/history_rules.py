"""Rules of a payment's history: the statuses that it had, by what is stored about it. Pure.

Nothing is recorded for it but the first outcome. The rest is the state of core.payments.event_rules
after each of the payment's events, in the order in which they became known:

    step                        known at                       source
    created, pending            created_at                     the request, or the recurring job
    first outcome               first_outcome_at               a decision or an event of that very
                                                               time, or else as the creation
    decision                    its time                       operator
    event                       when it was received, but not  gateway event, or gateway read
                                before the first outcome
    success without an event    succeeded_at                   as the creation

An event that came while the request waited for the gateway is applied after the request's answer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from core.gateways.events import FactKind
from core.payments.event_rules import (
    CHARGED,
    PaymentState,
    RecordedEvent,
    next_state,
    states_of_objects,
    tells_status,
)


class Source(StrEnum):
    """Where a status came from."""

    REQUEST = "request"
    RECURRING = "recurring"
    GATEWAY_EVENT = "gateway_event"
    GATEWAY_READ = "gateway_read"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class PaymentRecord:
    """What a payment's row says of its history. Amounts are in minor units."""

    origin: Source
    """REQUEST or RECURRING."""
    is_funding: bool
    amount_minor: int
    currency: str
    transaction_id: str | None
    created_at: datetime
    first_outcome: str | None
    """None while pending, and for a payment that had an outcome before that was recorded."""
    first_outcome_at: datetime | None
    succeeded_at: datetime | None
    status: str
    amount_refunded_minor: int
    updated_at: datetime
    is_authorization: bool = False
    """Whether it was to be authorized first."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """An outcome that an operator decided."""

    status: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a payment's status or refunded amount."""

    status: str
    amount_refunded_minor: int
    since: datetime
    source: Source
    event: RecordedEvent | None = None
    """The gateway's event that told of it, if one did."""


@dataclass(frozen=True, slots=True)
class ObjectHistory:
    """A refund or dispute of a payment, by the gateway's events about it."""

    first: RecordedEvent
    present: RecordedEvent
    """The event with its present state."""


@dataclass(frozen=True, slots=True)
class _Step:
    at: datetime
    source: Source
    event: RecordedEvent | None = None
    outcome: str | None = None
    """A status that was written without regard to the events."""


def history_of(
    record: PaymentRecord, events: Sequence[RecordedEvent], decided: Sequence[Resolved]
) -> list[Change]:
    """Return the statuses of a payment, oldest first; the last one is the present.

    `events` are those that agree with the payment. Where a payment from before the first outcome
    was recorded shows no other trace of its status, that is since the row's last change.
    """
    changes = replay(record, events, decided)
    last = changes[-1]
    if (last.status, last.amount_refunded_minor) == (record.status, record.amount_refunded_minor):
        return changes
    since = max(record.updated_at, last.since)
    return [
        *changes,
        Change(record.status, record.amount_refunded_minor, since, record.origin),
    ]


def replay(
    record: PaymentRecord, events: Sequence[RecordedEvent], decided: Sequence[Resolved]
) -> list[Change]:
    """Return the statuses that follow from what is stored about a payment, oldest first."""
    changes = [Change("pending", 0, record.created_at, record.origin)]
    if record.status == "pending":
        return changes
    state = PaymentState(
        "pending", record.transaction_id, None, 0, is_authorization=record.is_authorization
    )
    known: dict[str, RecordedEvent] = {}
    for step in sorted(_steps(record, events, decided), key=lambda each: each.at):
        if step.event is not None:
            known[step.event.event_id] = step.event
        if step.source is Source.OPERATOR:
            # What the gateway said then was applied together with the decision.
            known |= {e.event_id: e for e in events if e.is_read and e.received_at == step.at}
        state = _next(record, state, list(known.values()), step.outcome)
        last = changes[-1]
        if (state.status, state.amount_refunded_minor) != (
            last.status,
            last.amount_refunded_minor,
        ):
            is_told = step.source in (Source.GATEWAY_EVENT, Source.GATEWAY_READ)
            changes.append(
                Change(
                    state.status,
                    state.amount_refunded_minor,
                    step.at,
                    step.source,
                    step.event if is_told else None,
                )
            )
    return changes


def _next(
    record: PaymentRecord,
    state: PaymentState,
    events: Sequence[RecordedEvent],
    outcome: str | None,
) -> PaymentState:
    """Return the state after a step, from which the next one starts as from the payment's row."""
    if outcome is not None:
        state = replace(state, status=outcome)
    # Of a charge the row does not say that it was made before it was voided; a wallet does.
    was_charged = state.is_charged and record.is_funding
    return next_state(
        replace(state, is_charged=was_charged or state.status in CHARGED),
        events,
        amount_minor=record.amount_minor,
        currency=record.currency,
    )


def _steps(
    record: PaymentRecord, events: Sequence[RecordedEvent], decided: Sequence[Resolved]
) -> Iterator[_Step]:
    """Yield the steps, of several at one time in their order."""
    first_at = record.first_outcome_at
    if record.first_outcome is not None and first_at is not None:
        yield _first_outcome(record, first_at, record.first_outcome, events, decided)
    for each in sorted(decided, key=lambda each: each.at):
        yield _Step(each.at, Source.OPERATOR, outcome=each.status)
    for event in sorted(events, key=lambda e: (e.received_at, e.occurred_at, e.event_id)):
        at = max(event.received_at, first_at or record.created_at)
        yield _Step(at, _source_of(event), event)
    if record.succeeded_at is not None:
        yield _Step(record.succeeded_at, record.origin, outcome="succeeded")


def _first_outcome(
    record: PaymentRecord,
    at: datetime,
    status: str,
    events: Sequence[RecordedEvent],
    decided: Sequence[Resolved],
) -> _Step:
    if Resolved(status, at) in decided:
        return _Step(at, Source.OPERATOR, outcome=status)
    for event in events:
        if event.received_at == at and tells_status(event.fact, status):
            return _Step(at, _source_of(event), event, status)
    return _Step(at, record.origin, outcome=status)


def _source_of(event: RecordedEvent) -> Source:
    return Source.GATEWAY_READ if event.is_read else Source.GATEWAY_EVENT


def refunds_of(events: Sequence[RecordedEvent]) -> list[ObjectHistory]:
    """Return the refunds that the gateway told of, oldest first."""
    return _objects(events, (FactKind.REFUND, FactKind.REFUND_FAILED))


def disputes_of(events: Sequence[RecordedEvent]) -> list[ObjectHistory]:
    """Return the disputes that the gateway told of, oldest first."""
    return _objects(events, (FactKind.DISPUTED, FactKind.DISPUTE_CLOSED))


def _objects(events: Sequence[RecordedEvent], kinds: Sequence[FactKind]) -> list[ObjectHistory]:
    found = [
        ObjectHistory(min(states, key=lambda each: (each.occurred_at, each.event_id)), present)
        for states, present in states_of_objects(events, kinds)
    ]
    return sorted(found, key=lambda each: (each.first.occurred_at, each.first.event_id))
