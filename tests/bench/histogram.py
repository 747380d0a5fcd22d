"""Counts times with a fixed relative precision, as HdrHistogram does."""

from collections import Counter
from collections.abc import Iterable

_KEPT_BITS = 10
"""A time is counted with its highest bits only, so to 0.1 %."""


class Histogram:
    """Times of requests, in whole microseconds; as small for a million as for a thousand."""

    def __init__(self, seconds: Iterable[float] = ()) -> None:
        self._counts: Counter[int] = Counter()
        for each in seconds:
            self.record(each)

    def record(self, seconds: float) -> None:
        """Count a time."""
        microseconds = max(0, round(seconds * 1e6))
        dropped = max(0, microseconds.bit_length() - _KEPT_BITS)
        self._counts[microseconds >> dropped << dropped] += 1

    def add(self, other: "Histogram") -> None:
        """Count all times of another histogram."""
        self._counts += other._counts

    def __len__(self) -> int:
        return self._counts.total()

    def percentile(self, percent: float) -> float:
        """Return the microseconds that so many percent of the times do not exceed.

        Raises:
            ValueError: nothing was recorded.
        """
        left = len(self) * percent / 100
        for microseconds, count in sorted(self._counts.items()):
            left -= count
            if left <= 0:
                return microseconds
        raise ValueError("an empty histogram has no percentiles")
