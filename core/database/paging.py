"""Reads pages of lists, newest first; a page of a long list costs as much as one of a short list.

An index has the columns of the list's filter, then its order. Where a filter on a column with few
words (`status`, `gateway`) is not given, the page merges one range of the index for each word: so
one index serves every combination of these filters.

The list of the resources with a pair of metadata has an index that is a table, of all resources.

`total` is exact up to COUNTED_MAX. A longer list has an estimate, because counting it would take
longer than reading the page.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import product
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    CTE,
    ClauseElement,
    Column,
    ColumnElement,
    Executable,
    FromClause,
    Integer,
    Select,
    String,
    Table,
    TextClause,
    and_,
    bindparam,
    column,
    func,
    literal_column,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.ext.compiler import compiles

from core.database.cursors import Position, Value, read_cursor, write_cursor
from core.database.schema import UtcDateTime, metadata_pairs
from core.database.transactions import Transaction
from core.errors import InvalidFields

DEFAULT_LIMIT = 25
COUNTED_MAX = 10_000
"""The largest total that is counted."""
PASSED_MAX = 1_000_000
"""How many rows a page number can pass over in a list that is not counted, in one range."""
MERGED_PASSED_MAX = 100_000
"""The same where ranges are merged, because all of these rows are sorted."""

_LARGEST_TOTAL = 2**31 - 1
_ONE = literal_column("1", Integer)

Row = TypeVar("Row")
Words = Mapping[Column[Any], Sequence[str]]
"""Columns with few values, and all their values."""
_Condition = ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A page of a list; both dates are inclusive.

    `page` counts from 1. With a `cursor` it is 1, and means nothing.
    """

    page: int = 1
    limit: int = DEFAULT_LIMIT
    from_date: datetime | None = None
    to_date: datetime | None = None
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """A page, and the number of rows on all pages."""

    rows: list[Row]
    total: int
    total_is_estimate: bool
    next_cursor: str | None
    """None on the last page."""


@dataclass(frozen=True, slots=True)
class PagedList(Generic[Row]):
    """A list of rows of a table."""

    name: str
    columns: Sequence[Column[Any]]
    row: Callable[..., Row]
    """Makes a row of the values of the columns."""
    key: Sequence[Column[Any]]
    """Unique columns, which every index of the list contains."""
    moment: Column[datetime]
    """The time that dates restrict."""
    order: Sequence[Column[Any]]
    """Newest first."""
    only: Sequence[_Condition | TextClause] = ()
    """Which rows of the table are in the list."""

    @property
    def table(self) -> Table:
        """The table."""
        table = self.moment.table
        assert isinstance(table, Table), "a list is of a table's columns"
        return table

    async def read_with_pair(
        self, transaction: Transaction, page: PageRequest, *, business_id: str, digest: str
    ) -> Page[Row]:
        """Return a page of the rows with a pair of metadata, by its `core.metadata.digest_of`.

        Raises:
            InvalidFields: as `read` does.
        """
        pairs = metadata_pairs.c
        index = _Index(
            metadata_pairs,
            key=(pairs.business_id, pairs.resource_id),
            moment=pairs.created_at,
            order=(pairs.created_at, pairs.resource_id),
        )
        equal = [pairs.business_id == business_id, pairs.digest == digest]
        return await _Query(self, index, equal, {}, page).run(
            transaction, self._scope(page, {"business_id": business_id, "metadata": digest})
        )

    async def read(
        self,
        transaction: Transaction,
        page: PageRequest,
        *,
        equal: Mapping[Column[Any], str | None],
        words: Words | None = None,
        within: Sequence[_Condition] = (),
    ) -> Page[Row]:
        """Return a page of the rows with these values; None is any.

        `equal` contains the business. `words` are the columns with few values that the index has
        before the order. `within` must follow from `equal` and the dates.

        Raises:
            InvalidFields: the cursor is not of this list, or the page is too far.
        """
        given = {each: value for each, value in equal.items() if value is not None}
        query = _Query(
            self,
            _Index(self.table, self.key, self.moment, self.order),
            [*self.only, *within, *(each == value for each, value in given.items())],
            {each: every for each, every in (words or {}).items() if each not in given},
            page,
        )
        return await query.run(
            transaction, self._scope(page, {each.name: value for each, value in given.items()})
        )

    def _scope(self, page: PageRequest, given: Mapping[str, str]) -> str:
        """Return the text of the list and its filter."""
        dates = (date and date.isoformat() for date in (page.from_date, page.to_date))
        return json.dumps([self.name, given, *dates])


@dataclass(frozen=True, slots=True)
class _Index:
    """Columns that an index has, each in place of the list's one: of its table, or of another."""

    table: Table
    key: Sequence[Column[Any]]
    moment: Column[datetime]
    order: Sequence[Column[Any]]


@dataclass(frozen=True, slots=True)
class _Query(Generic[Row]):
    """One reading of a page."""

    of: PagedList[Row]
    index: _Index
    conditions: Sequence[_Condition | TextClause]
    words: Words
    page: PageRequest

    async def run(self, transaction: Transaction, scope: str) -> Page[Row]:
        """Return the page; `scope` is the text of the list and its filter."""
        limit, position = self.page.limit, self._position(scope)
        passed = position.passed if position else (self.page.page - 1) * limit
        estimate = position.total if position else None
        counted = 0
        if estimate is None:
            counted = await transaction.connection.scalar(self._counted(transaction)) or 0
            if counted > COUNTED_MAX:
                estimate = max(counted, await self._estimated(transaction))
        if position is None:
            if estimate is None and passed >= counted:
                return Page([], counted, False, None)
            most = MERGED_PASSED_MAX if self.words else PASSED_MAX
            if passed > most:
                raise InvalidFields.of("page", f"is beyond {most:,} rows: use cursor")
        found = await transaction.connection.execute(
            self._rows(transaction, position.after if position else None, passed)
        )
        rows = [tuple(row) for row in found]
        is_last, rows = len(rows) <= limit, rows[:limit]
        passed += len(rows)
        cursor, width = None, len(self.of.order)
        if not is_last:
            cursor = write_cursor(scope, Position(rows[-1][:width], passed, estimate))
        shown = [self.of.row(*row[width:]) for row in rows]
        if estimate is None:
            return Page(shown, counted, False, cursor)
        if is_last:
            # A page with rows ends the list there. An empty one is beyond its end.
            is_exact = position is None and bool(rows)
            return Page(shown, passed if rows else min(estimate, passed), not is_exact, None)
        return Page(shown, max(estimate, passed + 1), True, cursor)

    def _position(self, scope: str) -> Position | None:
        if self.page.cursor is None:
            return None
        kinds = [
            datetime if isinstance(each.type, UtcDateTime) else each.type.python_type
            for each in self.of.order
        ]
        try:
            return read_cursor(scope, self.page.cursor, kinds)
        except ValueError:
            raise InvalidFields.of(
                "cursor", "is not a next_cursor of this list with the same filters"
            ) from None

    def _restricted(self) -> list[_Condition | TextClause]:
        """Return the conditions, with the dates."""
        conditions = list(self.conditions)
        if self.page.from_date is not None:
            conditions.append(self.index.moment >= self.page.from_date)
        if self.page.to_date is not None:
            conditions.append(self.index.moment <= self.page.to_date)
        return conditions

    def _counted(self, transaction: Transaction) -> Select[Any]:
        """Return the query of the number of rows, up to one more than COUNTED_MAX.

        The order makes PostgreSQL use the index of the list. It starts with the oldest, which
        vacuum has visited, so that no row is read.
        """
        query = select(_ONE).where(*self._restricted()).order_by(*self.index.order)
        query = query.limit(COUNTED_MAX + 1)
        if self.words:
            each = self._each_range()
            query = query.where(*self._in_range(each))
            if _is_postgresql(transaction):
                query = select(_ONE).select_from(each.join(query.lateral(), true()))
            else:
                query = query.select_from(each.join(self.index.table, true())).order_by(None)
            query = query.limit(COUNTED_MAX + 1)
        return select(func.count()).select_from(query.subquery())

    async def _estimated(self, transaction: Transaction) -> int:
        """Return PostgreSQL's estimate of the number of rows; SQLite has none, so 0."""
        if not _is_postgresql(transaction):
            return 0
        query = select(_ONE).where(*self._restricted())
        plan = await transaction.connection.scalar(_Explained(query.select_from(self.index.table)))
        return min(int(json.loads(plan)[0]["Plan"]["Plan Rows"]), _LARGEST_TOTAL)

    def _rows(
        self, transaction: Transaction, after: tuple[Value, ...] | None, passed: int
    ) -> Select[Any]:
        """Return the query of the page's rows and of one more, each with the order's values first.

        It finds the keys in the index, and then reads the rows of the page only.
        """
        of, index = self.of, self.index
        limit, offset = self.page.limit + 1, passed if after is None else 0
        conditions = self._restricted()
        if after is not None:
            conditions.append(_precedes(index.order, after))
        newest_first = [each.desc() for each in index.order]
        keys = select(*dict.fromkeys([*index.order, *index.key]))
        if not self.words:
            found = keys.where(*conditions).order_by(*newest_first).limit(limit).offset(offset)
        else:
            each = self._each_range()
            conditions += self._in_range(each)
            # A range may have all rows of the page, and all that it passes over.
            in_range = keys.where(*conditions).order_by(*newest_first).limit(limit + offset)
            found = _merged(transaction, in_range, each, of).limit(limit).offset(offset)
        key, shown = found.subquery(), _alias(of.table, "shown")
        return (
            select(
                *(shown.c[each.name] for each in of.order),
                *(shown.c[each.name] for each in of.columns),
            )
            .select_from(
                key.join(
                    shown,
                    and_(
                        *(
                            shown.c[each.name] == key.c[indexed.name]
                            for each, indexed in zip(of.key, index.key, strict=True)
                        )
                    ),
                )
            )
            .order_by(*(shown.c[each.name].desc() for each in of.order))
        )

    def _each_range(self) -> CTE:
        """Return a table of all combinations of the words.

        It is text, because SQLAlchemy compiles its own VALUES anew for each call. Both databases
        name the columns so.
        """
        quoted = ([f"'{word}'" for word in words] for words in self.words.values())
        rows = ", ".join(f"({', '.join(row)})" for row in product(*quoted))
        names = [column(f"column{number + 1}", String) for number in range(len(self.words))]
        return text(f"VALUES {rows}").columns(*names).cte("every")

    def _in_range(self, each: CTE) -> list[_Condition]:
        return [word == value for word, value in zip(self.words, each.c, strict=True)]


def _merged(
    transaction: Transaction, in_range: Select[Any], each: CTE, of: PagedList[Any]
) -> Select[Any]:
    """Return the query of the first rows of all ranges, newest first."""
    if _is_postgresql(transaction):
        branch = in_range.lateral()
        merged = select(branch).select_from(each.join(branch, true()))
        return merged.order_by(*(branch.c[column.name].desc() for column in of.order))
    # SQLite has no LATERAL, but finds rows by their number.
    row = _alias(of.table, "found")
    number = literal_column(f"{of.table.name}.rowid", Integer)
    numbers = in_range.with_only_columns(number).correlate(each)
    merged = select(*(row.c[column.name] for column in in_range.selected_columns)).select_from(
        each.join(row, literal_column("found.rowid", Integer).in_(numbers))
    )
    return merged.order_by(*(row.c[column.name].desc() for column in of.order))


@cache
def _alias(table: Table, name: str) -> FromClause:
    return table.alias(name)  # with all its columns, which takes as long as all of the rest


def _precedes(order: Sequence[Column[Any]], after: tuple[Value, ...]) -> _Condition:
    bound = [
        bindparam(None, value, type_=each.type) for each, value in zip(order, after, strict=True)
    ]
    return order[0] < bound[0] if len(order) == 1 else tuple_(*order) < tuple_(*bound)


def _is_postgresql(transaction: Transaction) -> bool:
    return transaction.connection.dialect.name == "postgresql"


class _Explained(Executable, ClauseElement):
    """The plan of a query."""

    inherit_cache = False

    def __init__(self, query: Select[Any]) -> None:
        self.query = query


@compiles(_Explained, "postgresql")
def _explain(element: _Explained, compiler: Any, **options: Any) -> str:
    return "EXPLAIN (FORMAT JSON) " + str(compiler.process(element.query, **options))
