"""A core on a real gRPC socket whose side of each stream is written in the test."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from nivisco.internal.v1 import stream_pb2
from rpc.frames import STREAM_METHOD, STREAM_SERVICE
from rpc.metadata import SERVICE_TOKEN_METADATA

TOKEN = "token-of-an-internal-process"
VALIDATE_PATH = "/nivisco.payments.v1.AuthenticationService/ValidateBusiness"
FRAME_BYTES_MAX = 10_000


class ScriptedStream:
    """The core's side of one stream."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._ended = asyncio.Event()
        self._code, self._details = grpc.StatusCode.OK, ""

    async def serve(self) -> None:
        """Keep the stream until the test ends it."""
        await self._ended.wait()
        if self._code is not grpc.StatusCode.OK:
            await self._context.abort(self._code, self._details)

    async def frame(self) -> stream_pb2.Frame:
        """Return the next frame of the client."""
        async with asyncio.timeout(10):
            raw = await self._context.read()
        assert isinstance(raw, bytes), "the client ended the stream"
        return stream_pb2.Frame.FromString(raw)

    async def calls(self, count: int) -> list[stream_pb2.Call]:
        """Return the next calls, of one frame or several."""
        found: list[stream_pb2.Call] = []
        while len(found) < count:
            found += (await self.frame()).calls
        assert len(found) == count
        return found

    async def call(self) -> stream_pb2.Call:
        """Return the next call, which comes alone."""
        [call] = await self.calls(1)
        return call

    async def write(self, frame: stream_pb2.Frame | bytes) -> None:
        """Write a frame, or what is none."""
        raw = frame if isinstance(frame, bytes) else frame.SerializeToString()
        await self._context.write(raw)

    async def welcome(self, unanswered_calls_max: int = 1000) -> None:
        """Open the stream."""
        welcome = stream_pb2.Welcome(
            unanswered_calls_max=unanswered_calls_max,
            frame_bytes_max=FRAME_BYTES_MAX,
            methods=[VALIDATE_PATH],
        )
        await self.write(stream_pb2.Frame(welcome=welcome))

    async def answer(self, call: stream_pb2.Call, **fields: Any) -> None:
        """Answer a call."""
        answer = stream_pb2.CallAnswer(call_id=call.id, **fields)
        await self.write(stream_pb2.Frame(answers=[answer]))

    async def drain(self, last_call_id: int | None = None) -> None:
        """Announce the core's stop."""
        await self.write(stream_pb2.Frame(drain=stream_pb2.Drain(last_call_id=last_call_id)))

    def end(self, code: grpc.StatusCode = grpc.StatusCode.OK, details: str = "") -> None:
        """End the stream."""
        self._code, self._details = code, details
        self._ended.set()


class ScriptedCore:
    """A core that is on its port until `stop`."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self.streams: asyncio.Queue[ScriptedStream] = asyncio.Queue()
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])

    async def start(self, *, has_streams: bool = True) -> "ScriptedCore":
        """Serve; a core without streams knows unary calls only."""
        handlers: dict[str, Any] = {
            "nivisco.payments.v1.AuthenticationService": {
                "ValidateBusiness": grpc.unary_unary_rpc_method_handler(self._unary)
            }
        }
        if has_streams:
            handlers[STREAM_SERVICE] = {
                STREAM_METHOD: grpc.stream_stream_rpc_method_handler(self._connect)
            }
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(name, found) for name, found in handlers.items()]
        )
        self._server.add_insecure_port(self.address)
        await self._server.start()
        return self

    async def stop(self) -> None:
        """Break all streams and leave the port."""
        await self._server.stop(None)

    async def stream(self) -> ScriptedStream:
        """Return the next stream that a client opens."""
        async with asyncio.timeout(10):
            return await self.streams.get()

    async def welcomed_stream(self, unanswered_calls_max: int = 1000) -> ScriptedStream:
        """Return the next stream that a client opens, after its welcome."""
        stream = await self.stream()
        await stream.welcome(unanswered_calls_max)
        return stream

    async def _connect(self, _frames: object, context: Any) -> None:
        assert dict(context.invocation_metadata())[SERVICE_TOKEN_METADATA] == TOKEN
        stream = ScriptedStream(context)
        self.streams.put_nowait(stream)
        await stream.serve()

    async def _unary(self, _request: bytes, _context: Any) -> bytes:
        return b""


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


StartCore = Callable[..., Any]


@asynccontextmanager
async def scripted_cores() -> AsyncIterator[StartCore]:
    """Give a function that starts a core, on a free port or a given one; all stop at the end."""
    started: list[ScriptedCore] = []

    async def start(port: int = 0, *, has_streams: bool = True) -> ScriptedCore:
        core = await ScriptedCore(port or free_port()).start(has_streams=has_streams)
        started.append(core)
        return core

    yield start
    for core in started:
        await core.stop()
