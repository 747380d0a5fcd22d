"""What the database is asked and told about the gateways' events."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import and_, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from core.database.schema import webhook_events as events
from core.database.transactions import Transaction
from core.gateways.events import Event, Fact, FactKind
from core.payments.event_rules import GIVE_UP_AFTER, RecordedEvent, pause_after


@dataclass(frozen=True, slots=True)
class Source:
    """Whose event it is, and of which gateway and environment."""

    business_id: str
    gateway: str
    env: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that waits for its payment, or for the gateway to tell which one that is."""

    source: Source
    event: Event
    checks: int


_INSERT = {
    "postgresql": postgresql.insert(events).on_conflict_do_nothing().returning(events.c.event_id),
    "sqlite": sqlite.insert(events).on_conflict_do_nothing().returning(events.c.event_id),
}


async def insert_event(transaction: Transaction, source: Source, event: Event) -> bool:
    """Store an event, and tell whether it is new."""
    waits = event.fact is not None
    result = await transaction.connection.execute(
        _INSERT[transaction.connection.dialect.name].values(
            **asdict(source),
            event_id=event.event_id,
            type=event.type,
            transaction_id=event.transaction_id,
            payment_id=event.payment_id,
            fact=_written(event.fact),
            needs_lookup=event.needs_lookup,
            state="waiting" if waits else "ignored",
            occurred_at=event.occurred_at,
            received_at=transaction.now,
            check_at=transaction.now + pause_after(0) if waits else None,
            checks=0,
        )
    )
    return result.one_or_none() is not None


async def complete_event(transaction: Transaction, source: Source, event: Event) -> None:
    """Add what the gateway told of an event's payment; one that is nobody's waits no more."""
    columns: dict[str, object] = {
        "transaction_id": event.transaction_id,
        "payment_id": event.payment_id,
        "needs_lookup": event.needs_lookup,
        "fact": _written(event.fact),
    }
    if event.fact is None:
        columns |= {"state": "ignored", "check_at": None}
    await transaction.connection.execute(
        update(events).where(*_is(source, event.event_id)).values(columns)
    )


async def events_of(
    transaction: Transaction, source: Source, *, payment_id: str, transaction_id: str | None
) -> list[RecordedEvent]:
    """Return all that was told of a payment, by our id of it and the gateway's.

    What names our id leads to the gateway's, and that to what names only the gateway's.
    """
    query = (
        select(
            events.c.event_id,
            events.c.occurred_at,
            events.c.transaction_id,
            events.c.payment_id,
            events.c.fact,
        )
        .where(
            events.c.business_id == source.business_id,
            events.c.gateway == source.gateway,
            events.c.env == source.env,
            events.c.state != "ignored",
            ~events.c.needs_lookup,
        )
        .order_by(events.c.occurred_at, events.c.event_id)
    )
    ours = await transaction.connection.execute(query.where(events.c.payment_id == payment_id))
    told = {row.event_id: _told(row) for row in ours}
    transactions = {each.transaction_id for each in told.values()} | {transaction_id} - {None}
    if transactions:
        theirs = await transaction.connection.execute(
            query.where(
                events.c.transaction_id.in_(transactions),
                or_(events.c.payment_id.is_(None), events.c.payment_id == payment_id),
            )
        )
        told |= {row.event_id: _told(row) for row in theirs}
    return list(told.values())


async def set_applied(
    transaction: Transaction, source: Source, told: Sequence[RecordedEvent]
) -> None:
    """Note that a payment has followed these events."""
    await transaction.connection.execute(
        update(events)
        .where(
            events.c.business_id == source.business_id,
            events.c.gateway == source.gateway,
            events.c.env == source.env,
            events.c.event_id.in_([each.event_id for each in told]),
            events.c.state == "waiting",
        )
        .values(state="applied", check_at=None)
    )


async def take_due(transaction: Transaction, *, limit: int) -> list[Waiting]:
    """Return events that it is time to look at, and put each off, so that no other core does too.

    One that has waited for days is nobody's: the account is used for other things as well.
    """
    rows = await transaction.connection.execute(
        select(*events.c)
        .where(events.c.state == "waiting", events.c.check_at <= transaction.now)
        .order_by(events.c.check_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    due = list(rows)
    given_up = [row for row in due if row.received_at < transaction.now - GIVE_UP_AFTER]
    kept = [row for row in due if row.received_at >= transaction.now - GIVE_UP_AFTER]
    if given_up:
        await _update_rows(transaction, given_up, {"state": "ignored", "check_at": None})
    for checks in {row.checks for row in kept}:
        later = {"check_at": transaction.now + pause_after(checks + 1), "checks": checks + 1}
        await _update_rows(transaction, [row for row in kept if row.checks == checks], later)
    return [_waiting(row) for row in kept]


async def _update_rows(
    transaction: Transaction, rows: Sequence[Any], columns: dict[str, object]
) -> None:
    key = tuple_(events.c.business_id, events.c.gateway, events.c.env, events.c.event_id)
    keys = [(row.business_id, row.gateway, row.env, row.event_id) for row in rows]
    await transaction.connection.execute(update(events).where(key.in_(keys)).values(columns))


def _is(source: Source, event_id: str) -> tuple[Any, ...]:
    return (
        and_(events.c.business_id == source.business_id, events.c.gateway == source.gateway),
        events.c.env == source.env,
        events.c.event_id == event_id,
    )


def _written(fact: Fact | None) -> str | None:
    return None if fact is None else json.dumps(asdict(fact), sort_keys=True)


def _fact(text: str) -> Fact:
    columns = json.loads(text)
    return Fact(**columns | {"kind": FactKind(columns["kind"])})


def _told(row: Any) -> RecordedEvent:
    return RecordedEvent(
        row.event_id, row.occurred_at, row.transaction_id, row.payment_id, _fact(row.fact)
    )


def _waiting(row: Any) -> Waiting:
    event = Event(
        row.event_id,
        row.type,
        row.occurred_at,
        row.transaction_id,
        row.payment_id,
        _fact(row.fact),
        row.needs_lookup,
    )
    return Waiting(Source(row.business_id, row.gateway, row.env), event, row.checks)
