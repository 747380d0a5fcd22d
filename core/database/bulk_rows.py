"""Rows as the parameters of one statement, which may read or write several tables with them."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import (
    BindParameter,
    FromClause,
    String,
    Table,
    Text,
    bindparam,
    column,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

Row = Mapping[str, Any]
"""Values by column name."""


def array_of(kind: Any) -> ARRAY[Any]:
    """Return the type of an array of such values.

    Texts in it have no length: the cast to one would cut them silently, where a column refuses.
    """
    return ARRAY(String() if isinstance(kind, String) else kind)


def types_of(table: Table, *names: str) -> dict[str, Any]:
    """Return the types of a table's columns, by default of all."""
    return {name: table.c[name].type for name in names or table.columns.keys()}


class BulkRows:
    """Rows of a statement's parameters.

    On PostgreSQL each column is an array, so that one text serves any number of rows. On SQLite the
    rows are JSON, or the statement is executed for each.
    """

    def __init__(self, name: str, types: Mapping[str, Any]) -> None:
        """Have columns of `types`. The names of the parameters begin with `name`."""
        self._name = name
        self._types = types

    def arrays(self) -> FromClause:
        """Return the rows to select from, on PostgreSQL."""
        arrays = (
            bindparam(f"{self._name}_{name}", type_=array_of(kind))
            for name, kind in self._types.items()
        )
        columns = (column(name, kind) for name, kind in self._types.items())
        return func.unnest(*arrays).table_valued(*columns).render_derived(name=self._name)

    def as_arrays(self, rows: Collection[Row]) -> dict[str, Any]:
        """Return the parameters of `arrays`."""
        return {f"{self._name}_{name}": [row[name] for row in rows] for name in self._types}

    def json(self) -> FromClause:
        """Return the rows to select from, on SQLite. Their values are words."""
        each = func.json_each(bindparam(self._name, type_=Text)).table_valued(column("value", Text))
        paths = ((name, literal_column(f"'$.{name}'", Text)) for name in self._types)
        values = (func.json_extract(each.c.value, path).label(name) for name, path in paths)
        return select(*values).subquery(self._name)

    def as_json(self, rows: Collection[Row]) -> dict[str, Any]:
        """Return the parameters of `json`."""
        return {self._name: json.dumps(list(rows))}

    def one(self) -> dict[str, BindParameter[Any]]:
        """Return the values of a row, in a statement that is executed for each."""
        return {
            name: bindparam(f"{self._name}_{name}", type_=kind)
            for name, kind in self._types.items()
        }

    def as_many(self, rows: Collection[Row]) -> list[dict[str, Any]]:
        """Return the parameters of `one` for each row."""
        return [{f"{self._name}_{name}": row[name] for name in self._types} for row in rows]
