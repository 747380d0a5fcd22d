"""SQL of how much work waits, over all businesses. Every count has a limit, and so has its cost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, func, literal, select, true, union_all

from core.database.schema import audit_pending, payments, stops
from core.database.transactions import Transaction
from core.due_work.store import PAYMENTS, TABLES, DueTable
from core.stops import What

COUNT_MAX: Final = 5_000
"""Rows of one index that are counted at most: a backlog is read in milliseconds."""
ATTEMPTS: Final = ("running", "unknown", "not_sent")
"""States of the attempt of a payment without an outcome."""
STOPPABLE: Final = tuple(what.value for what in What)
_DUE: Final = "due"
_SET_ASIDE: Final = "set_aside"
_STOPS: Final = (
    select(stops.c.what, func.count()).where(stops.c.ended_at.is_(None)).group_by(stops.c.what)
)
# In the order of the key, which of each business begins with the oldest.
_AUDIT_SINCE: Final = select(
    func.min(
        select(audit_pending.c.occurred_at)
        .order_by(audit_pending.c.business_id, audit_pending.c.event_id)
        .limit(COUNT_MAX)
        .subquery()
        .c.occurred_at
    )
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many rows wait, up to COUNT_MAX for each gateway, and since when."""

    count: int
    since: datetime | None
    """The oldest one's time; None if there is none."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in the whole database, at one time of it."""

    now: datetime
    due: Mapping[str, Waiting]
    """Rows whose look is overdue, by kind, since it was due."""
    set_aside: Mapping[str, Waiting]
    """Rows at which no core looks until they are released, by kind."""
    open_payments: Mapping[str, Waiting]
    """Payments without an outcome, by the state of their attempt, since their creation."""
    stops: Mapping[str, int]
    """Stops in force, by what they stop."""
    audit_since: datetime | None = None
    """Since when the oldest change waits for the sequencer of the audit trail; None: none waits."""


async def read_backlog(transaction: Transaction) -> Backlog:
    """Return what waits: queries on partial indexes, of the few stops, and of pending changes."""
    now = transaction.now
    rows = await transaction.connection.execute(
        union_all(
            *(_due(each, now) for each in TABLES.values()),
            *(_set_aside(each) for each in TABLES.values()),
        )
    )
    found: dict[str, dict[str, Waiting]] = {_DUE: {}, _SET_ASIDE: {}}
    for what, kind, count, since in rows.all():
        found[what][kind] = Waiting(count, since)
    attempts = await transaction.connection.execute(_open_payments())
    stopped = await transaction.connection.execute(_STOPS)
    audit_since = await transaction.connection.scalar(_AUDIT_SINCE)
    return Backlog(
        now,
        found[_DUE],
        found[_SET_ASIDE],
        dict.fromkeys(ATTEMPTS, Waiting(0, None))
        | {attempt: Waiting(count, since) for attempt, count, since in attempts.all()},
        dict.fromkeys(STOPPABLE, 0) | {row[0]: row[1] for row in stopped.all()},
        audit_since,
    )


def _due(due: DueTable, now: datetime) -> Select[str, str, int, Any]:
    """Return the query for how many rows of a table are due, and since when."""
    look_at = due.table.c[due.look_at]
    return _counted(_DUE, due, look_at, lambda lane: and_(lane, due.is_due(now)), due.lanes)


def _set_aside(due: DueTable) -> Select[str, str, int, Any]:
    """Return the query for how many rows of a table are set aside, and since when."""
    aside = due.table.c.set_aside_at
    return _counted(_SET_ASIDE, due, aside, lambda lane: and_(lane, aside.is_not(None)), ("",))


def _counted(
    what: str,
    due: DueTable,
    since: ColumnElement[datetime],
    condition: Callable[[ColumnElement[bool]], ColumnElement[bool]],
    lanes: Sequence[str],
) -> Select[str, str, int, Any]:
    oldest = [
        select(
            select(since.label("since"))
            .where(condition(due.table.c.gateway == lane if lane else true()))
            .order_by(since)
            .limit(COUNT_MAX)
            .subquery()
        )
        for lane in lanes
    ]
    rows = union_all(*oldest).subquery()
    return select(literal(what), literal(due.kind), func.count(), func.min(rows.c.since))


def _open_payments() -> Select[Any]:
    """Return the query for the payments without an outcome, by the state of their attempt.

    Those are looked at soon, so they are the first ones in the index by the next look.
    """
    lanes = [
        select(
            select(payments.c.attempt, payments.c.created_at)
            .where(
                payments.c.gateway == lane,
                payments.c.look_at.is_not(None),
                payments.c.set_aside_at.is_(None),
            )
            .order_by(payments.c.look_at)
            .limit(COUNT_MAX)
            .subquery()
        )
        for lane in PAYMENTS.lanes
    ]
    rows = union_all(*lanes).subquery()
    return (
        select(rows.c.attempt, func.count(), func.min(rows.c.created_at))
        .where(rows.c.attempt.is_not(None))
        .group_by(rows.c.attempt)
    )
