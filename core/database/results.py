"""Results of statements: rows that are already read, and how many rows were written."""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar, TypeVarTuple

from sqlalchemy import Row

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class Rows(Generic[*_Ts]):
    """The rows of a result. It can be read more than once."""

    __slots__ = ("_rows", "rowcount")

    def __init__(self, rows: list[Row[*_Ts]], rowcount: int) -> None:
        """Offer `rows`."""
        self._rows = rows
        self.rowcount = rowcount
        """Number of rows that the statement wrote, or read."""

    def __iter__(self) -> Iterator[Row[*_Ts]]:
        """Iterate over the rows."""
        return iter(self._rows)

    def all(self) -> list[Row[*_Ts]]:
        """Return all rows."""
        return self._rows

    def first(self) -> Row[*_Ts] | None:
        """Return the first row, or None."""
        return self._rows[0] if self._rows else None

    def one(self) -> Row[*_Ts]:
        """Return the only row."""
        assert len(self._rows) == 1, f"one row, not {len(self._rows)}"
        return self._rows[0]

    def one_or_none(self) -> Row[*_Ts] | None:
        """Return the only row, or None if there is none."""
        return self.one() if self._rows else None

    def scalar(self) -> Any:
        """Return the first column of the first row, or None if there is none."""
        values: tuple[Any, ...] = tuple(self._rows[0]) if self._rows else (None,)
        return values[0]

    def scalar_one_or_none(self: "Rows[_T]") -> _T | None:
        """Return the column of the only row, or None if there is none."""
        row = self.one_or_none()
        return None if row is None else row[0]

    def scalars(self: "Rows[_T]") -> list[_T]:
        """Return the column of all rows."""
        return [row[0] for row in self._rows]
