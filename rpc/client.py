"""The way into the core for adapter, scheduler and command line.

It imports of the core only where cores serve, how certificates are read and what loopback is.

It opens a channel, sends metadata, and turns a refusal back into its reason, fields and times.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import grpc
import grpc.aio
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from rpc.addresses import channel_options, grpc_target
from rpc.catalogue import method_path
from rpc.error_details import FieldProblem
from rpc.errors import Trailing, core_error, log_unreachable, was_never_sent
from rpc.metadata import REPLAYED_METADATA, Credentials, request_metadata
from rpc.tls import ClientTls, check_transport

logger = logging.getLogger("core.client")

READINESS_SERVICE = "nivisco.database"
"""Health check name that answers SERVING when the core serves and its database answers."""
PATIENCE_SECONDS = 2.0
"""How long a call that was certainly not sent waits for a core that serves: longer than a client
takes to connect anew to one that was restarted."""


@dataclass(frozen=True, slots=True)
class CoreResponse:
    """What a call was answered, and whether it was answered so before to its idempotency key."""

    message: Message
    is_replayed: bool


def _is_replayed(initial: grpc.aio.Metadata | None) -> bool:
    return any(key == REPLAYED_METADATA for key, _ in initial or ())


class CoreClient:
    """One channel to the cores, and a compiled call for each method that was asked for."""

    def __init__(self, target: str, tls: ClientTls | None = None) -> None:
        """Open a channel to one core or several; it connects when needed.

        `target` is `host:port`, `ip:port,ip:port`, `dns:///name:port` or `unix:/path,unix:/path`.

        Raises:
            ValueError: it is none of these, credentials could be read on the way there, or TLS
                cannot work.
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
        self._calls: dict[MethodDescriptor, grpc.aio.UnaryUnaryMultiCallable[Message, Message]] = {}
        self._health: grpc.aio.UnaryUnaryMultiCallable[
            health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
        ] = self._channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )

    async def close(self) -> None:
        """Close the channel."""
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
        """Call `method` and return its answer, as `send` does."""
        answer = await self.send(
            method,
            request,
            credentials,
            timeout_seconds=timeout_seconds,
            field_problems=field_problems,
        )
        return answer.message

    async def send(
        self,
        method: MethodDescriptor,
        request: Message,
        credentials: Credentials,
        *,
        timeout_seconds: float,
        field_problems: Sequence[FieldProblem] = (),
    ) -> CoreResponse:
        """Call `method` and return its answer, and whether it was given before.

        With `field_problems` the core checks credentials and request and always refuses. While no
        core can be reached, this waits a moment for one; what may have been sent is never repeated.

        Raises:
            CoreError: the core refused, or could not be reached in `timeout_seconds`.
        """
        call = self._calls.get(method) or self._compile(method)
        metadata = request_metadata(credentials, field_problems)
        deadline = time.monotonic() + timeout_seconds
        patient_until = time.monotonic() + min(PATIENCE_SECONDS, timeout_seconds)
        while True:
            left = max(0.0, deadline - time.monotonic())
            try:
                running = call(request, timeout=left, metadata=metadata)
                message = await running
                return CoreResponse(message, _is_replayed(await running.initial_metadata()))
            except grpc.aio.AioRpcError as error:
                if not was_never_sent(error.code(), error.details() or ""):
                    trailing = cast(Trailing, error.trailing_metadata() or ())
                    raise core_error(
                        error.code(),
                        error.details(),
                        tuple(trailing),
                        is_replayed=_is_replayed(error.initial_metadata()),
                    ) from None
                if not await self._is_connected(patient_until - time.monotonic()):
                    raise core_error(error.code(), error.details(), ()) from None

    async def is_ready(self, *, timeout_seconds: float) -> bool:
        """Tell whether the core serves and its database answers."""
        try:
            answer = await self._health(
                health_pb2.HealthCheckRequest(service=READINESS_SERVICE), timeout=timeout_seconds
            )
        except grpc.aio.AioRpcError as error:
            log_unreachable(error.details())
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def _is_connected(self, wait_seconds: float) -> bool:
        """Wait until a core can be called, and tell whether that is so; all calls wait together."""
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

    def _compile(
        self, method: MethodDescriptor
    ) -> grpc.aio.UnaryUnaryMultiCallable[Message, Message]:
        response = message_factory.GetMessageClass(method.output_type)
        call = self._channel.unary_unary(
            method_path(method),
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=response.FromString,
        )
        self._calls[method] = call
        return call
