"""One stream of an internal process: reads its calls, has them answered, writes the answers.

A call is accepted when its frame is read, and answered once. Its caller counts as gone when the
client cancels the call, its time passes, or the stream ends; the work continues all the same.

What was written may never be read: gRPC drops what has arrived when a connection breaks. So an
answer whose delivery is recorded asks for an acknowledgement, if the client gives any:

    the answer asks for   its caller has it when       and has left when
    nothing               its frame has been written   the write fails
    an acknowledgement    that is read                 its call is cancelled, the stream ends, or
                                                       ACKNOWLEDGE_SECONDS pass
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import grpc
from google.rpc import status_pb2

from core.caller import Presence
from core.server.pipeline import Answer, Pipeline
from nivisco.internal.v1 import stream_pb2
from rpc.catalogue import methods_by_path
from rpc.frames import BATCH_BYTES, FrameError, answer_frame, gather, metadata_of, parse_frame

logger = logging.getLogger("core")

UNANSWERED_CALLS_MAX: Final = 8192
"""Most calls of one stream that are in flight or whose answers wait to be written."""
WRITE_SECONDS: Final = 10.0
"""How long the peer may take to read a frame."""
EXPIRY_SECONDS: Final = 1.0
"""Interval at which calls and answers are looked for whose time has passed."""
ACKNOWLEDGE_SECONDS: Final = 4.0
"""How long a client may take to acknowledge an answer: with EXPIRY_SECONDS, less than other cores
wait for this core to record the delivery."""
_SHOWN_METHOD_CHARACTERS: Final = 100
_CANCELLED: Final = status_pb2.Status(code=grpc.StatusCode.CANCELLED.value[0])


@dataclass(slots=True)
class _Call:
    """A call whose answer is not being written yet, or that asks for an acknowledgement."""

    presence: Presence
    task: asyncio.Task[Answer]
    deadline: float
    """Time of the event loop after which its caller no longer waits, or counts as gone."""
    wants_acknowledgement: bool = False
    """Whether its answer asks for one."""

    def leave(self) -> None:
        """Have the call know that its caller has left. Its work continues."""
        self.presence.end(left=True)
        self.task.cancel()


class StreamConnection:
    """One open stream."""

    def __init__(
        self, pipeline: Pipeline, context: Any, frame_bytes_max: int, *, acknowledges: bool
    ) -> None:
        """Answer the calls on the stream of `context` with `pipeline`.

        gRPC itself ends a stream with a frame of more than `frame_bytes_max`, its server's limit.
        `acknowledges` says whether the client acknowledges the answers that ask for it.
        """
        self._pipeline = pipeline
        self._context = context
        self._acknowledges = acknowledges
        self._last_call_id = 0
        self._is_ending = False
        """Whether no more calls are accepted."""
        self._unanswered: dict[int, _Call] = {}
        """The calls whose answers are not being written yet, by id."""
        self._unacknowledged: dict[int, _Call] = {}
        """The calls whose answers ask for an acknowledgement and count as written, by id."""
        self._answers: deque[tuple[int, bytes]] = deque()
        """Answers that wait to be written, with their calls' ids."""
        self._announcement: bytes = stream_pb2.Frame(
            welcome=stream_pb2.Welcome(
                unanswered_calls_max=UNANSWERED_CALLS_MAX,
                frame_bytes_max=frame_bytes_max,
                methods=methods_by_path(),
            )
        ).SerializeToString()
        """What is written before any answer."""
        self._wake = asyncio.Event()
        """Set when there may be something to write."""
        self._wake.set()

    def drain(self) -> None:
        """Announce that the core stops, while it still accepts calls."""
        self._announce(stream_pb2.Drain())

    def end(self) -> None:
        """Accept no more calls, and end the stream when the accepted ones are answered."""
        self._is_ending = True
        self._announce(stream_pb2.Drain(last_call_id=self._last_call_id))

    async def run(self) -> None:
        """Serve the stream until its end, which the peer, a broken rule or `end` brings.

        Raises:
            FrameError: the peer broke a rule.
        """
        working = [
            asyncio.create_task(each) for each in (self._read(), self._write(), self._expire())
        ]
        try:
            done, _ = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in working:
                task.cancel()
            # Before anything is awaited: gRPC may cancel this task too.
            for call in (*self._unanswered.values(), *self._unacknowledged.values()):
                call.leave()
            await asyncio.gather(*working, return_exceptions=True)

    async def _read(self) -> None:
        """Accept calls until the peer breaks a rule."""
        while isinstance(raw := await self._context.read(), bytes):
            frame = parse_frame(raw)
            if not (frame.calls or frame.cancelled_call_ids or frame.acknowledged_call_ids):
                raise FrameError(grpc.StatusCode.INVALID_ARGUMENT, "a frame without calls")
            self._take(frame)
        raise FrameError(grpc.StatusCode.CANCELLED, "the peer sends no more frames")

    def _take(self, frame: stream_pb2.Frame) -> None:
        """Accept the calls of a frame, and note which callers have their answers or have left."""
        for call_id in frame.acknowledged_call_ids:  # first: an equal call may follow
            if acknowledged := self._unacknowledged.pop(call_id, None):
                acknowledged.presence.end()
        for call in frame.calls:
            if not self._is_ending:
                self._accept(call)
        for call_id in frame.cancelled_call_ids:
            answered = self._unacknowledged.pop(call_id, None)
            if cancelled := answered or self._unanswered.get(call_id):
                cancelled.leave()
        if self._is_ending:
            self._wake.set()  # it may be the last acknowledgement

    def _accept(self, call: stream_pb2.Call) -> None:
        """Start the work of a call."""
        if call.id <= self._last_call_id:
            raise FrameError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"a call with id {call.id} after id {self._last_call_id}",
            )
        if call.method not in methods_by_path():
            name = call.method[:_SHOWN_METHOD_CHARACTERS]
            raise FrameError(grpc.StatusCode.UNIMPLEMENTED, f"a call of the method {name!r}")
        if len(self._unanswered) >= UNANSWERED_CALLS_MAX:
            raise FrameError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"more than {UNANSWERED_CALLS_MAX} calls without an answer",
            )
        metadata, presence = metadata_of(call), Presence()
        self._last_call_id = call.id
        task = asyncio.create_task(
            self._pipeline.answer(call.method, metadata, call.body, presence)
        )
        deadline = asyncio.get_running_loop().time() + call.timeout_milliseconds / 1000
        self._unanswered[call.id] = _Call(presence, task, deadline)
        task.add_done_callback(partial(self._enqueue_answer, call.id))

    async def _expire(self) -> None:
        """Have callers leave whose time has passed. Clients cancel their calls earlier."""
        time = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(EXPIRY_SECONDS)
            for call in self._unanswered.values():
                if call.deadline <= time():
                    call.leave()
            late = [
                call_id for call_id, call in self._unacknowledged.items() if call.deadline <= time()
            ]
            for call_id in late:
                self._unacknowledged.pop(call_id).leave()
            if late:
                logger.warning("answers not acknowledged in time", extra={"answers": len(late)})
                self._wake.set()

    def _enqueue_answer(self, call_id: int, task: asyncio.Task[Answer]) -> None:
        """Have the answer of a call written; a cancelled one has only a status."""
        if task.cancelled():
            raw = answer_frame(call_id, b"", _CANCELLED, is_replayed=False)
        else:
            answer, call = task.result(), self._unanswered[call_id]
            call.wants_acknowledgement = (
                self._acknowledges and call.presence.is_delivery_recorded and answer.status is None
            )
            raw = answer_frame(
                call_id,
                answer.body,
                answer.status,
                is_replayed=answer.is_replayed,
                wants_acknowledgement=call.wants_acknowledgement,
            )
        self._answers.append((call_id, raw))
        self._wake.set()

    def _announce(self, drain: stream_pb2.Drain) -> None:
        self._announcement += stream_pb2.Frame(drain=drain).SerializeToString()
        self._wake.set()

    async def _write(self) -> None:
        """Write what waits, each time all that gathered while the frame before was written.

        While other calls are worked on, answers may gather a little longer. Returns when the stream
        is to end and all of its calls are answered, with the acknowledgements that they ask for.
        """
        while not (
            self._is_ending
            and not self._unanswered
            and not self._unacknowledged
            and not self._announcement
        ):
            await self._wake.wait()
            self._wake.clear()
            await gather(self._answers, lambda: len(self._answers) < len(self._unanswered))
            if batch := self._next_batch():
                self._wake.set()  # more may wait
                await self._write_batch(*batch)

    def _next_batch(self) -> tuple[bytes, list[Presence]] | None:
        """Return the next frame to write, and the callers that have their answers with its write.

        None if there is none. Its calls are answered from now on: the peer may send others, and
        acknowledge answers, before the write returns.
        """
        parts = [self._announcement] if self._announcement else []
        self._announcement = b""
        size = 0
        callers: list[Presence] = []
        while self._answers and (not parts or size + len(self._answers[0][1]) <= BATCH_BYTES):
            call_id, raw = self._answers.popleft()
            call = self._unanswered.pop(call_id)
            if call.wants_acknowledgement:
                call.deadline = asyncio.get_running_loop().time() + ACKNOWLEDGE_SECONDS
                self._unacknowledged[call_id] = call
            else:
                callers.append(call.presence)
            parts.append(raw)
            size += len(raw)
        return (b"".join(parts), callers) if parts else None

    async def _write_batch(self, frame: bytes, callers: list[Presence]) -> None:
        is_written = False
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._context.write(frame)
            is_written = True
        except TimeoutError:
            raise FrameError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"the peer did not read a frame within {WRITE_SECONDS:g} seconds",
            ) from None
        finally:
            for presence in callers:
                presence.end(left=not is_written)
