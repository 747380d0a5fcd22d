"""Dunning: when a cycle that was not charged is retried, and when its job pauses. Pure.

A recurring job has a schedule of its own, or leaves it to its business, which has one or leaves it
to this module: days and number each. What a job leaves open is looked up when a cycle fails, so
that a business that changes its mind changes all of these jobs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from core.errors import InvalidFields

RETRIES_MAX: Final = 10
RETRY_DAY_MAX: Final = 365


@dataclass(frozen=True, slots=True)
class Dunning:
    """How cycles that were not charged are followed up."""

    retry_days: tuple[int, ...]
    """Days after the first attempt of a cycle on which it is retried, ascending."""
    max_failed_cycles: int
    """Number of failed cycles in a row that pauses the job."""

    def changed_by(self, retry_days: str | None, max_failed_cycles: int | None) -> "Dunning":
        """Return this schedule with what is stored of another one; None leaves it open."""
        return Dunning(
            tuple(map(int, retry_days.split(","))) if retry_days else self.retry_days,
            max_failed_cycles or self.max_failed_cycles,
        )


DEFAULT: Final = Dunning((1, 3, 7), 3)
"""Of a business that has not said otherwise."""


def retry_days_problem(days: Sequence[int]) -> str | None:
    """Return what is wrong with the days of retries, or None."""
    is_ascending = all(one < other for one, other in pairwise(days))
    is_in_range = all(1 <= day <= RETRY_DAY_MAX for day in days)
    if is_ascending and is_in_range and len(days) <= RETRIES_MAX:
        return None
    return (
        f"must be at most {RETRIES_MAX} days from 1 to {RETRY_DAY_MAX}, each after the one before"
    )


def stored_days(days: Sequence[int], path: str = "retry_days") -> str | None:
    """Return the days of retries as stored; None for none, which leaves them open.

    Raises:
        InvalidFields: they are invalid. `path` is the field's.
    """
    if problem := retry_days_problem(days):
        raise InvalidFields.of(path, problem)
    return ",".join(map(str, days)) or None
