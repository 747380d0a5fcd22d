"""Bulk statements: one statement for any number of rows.

PostgreSQL gets one array for each column, so that the statement is prepared once; SQLite gets the
rows with executemany. Neither limits the number of rows. Statements are built once, where they are
declared, because building one takes as long as executing it.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    Subquery,
    Table,
    and_,
    bindparam,
    func,
    insert,
    select,
    text,
    tuple_,
    update,
)

from core.database.bulk_rows import array_of
from core.database.connections import Connection
from core.database.results import Rows

Row = Mapping[str, Any]
"""Values by column name."""
Result = Rows[*tuple[Any, ...]]


class BulkInsert:
    """Inserts rows that have a value for every column of a table."""

    def __init__(self, table: Table) -> None:
        """Insert into `table`."""
        self._names = table.columns.keys()
        self._of_arrays = insert(table).from_select(
            self._names, select(_arrays(table, self._names))
        )
        self._of_rows = insert(table)

    async def execute(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Insert the rows, of which there is at least one.

        Raises:
            IntegrityError: a row violates a constraint.
        """
        if _uses_arrays(connection, rows):
            await connection.execute(self._of_arrays, _as_arrays(self._names, rows))
        else:
            await connection.execute(self._of_rows, rows)


class BulkUpdate:
    """Updates rows by their keys."""

    def __init__(self, table: Table, *, key: Sequence[str], changed: Sequence[str]) -> None:
        """Find rows of `table` by the `key` columns and write the `changed` ones."""
        self._names = [*key, *changed]
        arrays = _arrays(table, self._names)
        self._of_arrays = (
            update(table)
            .where(_equal(table, key, dict(arrays.c.items())))
            .values({name: arrays.c[name] for name in changed})
        )
        parameters = {
            name: bindparam(f"row_{name}", type_=table.c[name].type) for name in self._names
        }
        self._of_rows = (
            update(table)
            .where(_equal(table, key, parameters))
            .values({name: parameters[name] for name in changed})
        )

    async def execute(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Update the rows, at least one. Their keys are distinct and exist.

        Raises:
            IntegrityError: a row violates a constraint.
        """
        if _uses_arrays(connection, rows):
            result = await connection.execute(self._of_arrays, _as_arrays(self._names, rows))
        else:
            named = [{f"row_{name}": row[name] for name in self._names} for row in rows]
            result = await connection.execute(self._of_rows, named)
        assert result.rowcount == len(rows), "every row exists, once"


class BulkSelect:
    """Selects rows by their keys."""

    def __init__(
        self, query: Select[*tuple[Any, ...]], table: Table, *, key: Sequence[str]
    ) -> None:
        """Restrict `query` by the `key` columns of `table`."""
        self._names = key
        self._of_arrays = query.where(_equal(table, key, dict(_arrays(table, key).c.items())))
        self._of_keys = query.where(_is_listed([table.c[name] for name in key]))

    async def execute(self, connection: Connection, keys: Sequence[Sequence[Any]]) -> Result:
        """Return the rows that exist."""
        if connection.dialect.name != "postgresql":
            return await connection.execute(self._of_keys, {"keys": keys})
        rows = [dict(zip(self._names, key, strict=True)) for key in keys]
        return await connection.execute(self._of_arrays, _as_arrays(self._names, rows))


def one_of(
    connection: Connection, columns: Sequence[Column[Any]], keys: Collection[Sequence[Any]]
) -> ColumnElement[bool]:
    """Return the condition that a row has one of these keys.

    Both databases look it up, by a text that PostgreSQL prepares once.
    """
    if connection.dialect.name == "postgresql":
        arrays = (
            bindparam(None, [key[place] for key in keys], array_of(column.type))
            for place, column in enumerate(columns)
        )
        return tuple_(*columns).in_(select(*map(func.unnest, arrays)))
    return _is_listed(columns, list(keys))


def _is_listed(
    columns: Sequence[Column[Any]], keys: Sequence[Sequence[Any]] | None = None
) -> ColumnElement[bool]:
    """Return SQLite's condition that a row has one of `keys`, or of the parameter `keys`.

    SQLite looks rows up by the result of a query. By a list of values it would read the whole
    table, also where its optimizer turns the query into one; a limit keeps it from that.
    """
    key = tuple_(*columns)
    listed: Any = bindparam("keys", keys, key.type, expanding=True, required=keys is None)
    query: Any = select(text("*")).select_from(text(":keys").bindparams(listed))
    return key.in_(query.limit(-1))


def _uses_arrays(connection: Connection, rows: Sequence[Row]) -> bool:
    assert rows, "a statement for no rows would still run"
    # PostgreSQL plans the plain statement faster for a single row, which is the most frequent case.
    return len(rows) > 1 and connection.dialect.name == "postgresql"


def _arrays(table: Table, names: Sequence[str]) -> Subquery:
    return select(
        *(
            func.unnest(bindparam(f"row_{name}", type_=array_of(table.c[name].type))).label(name)
            for name in names
        )
    ).subquery("rows")


def _equal(table: Table, key: Sequence[str], values: Mapping[str, Any]) -> ColumnElement[bool]:
    return and_(*(table.c[name] == values[name] for name in key))


def _as_arrays(names: Sequence[str], rows: Sequence[Row]) -> dict[str, list[Any]]:
    return {f"row_{name}": [row[name] for row in rows] for name in names}
