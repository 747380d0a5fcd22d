"""Results of the doctor's checks, and how they are combined. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

DEFAULT_LIMIT = 10
"""Rows that a check shows."""
CLOCK_WARNING = timedelta(seconds=2)
CLOCK_BROKEN = timedelta(seconds=60)
NO_DIFFERENCE = timedelta()

Row = Mapping[str, str]
"""A row that breaks an invariant, as text by column name."""


class Verdict(Enum):
    """Result of a check. The value is its word."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check, with the number of rows that break it and the first of them."""

    name: str
    verdict: Verdict
    count: int
    rows: tuple[Row, ...]
    invariant: str
    advice: str


@dataclass(frozen=True, slots=True)
class Examination:
    """Results of all checks, in their order."""

    examined_at: datetime
    findings: tuple[Finding, ...]


@dataclass(slots=True)
class Tally:
    """Rows that the queries of one check found so far, of which `limit` are kept."""

    limit: int
    count: int = 0
    rows: list[Row] = field(default_factory=list)
    _sums: dict[tuple[tuple[str, str], ...], int] = field(default_factory=dict)

    def add(self, count: int, rows: list[Row]) -> None:
        """Add the number of rows of one chunk, and the first of them."""
        self.count += count
        self.rows += rows[: self.limit - len(self.rows)]

    def add_to_sum(self, row: Row, amount_minor: int) -> None:
        """Add an amount of one chunk to the sum of its group."""
        key = tuple(row.items())
        self._sums[key] = self._sums.get(key, 0) + amount_minor

    def close(self) -> None:
        """Add the sums that are not zero as rows."""
        for key, amount_minor in sorted(self._sums.items()):
            if amount_minor:
                self.add(1, [dict(key) | {"sum_minor": str(amount_minor)}])
        self._sums.clear()


def group_businesses(sizes: Iterable[tuple[str, int]], max_rows: int) -> list[tuple[str, str]]:
    """Return the first and last business of each group, in the given order.

    A group has up to `max_rows` rows, or is one business with more.
    """
    groups: list[tuple[str, str]] = []
    rows = 0
    for business_id, count in sizes:
        if groups and rows + count <= max_rows:
            groups[-1] = (groups[-1][0], business_id)
            rows += count
        else:
            groups.append((business_id, business_id))
            rows = count
    return groups


def clock_verdict(difference: timedelta) -> Verdict:
    """Return the verdict on the difference of two clocks, in either direction."""
    if abs(difference) > CLOCK_BROKEN:
        return Verdict.BROKEN
    return Verdict.WARNING if abs(difference) > CLOCK_WARNING else Verdict.OK


def clock_difference(before: datetime, shown: datetime, after: datetime) -> timedelta:
    """Return how far a clock that showed `shown` between `before` and `after` is ahead at least.

    Zero if the duration of the query explains the difference; negative if the clock is behind.
    """
    if shown > after:
        return shown - after
    return shown - before if shown < before else NO_DIFFERENCE
