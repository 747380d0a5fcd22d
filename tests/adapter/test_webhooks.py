"""Webhooks at the adapter: responses, and limits that come before the body."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import grpc
import pytest
from google.protobuf.message import Message

from adapter import webhooks
from adapter.settings import AdapterSettings
from adapter.webhooks import LIMITED_AT_ONCE, MAX_WEBHOOK_BYTES
from nivisco.internal.v1.webhooks_pb2 import ReceiveWebhookResponse
from tests.adapter.recording_core import CoreErrorReply, RecordingCore
from tests.adapter.running import AdapterClient, running_adapter

METHOD = "ReceiveWebhook"
WRONG = CoreErrorReply(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
NOT_SIGNED = '{"success":false,"error":"The signature does not fit","code":"INVALID_FIELDS"}'
FAILURES = 3


@pytest.fixture
def settings(core: RecordingCore) -> AdapterSettings:
    return AdapterSettings(
        port=0,
        core_target=core.target,
        lame_duck_seconds=0.0,
        webhooks_token="a-token",
        webhook_failures_per_minute=FAILURES,
    )


async def deliver(
    client: AdapterClient,
    business_id: str = "BUS-1",
    body: bytes = b"{}",
    signature: str = "t=1,v1=0",
) -> tuple[int, str]:
    async with client.session.post(
        f"{client.url}/webhooks/stripe/{business_id}",
        data=body,
        headers={"Stripe-Signature": signature},
    ) as response:
        return response.status, await response.text()


async def announce(client: AdapterClient, business_id: str = "BUS-1") -> bytes:
    """Send only the headers of a delivery; return the response's first line."""
    reader, writer = await asyncio.open_connection(*client.address)
    writer.write(
        b"POST /webhooks/stripe/%s HTTP/1.1\r\nHost: x\r\nStripe-Signature: t=1,v1=0\r\n"
        b"Content-Length: %d\r\n\r\n" % (business_id.encode(), MAX_WEBHOOK_BYTES)
    )
    line = await reader.readline()
    writer.close()
    return line


@dataclass
class Hanging:
    """A core that does not answer some businesses' webhooks until it is let go."""

    core: RecordingCore
    finish: asyncio.Event
    in_flight: int = 0

    def begin(self, business_id: str) -> None:
        """Hang for this business."""

        async def reply(request: Message) -> Message:
            if request.business_id == business_id:  # type: ignore[attr-defined]
                self.in_flight += 1
                await self.finish.wait()
            return ReceiveWebhookResponse()

        self.core.replies[METHOD] = reply

    async def deliver(
        self, client: AdapterClient, business_id: str, times: int
    ) -> list[asyncio.Task[tuple[int, str]]]:
        """Start so many deliveries that the core does not answer."""
        self.begin(business_id)
        tasks = [asyncio.create_task(deliver(client, business_id)) for _ in range(times)]
        while self.in_flight < times:
            await asyncio.sleep(0)
        return tasks


@pytest.fixture
async def hanging(core: RecordingCore) -> AsyncIterator[Hanging]:
    hanging = Hanging(core, asyncio.Event())
    yield hanging
    hanging.finish.set()


async def exhaust(client: AdapterClient, core: RecordingCore, business_id: str = "forged") -> None:
    """Send webhooks without a valid signature until their address is limited."""
    core.replies[METHOD] = WRONG
    for _ in range(FAILURES):
        assert await deliver(client, business_id) == (400, NOT_SIGNED)


@pytest.mark.parametrize(
    ("reply", "response"),
    [
        (ReceiveWebhookResponse(duplicate=True), (200, '{"received":true}')),
        (WRONG, (400, NOT_SIGNED)),
        (
            replace(
                WRONG, message="The signature is right, but", metadata={"skew_seconds": "600"}
            ),
            (400, NOT_SIGNED.replace("The signature does not fit", "The signature is right, but")),
        ),
        (
            CoreErrorReply(grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
            (503, '{"success":false,"error":"The event was not taken. Deliver it again.",'
             '"code":"SERVICE_UNAVAILABLE"}'),
        ),
    ],
)  # fmt: skip
async def test_the_response_follows_the_core_s(
    client: AdapterClient,
    core: RecordingCore,
    reply: Message | CoreErrorReply,
    response: tuple[int, str],
) -> None:
    core.replies[METHOD] = reply
    assert await deliver(client) == response


@pytest.mark.parametrize(
    ("business_id", "signature"),
    [
        ("BUS-1", ""),
        ("BUS-1", "t=1,v1=\u00e9"),
        ("BUS-1", "x" * 4097),
        ("x" * 65, "t=1,v1=0"),
        ("%20", "t=1,v1=0"),
    ],
)
async def test_a_malformed_delivery_is_rejected_without_the_core(
    client: AdapterClient, core: RecordingCore, business_id: str, signature: str
) -> None:
    assert await deliver(client, business_id, signature=signature) == (
        400,
        NOT_SIGNED,
    )
    assert core.calls == []


async def test_too_many_in_flight_are_429_before_their_body(
    settings: AdapterSettings, hanging: Hanging
) -> None:
    async with running_adapter(replace(settings, max_in_flight=1)) as client:
        [first] = await hanging.deliver(client, "BUS-1", 1)
        assert await announce(client) == b"HTTP/1.1 429 Too Many Requests\r\n"
        hanging.finish.set()
        assert (await first)[0] == 200


async def test_bodies_in_memory_are_limited_by_what_arrived(
    settings: AdapterSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MAX_BODIES_BYTES", 100_000)
    head = b"POST /webhooks/stripe/BUS-1 HTTP/1.1\r\nHost: x\r\nStripe-Signature: t=1,v1=0\r\n"
    head += b"Content-Length: %d\r\n\r\n" % MAX_WEBHOOK_BYTES
    body = b"x" * 20_000
    settings = replace(settings, webhook_failures_per_minute=1000)
    async with asyncio.timeout(30), running_adapter(settings) as client:
        slow = [(await asyncio.open_connection(*client.address))[1] for _ in range(50)]
        for writer in slow:
            writer.write(head + b"x")
        assert (await deliver(client, body=body))[0] == 200
        _, large = await asyncio.open_connection(*client.address)
        large.write(head + b"x" * 90_000)
        while (response := await deliver(client, body=body))[0] == 200:
            pass  # its bytes have not arrived yet
        assert response[0] == 429
        assert (await deliver(client))[0] == 200
        large.close()
        while (await deliver(client, body=body))[0] == 429:
            pass  # the end of its connection has not arrived yet
        for writer in slow:
            writer.close()


async def test_webhooks_of_a_limited_address_wait_for_one_another(
    client: AdapterClient, core: RecordingCore, hanging: Hanging
) -> None:
    await exhaust(client, core)
    tasks = await hanging.deliver(client, "new", LIMITED_AT_ONCE)
    waiting = [asyncio.create_task(deliver(client, "new")) for _ in range(20)]
    for _ in range(5):  # meanwhile, they would have reached the core
        async with client.session.get(f"{client.url}/healthz") as response:
            assert response.status == 200
    assert hanging.in_flight == LIMITED_AT_ONCE
    hanging.finish.set()
    assert {(await task)[0] for task in (*tasks, *waiting)} == {200}


async def test_a_limited_address_has_half_of_what_may_be_in_flight(
    settings: AdapterSettings, core: RecordingCore, hanging: Hanging
) -> None:
    async with running_adapter(replace(settings, max_in_flight=4)) as client:
        assert (await deliver(client, "known"))[0] == 200
        await exhaust(client, core)
        tasks = await hanging.deliver(client, "new", 2)
        assert await announce(client, "other") == b"HTTP/1.1 429 Too Many Requests\r\n"
        status, text = await deliver(client, "other")
        assert (status, "no valid signature" in text) == (429, True)
        assert (await deliver(client, "known"))[0] == 200
        hanging.finish.set()
        assert {(await task)[0] for task in tasks} == {200}
        assert (await deliver(client, "other"))[0] == 200


async def test_a_webhook_of_a_limited_address_waits_for_a_limited_time(
    client: AdapterClient, core: RecordingCore, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "LIMITED_WAIT_SECONDS", 0)
    await exhaust(client, core)
    tasks = await hanging.deliver(client, "new", LIMITED_AT_ONCE)
    assert (await deliver(client, "other"))[0] == 429
    hanging.finish.set()
    await asyncio.gather(*tasks)


async def test_a_business_that_got_valid_webhooks_waits_for_no_others(
    client: AdapterClient, core: RecordingCore, hanging: Hanging
) -> None:
    assert (await deliver(client, "known"))[0] == 200
    await exhaust(client, core)
    tasks = await hanging.deliver(client, "new", LIMITED_AT_ONCE)
    assert (await deliver(client, "known"))[0] == 200
    hanging.finish.set()
    await asyncio.gather(*tasks)


async def test_bodies_of_a_limited_address_have_a_limit_of_their_own(
    settings: AdapterSettings, core: RecordingCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "LIMITED_BODIES_BYTES", 1000)
    async with running_adapter(settings) as client:
        assert (await deliver(client, "known", b"x" * 2000))[0] == 200
        await exhaust(client, core)
        del core.replies[METHOD]
        assert (await deliver(client, "other", b"x" * 2000))[0] == 429
        assert (await deliver(client, "other", b"x" * 500))[0] == 200
        assert (await deliver(client, "known", b"x" * 2000))[0] == 200


@pytest.mark.parametrize(
    "reply",
    [
        replace(WRONG, metadata={"skew_seconds": "600"}),
        CoreErrorReply(grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
        ReceiveWebhookResponse(),
    ],
)
async def test_only_failed_signatures_count(
    client: AdapterClient,
    core: RecordingCore,
    caplog: pytest.LogCaptureFixture,
    reply: Message | CoreErrorReply,
) -> None:
    core.replies[METHOD] = reply
    for _ in range(3 * FAILURES):
        await deliver(client)
    assert "webhook sender limited" not in caplog.text
    await exhaust(client, core)
    limited = [line for line in caplog.records if line.message == "webhook sender limited"]
    assert [line.levelno for line in limited] == [logging.WARNING]


async def test_a_delivery_without_a_signature_counts(
    client: AdapterClient, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(FAILURES):
        await deliver(client, signature="")
    assert "webhook sender limited" in caplog.text


async def test_a_delivery_whose_body_does_not_arrive_counts(
    settings: AdapterSettings, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_adapter(replace(settings, body_timeout_seconds=0.05)) as client:
        for _ in range(FAILURES):
            assert await announce(client) == b"HTTP/1.1 408 Request Timeout\r\n"
    assert "webhook sender limited" in caplog.text
