"""The histograms and counters of a core. Gauges are read in core.server.gauges."""

from typing import Final

from rpc.metrics import LIMITED as LIMITED
from rpc.metrics import REQUEST_BUCKETS, Histogram

REQUEST_SECONDS: Final = Histogram(
    "nivisco_core_request_duration_seconds",
    "Duration of the calls of gRPC methods, by action and gRPC status code.",
    ("action", "code"),
    REQUEST_BUCKETS,
)
GATEWAY_CALL_SECONDS: Final = Histogram(
    "nivisco_core_gateway_call_duration_seconds",
    "Duration of what gateways were asked to do, by verb and outcome.",
    ("gateway", "verb", "outcome"),
    REQUEST_BUCKETS,
)
WALLET_BATCH_MOVEMENTS: Final = Histogram(
    "nivisco_core_wallet_batch_movements",
    "Number of movements that were committed together.",
    (),
    (1.0, 4.0, 16.0, 64.0, 256.0),
)
