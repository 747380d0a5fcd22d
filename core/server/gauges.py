"""The gauges of a core: pools, calls in flight, and the work that waits in the database."""

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from core.database.transactions import Database
from core.due_work.backlog_store import Backlog, Waiting, read_backlog
from rpc.metrics import gauge

BACKLOG_SECONDS: Final = 15.0
"""Interval at which the waiting work is read, however often metrics are."""


class CoreGauges(Collector):
    """What is read when metrics are; it makes no query."""

    def __init__(self, database: Database, in_flight: Callable[[], int]) -> None:
        """Read the pools of `database`, and how many calls are `in_flight`."""
        self._database = database
        self._in_flight = in_flight
        self._backlog: Backlog | None = None
        self._read_at = 0.0

    async def read_backlog(self) -> None:
        """Read the waiting work, on a connection of lists, for which no charge waits.

        Raises:
            DatabaseUnavailableError: the database does not answer.
        """
        async with self._database.listing() as transaction:
            backlog = await read_backlog(transaction)
        self.show(backlog)

    def show(self, backlog: Backlog) -> None:
        """Show this as what waits now."""
        self._backlog, self._read_at = backlog, time.monotonic()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield the gauges."""
        yield GaugeMetricFamily(
            "nivisco_core_requests_in_flight", "Calls being worked on.", self._in_flight()
        )
        pools = self._database.pools
        for name, description, values in (
            ("connections", "Open connections.", {n: p.open for n, p in pools.items()}),
            ("connections_in_use", "Connections in use.", {n: p.in_use for n, p in pools.items()}),
            ("connections_max", "Most connections at once.", {n: p.size for n, p in pools.items()}),
            (
                "waiting",
                "Tasks waiting for a connection.",
                {n: p.waiting for n, p in pools.items()},
            ),
        ):
            yield gauge(f"nivisco_core_database_{name}", description, "pool", values)
        if self._backlog is not None:
            yield from _backlog_gauges(self._backlog)
            yield GaugeMetricFamily(
                "nivisco_core_backlog_age_seconds",
                "Time since the waiting work was read from the database.",
                time.monotonic() - self._read_at,
            )


def _backlog_gauges(backlog: Backlog) -> Iterable[GaugeMetricFamily]:
    stops = {what: float(count) for what, count in backlog.stops.items()}
    yield gauge("nivisco_stops", "Number of stops in force, in the whole database.", "what", stops)
    yield GaugeMetricFamily(
        "nivisco_core_audit_pending_oldest_age_seconds",
        "Age of the oldest change that is not in its audit chain; 0 without one.",
        _age(backlog, backlog.audit_since),
    )
    for name, what, label, waiting in (
        ("open_payments", "payments without an outcome", "attempt", backlog.open_payments),
        ("due_rows", "rows that are due and not worked on", "kind", backlog.due),
        ("set_aside_rows", "rows that are set aside", "kind", backlog.set_aside),
    ):
        counts = {of: float(each.count) for of, each in waiting.items()}
        yield gauge(f"nivisco_core_{name}", f"Number of {what}.", label, counts)
        yield gauge(
            f"nivisco_core_{name}_oldest_age_seconds",
            f"Age of the oldest of the {what}; 0 without one.",
            label,
            _ages(backlog, waiting),
        )


def _ages(backlog: Backlog, waiting: Mapping[str, Waiting]) -> dict[str, float]:
    return {of: _age(backlog, each.since) for of, each in waiting.items()}


def _age(backlog: Backlog, since: datetime | None) -> float:
    return max(0.0, (backlog.now - since).total_seconds()) if since else 0.0
