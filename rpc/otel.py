"""Spans of OpenTelemetry. Only imported if traces are on: see rpc.tracing."""

import threading
from contextvars import Token
from typing import Final

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from rpc.metadata import NO_REQUEST, request_id

TRACEPARENT: Final = "traceparent"
_STOP_SECONDS: Final = 2.0
_EXPORT_SECONDS: Final = 2.0
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class Span:
    """A span that is the running task's current one until it ends."""

    def __init__(self, span: trace.Span, token: Token[Context]) -> None:
        self._span = span
        self._token = token

    def end(self, *, is_error: bool, name: str = "", **attributes: str | int | None) -> None:
        """End the span, with these attributes but those that are None, and another name if given.

        To be called in the task that began it.
        """
        for key, value in attributes.items():
            if value is not None:
                self._span.set_attribute(f"nivisco.{key}", value)
        if name:
            self._span.update_name(name)
        if is_error:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()
        context.detach(self._token)


class Tracer:
    """Makes the spans of this process and exports them, in a thread of its own."""

    def __init__(self, process: str) -> None:
        """Begin; the exporter and the sampler read their OTEL_* variables themselves."""
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": f"nivisco-{process}"}),
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(timeout=_EXPORT_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("nivisco")

    def begin(self, name: str, *, is_server: bool, traceparent: str | None) -> Span:
        """Begin a span in the running task: see rpc.tracing.begin."""
        parent = None if traceparent is None else _PROPAGATOR.extract({TRACEPARENT: traceparent})
        kind = SpanKind.SERVER if is_server else SpanKind.CLIENT
        span = self._tracer.start_span(name, context=parent, kind=kind)
        if (running := request_id.get()) != NO_REQUEST:
            span.set_attribute("nivisco.request_id", running)
        return Span(span, context.attach(trace.set_span_in_context(span)))

    def traceparent(self) -> str | None:
        """Return the context of the running task's span; None without one."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier.get(TRACEPARENT)

    def stop(self) -> None:
        """Export what is left; give up after two seconds, as when no collector answers."""
        stopping = threading.Thread(target=self._provider.shutdown, daemon=True)
        stopping.start()
        stopping.join(_STOP_SECONDS)
