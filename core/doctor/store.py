"""Runs the doctor's queries: large tables chunk by chunk, in short transactions.

The queries are in `ledger_store`, `payments_store`, `recurring_store` and `records_store`. Each
selects rows with a column `problem`, which says what is wrong with a row or is NULL. A query of a
chunked table reads only the rows of its chunk.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Label,
    Select,
    Table,
    and_,
    case,
    func,
    literal,
    select,
    text,
)

from core.database.schema import wallets
from core.database.transactions import Transaction
from core.doctor.rules import Row, Tally, group_businesses

CHUNK_ROWS = 2000
CHUNK_WALLETS = 200
"""Rows of a table in one transaction. Fewer wallets, because each is read with its history."""

RELEASE_END = " --reason TEXT"
"""End of a command that releases what is set aside."""

ChunkedTable = Table


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a table: a range of whole businesses, or a range of keys of one business.

    Both databases use the table's index for equality with one business, or a range of businesses;
    they did not for pairs of business and key.
    """

    first: str
    last: str
    after: str | None = None
    """Last key of the previous chunk, in the second column of the primary key."""
    upto: str | None = None

    def contains(self, business_id: Column[Any], key: Column[Any]) -> ColumnElement[bool]:
        """Return the condition that a row is in the chunk."""
        if self.first != self.last:
            return business_id.between(self.first, self.last)
        conditions = [business_id == self.first]
        if self.after is not None:
            conditions.append(key > self.after)
        if self.upto is not None:
            conditions.append(key <= self.upto)
        return and_(*conditions)


@dataclass(frozen=True, slots=True)
class Scope:
    """Parameters of a query: the time, the chunk, and the ids of the keyring's keys."""

    now: datetime
    chunk: Chunk | None = None
    key_ids: Collection[str] = field(default=())

    def contains(self, business_id: Column[Any], key: Column[Any]) -> ColumnElement[bool]:
        """Return the condition that a row is in the chunk, by two columns that begin an index."""
        assert self.chunk is not None, "a query of a chunked table has a chunk"
        return self.chunk.contains(business_id, key)


@dataclass(frozen=True, slots=True)
class Query:
    """A query for rows that break an invariant."""

    build: Callable[[Scope], Select[Any]]
    table: ChunkedTable | None = None
    """The table that is read chunk by chunk; None: the query is fast, by an index."""
    is_sum: bool = False
    """Whether the last column is a sum that must be zero over all chunks."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Reads rows that break an invariant which SQL cannot express."""

    read: Callable[[Transaction, Scope], Awaitable[Sequence[Mapping[str, Any]]]]
    table: ChunkedTable


def problem(*cases: tuple[ColumnElement[bool], str]) -> Label[Any]:
    """Return the column `problem`: the text of the first condition that is true, or NULL."""
    return case(*cases).label("problem")


def command(begin: str, row_id: Column[Any], end: str = "") -> Label[Any]:
    """Return the column `command`: the operator's command that helps, about the row."""
    return (literal(f"nivisco {begin} ") + row_id + end).label("command")


async def open_chunks(transaction: Transaction, table: ChunkedTable) -> list[Chunk]:
    """Return the chunks of a table. A chunk of a single business may be too large."""
    business_id = next(iter(table.primary_key.columns))
    rows = await transaction.connection.execute(
        select(business_id, func.count()).group_by(business_id).order_by(business_id)
    )
    groups = group_businesses(((row[0], row[1]) for row in rows), _chunk_rows(table))
    return [Chunk(first, last) for first, last in groups]


async def end_of_chunk(transaction: Transaction, table: ChunkedTable, chunk: Chunk) -> str | None:
    """Return the last key of the first part of a chunk, or None if it need not be split."""
    if chunk.first != chunk.last:
        return None
    business_id, key = tuple(table.primary_key.columns)[:2]
    rows = await transaction.connection.execute(
        select(key)
        .where(chunk.contains(business_id, key))
        .order_by(key)
        .offset(_chunk_rows(table) - 1)
        .limit(1)
    )
    upto: str | None = rows.scalar_one_or_none()
    return upto


def _chunk_rows(table: ChunkedTable) -> int:
    return CHUNK_WALLETS if table is wallets else CHUNK_ROWS


async def run(
    transaction: Transaction, query: Query | Comparison, scope: Scope, tally: Tally
) -> None:
    """Run a query and add its rows to the tally."""
    if isinstance(query, Comparison):
        add_problems(tally, await query.read(transaction, scope))
        return
    if query.is_sum:
        for row in await transaction.connection.execute(query.build(scope)):
            *named, amount_minor = row._mapping.items()  # noqa: SLF001 - its name in SQLAlchemy
            tally.add_to_sum(_shown(dict(named)), int(amount_minor[1]))
        return
    found = query.build(scope).subquery()
    rows = (
        await transaction.connection.execute(
            select(func.count().over().label("total"), *found.c)
            .where(found.c.problem.is_not(None))
            .order_by(*list(found.c)[:2])
            .limit(max(1, tally.limit - len(tally.rows)))  # at least one, which has the total
        )
    ).all()
    if rows:
        named_rows = [dict(row._mapping) for row in rows]  # noqa: SLF001 - likewise
        tally.add(named_rows[0]["total"], [_shown(row) for row in named_rows])


def add_problems(tally: Tally, problems: Sequence[Mapping[str, Any]]) -> None:
    """Add rows that break an invariant to the tally."""
    tally.add(len(problems), [_shown(each) for each in problems])


def _shown(row: Mapping[str, Any]) -> Row:
    """Return the columns of a row as text, without those that are NULL."""
    return {
        name: f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        if isinstance(value, datetime)
        else str(value)
        for name, value in row.items()
        if value is not None and name != "total"
    }


async def database_clock(transaction: Transaction) -> datetime:
    """Return the time of PostgreSQL's own clock."""
    now = await transaction.connection.scalar(text("SELECT clock_timestamp()"))
    assert isinstance(now, datetime), "clock_timestamp() is a time"
    return now
