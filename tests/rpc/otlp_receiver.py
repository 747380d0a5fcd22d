"""A collector of traces that keeps what it gets, over HTTP as in the OTLP specification."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from rpc import tracing


@dataclass(frozen=True)
class Received:
    """A span."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    is_error: bool
    attributes: dict[str, Any]


@dataclass
class Receiver:
    """What was received."""

    endpoint: str = ""
    spans: list[Received] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    """The requests as they came."""

    def take(self, body: bytes) -> None:
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    values = {each.key: each.value for each in span.attributes}
                    self.spans.append(
                        Received(
                            service["service.name"],
                            span.name,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            span.status.code == 2,
                            {k: v.string_value or v.int_value for k, v in values.items()},
                        )
                    )

    def named(self, name: str) -> Received:
        """Return the only span of a name."""
        (found,) = [each for each in self.spans if each.name == name]
        return found


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver until the block ends."""
    receiver = Receiver()

    async def take(request: web.Request) -> web.Response:
        receiver.take(await request.read())
        return web.Response(body=b"", content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        receiver.endpoint = f"http://127.0.0.1:{port}"
        yield receiver
    finally:
        await runner.cleanup()


def trace_to(receiver: Receiver, process: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch traces on, as a process with these settings does; past a proxy of the machine."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    tracing.start(process, os.environ)
