"""The log line and the id of each request."""

import asyncio
import json
import logging
import time

import pytest
from google.protobuf.message import Message
from ulid import ULID

from adapter.app import new_request_id
from tests.adapter.recording_core import RecordingCore
from tests.adapter.running import CREDENTIALS, AdapterClient

VALIDATE = json.dumps({**CREDENTIALS, "action": "validate_business"}).encode()


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="adapter")


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    """Return the fields of the requests' lines."""
    names = ("method", "status", "action", "business_id", "address")
    return [
        {name: getattr(record, name) for name in names}
        for record in caplog.records
        if record.message == "request completed"
    ]


async def test_a_request_is_one_line_with_its_action_and_business(
    client: AdapterClient, caplog: pytest.LogCaptureFixture
) -> None:
    await client.post_bytes(VALIDATE)
    line = {"method": "POST", "status": 200, "action": "validate_business"}
    business = {"business_id": CREDENTIALS["business_id"], "address": "127.0.0.1"}
    assert lines(caplog) == [line | business]


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        (["192.0.2.7"], "192.0.2.7"),
        (["10.1.1.1, 2001:db8::7"], "2001:db8::7"),
        (["10.1.1.1", "192.0.2.7"], "192.0.2.7"),
        (["canary"], "127.0.0.1"),
        (["192.0.2.7, "], "127.0.0.1"),
    ],
)
async def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_added(
    client: AdapterClient,
    caplog: pytest.LogCaptureFixture,
    forwarded: list[str],
    address: str,
) -> None:
    headers = [("X-Forwarded-For", each) for each in forwarded]
    async with client.session.get(client.url + "/healthz", headers=headers):
        pass
    assert [each["address"] for each in lines(caplog)] == [address]


async def test_a_path_that_is_not_served_is_one_line_too(
    client: AdapterClient, caplog: pytest.LogCaptureFixture
) -> None:
    async with client.session.get(client.url + "/nope"):
        pass
    (line,) = lines(caplog)
    assert (line["status"], line["action"], line["business_id"]) == (404, None, None)


async def test_a_bug_is_an_error_with_its_trace_and_then_the_line(
    client: AdapterClient, core: RecordingCore, caplog: pytest.LogCaptureFixture
) -> None:
    core.ignores_problems = True
    assert (await client.post("validate_business", nonsense=1))[0] == 500
    messages = [record.message for record in caplog.records if record.name == "adapter"]
    assert messages == ["unexpected exception", "request completed"]
    assert lines(caplog)[0]["status"] == 500


async def test_a_client_that_disconnects_is_logged_as_499(
    client: AdapterClient, core: RecordingCore, caplog: pytest.LogCaptureFixture
) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def work(_request: Message) -> Message:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError("the call is cancelled")

    core.replies["ValidateBusiness"] = work
    _, writer = await asyncio.open_connection(*client.address)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(VALIDATE)
    writer.write(head + VALIDATE)
    await begun.wait()
    writer.transport.abort()
    await asyncio.wait_for(cancelled.wait(), 30)
    assert [line["status"] for line in lines(caplog)] == [499]


def test_a_request_id_is_a_ulid_of_the_present_millisecond() -> None:
    before = time.time_ns() // 1_000_000
    identity = ULID.from_str(new_request_id())
    assert before <= identity.milliseconds <= time.time_ns() // 1_000_000
    assert new_request_id() != new_request_id()
