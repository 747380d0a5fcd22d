"""Statements over a whole set of rows: as many of them for one row as for thousands.

PostgreSQL is handed one array for each column, so that the statement is the same for any number of
rows and is prepared once; SQLite, which is in this process, the rows one by one inside one call of
its driver. Neither has a number of rows at which it must be split. The statements are built once,
where they are declared: building one costs as much as carrying it out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Select,
    Subquery,
    Table,
    and_,
    bindparam,
    func,
    insert,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

Row = Mapping[str, Any]
"""Values by the names of their columns."""
Result = CursorResult[*tuple[Any, ...]]


class BulkInsert:
    """Inserts rows that have a value for every column of a table."""

    def __init__(self, table: Table) -> None:
        """Insert into `table`."""
        self._names = table.columns.keys()
        self._of_arrays = insert(table).from_select(
            self._names, select(_arrays(table, self._names))
        )
        self._of_rows = insert(table)

    async def execute(self, connection: AsyncConnection, rows: Sequence[Row]) -> None:
        """Insert the rows, of which there is at least one.

        Raises:
            IntegrityError: one of them breaks a constraint.
        """
        if _worth_arrays(connection, rows):
            await connection.execute(self._of_arrays, _as_arrays(self._names, rows))
        else:
            await connection.execute(self._of_rows, rows)


class BulkUpdate:
    """Gives the rows that have certain keys their new values."""

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

    async def execute(self, connection: AsyncConnection, rows: Sequence[Row]) -> None:
        """Update the rows, at least one, whose keys differ and are all there.

        Raises:
            IntegrityError: one of them breaks a constraint.
        """
        if _worth_arrays(connection, rows):
            result = await connection.execute(self._of_arrays, _as_arrays(self._names, rows))
        else:
            named = [{f"row_{name}": row[name] for name in self._names} for row in rows]
            result = await connection.execute(self._of_rows, named)
        assert result.rowcount == len(rows), "every row to update is there, once"


class BulkSelect:
    """Asks a query for the rows that have certain keys."""

    def __init__(
        self, query: Select[*tuple[Any, ...]], table: Table, *, key: Sequence[str]
    ) -> None:
        """Add to `query` that the `key` columns of `table` are among those asked for."""
        self._names = key
        self._of_arrays = query.where(_equal(table, key, dict(_arrays(table, key).c.items())))
        keys: Any = bindparam("keys", expanding=True)
        self._of_keys = query.where(tuple_(*(table.c[name] for name in key)).in_(keys))

    async def execute(self, connection: AsyncConnection, keys: Sequence[Sequence[Any]]) -> Result:
        """Return the rows; a key that is not there has none."""
        if connection.dialect.name != "postgresql":
            return await connection.execute(self._of_keys, {"keys": keys})
        rows = [dict(zip(self._names, key, strict=True)) for key in keys]
        return await connection.execute(self._of_arrays, _as_arrays(self._names, rows))


def _worth_arrays(connection: AsyncConnection, rows: Sequence[Row]) -> bool:
    assert rows, "a statement over no row would still do something"
    # A single row is the most frequent set, and PostgreSQL plans the plain statement faster.
    return len(rows) > 1 and connection.dialect.name == "postgresql"


def _arrays(table: Table, names: Sequence[str]) -> Subquery:
    return select(
        *(
            func.unnest(bindparam(f"row_{name}", type_=ARRAY(table.c[name].type))).label(name)
            for name in names
        )
    ).subquery("rows")


def _equal(table: Table, key: Sequence[str], values: Mapping[str, Any]) -> ColumnElement[bool]:
    return and_(*(table.c[name] == values[name] for name in key))


def _as_arrays(names: Sequence[str], rows: Sequence[Row]) -> dict[str, list[Any]]:
    return {f"row_{name}": [row[name] for row in rows] for name in names}
