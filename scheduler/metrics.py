"""What a scheduler tells Prometheus, and whether it is ready; names, numbers and no ids."""

import time

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    generate_latest,
)


class Metrics:
    """The numbers of one scheduler."""

    def __init__(self) -> None:
        """Begin with zero."""
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._last_claim: float | None = None
        prefix = "nivisco_scheduler_"
        self.claimed = Counter(
            f"{prefix}claimed", "Occurrences claimed from the core.", registry=self._registry
        )
        self.executed = Counter(
            f"{prefix}executions",
            "Occurrences that the core was asked to execute, by what came of it: its outcome, open "
            "where there is none yet, or the reason why it was not executed.",
            ["outcome"],
            registry=self._registry,
        )
        self.lost = Counter(
            f"{prefix}leases_lost",
            "Leases that the core did not renew because they are another's by now.",
            registry=self._registry,
        )
        self.failed_calls = Counter(
            f"{prefix}failed_calls",
            "Claims and renewals that the core refused or did not answer.",
            ["reason"],
            registry=self._registry,
        )
        self.in_flight = Gauge(
            f"{prefix}in_flight", "Occurrences that are executed now.", registry=self._registry
        )
        self.waiting = Gauge(
            f"{prefix}waiting", "Claimed occurrences that wait here.", registry=self._registry
        )
        self.lag = Gauge(
            f"{prefix}lag_seconds",
            "How long the longest due occurrence of the last claim was due, by the core's clock.",
            registry=self._registry,
        )
        Gauge(
            f"{prefix}last_claim_age_seconds",
            "How long ago the core last answered a claim; -1 before the first time.",
            registry=self._registry,
        ).set_function(self._last_claim_age)
        self.is_ready = False
        """Whether the core answered the last claim, and this scheduler is not ending."""

    def claim_answered(self, count: int, lag_seconds: float) -> None:
        """Note an answer of the core with so many occurrences."""
        self._last_claim = time.monotonic()
        self.claimed.inc(count)
        self.lag.set(lag_seconds)

    def text(self) -> bytes:
        """Return all in Prometheus' text format."""
        return generate_latest(self._registry)

    def _last_claim_age(self) -> float:
        return -1.0 if self._last_claim is None else time.monotonic() - self._last_claim
