"""Counts what a process does, for Prometheus. Labels contain no ids, so no data of a business.

Names and units follow https://prometheus.io/docs/practices/naming/: base units, `_total` after
counters.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

REQUEST_BUCKETS: Final = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0)
"""Seconds. From a debit in a batch to a charge at a slow gateway; few, as a series costs memory."""
LIMITED: Final = Counter(
    "nivisco_limited", "Requests that a limit refused, by limit.", ["limit"], registry=None
)


class Histogram(Collector):
    """A histogram whose `observe` takes a fraction of the time of prometheus_client's own.

    It is called for every request, by one thread. Its `_count` is the counter of what it observes.
    """

    def __init__(
        self, name: str, description: str, labels: tuple[str, ...], buckets: tuple[float, ...]
    ) -> None:
        """Begin empty; `buckets` are the upper bounds, in the unit of `name`."""
        self._name = name
        self._description = description
        self._labels = labels
        self._buckets = buckets
        self._series: dict[tuple[str, ...], list[float]] = {}
        """For each values of the labels: how many fell in each bucket, in none, and their sum."""

    def observe(self, labels: tuple[str, ...], value: float) -> None:
        """Count a value."""
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = [0.0] * (len(self._buckets) + 2)
        series[bisect_left(self._buckets, value)] += 1
        series[-1] += value

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Yield all series; another thread may observe meanwhile."""
        family = HistogramMetricFamily(self._name, self._description, labels=self._labels)
        names = [*map(floatToGoString, self._buckets), "+Inf"]
        for labels, series in list(self._series.items()):
            *counts, total = list(series)
            cumulative = list(zip(names, accumulate(counts), strict=True))
            family.add_metric(labels, cumulative, sum_value=total)
        yield family


def gauge(
    name: str, description: str, label: str, values: Mapping[str, float]
) -> GaugeMetricFamily:
    """Return a gauge with one label, and its value for each of the label's."""
    family = GaugeMetricFamily(name, description, labels=[label])
    for of, value in values.items():
        family.add_metric([of], value)
    return family


def process_registry(*collectors: Collector) -> CollectorRegistry:
    """Return a registry of `collectors` and of what Python and the system know of this process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    for each in collectors:
        registry.register(each)
    return registry
