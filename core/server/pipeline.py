"""The request pipeline: interceptors that every call passes before its servicer.

Outermost first: request id, errors, authentication (core.authentication.pipeline), validation,
idempotency (core.idempotency.pipeline).
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from core.caller import Presence, set_presence
from core.database.transactions import (
    CommitUnknownError,
    DatabaseUnavailableError,
    ListTimeoutError,
)
from core.errors import RETRY_SECONDS, InvalidFields, Reason, Refusal, ReplayedRefusal, status_of
from core.ids import new_request_id
from core.security.keyring import UnknownKeyError
from core.server.validation import problems
from rpc.catalogue import methods_by_path
from rpc.error_details import MAX_FIELD_PROBLEMS, FieldProblem
from rpc.metadata import FIELD_PROBLEMS_METADATA, REQUEST_ID_METADATA, request_id

logger = logging.getLogger("core")

Context = grpc.aio.ServicerContext[Any, Any]
Handler = Callable[[Message, Context], Awaitable[Message]]
Deserializer = Callable[[bytes], Message]

_POLLED = "/nivisco.internal.v1.OccurrencesService/ClaimDueOccurrences"
"""Every scheduler calls it each second, so its successes are logged at DEBUG."""


if TYPE_CHECKING:
    _ServerInterceptor = grpc.aio.ServerInterceptor[Any, Any]
else:  # generic in the stubs only
    _ServerInterceptor = grpc.aio.ServerInterceptor


class UnaryInterceptor(_ServerInterceptor):
    """Base of the interceptors. Health and reflection are not intercepted."""

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Return a handler that calls `intercept`."""
        method_handler = await continuation(handler_call_details)
        path = handler_call_details.method
        if method_handler is None or path not in methods_by_path():
            return method_handler
        handler = cast(Handler, method_handler.unary_unary)
        deserializer = cast(Deserializer, method_handler.request_deserializer)

        async def intercepted(request: Message, context: Context) -> Message:
            return await self.intercept(path, handler, request, context)

        return grpc.unary_unary_rpc_method_handler(
            intercepted,
            request_deserializer=self.wrap_deserializer(deserializer),
            response_serializer=method_handler.response_serializer,
        )

    @abstractmethod
    async def intercept(
        self, path: str, handler: Handler, request: Message, context: Context
    ) -> Message:
        """Handle a call, with `handler` as the rest of the pipeline."""

    def wrap_deserializer(self, deserialize: Deserializer) -> Deserializer:
        """Return the function that reads requests; `deserialize` by default."""
        return deserialize


def metadata_of(context: Context) -> dict[str, str | bytes]:
    """Return the metadata that the caller sent."""
    return dict(context.invocation_metadata() or ())


def metadata_text(metadata: Mapping[str, str | bytes], name: str) -> str:
    """Return the text under `name`, empty if there is none."""
    value = metadata.get(name, "")
    return value if isinstance(value, str) else ""


class RequestIdInterceptor(UnaryInterceptor):
    """Sets the request id that the call's log lines show: the caller's, or a new one."""

    async def intercept(
        self, path: str, handler: Handler, request: Message, context: Context
    ) -> Message:
        """Set the request id, and log the call with its status and duration."""
        sent = metadata_text(metadata_of(context), REQUEST_ID_METADATA)
        request_id.set(sent if 0 < len(sent) <= 64 and sent.isprintable() else new_request_id())
        started = time.perf_counter()
        cancelled = False
        try:
            return await handler(request, context)
        except asyncio.CancelledError:
            cancelled = True
            raise
        finally:
            code = grpc.StatusCode.CANCELLED.name if cancelled else _code_name(context)
            is_routine = path == _POLLED and code == grpc.StatusCode.OK.name
            logger.log(
                logging.DEBUG if is_routine else logging.INFO,
                "call",
                extra={
                    "method": path,
                    "code": code,
                    "milliseconds": round((time.perf_counter() - started) * 1000, 3),
                },
            )


def _code_name(context: Context) -> str:
    code: object = context.code()
    if isinstance(code, int):
        return next(known.name for known in grpc.StatusCode if known.value[0] == code)
    return code.name if isinstance(code, grpc.StatusCode) else "OK"


class ErrorInterceptor(UnaryInterceptor):
    """Runs the call in a task of its own, and returns errors as statuses.

    gRPC cancels the handler when the client disconnects or its deadline passes. The task continues:
    a charge completes, and no query is cancelled, which would leave SQLite locked.
    """

    def __init__(self) -> None:
        """Make an interceptor without calls in flight."""
        self._running: set[asyncio.Task[Message]] = set()

    async def intercept(
        self, path: str, handler: Handler, request: Message, context: Context
    ) -> Message:
        """Return the response, or end the call with the status of its error."""
        presence = Presence()
        set_presence(presence)
        # The stub accepts an instance of a callback class only.
        cast(Any, context).add_done_callback(partial(_end, presence))
        task = asyncio.ensure_future(handler(request, context))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            presence.end(left=True)
            task.add_done_callback(partial(_log_error, path))
            raise
        except ReplayedRefusal as replayed:
            status = replayed.status
        except Exception as error:  # noqa: BLE001 - every error becomes a status
            status = status_of(_refusal_of(error, path))
        await cast(Any, context).abort_with_status(rpc_status.to_status(status))
        raise AssertionError("abort_with_status raises")

    async def drain(self, timeout_seconds: float) -> int:
        """Wait for the calls in flight; return how many did not finish in time."""
        if not self._running:
            return 0
        _, pending = await asyncio.wait(set(self._running), timeout=timeout_seconds)
        return len(pending)


def _refusal_of(error: BaseException, path: str) -> Refusal:
    """Return the refusal for an error, and log every error that is not a refusal itself."""
    match error:
        case Refusal():
            return error
        case ListTimeoutError():
            logger.warning("list not read in time", extra={"method": path, "reason": str(error)})
            return Refusal(
                Reason.ERROR_REASON_SERVICE_UNAVAILABLE,
                "The list could not be read in time. Send the same request again; if that does "
                "not help, restrict it to a period, or continue with cursor in place of page.",
                retry_after_seconds=RETRY_SECONDS,
            )
        case DatabaseUnavailableError():
            logger.warning("database unavailable", extra={"method": path, "reason": str(error)})
            return _service_unavailable()
        case UnknownKeyError():
            # Another core may have the key: a new one arrives with a rolling restart.
            logger.error("key missing in the keyring", extra={"method": path, "reason": str(error)})
            return _service_unavailable()
        case CommitUnknownError():
            logger.error("commit outcome unknown", extra={"method": path, "reason": str(error)})
            return Refusal(
                Reason.ERROR_REASON_OUTCOME_UNKNOWN,
                "The database did not confirm the change, so the outcome is not known yet. "
                "With an idempotency key, send the same request again to learn it; without one, "
                "read the records first.",
                retry_after_seconds=RETRY_SECONDS,
            )
        case _:
            logger.error("internal error", exc_info=error, extra={"method": path})
            return Refusal(
                Reason.ERROR_REASON_INTERNAL, f"Internal server error {request_id.get()}"
            )


def _service_unavailable() -> Refusal:
    return Refusal(
        Reason.ERROR_REASON_SERVICE_UNAVAILABLE,
        "The service is not available right now. Send the same request again.",
        retry_after_seconds=RETRY_SECONDS,
    )


def _end(presence: Presence, context: Context) -> None:
    """Record the end of the call: the response is sent, or the client left."""
    presence.end(left=context.cancelled())


def _log_error(path: str, task: asyncio.Task[Message]) -> None:
    """Log the error of a call whose client left."""
    error = None if task.cancelled() else task.exception()
    if error and not isinstance(error, ReplayedRefusal):
        _refusal_of(error, path)


class ValidationInterceptor(UnaryInterceptor):
    """Refuses requests that break the schema's rules or cannot be parsed."""

    async def intercept(
        self, path: str, handler: Handler, request: Message, context: Context
    ) -> Message:
        """Refuse with all problems, those that the caller sent first."""
        if isinstance(request, error_details_pb2.BadRequest):
            raise InvalidFields(_field_problems(request))
        sent = _sent_problems(metadata_of(context).get(FIELD_PROBLEMS_METADATA))
        found = [*sent, *problems(request)]
        if found:
            raise InvalidFields(found[:MAX_FIELD_PROBLEMS])
        return await handler(request, context)

    def wrap_deserializer(self, deserialize: Deserializer) -> Deserializer:
        """Read a malformed request as a BadRequest, which is refused after authentication.

        gRPC would answer `UNKNOWN` before authentication and log nothing.
        """

        def deserialize_or_report(raw: bytes) -> Message:
            try:
                return deserialize(raw)
            except DecodeError:
                violation = error_details_pb2.BadRequest.FieldViolation(
                    field="request", description="is not a valid protobuf message"
                )
                return error_details_pb2.BadRequest(field_violations=[violation])

        return deserialize_or_report


def _sent_problems(raw: str | bytes | None) -> Sequence[FieldProblem]:
    if raw is None:
        return ()
    try:
        sent = error_details_pb2.BadRequest.FromString(raw if isinstance(raw, bytes) else b"")
    except DecodeError:
        sent = error_details_pb2.BadRequest()
    return _field_problems(sent) or [
        FieldProblem(FIELD_PROBLEMS_METADATA, "is not a google.rpc.BadRequest")
    ]


def _field_problems(bad: error_details_pb2.BadRequest) -> list[FieldProblem]:
    return [FieldProblem(v.field, v.description) for v in bad.field_violations]
