"""SQL of gateway events."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    String,
    and_,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from core.database.bulk_sql import one_of
from core.database.schema import webhook_events as events
from core.database.transactions import Transaction
from core.due_work.rules import Key, PermanentError, pause_after
from core.due_work.store import EVENTS, RELEASED
from core.gateways.events import Event, Fact, FactKind, storable
from core.payments.event_rules import EVENT_LIFE, RecordedEvent
from core.payments.store import Payment

READ = "nivisco.read"
"""Type of what a core read at the gateway; no gateway sends events of it."""
DECISION = "nivisco.decision"
"""Type of what an operator decided: until the gateway tells otherwise, it is as if read there."""
_WORDS = {READ: "read", DECISION: "decision"}


@dataclass(frozen=True, slots=True)
class Source:
    """The business, gateway and environment that an event comes from."""

    business_id: str
    gateway: str
    env: str


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """An event that waits for its payment to exist, or for a look-up of its transaction."""

    source: Source
    event: Event
    checks: int


_INSERT = {
    "postgresql": postgresql.insert(events).on_conflict_do_nothing().returning(events.c.event_id),
    "sqlite": sqlite.insert(events).on_conflict_do_nothing().returning(events.c.event_id),
}

_OF_GATEWAY = select(
    events.c.event_id,
    events.c.occurred_at,
    events.c.received_at,
    events.c.type,
    events.c.transaction_id,
    events.c.payment_id,
    events.c.refund_id,
    events.c.fact,
    events.c.state,
).where(
    events.c.business_id == bindparam("business_id"),
    events.c.gateway == bindparam("gateway"),
    events.c.env == bindparam("env"),
    events.c.state != "ignored",
    ~events.c.needs_lookup,
    events.c.set_aside_at.is_(None),
)
# Two queries: for one with OR, PostgreSQL reads all events of the business.
_EVENTS = union_all(
    _OF_GATEWAY.where(events.c.payment_id == bindparam("payment_id")),
    _OF_GATEWAY.where(
        events.c.transaction_id == bindparam("transaction_id", type_=String),
        events.c.payment_id.is_(None),
    ),
).order_by("occurred_at", "event_id")
"""Events of a payment by our id, and by the gateway's id those that carry only that one."""


_KEY = (events.c.business_id, events.c.gateway, events.c.env, events.c.event_id)
_IS_OLD_AND_IGNORED = and_(
    # The word itself: for a parameter no database can use the index of ignored events alone.
    events.c.state == literal_column("'ignored'"),
    events.c.received_at < bindparam("received_before"),
)
"""Events on which nothing stored depends: no history, no check of a payment, no wait."""
_OLD_AND_IGNORED = (
    select(*_KEY)
    .where(_IS_OLD_AND_IGNORED)
    .order_by(events.c.received_at)
    .limit(bindparam("at_most"))
    .with_for_update(skip_locked=True)
)
_COUNT_OLD_AND_IGNORED = select(func.count(), func.min(events.c.received_at)).where(
    _IS_OLD_AND_IGNORED
)


async def delete_ignored(transaction: Transaction, received_before: datetime, limit: int) -> int:
    """Delete up to `limit` ignored events that are older, oldest first, and return how many."""
    connection = transaction.connection
    parameters = {"received_before": received_before, "at_most": limit}
    found = [tuple(row) for row in await connection.execute(_OLD_AND_IGNORED, parameters)]
    if found:
        await connection.execute(delete(events).where(one_of(connection, _KEY, found)))
    return len(found)


async def count_ignored(
    transaction: Transaction, received_before: datetime
) -> tuple[int, datetime | None]:
    """Return how many events `delete_ignored` would delete, and when the oldest was received."""
    rows = await transaction.fetch(_COUNT_OLD_AND_IGNORED, {"received_before": received_before})
    count, oldest = rows.one()
    return count, oldest


async def insert_event(transaction: Transaction, source: Source, event: Event) -> bool:
    """Store an event, and return whether it is new."""
    waits = event.fact is not None
    result = await transaction.connection.execute(
        _INSERT[transaction.connection.dialect.name].values(
            **asdict(source),
            event_id=event.event_id,
            type=event.type,
            transaction_id=event.transaction_id,
            payment_id=event.payment_id,
            refund_id=event.refund_id,
            fact=_fact_json(event.fact),
            needs_lookup=event.needs_lookup,
            state="waiting" if waits else "ignored",
            occurred_at=event.occurred_at,
            received_at=transaction.now,
            look_at=transaction.now + pause_after(0) if waits else None,
            processed_at=None if waits else transaction.now,
            checks=0,
        )
    )
    return result.one_or_none() is not None


async def insert_read(
    transaction: Transaction,
    payment: Payment,
    fact: Fact,
    *,
    began_at: datetime,
    kind: str = READ,
    refund_id: str | None = None,
) -> None:
    """Store what a gateway said of one of a payment's objects when it was asked.

    `refund_id` is our id of the refund that it is, if it was requested here. Or, with kind
    DECISION, what an operator decided about it.
    """
    assert payment.transaction_id is not None, "only a payment at the gateway can be read"
    object_id = fact.object_id or payment.transaction_id
    await transaction.connection.execute(
        _INSERT[transaction.connection.dialect.name].values(
            **asdict(Source(payment.business_id, payment.gateway, payment.env)),
            event_id=storable(f"{_WORDS[kind]} {object_id} {began_at.isoformat()}"),
            type=kind,
            transaction_id=payment.transaction_id,
            payment_id=payment.payment_id,
            refund_id=refund_id if fact.object_id else None,
            fact=_fact_json(fact),
            needs_lookup=False,
            state="applied",
            occurred_at=began_at,
            received_at=began_at,
            processed_at=began_at,
            checks=0,
        )
    )


async def complete_event(transaction: Transaction, source: Source, event: Event) -> None:
    """Store the details of a looked-up event; one of no payment of ours is ignored from now on."""
    columns: dict[str, object] = {
        "transaction_id": event.transaction_id,
        "payment_id": event.payment_id,
        "refund_id": event.refund_id,
        "needs_lookup": event.needs_lookup,
        "fact": _fact_json(event.fact),
    }
    if event.fact is None:
        columns |= {"state": "ignored", **_processed(transaction)}
    await transaction.connection.execute(
        update(events).where(*_is(source, event.event_id)).values(columns)
    )


async def events_of(
    transaction: Transaction, source: Source, *, payment_id: str, transaction_id: str | None
) -> list[RecordedEvent]:
    """Return all events of a payment.

    Events with our id give the gateway's id, which gives the events that carry only that one.
    """
    ids = {**asdict(source), "payment_id": payment_id}
    ours = await transaction.connection.execute(_EVENTS, {**ids, "transaction_id": transaction_id})
    found = {row.event_id: _recorded(row) for row in ours}
    others = {each.transaction_id for each in found.values()} - {transaction_id, None}
    for other in sorted(filter(None, others)):
        theirs = await transaction.connection.execute(_EVENTS, {**ids, "transaction_id": other})
        found |= {row.event_id: _recorded(row) for row in theirs}
    return list(found.values())


async def set_contradicting(
    transaction: Transaction, source: Source, recorded: Sequence[RecordedEvent]
) -> list[str]:
    """Mark events as contradicting their payment, and return the ids of those that are new."""
    result = await transaction.connection.execute(
        update(events)
        .where(
            events.c.business_id == source.business_id,
            events.c.gateway == source.gateway,
            events.c.env == source.env,
            events.c.event_id.in_([each.event_id for each in recorded]),
            events.c.state != "contradicting",
        )
        .values(state="contradicting", **_processed(transaction))
        .returning(events.c.event_id)
    )
    return [row.event_id for row in result]


async def set_applied(
    transaction: Transaction, source: Source, recorded: Sequence[RecordedEvent]
) -> None:
    """Mark those events as applied to their payment that are not yet."""
    if not (new := [each.event_id for each in recorded if not each.is_applied]):
        return
    await transaction.connection.execute(
        update(events)
        .where(
            events.c.business_id == source.business_id,
            events.c.gateway == source.gateway,
            events.c.env == source.env,
            events.c.event_id.in_(new),
            events.c.state.in_(("waiting", "contradicting")),
        )
        .values(state="applied", **_processed(transaction))
    )


async def take_due(transaction: Transaction, key: Key) -> WaitingEvent | None:
    """Return a due event, and put it off, so that no other core takes it; None if it is not due.

    One older than EVENT_LIFE is ignored: the account also has payments that are not ours.

    Raises:
        PermanentError: the stored event cannot be read.
    """
    rows = await transaction.connection.execute(
        select(*events.c)
        .where(EVENTS.is_key(key), EVENTS.is_due(transaction.now))
        .with_for_update(skip_locked=True)
    )
    if (row := rows.one_or_none()) is None:
        return None
    is_over = row.received_at < transaction.now - EVENT_LIFE
    later = transaction.now + pause_after(row.checks + 1)
    await transaction.connection.execute(
        update(events)
        .where(EVENTS.is_key(key))
        .values(
            {"state": "ignored", "look_at": None, "processed_at": transaction.now}
            if is_over
            else {"look_at": later, "checks": row.checks + 1}
        )
    )
    return None if is_over else _waiting(row)


def _processed(transaction: Transaction) -> dict[str, object]:
    """Return the columns of an event that waits no longer."""
    return {"look_at": None, "processed_at": transaction.now, **RELEASED}


def _is(source: Source, event_id: str) -> tuple[Any, ...]:
    return (
        and_(events.c.business_id == source.business_id, events.c.gateway == source.gateway),
        events.c.env == source.env,
        events.c.event_id == event_id,
    )


def _fact_json(fact: Fact | None) -> str | None:
    return None if fact is None else json.dumps(asdict(fact), sort_keys=True)


def _fact(text: str) -> Fact:
    columns = json.loads(text)
    return Fact(**columns | {"kind": FactKind(columns["kind"])})


def _recorded(row: Any) -> RecordedEvent:
    return RecordedEvent(
        row.event_id,
        row.occurred_at,
        row.received_at,
        row.transaction_id,
        row.payment_id,
        _fact(row.fact),
        is_read=row.type in _WORDS,
        refund_id=row.refund_id,
        is_applied=row.state == "applied",
    )


def _waiting(row: Any) -> WaitingEvent:
    try:
        fact = _fact(row.fact)
    except (ValueError, TypeError, KeyError) as error:
        raise PermanentError("the stored fact cannot be read") from error
    event = Event(
        row.event_id,
        row.type,
        row.occurred_at,
        row.transaction_id,
        row.payment_id,
        fact,
        row.needs_lookup,
        row.refund_id,
    )
    return WaitingEvent(Source(row.business_id, row.gateway, row.env), event, row.checks)
