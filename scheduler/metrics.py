"""The Prometheus metrics of a scheduler, and whether it is ready. Labels contain no ids."""

import time

from prometheus_client import Counter, Gauge

from rpc.metrics import process_registry


class Metrics:
    """The metrics of one scheduler."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.registry = process_registry()
        self._last_claim: float | None = None
        prefix = "nivisco_scheduler_"
        self.claimed = Counter(
            f"{prefix}claimed", "Occurrences claimed from the core.", registry=self.registry
        )
        self.executed = Counter(
            f"{prefix}executions",
            "Execution requests by outcome, open if unknown, or by the reason of a refusal.",
            ["outcome"],
            registry=self.registry,
        )
        self.lost = Counter(
            f"{prefix}leases_lost",
            "Leases not renewed because another scheduler has claimed them.",
            registry=self.registry,
        )
        self.failed_calls = Counter(
            f"{prefix}failed_calls",
            "Claims and renewals that the core refused or did not respond to.",
            ["reason"],
            registry=self.registry,
        )
        self.in_flight = Gauge(
            f"{prefix}in_flight", "Occurrences being executed.", registry=self.registry
        )
        self.waiting = Gauge(
            f"{prefix}waiting",
            "Claimed occurrences waiting here.",
            registry=self.registry,
        )
        self.lag = Gauge(
            f"{prefix}lag_seconds",
            "How long the oldest occurrence of the last claim was due, by the core's clock.",
            registry=self.registry,
        )
        Gauge(
            f"{prefix}last_claim_age_seconds",
            "Time since the core last responded to a claim; -1 before the first response.",
            registry=self.registry,
        ).set_function(self._last_claim_age)
        self.is_ready = False
        """Whether the last claim succeeded and this scheduler is not stopping."""

    def record_claim(self, count: int, lag_seconds: float) -> None:
        """Record a successful claim of so many occurrences."""
        self._last_claim = time.monotonic()
        self.claimed.inc(count)
        self.lag.set(lag_seconds)

    def _last_claim_age(self) -> float:
        return -1.0 if self._last_claim is None else time.monotonic() - self._last_claim
