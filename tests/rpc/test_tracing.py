"""Traces: off without an endpoint, refused without the packages, exported to a collector."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from rpc import tracing
from rpc.metadata import Credentials, request_id, request_metadata
from tests.rpc.otlp_receiver import Receiver, receiving, trace_to

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def receiver(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Receiver]:
    """A collector, and traces that go there."""
    async with receiving() as receiver:
        trace_to(receiver, "core", monkeypatch)
        try:
            yield receiver
        finally:
            await asyncio.to_thread(tracing.stop)


async def exported() -> None:
    """Wait until all spans have been received."""
    await asyncio.to_thread(tracing.stop)


async def test_a_span_has_its_parent_the_request_id_and_its_attributes(receiver: Receiver) -> None:
    token = request_id.set("R-1")
    outer = tracing.begin("outer", is_server=True, traceparent=PARENT)
    inner = tracing.begin("inner")
    assert outer is not None
    assert inner is not None
    inner.end(is_error=True, outcome="unknown", business_id=None)
    outer.end(is_error=False, name="charge_customer", status=200)
    request_id.reset(token)
    await exported()
    outside, inside = receiver.named("charge_customer"), receiver.named("inner")
    assert (outside.service, outside.trace_id) == ("nivisco-core", PARENT.split("-")[1])
    assert (outside.parent_id, inside.parent_id) == (PARENT.split("-")[2], outside.span_id)
    assert outside.attributes == {"nivisco.request_id": "R-1", "nivisco.status": 200}
    assert inside.attributes == {"nivisco.request_id": "R-1", "nivisco.outcome": "unknown"}
    assert (outside.is_error, inside.is_error) == (False, True)


async def test_a_call_s_metadata_carries_the_current_span_until_it_ends(receiver: Receiver) -> None:
    span = tracing.begin("a", traceparent=PARENT)
    assert span is not None
    sent = dict(request_metadata(Credentials("b", "k")))["traceparent"]
    assert isinstance(sent, str)
    assert sent.split("-")[1] == PARENT.split("-")[1]
    span.end(is_error=False)
    assert "traceparent" not in dict(request_metadata(Credentials("b", "k")))
    await exported()
    assert receiver.named("a").span_id == sent.split("-")[2]


@pytest.mark.parametrize(
    "given", ["", "canary", "00-0-0-01", PARENT + "-more", b"\xff", "00-" + "0" * 32 + "-1-01"]
)
async def test_a_malformed_parent_begins_a_trace_of_its_own(
    receiver: Receiver, given: str | bytes
) -> None:
    span = tracing.begin("a", traceparent=given)
    assert span is not None
    span.end(is_error=False)
    await exported()
    assert receiver.named("a").parent_id == ""


def test_without_an_endpoint_nothing_is_traced_or_imported() -> None:
    program = """
import sys
from rpc import tracing
tracing.start("core", {"OTEL_EXPORTER_OTLP_ENDPOINT": ""})
assert tracing.begin("a") is None
assert tracing.current_traceparent() is None
tracing.stop()
assert [name for name in sys.modules if name.startswith("opentelemetry")] == []
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_an_endpoint_without_the_packages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "rpc.otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.delattr("rpc.otel", raising=False)
    with pytest.raises(ValueError, match=r"^OTEL_EXPORTER_OTLP_ENDPOINT .* 'nivisco\[tracing\]'"):
        tracing.start("core", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})


def test_another_protocol_is_refused() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    }
    with pytest.raises(ValueError, match=r"^OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf$"):
        tracing.start("core", environ)
