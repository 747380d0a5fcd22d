"""The client's side of the streams: which core gets a call, and what is certain of it.

The cores are scripted: a test reads the frames of the client, and writes those of the core.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from core.server.stream import SERVER_OPTIONS
from nivisco.internal.v1 import stream_pb2
from nivisco.payments.v1 import authentication_pb2, keys_pb2
from rpc import client as client_module
from rpc import core_stream, core_streams
from rpc.addresses import stream_channel_options
from rpc.catalogue import methods_by_path
from rpc.client import CoreClient, CoreResponse
from rpc.core_stream import CoreStream
from rpc.error_details import FieldProblem
from rpc.errors import CoreError
from rpc.metadata import API_KEY_METADATA, BUSINESS_ID_METADATA, Credentials
from tests.rpc.scripted_core import (
    FRAME_BYTES_MAX,
    TOKEN,
    VALIDATE_PATH,
    ScriptedCore,
    ScriptedStream,
    StartCore,
    scripted_cores,
)

VALIDATE = methods_by_path()[VALIDATE_PATH].descriptor
UNKNOWN_METHOD = methods_by_path()["/nivisco.payments.v1.KeysService/GetStripePublicKey"].descriptor
PATIENCE_SECONDS = 60.0


@pytest.fixture
async def start_core() -> AsyncIterator[StartCore]:
    async with scripted_cores() as start:
        yield start


@pytest.fixture
async def core(start_core: StartCore) -> ScriptedCore:
    started: ScriptedCore = await start_core()
    return started


@asynccontextmanager
async def client_of(*cores: ScriptedCore) -> AsyncIterator[CoreClient]:
    client = CoreClient(",".join(core.address for core in cores), service_token=TOKEN)
    try:
        yield client
    finally:
        await client.close()


def start_call(
    client: CoreClient, name: str = "B", *, timeout_seconds: float = PATIENCE_SECONDS
) -> asyncio.Task[CoreResponse]:
    """Start a call of a business with this id."""
    return asyncio.create_task(
        client.send(
            VALIDATE,
            authentication_pb2.ValidateBusinessRequest(),
            Credentials(name, "key"),
            timeout_seconds=timeout_seconds,
        )
    )


def business_of(call: stream_pb2.Call) -> str:
    return call.metadata[BUSINESS_ID_METADATA].decode()


async def reason_of(call: Awaitable[object]) -> str:
    with pytest.raises(CoreError) as failed:
        await call
    return failed.value.reason


async def test_a_call_travels_with_its_method_credentials_and_timeout(core: ScriptedCore) -> None:
    async with client_of(core) as client:
        running = start_call(client)
        stream = await core.welcomed_stream()
        call = await stream.call()
        assert call.method == VALIDATE_PATH
        assert call.metadata == {BUSINESS_ID_METADATA: b"B", API_KEY_METADATA: b"key"}
        assert 0 < call.timeout_milliseconds <= PATIENCE_SECONDS * 1000
        response = authentication_pb2.ValidateBusinessResponse()
        await stream.answer(call, body=response.SerializeToString(), is_replayed=True)
        assert await running == CoreResponse(response, is_replayed=True)


async def test_calls_made_together_are_one_frame_and_answered_in_any_order(
    core: ScriptedCore,
) -> None:
    async with client_of(core) as client:
        first = start_call(client, "first")
        stream = await core.welcomed_stream()
        await stream.answer(await stream.call())
        await first
        running = {name: start_call(client, name) for name in "abc"}
        calls = (await stream.frame()).calls
        assert [business_of(call) for call in calls] == ["a", "b", "c"]
        assert [call.id for call in calls] == sorted({call.id for call in calls})
        for call in reversed(calls):
            await stream.answer(call)
            await running[business_of(call)]


async def test_calls_of_several_turns_are_one_frame_while_the_core_works(
    core: ScriptedCore,
) -> None:
    async with client_of(core) as client:
        running = [start_call(client)]
        stream = await core.welcomed_stream()
        calls = [await stream.call()]
        for name in "ab":
            running.append(start_call(client, name))
            await asyncio.sleep(0)
        calls += (await stream.frame()).calls
        assert [business_of(call) for call in calls] == ["B", "a", "b"]
        for call in calls:
            await stream.answer(call)
        await asyncio.gather(*running)


async def test_a_status_is_an_error_with_its_details(core: ScriptedCore) -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(field="a", description="is wrong")
    status = status_pb2.Status(code=grpc.StatusCode.INVALID_ARGUMENT.value[0], message="No.")
    for detail in (
        error_details_pb2.ErrorInfo(reason="INVALID_FIELDS", metadata={"k": "v"}),
        error_details_pb2.BadRequest(field_violations=[violation]),
        error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=3)),
    ):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    async with client_of(core) as client:
        running = start_call(client)
        stream = await core.welcomed_stream()
        await stream.answer(await stream.call(), status=status, is_replayed=True)
        with pytest.raises(CoreError) as failed:
            await running
    error = failed.value
    assert (error.reason, error.message, error.code, error.metadata) == (
        ("INVALID_FIELDS", "No.", grpc.StatusCode.INVALID_ARGUMENT, {"k": "v"})
    )
    assert (error.fields, error.retry_after_seconds, error.is_replayed) == (
        ((FieldProblem("a", "is wrong"),), 3, True)
    )


async def test_a_caller_that_leaves_cancels_its_call(core: ScriptedCore) -> None:
    async with client_of(core) as client:
        leaving, staying = start_call(client, "leaving"), start_call(client, "staying")
        stream = await core.welcomed_stream()
        calls = {business_of(call): call for call in await stream.calls(2)}
        leaving.cancel()
        assert (await stream.frame()).cancelled_call_ids == [calls["leaving"].id]
        await stream.answer(calls["leaving"])
        await stream.answer(calls["staying"])
        await staying


async def test_a_call_whose_time_passed_is_cancelled_and_its_outcome_unknown(
    core: ScriptedCore,
) -> None:
    async with client_of(core) as client:
        opening = start_call(client)
        stream = await core.welcomed_stream()
        await stream.answer(await stream.call())
        await opening
        running = start_call(client, timeout_seconds=0.05)
        call = await stream.call()
        assert await reason_of(running) == "OUTCOME_UNKNOWN"
        assert (await stream.frame()).cancelled_call_ids == [call.id]


async def test_a_call_that_the_core_gave_up_has_an_unknown_outcome(core: ScriptedCore) -> None:
    cancelled = status_pb2.Status(code=grpc.StatusCode.CANCELLED.value[0])
    async with client_of(core) as client:
        running = start_call(client)
        stream = await core.welcomed_stream()
        await stream.answer(await stream.call(), status=cancelled)
        assert await reason_of(running) == "OUTCOME_UNKNOWN"


async def test_a_broken_stream_leaves_only_what_was_sent_unknown(core: ScriptedCore) -> None:
    async with client_of(core) as client:
        sent, waiting = start_call(client, "sent"), start_call(client, "waiting")
        stream = await core.welcomed_stream(unanswered_calls_max=1)
        assert business_of(await stream.call()) == "sent"
        stream.end(grpc.StatusCode.UNAVAILABLE, "broken")
        assert await reason_of(sent) == "OUTCOME_UNKNOWN"
        again = await core.welcomed_stream()
        call = await again.call()
        assert business_of(call) == "waiting"
        await again.answer(call)
        await waiting


async def test_a_cancelled_call_keeps_its_place_until_the_core_answers_it(
    core: ScriptedCore,
) -> None:
    async with client_of(core) as client:
        leaving, staying, waiting = (start_call(client) for _ in range(3))
        stream = await core.welcomed_stream(unanswered_calls_max=2)
        first, second = await stream.calls(2)
        leaving.cancel()
        frame = await stream.frame()
        assert list(frame.cancelled_call_ids) == [first.id]
        assert not frame.calls
        await stream.answer(first)
        third = await stream.call()
        await stream.answer(second)
        await stream.answer(third)
        await asyncio.gather(staying, waiting)


async def test_too_many_waiting_calls_are_refused_and_were_not_sent(
    core: ScriptedCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_stream, "WAITING_CALLS_MAX", 1)
    async with client_of(core) as client:
        first = start_call(client, "first")
        stream = await core.welcomed_stream(unanswered_calls_max=1)
        call = await stream.call()
        waiting = start_call(client, "waiting")
        await asyncio.sleep(0)
        assert await reason_of(start_call(client, "refused")) == "SERVICE_UNAVAILABLE"
        await stream.answer(call)
        await stream.answer(await stream.call())
        await asyncio.gather(first, waiting)


async def test_a_call_whose_time_passed_before_it_was_sent_is_certain(core: ScriptedCore) -> None:
    async with client_of(core) as client:
        first = start_call(client, "first")
        stream = await core.welcomed_stream(unanswered_calls_max=1)
        call = await stream.call()
        late = start_call(client, "late", timeout_seconds=0.05)
        assert await reason_of(late) == "SERVICE_UNAVAILABLE"
        last = start_call(client, "last")
        await stream.answer(call)
        await first
        call = await stream.call()
        assert business_of(call) == "last"
        await stream.answer(call)
        await last


@asynccontextmanager
async def connected(
    *cores: ScriptedCore,
) -> AsyncIterator[tuple[CoreClient, list[ScriptedStream]]]:
    """Give a client with a stream to each core, without calls, and the cores' sides of them."""
    async with client_of(*cores) as client:
        opening = start_call(client)
        streams = [await core.stream() for core in cores]
        await streams[0].welcome()
        await streams[0].answer(await streams[0].call())
        await opening
        for stream in streams[1:]:
            await stream.welcome()
        await until_usable(client, len(cores))
        yield client, streams


async def until_usable(client: CoreClient, count: int) -> None:
    """Wait until so many cores get calls."""
    streams = client._streams
    assert streams is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(streams._usable) != count:
            await streams._changed.wait()


async def test_calls_go_to_the_cores_in_turn(start_core: StartCore) -> None:
    async with connected(await start_core(), await start_core()) as (client, streams):
        running = [start_call(client) for _ in range(6)]
        for stream in streams:
            for call in await stream.calls(3):
                await stream.answer(call)
        await asyncio.gather(*running)


async def test_a_draining_core_gets_no_new_calls_and_answers_those_that_it_has(
    start_core: StartCore,
) -> None:
    async with connected(await start_core(), await start_core()) as (client, (stops, stays)):
        running = [start_call(client) for _ in range(2)]
        accepted, other = await stops.call(), await stays.call()
        await stops.drain()
        await until_usable(client, 1)
        running += [start_call(client) for _ in range(3)]
        calls = await stays.calls(3)
        await stops.drain(last_call_id=accepted.id)
        await stops.answer(accepted)
        stops.end()
        for call in (other, *calls):
            await stays.answer(call)
        await asyncio.gather(*running)


async def test_a_single_core_gets_calls_while_it_drains(core: ScriptedCore) -> None:
    async with client_of(core) as client:
        running = start_call(client, "first")
        stream = await core.welcomed_stream()
        call = await stream.call()
        await stream.drain()
        await stream.answer(call)
        await running
        running = start_call(client, "second")
        await stream.answer(await stream.call())
        await running


async def test_calls_that_a_stopping_core_did_not_read_go_to_another_one(
    start_core: StartCore,
) -> None:
    async with connected(await start_core(), await start_core()) as (client, (stops, stays)):
        running = {name: start_call(client, name) for name in "abcd"}
        first, second = await stops.calls(2)
        others = await stays.calls(2)
        await stops.drain(last_call_id=first.id)
        [moved] = await stays.calls(1)
        assert business_of(moved) == business_of(second)
        await stops.answer(first)
        for call in (*others, moved):
            await stays.answer(call)
        await asyncio.gather(*running.values())


async def test_a_lost_core_leaves_the_others_and_gets_calls_when_it_is_back(
    start_core: StartCore,
) -> None:
    lost, stays = await start_core(), await start_core()
    async with connected(lost, stays) as (client, (stream, other)):
        running = [start_call(client) for _ in range(2)]
        await stream.call()
        await other.answer(await other.call())
        await lost.stop()
        outcomes = await asyncio.gather(*running, return_exceptions=True)
        reasons = [each.reason for each in outcomes if isinstance(each, CoreError)]
        assert (len(outcomes), reasons) == (2, ["OUTCOME_UNKNOWN"])
        running = [start_call(client) for _ in range(2)]
        for call in await other.calls(2):
            await other.answer(call)
        await asyncio.gather(*running)
        back = await start_core(int(lost.address.rpartition(":")[2]))
        await back.welcomed_stream()
        await until_usable(client, 2)


async def test_a_call_that_was_not_sent_waits_for_a_core(
    start_core: StartCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "RECONNECT_SECONDS", PATIENCE_SECONDS)
    core = await start_core()
    await core.stop()
    async with client_of(core) as client:
        running = start_call(client)
        await asyncio.sleep(0)
        back = await start_core(int(core.address.rpartition(":")[2]))
        stream = await back.welcomed_stream()
        await stream.answer(await stream.call())
        await running


@pytest.mark.parametrize("not_a_frame", [b"", b"\xff\xff"])
async def test_a_core_that_sends_no_frames_is_left_and_connected_again(
    core: ScriptedCore, not_a_frame: bytes
) -> None:
    async with client_of(core) as client:
        running = start_call(client)
        stream = await core.welcomed_stream()
        await stream.call()
        await stream.write(not_a_frame)
        assert await reason_of(running) == "OUTCOME_UNKNOWN"
        running = start_call(client)
        stream = await core.welcomed_stream()
        await stream.answer(await stream.call())
        await running


async def test_a_core_without_a_welcome_gets_no_calls(core: ScriptedCore) -> None:
    async with client_of(core) as client:
        running = start_call(client)
        stream = await core.stream()
        await stream.drain()
        stream = await core.welcomed_stream()
        await stream.answer(await stream.call())
        await running


@pytest.mark.parametrize(
    ("request_", "method", "code"),
    [
        (keys_pb2.GetStripePublicKeyRequest(), UNKNOWN_METHOD, grpc.StatusCode.UNIMPLEMENTED),
        (
            authentication_pb2.ValidateBusinessRequest(),
            VALIDATE,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        ),
    ],
)
async def test_what_the_core_would_end_the_stream_for_is_not_sent(
    core: ScriptedCore, request_: Any, method: Any, code: grpc.StatusCode
) -> None:
    large = Credentials("B", "k" * FRAME_BYTES_MAX)
    async with connected(core) as (client, [stream]):
        with pytest.raises(CoreError) as refused:
            await client.send(method, request_, large, timeout_seconds=PATIENCE_SECONDS)
        assert (refused.value.reason, refused.value.code) == ("INTERNAL", code)
        running = start_call(client)
        await stream.answer(await stream.call())
        await running


async def test_calls_to_a_core_that_refuses_streams_are_unary(
    start_core: StartCore, caplog: pytest.LogCaptureFixture
) -> None:
    async with client_of(await start_core(has_streams=False)) as client:
        assert not (await start_call(client)).is_replayed
        await start_call(client)
    logged = [record.getMessage() for record in caplog.records]
    assert logged.count("stream refused, calls are sent without it") == 1


async def test_closing_the_client_fails_its_calls(core: ScriptedCore) -> None:
    async with client_of(core) as client:
        sent, waiting = start_call(client), start_call(client)
        stream = await core.welcomed_stream(unanswered_calls_max=1)
        await stream.call()
        await client.close()
        assert await reason_of(sent) == "OUTCOME_UNKNOWN"
        assert await reason_of(waiting) == "SERVICE_UNAVAILABLE"


async def lost_when_cancelled(*_: object, **__: object) -> None:
    """As a call of gRPC whose connection is lost at the moment of its cancellation."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        nothing = grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(
            grpc.StatusCode.UNAVAILABLE, nothing, nothing, "the connection was lost", None
        ) from None


async def test_a_stream_that_is_lost_while_it_is_closed_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("grpc.aio._call.StreamStreamCall.read", lost_when_cancelled)
    stream = CoreStream(
        "127.0.0.1:9", grpc.aio.insecure_channel("127.0.0.1:9"), TOKEN, on_change=lambda: None
    )
    await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await stream.close()


async def test_a_caller_that_is_cancelled_while_its_call_is_lost_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "grpc.aio._call.UnaryUnaryCall.__await__", lambda _: lost_when_cancelled().__await__()
    )
    client = CoreClient("127.0.0.1:9")
    for running in (
        start_call(client),
        asyncio.create_task(client.is_ready(timeout_seconds=PATIENCE_SECONDS)),
    ):
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    await client.close()


async def test_a_name_is_connected_to_at_its_addresses(start_core: StartCore) -> None:
    core = await start_core()
    client = CoreClient(core.address.replace("127.0.0.1", "localhost"), service_token=TOKEN)
    running = start_call(client)
    stream = await core.welcomed_stream()
    await stream.answer(await stream.call())
    await running
    await client.close()


async def test_a_stopping_core_that_left_its_name_answers_what_it_has(
    start_core: StartCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a stopping pod, whose address is taken out of the name of its service."""
    core = await start_core()
    targets = [f"ipv4:{core.address}"]
    looked = asyncio.Event()

    async def single_targets(_cores: str) -> list[str]:
        looked.set()
        return list(targets)

    monkeypatch.setattr(core_streams, "single_targets", single_targets)
    monkeypatch.setattr(core_streams, "RESOLVE_SECONDS", 0.0)
    client = CoreClient(core.address.replace("127.0.0.1", "localhost"), service_token=TOKEN)
    running = start_call(client)
    stream = await core.welcomed_stream()
    call = await stream.call()
    await stream.drain(last_call_id=call.id)
    targets.clear()
    for _ in range(3):
        looked.clear()
        await looked.wait()
    await stream.answer(call)
    await running
    await client.close()


def test_the_server_allows_the_pings_that_keep_an_idle_stream() -> None:
    client = dict(stream_channel_options("127.0.0.1:1", ""))
    interval = client["grpc.keepalive_time_ms"]
    assert client["grpc.http2.max_pings_without_data"] == 0
    assert all(least < int(interval) for _, least in SERVER_OPTIONS)


async def asked(client: CoreClient, core: ScriptedCore) -> tuple[ScriptedStream, CoreResponse, int]:
    """Return a stream, and the response to a call that asked to be acknowledged, with its id."""
    running = start_call(client)
    stream = await core.welcomed_stream()
    call = await stream.call()
    await stream.answer(call, wants_acknowledgement=True)
    return stream, await running, call.id


@pytest.mark.parametrize("is_received", [True, False])
async def test_the_core_learns_what_became_of_an_answer_that_asks_for_it(
    core: ScriptedCore, *, is_received: bool
) -> None:
    async with client_of(core) as client:
        stream, response, call_id = await asked(client, core)
        assert response.acknowledge is not None
        response.acknowledge(is_received)
        frame = await stream.frame()
        assert list(frame.acknowledged_call_ids) == [call_id] * is_received
        assert list(frame.cancelled_call_ids) == [call_id] * (not is_received)
        stream.end()


async def test_acknowledgements_ride_with_the_next_calls(core: ScriptedCore) -> None:
    async with client_of(core) as client:
        stream, response, call_id = await asked(client, core)
        assert response.acknowledge is not None
        running = start_call(client, "next")
        response.acknowledge(True)
        frame = await stream.frame()
        assert list(frame.acknowledged_call_ids) == [call_id]
        assert [business_of(call) for call in frame.calls] == ["next"]
        await stream.answer(frame.calls[0])
        assert (await running).acknowledge is None
        stream.end()


async def test_a_client_that_only_calls_has_what_it_got(core: ScriptedCore) -> None:
    async with client_of(core) as client:
        running = asyncio.create_task(
            client.call(
                VALIDATE,
                authentication_pb2.ValidateBusinessRequest(),
                Credentials("B", "key"),
                timeout_seconds=PATIENCE_SECONDS,
            )
        )
        stream = await core.welcomed_stream()
        call = await stream.call()
        await stream.answer(call, wants_acknowledgement=True)
        await running
        assert list((await stream.frame()).acknowledged_call_ids) == [call.id]
        stream.end()


async def test_an_answer_whose_caller_left_meanwhile_is_not_acknowledged(
    core: ScriptedCore,
) -> None:
    async with client_of(core) as client:
        leaving = start_call(client)
        stream = await core.welcomed_stream()
        call = await stream.call()
        leaving.cancel()
        assert list((await stream.frame()).cancelled_call_ids) == [call.id]
        await stream.answer(call, wants_acknowledgement=True)  # it had been written before
        frame = await stream.frame()
        assert list(frame.cancelled_call_ids) == [call.id]
        assert not frame.acknowledged_call_ids
        stream.end()


async def test_a_caller_that_leaves_in_the_turn_of_its_answer_is_not_acknowledged(
    core: ScriptedCore,
) -> None:
    async with client_of(core) as client:
        leaving = start_call(client)
        stream = await core.welcomed_stream()
        call = await stream.call()
        answer = stream_pb2.CallAnswer(call_id=call.id, wants_acknowledgement=True)
        assert client._streams is not None
        own = client._streams._usable[0]
        assert own._opened is not None
        own._take(own._opened, stream_pb2.Frame(answers=[answer]))
        leaving.cancel()
        assert list((await stream.frame()).cancelled_call_ids) == [call.id]
        with pytest.raises(asyncio.CancelledError):
            await leaving
        stream.end()


async def test_an_answer_is_acknowledged_to_a_core_that_accepts_no_more_calls(
    start_core: StartCore,
) -> None:
    async with connected(await start_core(), await start_core()) as (client, (stops, stays)):
        running = [start_call(client) for _ in range(2)]
        accepted, other = await stops.call(), await stays.call()
        await stops.drain(last_call_id=accepted.id)
        await until_usable(client, 1)
        await stops.answer(accepted, wants_acknowledgement=True)
        await stays.answer(other)
        for response in await asyncio.gather(*running):
            if response.acknowledge is not None:
                response.acknowledge(True)
        assert list((await stops.frame()).acknowledged_call_ids) == [accepted.id]
        stops.end()


async def test_a_client_closes_once_the_core_has_read_what_it_acknowledged(
    core: ScriptedCore,
) -> None:
    async with client_of(core) as client:
        stream, response, call_id = await asked(client, core)
        assert response.acknowledge is not None
        response.acknowledge(True)
        closing = asyncio.create_task(client.close())
        assert list((await stream.frame()).acknowledged_call_ids) == [call_id]
        with pytest.raises(AssertionError, match="the client ended the stream"):
            await stream.frame()
        assert not closing.done()
        stream.end()
        await closing


async def test_a_client_closes_although_the_core_does_not_read(
    core: ScriptedCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_stream, "CLOSE_SECONDS", 0.01)
    async with client_of(core) as client:
        _, response, _ = await asked(client, core)
        assert response.acknowledge is not None
        response.acknowledge(True)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await client.close()
