"""The way into the core for adapter, scheduler and command line.

It imports of the core only where cores serve, how certificates are read and what loopback is.

It opens a channel, sends metadata, and turns a refusal back into its reason, fields and times.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import cast

import grpc
import grpc.aio
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2

from core.certificates import mutual_tls_files
from core.channels import channel_options, grpc_target
from core.loopback import UNIX_SCHEME, stays_here

logger = logging.getLogger("core.client")

BUSINESS_ID_METADATA = "x-business-id"
API_KEY_METADATA = "x-api-key"
SERVICE_TOKEN_METADATA = "x-service-token"  # noqa: S105 - the name of the metadata, not a token
REQUEST_ID_METADATA = "x-request-id"
FIELD_PROBLEMS_METADATA = "x-field-problems-bin"
"""A serialized google.rpc.BadRequest: what the caller's own reading of the request found wrong.

The core authenticates, adds the problems that it finds itself, and refuses the call with all of
them. It never executes a call that carries this.
"""
ERROR_DOMAIN = "payments.nivisco"
STATUS_DETAILS_METADATA = "grpc-status-details-bin"
REPLAYED_METADATA = "idempotency-replayed"
"""Initial metadata of an answer that was given before to the same idempotency key."""
READINESS_SERVICE = "nivisco.database"
"""Health check name that answers SERVING when the core serves and its database answers."""
MAX_FIELD_PROBLEMS = 20
_NAMED_FIELDS = 5
_NEVER_SENT = ("connections to all backends failing", "errors resolving ", "failed to connect")
"""How gRPC's channel begins to say that it found no core to send a call to (client_channel's pick).

A call that a connection was lost under is worded as that connection's end.
"""
PATIENCE_SECONDS = 2.0
"""How long a call that was certainly not sent waits for a core that serves: longer than a client
takes to connect anew to one that was restarted."""
_LOST = (
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
)

_Trailing = Sequence[tuple[str, str | bytes]]

NO_REQUEST = "-"
request_id: ContextVar[str] = ContextVar("request_id", default=NO_REQUEST)
"""The id of the request that the running task works for; every log line shows it."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing that is wrong with one field. Never holds the field's value.

    `field` is the path in the message, for example `user.email` or `amount.currency_code`.
    """

    field: str
    description: str


def fields_sentence(problems: Sequence[FieldProblem]) -> str:
    """Word for a person that fields are wrong, alike on both doors."""
    names = list(dict.fromkeys(problem.field for problem in problems))
    if len(problems) == 1:
        return f"Invalid field {names[0]}: {problems[0].description}"
    more = len(names) - _NAMED_FIELDS
    rest = f" and {more} more" if more > 0 else ""
    return f"Invalid fields: {', '.join(names[:_NAMED_FIELDS])}{rest}"


class CoreError(Exception):
    """The core refused a call, or could not be reached."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        code: grpc.StatusCode,
        metadata: Mapping[str, str] | None = None,
        fields: Sequence[FieldProblem] = (),
        retry_after_seconds: int | None = None,
        is_replayed: bool = False,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.code = code
        self.metadata = dict(metadata or {})
        self.fields = tuple(fields)
        self.retry_after_seconds = retry_after_seconds
        self.is_replayed = is_replayed
        """Whether it was told before, to the same idempotency key."""


@dataclass(frozen=True, slots=True)
class CoreAnswer:
    """What a call was answered, and whether it was answered so before to its idempotency key."""

    message: Message
    is_replayed: bool


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who calls: a business with its API key, or a process with a service token."""

    business_id: str = ""
    api_key: str = field(default="", repr=False)
    service_token: str = field(default="", repr=False)

    def metadata(self) -> list[tuple[str, str | bytes]]:
        """Return the gRPC metadata that carries these credentials."""
        if self.service_token:
            return [(SERVICE_TOKEN_METADATA, self.service_token)]
        return [(BUSINESS_ID_METADATA, self.business_id), (API_KEY_METADATA, self.api_key)]


@dataclass(frozen=True, slots=True)
class ClientTls:
    """What a client of the core proves itself with, and whose cores it believes. PEM."""

    root_certificates: bytes = field(repr=False)
    certificate_chain: bytes = field(repr=False)
    private_key: bytes = field(repr=False)
    server_name: str = ""
    """The name that the core's certificate must carry; empty: the target's host."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> ClientTls | None:
        """Read the files that NIVISCO_CORE_TLS_* name, or return None where none is set.

        Raises:
            ValueError: some are set and others are not, or a file cannot be used.
        """
        files = mutual_tls_files(
            environ,
            "NIVISCO_CORE_TLS_CERTIFICATE_FILE",
            "NIVISCO_CORE_TLS_KEY_FILE",
            "NIVISCO_CORE_TLS_CA_FILE",
        )
        if files is None:
            return None
        read = files.read()
        return cls(
            root_certificates=read.authorities,
            certificate_chain=read.pair.certificate_chain,
            private_key=read.pair.private_key,
            server_name=environ.get("NIVISCO_CORE_TLS_SERVER_NAME", ""),
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Return what gRPC makes a secure channel from."""
        return grpc.ssl_channel_credentials(
            self.root_certificates, self.private_key, self.certificate_chain
        )

    def channel_options(self) -> list[tuple[str, str]]:
        """Return the channel's options that TLS needs."""
        return [("grpc.default_authority", self.server_name)] if self.server_name else []


def check_transport(target: str, tls: ClientTls | None) -> None:
    """Check that credentials which are sent to `target` cannot be read on the way.

    Raises:
        ValueError: they could, or TLS cannot work there; the message says what to set.
    """
    if tls is None:
        if not stays_here(target):
            raise ValueError(
                f"The core at {target} (NIVISCO_CORE) is not on this machine's loopback, and "
                "credentials are sent there: set NIVISCO_CORE_TLS_CA_FILE, "
                "NIVISCO_CORE_TLS_CERTIFICATE_FILE and NIVISCO_CORE_TLS_KEY_FILE"
            )
    elif target.startswith(UNIX_SCHEME):
        raise ValueError(
            f"The core at {target} (NIVISCO_CORE) takes no TLS: unset the NIVISCO_CORE_TLS_* "
            "settings, or name host:port"
        )
    elif "," in target and not tls.server_name:
        raise ValueError(
            "NIVISCO_CORE names several cores: set NIVISCO_CORE_TLS_SERVER_NAME to the name that "
            "their certificates carry"
        )


def method_path(method: MethodDescriptor) -> str:
    """Return the path that gRPC calls the method by."""
    return f"/{method.containing_service.full_name}/{method.name}"


def request_metadata(
    credentials: Credentials, field_problems: Sequence[FieldProblem] = ()
) -> list[tuple[str, str | bytes]]:
    """Return the metadata of one call, the running task's request id included."""
    metadata = credentials.metadata()
    if (running := request_id.get()) != NO_REQUEST:
        metadata.append((REQUEST_ID_METADATA, running))
    if field_problems:
        problems = error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(
                    field=problem.field, description=problem.description
                )
                for problem in field_problems[:MAX_FIELD_PROBLEMS]
            ]
        )
        metadata.append((FIELD_PROBLEMS_METADATA, problems.SerializeToString()))
    return metadata


def _is_replayed(initial: grpc.aio.Metadata | None) -> bool:
    return any(key == REPLAYED_METADATA for key, _ in initial or ())


def core_error(
    code: grpc.StatusCode,
    details: str | None,
    trailing: _Trailing,
    *,
    is_replayed: bool = False,
) -> CoreError:
    """Read a refusal back from the status that carried it.

    A status without details comes from gRPC itself: the core is away, or the deadline passed.
    """
    raw = next((value for key, value in trailing if key == STATUS_DETAILS_METADATA), None)
    if not isinstance(raw, bytes):
        return _transport_error(code, details or "")
    status = status_pb2.Status.FromString(raw)
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        for message in (info, bad, retry):
            if detail.Is(message.DESCRIPTOR):
                detail.Unpack(message)
    return CoreError(
        info.reason or "INTERNAL",
        status.message,
        code=code,
        metadata=info.metadata,
        fields=[FieldProblem(v.field, v.description) for v in bad.field_violations],
        retry_after_seconds=retry.retry_delay.seconds if retry.HasField("retry_delay") else None,
        is_replayed=is_replayed,
    )


def _log_unreachable(details: str | None) -> None:
    """Tell the operator why, which may be a certificate. Callers never see it."""
    logger.warning("the core cannot be reached: %s", details)


def _was_never_sent(code: grpc.StatusCode, details: str) -> bool:
    return code is grpc.StatusCode.UNAVAILABLE and details.startswith(_NEVER_SENT)


def _transport_error(code: grpc.StatusCode, details: str) -> CoreError:
    """Name what gRPC itself reports. Only a connection that was never made is certain."""
    if _was_never_sent(code, details):
        _log_unreachable(details)
        return CoreError(
            "SERVICE_UNAVAILABLE",
            "The service is not available right now. Send the same request again.",
            code=code,
            retry_after_seconds=1,
        )
    if code in _LOST:
        return CoreError(
            "OUTCOME_UNKNOWN",
            "The answer did not arrive, so the outcome is not known yet. "
            "With an idempotency key, send the same request again to learn it; without one, read "
            "the records first.",
            code=code,
            retry_after_seconds=1,
        )
    return CoreError("INTERNAL", details or code.name, code=code)


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
        """Call `method` and return its answer, as `ask` does."""
        answer = await self.ask(
            method,
            request,
            credentials,
            timeout_seconds=timeout_seconds,
            field_problems=field_problems,
        )
        return answer.message

    async def ask(
        self,
        method: MethodDescriptor,
        request: Message,
        credentials: Credentials,
        *,
        timeout_seconds: float,
        field_problems: Sequence[FieldProblem] = (),
    ) -> CoreAnswer:
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
                return CoreAnswer(message, _is_replayed(await running.initial_metadata()))
            except grpc.aio.AioRpcError as error:
                if not _was_never_sent(error.code(), error.details() or ""):
                    trailing = cast(_Trailing, error.trailing_metadata() or ())
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
            _log_unreachable(error.details())
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
