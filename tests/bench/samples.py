"""Medians with their spread, and the samples of one turn. Pure functions."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.histogram import Histogram


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some rounds, and how far they differ."""

    median: float
    percent: float
    """Half the distance between the quartiles, in percent of the median."""

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of the values of at least two rounds."""
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, 50 * (high - low) / abs(median) if median else 0.0)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a variant: request times, and CPU time by process."""

    seconds: float
    latencies: Histogram
    cpu_seconds: dict[str, float]
    """By process."""

    @property
    def per_second(self) -> float:
        """Responses per second."""
        return len(self.latencies) / self.seconds

    def milliseconds(self, percent: float) -> float:
        """Return a percentile of the request times."""
        return self.latencies.percentile(percent) / 1e3

    def cpu_microseconds(self, process: str) -> float:
        """Return a process's CPU time per request."""
        return self.cpu_seconds[process] / len(self.latencies) * 1e6


def ratio(one: Sequence[float], other: Sequence[float]) -> Spread:
    """Return the ratio of two series by round, because disturbances hit both in a round."""
    return Spread.of([a / b for a, b in zip(one, other, strict=True)])


def per_second_ratio(one: Sequence[Turn], other: Sequence[Turn]) -> Spread:
    """Return how many times as many requests a second one variant answers as another."""
    return ratio([turn.per_second for turn in one], [turn.per_second for turn in other])


def summary(name: str, turns: Sequence[Turn]) -> str:
    """Return a variant's throughput, request times, and CPU time of each process, as text."""
    all_latencies = Histogram()
    for turn in turns:
        all_latencies.add(turn.latencies)
    rate = Spread.of([turn.per_second for turn in turns])
    cpu = {
        process: statistics.median(turn.cpu_microseconds(process) for turn in turns)
        for process in turns[0].cpu_seconds
    }
    used = ", ".join(f"{process} {each:.0f}" for process, each in cpu.items() if each >= 5)
    return (
        f"{name} {rate.median:,.0f}/s ±{rate.percent:.0f} %, "
        f"p50 {all_latencies.percentile(50) / 1e3:.2f} and "
        f"p99 {all_latencies.percentile(99) / 1e3:.1f} ms, CPU µs: {used}"
    )
