"""Client of the core, for the adapter, the scheduler and the command line.

It sends calls with credentials and the request id, and raises errors as CoreError. A process with a
service token sends its calls on one stream to each core (rpc.core_streams); the command line, and
whoever a core refuses a stream, sends unary calls on a channel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

import grpc
import grpc.aio
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from rpc.addresses import channel_options, grpc_target
from rpc.catalogue import method_path
from rpc.core_stream import Acknowledge, CallRequest
from rpc.core_streams import CoreStreams, StreamRefusedError
from rpc.error_details import FieldProblem
from rpc.errors import (
    Trailing,
    core_error,
    log_unreachable,
    status_error,
    was_cancelled,
    was_never_sent,
)
from rpc.metadata import REPLAYED_METADATA, Credentials, request_metadata
from rpc.tls import ClientTls, check_transport

READINESS_SERVICE = "nivisco.database"
"""Health check name that answers SERVING when the core serves and its database answers."""
RECONNECT_SECONDS = 2.0
"""How long a call that was not sent, for certain, waits for a connection.

It is longer than reconnecting to a restarted core takes.
"""


@dataclass(frozen=True, slots=True)
class CoreResponse:
    """Response to a call, and whether it is the replay of an idempotent call."""

    message: Message
    is_replayed: bool
    acknowledge: Acknowledge | None = field(default=None, compare=False)
    """To be called when the caller has the response, or has left; None: nobody records that."""


@dataclass(frozen=True, slots=True)
class _Method:
    """What calls of a method need."""

    path: str
    response: type[Message]
    unary: grpc.aio.UnaryUnaryMultiCallable[Message, Message]


def _is_replayed(initial: grpc.aio.Metadata | None) -> bool:
    return any(key == REPLAYED_METADATA for key, _ in initial or ())


class CoreClient:
    """Sends calls to one or several cores."""

    def __init__(
        self, target: str, tls: ClientTls | None = None, *, service_token: str = ""
    ) -> None:
        """Send calls to the cores at `target`; it connects when needed.

        `target` is `host:port`, `ip:port,ip:port`, `dns:///name:port` or `unix:/path,unix:/path`.
        `service_token` opens streams to the cores; it authorizes no call. Empty: calls are unary.

        Raises:
            ValueError: the target is malformed, would receive credentials without TLS, or does not
                fit the TLS settings.
        """
        check_transport(target, tls)
        self.target = target
        options = channel_options(target)
        if tls is None:
            self._channel = grpc.aio.insecure_channel(grpc_target(target), options=options)
        else:
            options += tls.channel_options()
            credentials = tls.channel_credentials()
            self._channel = grpc.aio.secure_channel(
                grpc_target(target), credentials, options=options
            )
        self._connecting: asyncio.Task[None] | None = None
        self._tls = tls
        self._service_token = service_token
        self._streams: CoreStreams | None = None
        self._methods: dict[MethodDescriptor, _Method] = {}
        self._health: grpc.aio.UnaryUnaryMultiCallable[
            health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
        ] = self._channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )

    async def close(self) -> None:
        """Close all connections. Calls without an answer fail."""
        if self._streams is not None:
            await self._streams.close()
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        await self._channel.close(None)

    async def call(
        self,
        method: MethodDescriptor,
        request: Message,
        credentials: Credentials,
        *,
        timeout_seconds: float,
        field_problems: Sequence[FieldProblem] = (),
    ) -> Message:
        """Call `method` as `send` does, and return the response message, which is received then."""
        response = await self.send(
            method,
            request,
            credentials,
            timeout_seconds=timeout_seconds,
            field_problems=field_problems,
        )
        if response.acknowledge is not None:
            response.acknowledge(True)
        return response.message

    async def send(
        self,
        method: MethodDescriptor,
        request: Message,
        credentials: Credentials,
        *,
        timeout_seconds: float,
        field_problems: Sequence[FieldProblem] = (),
    ) -> CoreResponse:
        """Call `method`.

        With `field_problems`, the core authenticates and validates the request and always refuses
        it. A call that was not sent waits up to RECONNECT_SECONDS for a connection; a call that may
        have been sent is never sent again. `acknowledge` of the response, if it is set, tells the
        core whether the caller received it.

        Raises:
            CoreError: the core refused, or did not respond within `timeout_seconds`.
        """
        called = self._methods.get(method) or self._compile(method)
        metadata = request_metadata(credentials, field_problems)
        now = asyncio.get_running_loop().time()
        deadline = now + timeout_seconds
        reconnect_until = now + min(RECONNECT_SECONDS, timeout_seconds)
        if self._service_token:
            streamed = CallRequest(called.path, metadata, request.SerializeToString(), deadline)
            with suppress(StreamRefusedError):
                return await self._send_on_stream(called, streamed, reconnect_until)
        return await self._send_unary(called, request, metadata, deadline, reconnect_until)

    async def _send_on_stream(
        self, called: _Method, request: CallRequest, reconnect_until: float
    ) -> CoreResponse:
        if self._streams is None:
            self._streams = CoreStreams(self.target, self._tls, self._service_token)
        answer, acknowledge = await self._streams.answer(request, reconnect_until)
        if answer.HasField("status"):
            raise status_error(answer.status, is_replayed=answer.is_replayed)
        response = called.response.FromString(answer.body)
        return CoreResponse(response, answer.is_replayed, acknowledge)

    async def _send_unary(
        self,
        called: _Method,
        request: Message,
        metadata: Sequence[tuple[str, str | bytes]],
        deadline: float,
        reconnect_until: float,
    ) -> CoreResponse:
        time = asyncio.get_running_loop().time
        while True:
            left = max(0.0, deadline - time())
            try:
                running = called.unary(request, timeout=left, metadata=metadata)
                message = await running
                return CoreResponse(message, _is_replayed(await running.initial_metadata()))
            except grpc.aio.AioRpcError as error:
                if was_cancelled():
                    raise asyncio.CancelledError from None
                if not was_never_sent(error.code(), error.details() or ""):
                    trailing = cast(Trailing, error.trailing_metadata() or ())
                    raise core_error(
                        error.code(),
                        error.details(),
                        tuple(trailing),
                        is_replayed=_is_replayed(error.initial_metadata()),
                    ) from None
                if not await self._connects_within(reconnect_until - time()):
                    raise core_error(error.code(), error.details(), ()) from None

    async def is_ready(self, *, timeout_seconds: float) -> bool:
        """Return whether the core serves and its database answers."""
        try:
            response = await self._health(
                health_pb2.HealthCheckRequest(service=READINESS_SERVICE), timeout=timeout_seconds
            )
        except grpc.aio.AioRpcError as error:
            if was_cancelled():
                raise asyncio.CancelledError from None
            log_unreachable(error.details())
            return False
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)

    async def _connects_within(self, wait_seconds: float) -> bool:
        """Wait for a connection, and return whether there is one. All calls share one attempt."""
        if wait_seconds <= 0:
            return False
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect())
        await asyncio.wait([self._connecting], timeout=wait_seconds)
        return self._connecting.done()

    async def _connect(self) -> None:
        ready = grpc.ChannelConnectivity.READY
        while (state := self._channel.get_state(try_to_connect=True)) is not ready:
            await self._channel.wait_for_state_change(state)

    def _compile(self, method: MethodDescriptor) -> _Method:
        path, response = method_path(method), message_factory.GetMessageClass(method.output_type)
        unary: grpc.aio.UnaryUnaryMultiCallable[Message, Message] = self._channel.unary_unary(
            path,
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=response.FromString,
        )
        self._methods[method] = called = _Method(path, response, unary)
        return called
