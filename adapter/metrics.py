"""The metrics of an adapter."""

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rpc.metrics import LIMITED, REQUEST_BUCKETS, Histogram

OTHER: Final = "other"
"""The action of requests without a known one: pages, health, malformed bodies, wrong keys."""
_WEBHOOK_RESULTS: Final = {
    200: "received",
    400: "refused",
    408: "not_received",
    413: "too_large",
    429: "limited",
    503: "not_accepted",
}


class AdapterMetrics(Collector):
    """The metrics of one adapter."""

    def __init__(self, in_flight: Callable[[], int]) -> None:
        """Begin at zero; `in_flight` returns how many requests are being worked on."""
        self._in_flight = in_flight
        self._requests = Histogram(
            "nivisco_adapter_request_duration_seconds",
            "Duration of HTTP requests, by action and HTTP status.",
            ("action", "status"),
            REQUEST_BUCKETS,
        )
        self._webhooks = Counter(
            "nivisco_adapter_webhooks",
            "Deliveries of gateways' webhooks, by what they were answered.",
            ["gateway", "result"],
            registry=None,
        )

    def record_request(self, action: str | None, status: int, seconds: float) -> None:
        """Count a request. `action` is one of the catalogue's, never the client's text."""
        self._requests.observe((action or OTHER, str(status)), seconds)

    def record_webhook(self, gateway: str, status: int) -> None:
        """Count a delivery by the status of its response."""
        self._webhooks.labels(gateway, _WEBHOOK_RESULTS.get(status, OTHER)).inc()

    def collect(self) -> Iterable[Metric]:
        """Yield all metrics."""
        yield from self._requests.collect()
        yield from self._webhooks.collect()
        yield from LIMITED.collect()
        yield GaugeMetricFamily(
            "nivisco_adapter_requests_in_flight",
            "Requests being worked on.",
            self._in_flight(),
        )
