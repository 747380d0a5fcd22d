"""Medians with their spread, and the samples of one turn. Pure functions."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, quartiles and bounds of some values."""

    median: float
    low: float
    """The first quartile."""
    high: float
    """The third quartile."""
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of at least two values."""
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high, min(values), max(values))

    @property
    def percent(self) -> float:
        """Half the interquartile range, in percent of the median."""
        return 50 * (self.high - self.low) / self.median if self.median else 0.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a variant: request times, and CPU time by process."""

    seconds: float
    latencies: Sequence[float]
    cpu_seconds: dict[str, float]
    """By process."""

    @property
    def per_second(self) -> float:
        """Responses per second."""
        return len(self.latencies) / self.seconds

    @property
    def median_microseconds(self) -> float:
        """Median request time."""
        return statistics.median(self.latencies) * 1e6

    def cpu_microseconds(self, process: str) -> float:
        """Return a process's CPU time per request."""
        return self.cpu_seconds[process] / len(self.latencies) * 1e6


def ratio(one: Sequence[float], other: Sequence[float]) -> Spread:
    """Return the ratio of two series by round, because disturbances hit both in a round."""
    return Spread.of([a / b for a, b in zip(one, other, strict=True)])


def percentile_99(turns: Sequence[Turn]) -> float:
    """Return the 99th percentile of the request times of all turns, in microseconds."""
    latencies = sorted(latency for turn in turns for latency in turn.latencies)
    return latencies[len(latencies) * 99 // 100] * 1e6


@dataclass(frozen=True, slots=True)
class Throughput:
    """Throughput of a variant with concurrent clients."""

    per_second: Spread
    median_milliseconds: Spread
    percentile_99_milliseconds: float
    cpu: dict[str, Spread]
    """Microseconds per request, by process."""

    @classmethod
    def of(cls, turns: Sequence[Turn]) -> "Throughput":
        """Return the throughput of some turns."""
        return cls(
            per_second=Spread.of([turn.per_second for turn in turns]),
            median_milliseconds=Spread.of([turn.median_microseconds / 1e3 for turn in turns]),
            percentile_99_milliseconds=percentile_99(turns) / 1e3,
            cpu={
                process: Spread.of([turn.cpu_microseconds(process) for turn in turns])
                for process in turns[0].cpu_seconds
            },
        )
