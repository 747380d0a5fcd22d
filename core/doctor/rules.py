"""What the doctor's checks are made of, and what their results add up to. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

DEFAULT_LIMIT = 10
"""How many rows a check names."""
CLOCK_WARNING = timedelta(seconds=2)
CLOCK_BROKEN = timedelta(seconds=60)
NOT_APART = timedelta()

Row = Mapping[str, str]
"""What a row that is wrong is known by, by the names of what it is."""


class Verdict(Enum):
    """What a check found. The value is its word."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, with the first rows that are wrong."""

    name: str
    verdict: Verdict
    count: int
    rows: tuple[Row, ...]
    demand: str
    advice: str


@dataclass(frozen=True, slots=True)
class Examination:
    """What every check found, in the order of the checks."""

    examined_at: datetime
    findings: tuple[Finding, ...]


@dataclass(slots=True)
class Tally:
    """The rows that the questions of one check found so far, of which `limit` are kept."""

    limit: int
    count: int = 0
    rows: list[Row] = field(default_factory=list)
    _sums: dict[tuple[tuple[str, str], ...], int] = field(default_factory=dict)

    def add(self, count: int, rows: list[Row]) -> None:
        """Add what one piece of a table has: how many are wrong, and some of them."""
        self.count += count
        self.rows += rows[: self.limit - len(self.rows)]

    def add_up(self, row: Row, amount_minor: int) -> None:
        """Add an amount of one piece to the sum that it belongs to."""
        key = tuple(row.items())
        self._sums[key] = self._sums.get(key, 0) + amount_minor

    def close(self) -> None:
        """Count the sums that are not zero as wrong."""
        for key, amount_minor in sorted(self._sums.items()):
            if amount_minor:
                self.add(1, [dict(key) | {"sum_minor": str(amount_minor)}])
        self._sums.clear()


def bundles(sizes: Iterable[tuple[str, int]], at_most: int) -> list[tuple[str, str]]:
    """Return the first and the last business of each bundle, in the order given.

    A bundle has `at_most` rows in all, or is one business with more.
    """
    made: list[tuple[str, str]] = []
    rows = 0
    for business_id, count in sizes:
        if made and rows + count <= at_most:
            made[-1] = (made[-1][0], business_id)
            rows += count
        else:
            made.append((business_id, business_id))
            rows = count
    return made


def verdict_on_clocks(apart: timedelta) -> Verdict:
    """Tell what two clocks mean that are so far apart, whichever is ahead."""
    if abs(apart) > CLOCK_BROKEN:
        return Verdict.BROKEN
    return Verdict.WARNING if abs(apart) > CLOCK_WARNING else Verdict.OK


def surely_apart(before: datetime, told: datetime, after: datetime) -> timedelta:
    """Return how far a clock that told the time between `before` and `after` is ahead at least.

    Zero where the time that the question took explains the difference; below zero: it is behind.
    """
    if told > after:
        return told - after
    return told - before if told < before else NOT_APART
