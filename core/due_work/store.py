"""SQL of due work, the same for each table that has it.

A row is due from `look_at`, unless it is set aside or leased. Partial indexes in
`core.database.schema` contain only the rows that wait for a look.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Table,
    and_,
    case,
    literal,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.sql.selectable import NamedFromClause

from core.database.schema import (
    GATEWAYS,
    payments,
    recurring_jobs,
    refunds,
    wallet_holds,
    webhook_events,
)
from core.database.transactions import Transaction
from core.due_work.rules import FAILED_LOOKS_MAX, DueRow, Failure, Key, pause_after

RELEASED: Final[Mapping[str, Any]] = {
    "set_aside_at": None,
    "set_aside_error": None,
    "failed_looks": 0,
}
"""Columns of a row that is not set aside."""
BUSINESSES_MAX: Final = 4_000
"""Businesses that one scan visits at most, also such that nothing of is due: about 0.1 s."""


@dataclass(frozen=True, slots=True)
class DueTable:
    """A table with due work."""

    kind: str
    table: Table
    look_at: str
    """Name of the column with the time of the next look."""
    id: str
    """Name of the column that identifies a row to people, within its business."""
    has_lanes: bool
    """Whether a look asks the gateway in the column `gateway`."""
    is_leased: bool
    """Whether a row may have a lease, until the end of which nobody else looks at it."""

    @property
    def lanes(self) -> Sequence[str]:
        """The gateways that looks ask, or one empty name."""
        return GATEWAYS if self.has_lanes else ("",)

    def is_key(self, key: Key) -> ColumnElement[bool]:
        """Return the condition that a row has this primary key."""
        columns = self.table.primary_key.columns
        return and_(*(column == value for column, value in zip(columns, key, strict=True)))

    def shown(self, key: Key) -> dict[str, str]:
        """Return what identifies a row in logs and reports."""
        values = dict(zip(self.table.primary_key.columns.keys(), key, strict=True))
        return {"kind": self.kind, "business_id": key[0], "id": values[self.id]}

    def is_due(self, now: datetime) -> ColumnElement[bool]:
        """Return the condition that a row is due, not set aside, and has no lease."""
        return _is_due(self, self.table, now)


PAYMENTS: Final = DueTable("payment", payments, "look_at", "payment_id", True, True)
EVENTS: Final = DueTable("webhook_event", webhook_events, "look_at", "event_id", True, False)
JOBS: Final = DueTable("recurring_job", recurring_jobs, "due_at", "recurring_id", False, True)
REFUNDS: Final = DueTable("refund", refunds, "look_at", "refund_id", True, True)
HOLDS: Final = DueTable("wallet_hold", wallet_holds, "look_at", "hold_id", False, False)
TABLES: Final = {each.kind: each for each in (PAYMENTS, EVENTS, JOBS, REFUNDS, HOLDS)}


@dataclass(frozen=True, slots=True)
class SetAside:
    """A row that is set aside."""

    kind: str
    business_id: str
    id: str
    error: str
    since: datetime


async def oldest_due(
    transaction: Transaction, due: DueTable, lanes: Sequence[str], limit: int
) -> list[DueRow]:
    """Return the longest due rows of each lane, up to `limit` of a lane, in one query."""
    queries = [
        select(
            select(*_columns(due, due.table))
            .where(_is_due(due, due.table, transaction.now), _is_in_lane(due, due.table, lane))
            .order_by(due.table.c[due.look_at])
            .limit(limit)
            .subquery()
        )
        for lane in lanes
    ]
    return [_due_row(row) for row in await transaction.connection.execute(union_all(*queries))]


async def due_of_businesses(
    transaction: Transaction, due: DueTable, lane: str, *, after: str, each: int, limit: int
) -> tuple[list[DueRow], str | None]:
    """Return the longest due rows of the businesses after one: `each` of one, `limit` in all.

    Also returns the business to continue after, or None if all were visited. The businesses are
    looked up in the index one after the other, so nobody's backlog is walked.
    """
    visited = _visited(due, lane, after)
    query = _visit_and_find(
        due, lane, visited, transaction.now, each, transaction.connection.dialect.name
    )
    rows = (await transaction.connection.execute(query.limit(limit))).all()
    last = max(rows, key=lambda row: row.number, default=None)
    is_cut = last is not None and (len(rows) == limit or last.number == BUSINESSES_MAX)
    found = [_due_row(row[2:]) for row in rows if row.look_at is not None]
    return found, last.visited_id if last is not None and is_cut else None


def _visited(due: DueTable, lane: str, after: str) -> CTE:
    """Return the businesses with rows that wait for a look, numbered from 1; the last is NULL."""
    table = due.table.alias("next_row")

    def next_after(business_id: ColumnElement[str]) -> Select[tuple[str]]:
        return (
            select(table.c.business_id)
            .where(
                table.c[due.look_at].is_not(None),
                table.c.set_aside_at.is_(None),
                _is_in_lane(due, table, lane),
                table.c.business_id > business_id,
            )
            .order_by(table.c.business_id)
            .limit(1)
        )

    first = next_after(literal(after)).scalar_subquery()
    visited = select(first.label("visited_id"), literal(1, Integer).label("number")).cte(
        "visited", recursive=True
    )
    following = next_after(visited.c.visited_id).correlate(visited).scalar_subquery()
    return visited.union_all(
        select(following, visited.c.number + 1).where(
            visited.c.visited_id.is_not(None), visited.c.number < BUSINESSES_MAX
        )
    )


def _visit_and_find(
    due: DueTable, lane: str, visited: CTE, now: datetime, each: int, dialect: str
) -> Select[Any]:
    """Return the query for `each` longest due rows of each visited business, at least one row."""
    inner = due.table.alias("of_business")
    is_chosen = and_(_is_in_lane(due, inner, lane), _is_due(due, inner, now))
    business_id, look_at = inner.c.business_id, inner.c[due.look_at]
    if dialect == "postgresql":
        # A range that holds one business. With `=`, and statistics of a time at which nearly all
        # rows were of one, PostgreSQL walks the index by time, through everybody's backlog.
        is_of_business = and_(
            business_id >= visited.c.visited_id,
            tuple_(business_id, look_at) <= tuple_(visited.c.visited_id, now),
        )
        lateral = (
            select(*_columns(due, inner))
            .where(is_of_business, is_chosen)
            .order_by(business_id, look_at)
            .limit(each)
            .lateral("found")
        )
        columns = [*lateral.c]
        joined = visited.outerjoin(lateral, true())
    else:  # it has no LATERAL
        longest_due = (
            select(_row_id(inner))
            .where(business_id == visited.c.visited_id, is_chosen)
            .order_by(look_at)
            .limit(each)
            .correlate(visited)
        )
        found = due.table.alias("found")
        columns = _columns(due, found)
        joined = visited.outerjoin(found, _row_id(found).in_(longest_due))
    return (
        select(visited.c.number, visited.c.visited_id, *columns)
        .select_from(joined)
        .where(visited.c.visited_id.is_not(None))
    )


def _row_id(table: NamedFromClause) -> ColumnElement[int]:
    """Return SQLite's own number of a row."""
    return literal_column(f"{table.name}.rowid", Integer)


def _is_due(due: DueTable, table: FromClause, now: datetime) -> ColumnElement[bool]:
    conditions = [table.c[due.look_at] <= now, table.c.set_aside_at.is_(None)]
    if due.is_leased:
        conditions.append(or_(table.c.leased_until.is_(None), table.c.leased_until <= now))
    return and_(*conditions)


def _is_in_lane(due: DueTable, table: FromClause, lane: str) -> ColumnElement[bool]:
    return table.c.gateway == lane if due.has_lanes else true()


def _columns(due: DueTable, table: FromClause) -> list[ColumnElement[Any]]:
    lane = table.c.gateway if due.has_lanes else literal("")
    key = [
        table.c[column.name].label(f"key_{n}")
        for n, column in enumerate(due.table.primary_key.columns)
    ]
    return [lane.label("lane"), table.c[due.look_at].label("look_at"), *key]


def _due_row(row: Sequence[Any]) -> DueRow:
    lane, look_at, *key = row
    return DueRow(tuple(key), lane, look_at)


async def record_failure(
    transaction: Transaction, due: DueTable, key: Key, failure: Failure, error: str
) -> bool:
    """Put a row off, or set it aside, after a look that failed; return whether it is set aside.

    Does nothing if the row waits for no look any more.
    """
    has_checks = "checks" in due.table.c
    checks = due.table.c.checks if has_checks else literal(0)
    rows = await transaction.connection.execute(
        select(due.table.c[due.look_at], checks, due.table.c.failed_looks)
        .where(
            due.is_key(key),
            due.table.c[due.look_at].is_not(None),
            due.table.c.set_aside_at.is_(None),
        )
        .with_for_update()
    )
    if (row := rows.one_or_none()) is None:
        return False
    look_at, looks, failed_looks = row
    now = transaction.now
    columns: dict[str, Any]
    is_aside = failure is Failure.PERMANENT
    if failure is Failure.UNEXPECTED:
        failed_looks += 1
        is_aside = failed_looks >= FAILED_LOOKS_MAX
        until = now + pause_after(failed_looks - 1)
        columns = {"failed_looks": failed_looks, due.look_at: max(look_at, until)}
    elif look_at > now:
        columns = {}  # the look put it off itself
    else:
        columns = {due.look_at: now + pause_after(looks)}
        columns |= {"checks": looks + 1} if has_checks else {}
    if is_aside:
        columns |= {"set_aside_at": now, "set_aside_error": error}
    if columns:
        await transaction.connection.execute(
            update(due.table).where(due.is_key(key)).values(columns)
        )
    return is_aside


async def release(transaction: Transaction, due: DueTable, row: tuple[str, str]) -> bool:
    """Make a row due now if it is set aside, and return whether it was.

    `row` is its business and its id.
    """
    business_id, row_id = row
    look_at = due.table.c[due.look_at]
    now = transaction.now
    result = await transaction.connection.execute(
        update(due.table)
        .where(
            due.table.c.business_id == business_id,
            due.table.c[due.id] == row_id,
            due.table.c.set_aside_at.is_not(None),
        )
        .values({due.look_at: case((look_at > now, now), else_=look_at), **RELEASED})
    )
    return result.rowcount > 0


async def set_aside(transaction: Transaction, due: DueTable, key: Key) -> SetAside | None:
    """Return a row as it is set aside, or None if it is not."""
    rows = await transaction.connection.execute(_set_aside_rows(due).where(due.is_key(key)))
    row = rows.one_or_none()
    return SetAside(*row) if row else None


async def all_set_aside(transaction: Transaction, limit: int) -> list[SetAside]:
    """Return rows that are set aside, the first one first."""
    queries = [
        select(_set_aside_rows(each).order_by(each.table.c.set_aside_at).limit(limit).subquery())
        for each in TABLES.values()
    ]
    rows = await transaction.connection.execute(union_all(*queries).order_by("since").limit(limit))
    return [SetAside(*row) for row in rows]


def _set_aside_rows(due: DueTable) -> Select[Any]:
    """Return the query for all rows of a table that are set aside."""
    return select(
        literal(due.kind).label("kind"),
        due.table.c.business_id,
        due.table.c[due.id].label("id"),
        due.table.c.set_aside_error.label("error"),
        due.table.c.set_aside_at.label("since"),
    ).where(due.table.c.set_aside_at.is_not(None))
