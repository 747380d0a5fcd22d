"""The stream to one core, which carries the calls of this process; opened again when it ends.

| state | new calls | ends with |
|---|---|---|
| CLOSED | none | a welcome: SERVING |
| REFUSED: the core does not let this process open a stream | none | a welcome: SERVING |
| SERVING | yes | an announcement of the core's stop: DRAINING; a lost connection: CLOSED |
| DRAINING | only if no other core serves | its last call: CLOSED |

A call was certainly not sent if no frame with it was handed to gRPC, or if the core announced that
it never read it. Any other call without an answer may have been sent.

An answer may ask to be acknowledged once its caller has it, or to have its call cancelled if the
caller has left. Both are written at once; a frame that has calls too is one that they ride in.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias

import grpc
import grpc.aio

from nivisco.internal.v1 import stream_pb2
from rpc.errors import CoreError, not_sent_error, outcome_unknown_error, was_cancelled
from rpc.frames import (
    BATCH_BYTES,
    STREAM_METHOD,
    STREAM_SERVICE,
    FrameError,
    call_frame,
    gather,
    parse_frame,
)
from rpc.metadata import ACKNOWLEDGES_METADATA, SERVICE_TOKEN_METADATA

logger = logging.getLogger("core.client")

WAITING_CALLS_MAX: Final = 4096
"""Calls that wait for the core's limit of unanswered calls; one more is refused."""
WELCOME_SECONDS: Final = 5.0
"""Timeout of opening a stream."""
REOPEN_SECONDS: Final = 0.1
"""Pause between the end of a stream and the next attempt."""
REFUSED_SECONDS: Final = 1.0
"""The same, after the core refused the stream."""
CLOSE_SECONDS: Final = 2.0
"""How long a core may take to read the last acknowledgements of a stream that is closed."""
_REFUSALS: Final = (
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,  # a core from before the streams
)
_CANCELLED: Final = grpc.StatusCode.CANCELLED.value[0]

Acknowledge: TypeAlias = Callable[[bool], None]
"""Tells the core whether a caller has its answer (True), or has left without it. Called once."""

_Stream = grpc.aio.StreamStreamCall[bytes, bytes]


class StreamState(enum.Enum):
    """What a stream is good for at the moment."""

    CLOSED = enum.auto()
    REFUSED = enum.auto()
    SERVING = enum.auto()
    DRAINING = enum.auto()


class NotSentError(Exception):
    """The call was certainly not sent to this core, which takes no calls now."""


@dataclass(slots=True)
class CallRequest:
    """A call to send, whichever core gets it."""

    method: str
    """Path of the method."""
    metadata: Sequence[tuple[str, str | bytes]]
    body: bytes
    """The serialized request."""
    deadline: float
    """Time of the event loop after which the caller no longer waits."""


@dataclass(slots=True, eq=False)
class _SentCall:
    """A call on this stream: waiting to be written, or written."""

    call_id: int
    frame: bytes
    answer: asyncio.Future[stream_pb2.CallAnswer]
    is_written: bool = False
    wants_acknowledgement: bool = False
    """Whether the answer asks for an acknowledgement, which nobody has given yet."""


@dataclass(slots=True)
class _Opened:
    """What belongs to one opening of the stream."""

    welcome: stream_pb2.Welcome
    methods: frozenset[str]
    last_id: int = 0
    is_ending: bool = False
    """Whether the core accepts no more calls."""
    waiting: deque[_SentCall] = field(default_factory=deque)
    written: dict[int, _SentCall] = field(default_factory=dict)
    """Calls without an answer, by id; also those whose callers have left."""
    cancelled: list[int] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    """Calls whose callers have their answers, which asked for an acknowledgement."""
    lost: list[int] = field(default_factory=list)
    """Calls whose callers left without their answers, which asked for an acknowledgement."""
    has_acknowledged: bool = False
    """Whether the core may still have to read acknowledgements."""
    is_closing: bool = False
    """Whether this side ends the stream as soon as what waits is written."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there may be something to write."""


class CoreStream:
    """The stream to one core."""

    def __init__(
        self,
        target: str,
        channel: grpc.aio.Channel,
        token: str,
        on_change: Callable[[], None],
    ) -> None:
        """Open a stream on `channel`, which is to one core, with a service token.

        `on_change` is called after each change of `state` and of `takes_calls`.
        """
        self.target = target
        self.state = StreamState.CLOSED
        self.reason = "not connected yet"
        """Why the state is CLOSED or REFUSED."""
        self._channel = channel
        self._connect: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
            f"/{STREAM_SERVICE}/{STREAM_METHOD}",
            request_serializer=None,
            response_deserializer=None,
        )
        self._metadata = grpc.aio.Metadata(
            (SERVICE_TOKEN_METADATA, token), (ACKNOWLEDGES_METADATA, "true")
        )
        self._on_change = on_change
        self._opened: _Opened | None = None
        # In a context of its own: the caller that comes first has a request id.
        self._running = asyncio.create_task(self._run(), context=Context())

    async def close(self) -> None:
        """End the stream and close the channel; calls without an answer fail.

        The core reads the acknowledgements first: it would drop those that it has not read.
        """
        if (opened := self._opened) is not None and opened.has_acknowledged:
            opened.is_closing = True
            opened.wake.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await opened.ended.wait()
        self._running.cancel()
        await asyncio.wait([self._running])
        await self._channel.close(None)

    async def answer(
        self, request: CallRequest
    ) -> tuple[stream_pb2.CallAnswer, Acknowledge | None]:
        """Send a call and return its answer. If the caller is cancelled, the core learns that.

        Also returns how to acknowledge the answer, if it asks for that.

        Raises:
            NotSentError: the call was not sent; another core may get it.
            CoreError: OUTCOME_UNKNOWN: the call may have been sent, and the stream or the time
                ended; SERVICE_UNAVAILABLE: it was not sent, and too many or too long calls wait;
                INTERNAL: the core lacks the method, or the request is too large.
        """
        opened = self._opened
        if opened is None or opened.is_ending:
            raise NotSentError
        loop = asyncio.get_running_loop()
        call = self._enqueued(opened, request, loop)
        timer = loop.call_at(request.deadline, _expire, opened, call)
        try:
            answer = await call.answer
            return answer, partial(_settle, opened, call) if call.wants_acknowledgement else None
        except asyncio.CancelledError:
            _leave(opened, call)
            raise
        finally:
            timer.cancel()

    def _enqueued(
        self, opened: _Opened, request: CallRequest, loop: asyncio.AbstractEventLoop
    ) -> _SentCall:
        """Add a call to those that wait to be written."""
        if request.method not in opened.methods:
            raise _internal_error(
                grpc.StatusCode.UNIMPLEMENTED, f"The core has no method {request.method}"
            )
        if len(opened.waiting) >= WAITING_CALLS_MAX:
            raise not_sent_error(f"{WAITING_CALLS_MAX} calls wait for the core at {self.target}")
        call_id = opened.last_id + 1
        frame = call_frame(
            call_id,
            request.method,
            request.metadata,
            request.body,
            request.deadline - loop.time(),
        )
        if len(frame) > opened.welcome.frame_bytes_max:
            limit = opened.welcome.frame_bytes_max
            raise _internal_error(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"The request has more than {limit} bytes"
            )
        opened.last_id = call_id
        call = _SentCall(call_id, frame, loop.create_future())
        opened.waiting.append(call)
        opened.wake.set()
        return call

    async def _run(self) -> None:
        """Keep the stream open until the task is cancelled."""
        while not was_cancelled():
            state = StreamState.CLOSED
            try:
                await self._carry_calls(self._connect(None, metadata=self._metadata))
                self.reason = "the core ended the stream"
            except grpc.aio.AioRpcError as error:
                self.reason = error.details() or error.code().name
                if error.code() in _REFUSALS:
                    state = StreamState.REFUSED
            except (FrameError, TimeoutError) as error:
                self.reason = str(error) or "the core did not open the stream in time"
            except Exception:
                self.reason = "an internal error"
                logger.exception("stream failed", extra={"core": self.target})
            if self.state in (StreamState.SERVING, StreamState.DRAINING):
                logger.info("stream ended", extra={"core": self.target, "reason": self.reason})
            elif state is StreamState.REFUSED and self.state is not state:
                extra = {"core": self.target, "reason": self.reason}
                logger.warning("stream refused, calls are sent without it", extra=extra)
            self._change(state)
            await asyncio.sleep(REFUSED_SECONDS if state is StreamState.REFUSED else REOPEN_SECONDS)

    async def _carry_calls(self, stream: _Stream) -> None:
        """Carry calls until the stream ends. All calls without an answer fail then."""
        writing: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(WELCOME_SECONDS):
                frame = await _read(stream)
            if frame is None or not frame.HasField("welcome"):
                raise FrameError(grpc.StatusCode.INTERNAL, "the core sent no welcome")
            opened = _Opened(frame.welcome, frozenset(frame.welcome.methods))
            self._opened = opened
            writing = asyncio.create_task(_write(stream, opened))
            logger.info("stream opened", extra={"core": self.target})
            self._change(StreamState.SERVING)
            while frame is not None:
                self._take(opened, frame)
                frame = await _read(stream)
        finally:
            stream.cancel()
            self._lose_calls()
            if writing is not None:
                writing.cancel()
                await asyncio.wait([writing])

    def _take(self, opened: _Opened, frame: stream_pb2.Frame) -> None:
        """Give answers to their callers, and note that the core drains."""
        for answer in frame.answers:
            call = opened.written.pop(answer.call_id, None)
            if call is None:
                continue
            call.wants_acknowledgement = answer.wants_acknowledgement
            if call.answer.done():  # its caller has left
                _leave(opened, call)
                continue
            if answer.status.code == _CANCELLED:
                _fail(call, outcome_unknown_error(grpc.StatusCode.DEADLINE_EXCEEDED))
            else:
                call.answer.set_result(answer)
        if opened.waiting:
            opened.wake.set()  # answers make room
        if frame.HasField("drain"):
            if frame.drain.HasField("last_call_id"):
                self._end(opened, frame.drain.last_call_id)
            self._change(StreamState.DRAINING)

    def _end(self, opened: _Opened, last_call_id: int) -> None:
        """Give back all calls that the core does not accept."""
        opened.is_ending = True
        unread = [call for call_id, call in opened.written.items() if call_id > last_call_id]
        for call in unread:
            del opened.written[call.call_id]
        for call in (*unread, *opened.waiting):
            _fail(call, NotSentError())
        opened.waiting.clear()

    def _lose_calls(self) -> None:
        opened, self._opened = self._opened, None
        if opened is None:
            return
        opened.ended.set()
        self._on_change()
        for call in opened.waiting:
            _fail(call, NotSentError())
        for call in opened.written.values():
            _fail(call, outcome_unknown_error(grpc.StatusCode.UNAVAILABLE))

    def _change(self, state: StreamState) -> None:
        self.state = state
        self._on_change()

    @property
    def takes_calls(self) -> bool:
        """Whether `answer` can send a call now."""
        return self._opened is not None and not self._opened.is_ending


async def _read(stream: _Stream) -> stream_pb2.Frame | None:
    """Return the next frame, or None at the end of the stream."""
    raw = await stream.read()
    return parse_frame(raw) if isinstance(raw, bytes) else None


async def _write(stream: _Stream, opened: _Opened) -> None:
    """Write what waits, each time all that gathered while the frame before was written.

    While the core works on calls, it does not wait for these: they may gather a little longer.
    """
    # At the stream's end it returns: the reader learns why.
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        while True:
            await opened.wake.wait()
            opened.wake.clear()
            await gather(opened.waiting, lambda: bool(opened.written))
            if batch := _next_batch(opened):
                opened.wake.set()  # more may wait
                await stream.write(batch)
            elif opened.is_closing:
                await stream.done_writing()
                return


def _next_batch(opened: _Opened) -> bytes:
    """Return the next frame to write, empty if there is none. Its calls count as sent."""
    parts: list[bytes] = []
    size = 0
    if opened.is_ending:
        # A write to a stream that the core has ended would have gRPC drop the answers before it.
        # The core does not end it before it has the acknowledgements.
        opened.cancelled = []
    if opened.cancelled or opened.acknowledged or opened.lost:
        notes = stream_pb2.Frame(
            cancelled_call_ids=[*opened.cancelled, *opened.lost],
            acknowledged_call_ids=opened.acknowledged,
        )
        parts.append(notes.SerializeToString())
        size = len(parts[0])
        opened.cancelled, opened.acknowledged, opened.lost = [], [], []
    if opened.is_ending or opened.is_closing:
        return b"".join(parts)
    batch_bytes = min(BATCH_BYTES, opened.welcome.frame_bytes_max)
    while opened.waiting and len(opened.written) < opened.welcome.unanswered_calls_max:
        call = opened.waiting[0]
        if parts and size + len(call.frame) > batch_bytes:
            break
        opened.waiting.popleft()
        if call.answer.done():  # its caller left before it was sent
            continue
        call.is_written = True
        opened.written[call.call_id] = call
        parts.append(call.frame)
        size += len(call.frame)
        call.frame = b""
    return b"".join(parts)


def _leave(opened: _Opened, call: _SentCall) -> None:
    """Have the core learn that nobody waits for the call."""
    if call.wants_acknowledgement:
        _settle(opened, call, is_received=False)
    elif call.is_written and call.call_id in opened.written:
        opened.cancelled.append(call.call_id)
        opened.wake.set()


def _settle(opened: _Opened, call: _SentCall, is_received: bool) -> None:
    """Have the core learn whether the caller has an answer that asks for it."""
    assert call.wants_acknowledgement, "once for an answer that asks for it"
    call.wants_acknowledgement = False
    (opened.acknowledged if is_received else opened.lost).append(call.call_id)
    opened.has_acknowledged = True
    opened.wake.set()


def _expire(opened: _Opened, call: _SentCall) -> None:
    """End a call whose time has passed."""
    if call.answer.done():
        return
    if call.is_written:
        _fail(call, outcome_unknown_error(grpc.StatusCode.DEADLINE_EXCEEDED))
        _leave(opened, call)
    else:
        _fail(call, not_sent_error("the time of a call passed before it was sent"))


def _fail(call: _SentCall, error: Exception) -> None:
    if not call.answer.done():
        call.answer.set_exception(error)


def _internal_error(code: grpc.StatusCode, message: str) -> CoreError:
    return CoreError("INTERNAL", message, code=code)
