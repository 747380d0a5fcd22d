"""The core's side of a stream: who may open one, its limits, what a peer loses it for, its end."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from core.caller import Presence, current_presence
from core.server import stream_connection
from core.server.composition import MAX_MESSAGE_BYTES
from core.users.service import UsersService
from nivisco.internal.v1 import stream_pb2
from nivisco.payments.v1 import authentication_pb2, users_pb2
from rpc.catalogue import methods_by_path
from rpc.client import CoreClient
from rpc.errors import CoreError, status_error
from rpc.frames import STREAM_METHOD, STREAM_SERVICE, call_frame, parse_frame
from rpc.metadata import SERVICE_TOKEN_METADATA, Credentials
from tests.core.running import (
    OPERATOR_TOKEN,
    Business,
    create_user,
    register,
    running_core,
    settings_for,
)
from tests.databases import fresh_sqlite

VALIDATE = authentication_pb2.ValidateBusinessRequest()
VALIDATE_PATH = "/nivisco.payments.v1.AuthenticationService/ValidateBusiness"
USER_INFO_PATH = "/nivisco.payments.v1.UsersService/GetUserInfo"
PATIENCE_SECONDS = 60.0


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Nothing here depends on the kind of the database."""
    return fresh_sqlite(tmp_path / "nivisco.db")


class Peer:
    """A client of one stream that keeps no rules."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    async def frame(self) -> stream_pb2.Frame:
        """Return the next frame of the core."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            raw = await self.stream.read()
        assert isinstance(raw, bytes), "the core ended the stream"
        return parse_frame(raw)

    async def answers(self, count: int) -> dict[int, stream_pb2.CallAnswer]:
        """Return the next answers by their calls' ids."""
        found: dict[int, stream_pb2.CallAnswer] = {}
        while len(found) < count:
            found |= {answer.call_id: answer for answer in (await self.frame()).answers}
        return found

    async def end(self) -> tuple[grpc.StatusCode, str]:
        """Read to the end of the stream and return its status."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while isinstance(await self.stream.read(), bytes):
                    pass
        except grpc.aio.AioRpcError as error:
            return error.code(), error.details() or ""
        return grpc.StatusCode.OK, ""


def open_stream(client: CoreClient, token: str = OPERATOR_TOKEN) -> Peer:
    return stream_on(client._channel, token)


def stream_on(channel: grpc.aio.Channel, token: str, *more: tuple[str, str]) -> Peer:
    connect: Any = channel.stream_stream(
        f"/{STREAM_SERVICE}/{STREAM_METHOD}", request_serializer=None, response_deserializer=None
    )
    return Peer(connect(None, metadata=grpc.aio.Metadata((SERVICE_TOKEN_METADATA, token), *more)))


@asynccontextmanager
async def peer_of(client: CoreClient) -> AsyncIterator[Peer]:
    """A stream after its welcome."""
    peer = open_stream(client)
    assert (await peer.frame()).HasField("welcome")
    yield peer
    peer.stream.cancel()


def validate(call_id: int, credentials: Credentials, body: bytes = b"") -> bytes:
    return call_frame(call_id, VALIDATE_PATH, credentials.metadata(), body, PATIENCE_SECONDS)


def user_info(call_id: int, business: Business, *, seconds: float = PATIENCE_SECONDS) -> bytes:
    body = users_pb2.GetUserInfoRequest(user_id="USR-1").SerializeToString()
    return call_frame(call_id, USER_INFO_PATH, business.credentials.metadata(), body, seconds)


async def test_the_welcome_names_the_methods_and_limits(core: CoreClient) -> None:
    welcome = (await open_stream(core).frame()).welcome
    assert set(welcome.methods) == set(methods_by_path())
    assert welcome.frame_bytes_max == MAX_MESSAGE_BYTES
    assert welcome.unanswered_calls_max == stream_connection.UNANSWERED_CALLS_MAX


@pytest.mark.parametrize("token", ["", "wrong", OPERATOR_TOKEN[:-1]])
async def test_a_stream_needs_a_service_token(core: CoreClient, token: str) -> None:
    code, details = await open_stream(core, token).end()
    assert (code, details) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "A stream needs a valid service token",
    )


async def test_the_token_of_the_stream_authorizes_no_call(business: Business) -> None:
    async with peer_of(business.client) as peer:
        own = validate(1, business.credentials)
        none = call_frame(2, VALIDATE_PATH, [], b"", PATIENCE_SECONDS)
        operator = "/nivisco.internal.v1.OperatorService/CreateAdmin"
        internal = call_frame(3, operator, business.credentials.metadata(), b"", PATIENCE_SECONDS)
        await peer.stream.write(own + none + internal)
        answers = await peer.answers(3)
    assert not answers[1].HasField("status")
    reasons = [status_error(answers[call_id].status).reason for call_id in (2, 3)]
    assert reasons == ["INVALID_CREDENTIALS", "SERVICE_TOKEN_REQUIRED"]


def bad_frames() -> dict[str, tuple[bytes, grpc.StatusCode, str]]:
    """What a peer loses its stream for, and its status."""
    nobody = Credentials("nobody", "key")
    one = validate(7, nobody)
    text = call_frame(8, VALIDATE_PATH, [("a", b"\xff")], b"", 1)
    of_a_core = stream_pb2.Frame(drain=stream_pb2.Drain()).SerializeToString()
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    too_many = grpc.StatusCode.RESOURCE_EXHAUSTED
    return {
        "no frame": (b"\xff\xff\xff", invalid, "not a frame"),
        "empty": (b"", invalid, "an empty frame"),
        "only unknown fields": (b"\xf8\x07\x01", invalid, "a frame without calls"),
        "a core's": (of_a_core, invalid, "a frame without calls"),
        "an id again": (one + one, invalid, "a call with id 7 after id 7"),
        "a lower id": (one + validate(6, nobody), invalid, "a call with id 6 after id 7"),
        "no id": (validate(0, nobody), invalid, "a call with id 0 after id 0"),
        "no text": (text, invalid, "metadata of call 8 is not in UTF-8"),
        "unknown method": (
            call_frame(1, "/nope/Nope", [], b"", 1),
            grpc.StatusCode.UNIMPLEMENTED,
            "a call of the method '/nope/Nope'",
        ),
        "too large": (validate(1, nobody, b"x" * MAX_MESSAGE_BYTES), too_many, "larger than max"),
    }


@pytest.mark.parametrize("case", bad_frames())
async def test_a_peer_that_breaks_a_rule_loses_its_stream_and_no_other(
    business: Business, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "core")
    frame, code, details = bad_frames()[case]
    async with peer_of(business.client) as other, peer_of(business.client) as peer:
        await peer.stream.write(frame)
        ended, reason = await peer.end()
        assert ended is code
        assert details in reason
        await other.stream.write(validate(1, business.credentials))
        assert not (await other.answers(1))[1].HasField("status")
        await business.call(VALIDATE)
    assert any(record.getMessage().startswith("stream ended") for record in caplog.records)


async def test_a_peer_that_breaks_a_rule_before_its_welcome_is_written_learns_of_it(
    business: Business,
) -> None:
    for _ in range(20):  # the write of the welcome and the end of the stream meet by chance
        peer = open_stream(business.client)
        await peer.stream.write(b"")
        assert await peer.end() == (grpc.StatusCode.INVALID_ARGUMENT, "an empty frame")


async def test_a_peer_that_half_closes_loses_its_stream(business: Business) -> None:
    async with peer_of(business.client) as peer:
        await peer.stream.done_writing()
        assert await peer.end() == (grpc.StatusCode.CANCELLED, "the peer sends no more frames")


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> "Held":
    """Calls of GetUserInfo wait until they are released."""
    return Held(monkeypatch)


class Held:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.callers: list[Presence] = []
        self._released = asyncio.Event()
        self._more = asyncio.Event()
        held = self

        async def wait(*_: object) -> users_pb2.GetUserInfoResponse:
            held.callers.append(current_presence())
            held._more.set()
            await held._released.wait()
            raise AssertionError("the work ends with an internal error")

        monkeypatch.setattr(UsersService, "get", wait)

    async def wait_for(self, count: int) -> None:
        """Wait until so many calls are at work."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.callers) < count:
                self._more.clear()
                await self._more.wait()

    def release(self) -> None:
        """Let all calls end."""
        self._released.set()

    async def outcomes(self) -> list[bool]:
        """Wait for the end of all calls and return for each whether it was answered."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            for caller in self.callers:
                await caller.ended()
        return [caller.is_answered for caller in self.callers]


async def test_a_peer_that_floods_loses_its_stream(
    business: Business, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_connection, "UNANSWERED_CALLS_MAX", 3)
    async with peer_of(business.client) as peer:
        for call_id in range(1, 5):
            await peer.stream.write(user_info(call_id, business))
        assert await peer.end() == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "more than 3 calls without an answer",
        )
    await business.call(VALIDATE)


async def test_callers_of_streams_that_are_cut_have_left(business: Business, held: Held) -> None:
    """Also where gRPC cancels the stream's handler while it ends the stream itself."""
    for number in range(1, 41):
        peer = open_stream(business.client)
        assert (await peer.frame()).HasField("welcome")
        await peer.stream.write(user_info(1, business))
        await held.wait_for(number)
        await peer.stream.done_writing()
        peer.stream.cancel()
    assert await held.outcomes() == [False] * 40
    held.release()


async def test_a_peer_that_does_not_read_loses_its_stream(
    business: Business, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stream_connection, "WRITE_SECONDS", 0.05)
    large = b"x" * 200_000
    monkeypatch.setattr(
        stream_connection,
        "answer_frame",
        lambda call_id, *_, **__: stream_pb2.Frame(
            answers=[stream_pb2.CallAnswer(call_id=call_id, body=large)]
        ).SerializeToString(),
    )
    async with peer_of(business.client) as peer:
        for call_id in range(1, 101):
            await peer.stream.write(validate(call_id, business.credentials))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "stream ended, its peer broke a rule" not in caplog.messages:
                await business.call(VALIDATE)
        assert (await peer.end())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_an_answer_counts_as_delivered_when_it_is_written(
    business: Business, held: Held
) -> None:
    async with peer_of(business.client) as peer:
        await peer.stream.write(user_info(1, business) + user_info(2, business))
        await held.wait_for(2)
        assert not any(caller.left for caller in held.callers)
        held.release()
        await peer.answers(2)
        assert await held.outcomes() == [True, True]


async def test_answers_of_several_turns_are_one_frame_while_a_call_is_at_work(
    business: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def wait(*_: object) -> users_pb2.GetUserInfoResponse:
        end = asyncio.Event()
        at_work.put_nowait(end)
        await end.wait()
        raise AssertionError("the work ends with an internal error")

    monkeypatch.setattr(UsersService, "get", wait)
    async with peer_of(business.client) as peer:
        await peer.stream.write(b"".join(user_info(call_id, business) for call_id in (1, 2, 3)))
        async with asyncio.timeout(PATIENCE_SECONDS):
            ends = [await at_work.get() for _ in range(3)]
        for end in ends[:2]:
            end.set()
            await asyncio.sleep(0)
        assert [answer.call_id for answer in (await peer.frame()).answers] == [1, 2]
        ends[2].set()
        await peer.answers(1)


async def test_a_cancelled_call_is_left_and_answered_and_its_work_continues(
    business: Business, held: Held
) -> None:
    async with peer_of(business.client) as peer:
        await peer.stream.write(user_info(1, business) + user_info(2, business))
        await held.wait_for(2)
        cancel = stream_pb2.Frame(cancelled_call_ids=[1, 99])
        await peer.stream.write(cancel.SerializeToString())
        answer = (await peer.answers(1))[1]
        assert answer.status.code == grpc.StatusCode.CANCELLED.value[0]
        held.release()
        await peer.answers(1)
        assert await held.outcomes() == [False, True]


async def test_a_call_whose_time_passed_is_left(
    business: Business, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_connection, "EXPIRY_SECONDS", 0.0)
    async with peer_of(business.client) as peer:
        await peer.stream.write(user_info(1, business, seconds=0.2))
        await held.wait_for(1)
        answer = (await peer.answers(1))[1]
        assert answer.status.code == grpc.StatusCode.CANCELLED.value[0]
        assert await held.outcomes() == [False]
        held.release()


async def test_the_callers_of_a_lost_stream_have_left(business: Business, held: Held) -> None:
    async with peer_of(business.client) as peer:
        await peer.stream.write(user_info(1, business))
        await held.wait_for(1)
        peer.stream.cancel()
        assert await held.outcomes() == [False]
        held.release()


async def test_a_stopping_core_names_its_last_call_and_answers_what_it_accepted(
    tmp_path: Path, held: Held
) -> None:
    async with running_core(settings_for(tmp_path)) as client:
        business = await register(client)
        channel = grpc.aio.insecure_channel(client.target)
        peer = stream_on(channel, OPERATOR_TOKEN)
        await peer.frame()
        await peer.stream.write(user_info(1, business))
        await held.wait_for(1)
        stopping = asyncio.create_task(stop_and_answer(peer, business, held))
    last_call_id, answers, end = await stopping
    await channel.close(None)
    assert (last_call_id, list(answers)) == (1, [1])
    assert end == (grpc.StatusCode.OK, "")


async def stop_and_answer(
    peer: Peer, business: Business, held: Held
) -> tuple[int, dict[int, stream_pb2.CallAnswer], tuple[grpc.StatusCode, str]]:
    """Follow a stream through its core's stop, with one call before it and one after it."""
    drain = (await peer.frame()).drain
    while not drain.HasField("last_call_id"):
        drain = (await peer.frame()).drain
    await peer.stream.write(validate(2, business.credentials))
    held.release()
    return drain.last_call_id, await peer.answers(1), await peer.end()


async def test_calls_of_many_callers_are_answered_over_one_stream(business: Business) -> None:
    user_id = await create_user(business)
    request = users_pb2.GetUserInfoRequest(user_id=user_id)
    wrong = Business(business.client, Credentials("nobody", "key"))

    async def refusal() -> str:
        with pytest.raises(CoreError) as refused:
            await wrong.call(request)
        return refused.value.reason

    found = await asyncio.gather(*(business.call(request) for _ in range(50)), refusal())
    assert {each.user.user_id for each in found[:-1]} == {user_id}
    assert found[-1] == "INVALID_CREDENTIALS"
