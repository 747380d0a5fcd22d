"""Traces of requests, off unless OTEL_EXPORTER_OTLP_ENDPOINT is set.

A request is one trace: the adapter's span, the core's, and one for each call of a gateway's method.
Contexts travel as W3C `traceparent` (https://www.w3.org/TR/trace-context/), from a client's header
through gRPC metadata. Gateways get none. Off, nothing of OpenTelemetry is imported.

Attributes are what logs show of a request, and nothing else: no bodies, no exceptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rpc.otel import Span, Tracer

TRACEPARENT: Final = "traceparent"
"""Name of the HTTP header and of the gRPC metadata."""
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOL: Final = "http/protobuf"

_tracer: Tracer | None = None


def start(process: str, environ: Mapping[str, str]) -> None:
    """Switch traces on if an endpoint is set; `process` is for example `core`.

    Raises:
        ValueError: OpenTelemetry is not installed, or another protocol is set.
    """
    global _tracer  # noqa: PLW0603 - a process has one, as it has one log
    endpoint = next((name for name in _ENDPOINTS if environ.get(name)), None)
    if endpoint is None:
        return
    protocol = environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or _PROTOCOL
    if protocol != _PROTOCOL:
        raise ValueError(f"OTEL_EXPORTER_OTLP_PROTOCOL must be {_PROTOCOL}")
    try:
        from rpc.otel import Tracer
    except ImportError:
        raise ValueError(
            f"{endpoint} is set, but OpenTelemetry is not installed: "
            "pip install 'nivisco[tracing]', or unset it"
        ) from None
    _tracer = Tracer(process)


def stop() -> None:
    """Export what is left, for two seconds at most, and switch traces off."""
    global _tracer  # noqa: PLW0603 - see start
    if _tracer is not None:
        _tracer.stop()
    _tracer = None


def begin(
    name: str, *, is_server: bool = False, traceparent: str | bytes | None = None
) -> Span | None:
    """Begin a span, the running task's current one until it ends there; None if traces are off.

    It belongs to `traceparent` if that is one, else to the task's current span.
    """
    if _tracer is None:
        return None
    given = traceparent if isinstance(traceparent, str) else None
    return _tracer.begin(name, is_server=is_server, traceparent=given)


def current_traceparent() -> str | None:
    """Return the context of the running task's span, for a call that it makes; None without."""
    return None if _tracer is None else _tracer.traceparent()
