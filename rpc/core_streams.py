"""The streams to all cores of a target: which core gets a call, and what is sent again.

Calls go in turn to the cores that serve. If none does, they go to those that drain, so that a
single core gets calls until it stops.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from contextvars import Context
from typing import Final

import grpc.aio

from nivisco.internal.v1 import stream_pb2
from rpc.addresses import DNS, grpc_target, single_targets, stream_channel_options
from rpc.core_stream import Acknowledge, CallRequest, CoreStream, NotSentError, StreamState
from rpc.errors import not_sent_error
from rpc.tls import ClientTls

logger = logging.getLogger("core.client")

RESOLVE_SECONDS: Final = 2.0
"""Interval at which the cores of a name are looked up."""


class StreamRefusedError(Exception):
    """No core is connected, and one at least refuses streams of this process."""


class CoreStreams:
    """A stream to each core."""

    def __init__(self, cores: str, tls: ClientTls | None, token: str) -> None:
        """Connect to `cores`, in one of the forms of `grpc_target`, with a service token."""
        self._cores = cores
        self._tls = tls
        self._token = token
        self._streams: dict[str, CoreStream] = {}
        """By target."""
        self._usable: list[CoreStream] = []
        """Those that get calls, in turn."""
        self._turn = 0
        self._changed = asyncio.Event()
        """Set at each change and then replaced."""
        self._is_closed = False
        self._following = asyncio.create_task(self._follow(), context=Context())

    async def close(self) -> None:
        """Close all streams; calls without an answer fail."""
        self._is_closed = True
        self._following.cancel()
        await asyncio.wait([self._following])
        for stream in self._streams.values():
            await stream.close()

    async def answer(
        self, request: CallRequest, reconnect_until: float
    ) -> tuple[stream_pb2.CallAnswer, Acknowledge | None]:
        """Send a call to one core and return its answer, and how to acknowledge it if it asks.

        A call that was certainly not sent is sent to another core, or waits for one until
        `reconnect_until`, a time of the event loop.

        Raises:
            CoreError: as `CoreStream.answer`.
            StreamRefusedError: the call was not sent.
        """
        while True:
            if stream := self._next():
                with suppress(NotSentError):
                    return await stream.answer(request)
            elif self._is_refused():
                raise StreamRefusedError
            elif self._is_closed or not await self._changes_before(reconnect_until):
                raise not_sent_error(
                    "; ".join(f"{each.target}: {each.reason}" for each in self._streams.values())
                    or f"{self._cores} is not known"
                )

    def _next(self) -> CoreStream | None:
        if not self._usable:
            return None
        self._turn += 1
        return self._usable[self._turn % len(self._usable)]

    def _is_refused(self) -> bool:
        return any(each.state is StreamState.REFUSED for each in self._streams.values())

    async def _changes_before(self, until: float) -> bool:
        """Wait for a change of any stream; return whether there was one in time."""
        changed = self._changed
        try:
            async with asyncio.timeout_at(until):
                await changed.wait()
        except TimeoutError:
            return False
        return True

    def _on_change(self) -> None:
        takes_calls = [each for each in self._streams.values() if each.takes_calls]
        serving = [each for each in takes_calls if each.state is StreamState.SERVING]
        self._usable = serving or takes_calls
        self._changed.set()
        self._changed = asyncio.Event()

    async def _follow(self) -> None:
        """Open a stream to each core, also to those that a name has later."""
        is_name = grpc_target(self._cores).startswith(DNS)
        while True:
            try:
                targets = await single_targets(self._cores)
            except OSError as error:
                logger.info("cores not found", extra={"core": self._cores, "reason": str(error)})
            else:
                await self._connect_to(targets)
            if not is_name:
                return
            await asyncio.sleep(RESOLVE_SECONDS)

    async def _connect_to(self, targets: list[str]) -> None:
        """Open streams to new targets, and close those to former ones once they have ended."""
        for target in targets:
            if target not in self._streams:
                self._streams[target] = CoreStream(
                    target, self._channel(target), self._token, self._on_change
                )
        for target, stream in list(self._streams.items()):
            has_ended = stream.state in (StreamState.CLOSED, StreamState.REFUSED)
            if target not in targets and has_ended:
                del self._streams[target]
                await stream.close()

    def _channel(self, target: str) -> grpc.aio.Channel:
        server_name = self._tls.server_name if self._tls else ""
        options = stream_channel_options(self._cores, server_name)
        if self._tls is None:
            return grpc.aio.insecure_channel(target, options=options)
        return grpc.aio.secure_channel(target, self._tls.channel_credentials(), options=options)
