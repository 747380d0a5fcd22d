"""How the doctor asks: a table piece by piece, and of each piece the rows that are wrong.

The questions themselves are in `ledger_store`, `payments_store`, `recurring_store` and
`records_store`. Each is one query that names its rows and says in a column `problem` what is wrong
with one, NULL where nothing is. It only reads, and reads of a table that is walked no more than the
piece.
"""

from collections.abc import Callable, Collection
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
    select,
    text,
)

from core.database.schema import wallets
from core.database.transactions import Transaction
from core.doctor.rules import Row, Tally, bundles

PIECE_ROWS = 2000
PIECE_WALLETS = 200
"""How much of a table one transaction reads: a wallet brings its whole history along."""


Walked = Table


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a table: whole businesses in their order, or of one the keys up to a key.

    Equality with one business, or a range of them, lets either database take the table's own index;
    it did not where a piece was bounded by pairs of business and key.
    """

    first: str
    last: str
    after: str | None = None
    """The second column of the table's key, where the piece before ended."""
    upto: str | None = None

    def holds(self, business_id: Column[Any], key: Column[Any]) -> ColumnElement[bool]:
        """Return the condition that a row is in the piece."""
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
    """What a question is asked about: a piece of the table that it walks, at the time `now`."""

    now: datetime
    piece: Piece | None = None
    key_ids: Collection[str] = field(default=())
    """The ids of the keyring's keys."""

    def holds(self, business_id: Column[Any], key: Column[Any]) -> ColumnElement[bool]:
        """Return the condition that a row is in the piece, by a key or an index that begins so."""
        assert self.piece is not None, "a question that walks a table is asked about a piece"
        return self.piece.holds(business_id, key)


@dataclass(frozen=True, slots=True)
class Question:
    """A query for rows that are wrong."""

    ask: Callable[[Scope], Select[Any]]
    walks: Table | None = None
    """The table that it is asked about piece by piece; None: it is quick, by an index."""
    adds_up: bool = False
    """Whether it gives sums, in its last column, which must be zero over all pieces together."""


def problem(*cases: tuple[ColumnElement[bool], str]) -> Label[Any]:
    """Return the column that says what is wrong with a row: the first case that holds, or NULL."""
    return case(*cases).label("problem")


async def open_pieces(transaction: Transaction, table: Table) -> list[Piece]:
    """Return the table's pieces; one that is a single business may have to be cut further."""
    business_id = next(iter(table.primary_key.columns))
    rows = await transaction.connection.execute(
        select(business_id, func.count()).group_by(business_id).order_by(business_id)
    )
    found = bundles(((row[0], row[1]) for row in rows), _piece_rows(table))
    return [Piece(first, last) for first, last in found]


async def end_of_piece(transaction: Transaction, table: Table, piece: Piece) -> str | None:
    """Return the key that ends the first piece of an open one; None: it is small enough."""
    if piece.first != piece.last:
        return None
    business_id, key = tuple(table.primary_key.columns)[:2]
    rows = await transaction.connection.execute(
        select(key)
        .where(piece.holds(business_id, key))
        .order_by(key)
        .offset(_piece_rows(table) - 1)
        .limit(1)
    )
    upto: str | None = rows.scalar_one_or_none()
    return upto


def _piece_rows(table: Table) -> int:
    return PIECE_WALLETS if table is wallets else PIECE_ROWS


async def ask(transaction: Transaction, question: Question, scope: Scope, tally: Tally) -> None:
    """Ask a question about a piece, and add what it finds to the tally."""
    if question.adds_up:
        for row in await transaction.connection.execute(question.ask(scope)):
            *named, amount_minor = row._mapping.items()  # noqa: SLF001 - its name in SQLAlchemy
            tally.add_up(_shown(dict(named)), int(amount_minor[1]))
        return
    found = question.ask(scope).subquery()
    rows = (
        await transaction.connection.execute(
            select(func.count().over().label("total"), *found.c)
            .where(found.c.problem.is_not(None))
            .order_by(*list(found.c)[:2])
            .limit(max(1, tally.limit - len(tally.rows)))  # one at least tells how many there are
        )
    ).all()
    if rows:
        named_rows = [dict(row._mapping) for row in rows]  # noqa: SLF001 - likewise
        tally.add(named_rows[0]["total"], [_shown(row) for row in named_rows])


def _shown(row: dict[str, Any]) -> Row:
    """Return what is told of a row: what it has, as text."""
    return {
        name: f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        if isinstance(value, datetime)
        else str(value)
        for name, value in row.items()
        if value is not None and name != "total"
    }


async def database_clock(transaction: Transaction) -> datetime:
    """Return what PostgreSQL's own clock shows."""
    told = await transaction.connection.scalar(text("SELECT clock_timestamp()"))
    assert isinstance(told, datetime), "the database tells the time"
    return told
