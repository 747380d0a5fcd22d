"""Serves nivisco.internal.v1.StreamService: who may open a stream, and how streams end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import grpc

from core.authentication.service import AuthenticationService
from core.server.pipeline import Pipeline
from core.server.stream_connection import StreamConnection
from rpc.frames import STREAM_METHOD, STREAM_SERVICE, FrameError
from rpc.metadata import ACKNOWLEDGES_METADATA, SERVICE_TOKEN_METADATA

logger = logging.getLogger("core")

SERVER_OPTIONS = (
    # Clients ping their streams, idle ones too; gRPC would end those that do for too many pings.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
)
"""Options that a server with streams needs."""


if TYPE_CHECKING:
    _GenericRpcHandler = grpc.GenericRpcHandler[bytes, bytes]
else:  # generic in the stubs only
    _GenericRpcHandler = grpc.GenericRpcHandler


class Streams(_GenericRpcHandler):
    """The handler of StreamService."""

    def __init__(
        self, pipeline: Pipeline, authentication: AuthenticationService, frame_bytes_max: int
    ) -> None:
        """Answer calls with `pipeline`; `authentication` knows who may open a stream."""
        self._pipeline = pipeline
        self._authentication = authentication
        self._frame_bytes_max = frame_bytes_max
        self._open: set[StreamConnection] = set()
        self._is_draining = False
        self._is_ending = False
        self._handler = grpc.stream_stream_rpc_method_handler(self._connect)

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """Return the handler of a method; None if it is not of the service."""
        is_connect = handler_call_details.method == f"/{STREAM_SERVICE}/{STREAM_METHOD}"
        return self._handler if is_connect else None

    def drain(self) -> None:
        """Announce on all streams that the core stops."""
        self._is_draining = True
        for connection in self._open:
            connection.drain()

    def end(self) -> None:
        """Accept no more calls and streams; each stream ends when its calls are answered."""
        self._is_ending = True
        for connection in self._open:
            connection.end()

    async def _connect(self, _frames: object, context: Any) -> None:
        """Serve a stream."""
        peer = context.peer()
        metadata = dict(context.invocation_metadata() or ())
        token = metadata.get(SERVICE_TOKEN_METADATA, "")
        if not isinstance(token, str) or not self._authentication.is_service_token(token):
            logger.warning("stream refused, no valid service token", extra={"peer": peer})
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED, "A stream needs a valid service token"
            )
        if self._is_ending:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "The core stops")
        logger.info("stream opened", extra={"peer": peer})
        # Otherwise the first write sends it, and an abort during that write sends it again: gRPC
        # refuses that, and the peer would never learn that its stream ended.
        await context.send_initial_metadata(())
        acknowledges = metadata.get(ACKNOWLEDGES_METADATA) == "true"
        connection = StreamConnection(
            self._pipeline, context, self._frame_bytes_max, acknowledges=acknowledges
        )
        try:
            await self._serve(connection)
        except FrameError as error:
            extra = {"peer": peer, "code": error.code.name, "reason": str(error)}
            if error.code is grpc.StatusCode.CANCELLED:  # as a process that ends
                logger.info("stream ended", extra=extra)
            else:
                logger.warning("stream ended, its peer broke a rule", extra=extra)
            await context.abort(error.code, str(error))  # waits for a peer that does not read
        except asyncio.CancelledError:
            # gRPC itself ends a stream with a frame that is larger than any message.
            reason = "the peer left, or sent a frame above the limit"
            logger.info("stream ended", extra={"peer": peer, "reason": reason})
            raise
        else:
            logger.info("stream ended", extra={"peer": peer, "reason": "the core stops"})

    async def _serve(self, connection: StreamConnection) -> None:
        if self._is_draining:
            connection.drain()
        self._open.add(connection)
        try:
            await connection.run()
        finally:
            self._open.discard(connection)
