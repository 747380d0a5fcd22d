"""What every call passes before its servicer: request id, errors, authentication, validation.

In that order, outermost first; then idempotency, which has a file of its own. Nothing else stands
between gRPC and a servicer.
"""

from __future__ import annotations

import asyncio
import inspect
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

from core.caller import (
    Presence,
    set_presence,
)
from core.database.transactions import CommitUnknownError, DatabaseUnavailableError
from core.errors import RETRY_SECONDS, InvalidFields, Reason, Refusal, ReplayedRefusal, status_of
from core.ids import new_request_id
from core.server.validation import problems
from rpc.catalogue import method_path, service_methods
from rpc.error_details import MAX_FIELD_PROBLEMS, FieldProblem
from rpc.metadata import (
    FIELD_PROBLEMS_METADATA,
    REQUEST_ID_METADATA,
    request_id,
)

logger = logging.getLogger("core")

Context = grpc.aio.ServicerContext[Any, Any]
Behaviour = Callable[[Message, Context], Awaitable[Message]]
Reader = Callable[[bytes], Message]

_POLLED = "/nivisco.internal.v1.OccurrencesService/ClaimDueOccurrences"
"""Called by every scheduler once a second, and therefore not logged at INFO."""
_OUR_METHODS = frozenset(method_path(method) for method in service_methods())


if TYPE_CHECKING:
    _ServerInterceptor = grpc.aio.ServerInterceptor[Any, Any]
else:  # generic in the stubs only
    _ServerInterceptor = grpc.aio.ServerInterceptor


class UnaryInterceptor(_ServerInterceptor):
    """Wraps our own unary methods; health and reflection pass untouched."""

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Return the method's handler with `around` laid around it."""
        handler = await continuation(handler_call_details)
        path = handler_call_details.method
        if handler is None or path not in _OUR_METHODS:
            return handler
        behaviour = cast(Behaviour, handler.unary_unary)

        async def wrapped(request: Message, context: Context) -> Message:
            return await self.around(path, behaviour, request, context)

        return grpc.unary_unary_rpc_method_handler(
            wrapped,
            request_deserializer=self.reader(cast(Reader, handler.request_deserializer)),
            response_serializer=handler.response_serializer,
        )

    @abstractmethod
    async def around(
        self, path: str, behaviour: Behaviour, request: Message, context: Context
    ) -> Message:
        """Do this interceptor's part and call `behaviour` in the middle of it."""

    def reader(self, read: Reader) -> Reader:
        """Return what reads a request's bytes: `read`, or this interceptor's way around it."""
        return read


def metadata_of(context: Context) -> dict[str, str | bytes]:
    """Return the metadata that the caller sent."""
    return dict(context.invocation_metadata() or ())


def metadata_text(metadata: Mapping[str, str | bytes], name: str) -> str:
    """Return the text under `name`, or an empty one."""
    value = metadata.get(name, "")
    return value if isinstance(value, str) else ""


class RequestIdInterceptor(UnaryInterceptor):
    """Gives the call the id that all its log lines show, the caller's own where it sent one."""

    async def around(
        self, path: str, behaviour: Behaviour, request: Message, context: Context
    ) -> Message:
        """Set the request id and log how the call ended."""
        sent = metadata_text(metadata_of(context), REQUEST_ID_METADATA)
        request_id.set(sent if 0 < len(sent) <= 64 and sent.isprintable() else new_request_id())
        started = time.perf_counter()
        left = False
        try:
            return await behaviour(request, context)
        except asyncio.CancelledError:
            left = True
            raise
        finally:
            code = grpc.StatusCode.CANCELLED.name if left else _code_name(context)
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
    """Runs the call in a task of its own, and turns whatever it raises into a status.

    gRPC cancels a handler whose client left or whose deadline passed. The task goes on all the
    same: money that moves finishes moving, and no query is cut in the middle (which would leave
    SQLite locked).
    """

    def __init__(self) -> None:
        """Begin with nothing under way."""
        self._running: set[asyncio.Task[Message]] = set()

    async def around(
        self, path: str, behaviour: Behaviour, request: Message, context: Context
    ) -> Message:
        """Answer with the response or with a status that holds the reason."""
        presence = Presence()
        set_presence(presence)
        ended = partial(_end, presence)
        cast(Any, context).add_done_callback(ended)  # its stub knows a class of callbacks only
        task = asyncio.ensure_future(behaviour(request, context))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            presence.end(left=True)
            task.add_done_callback(partial(_log_unseen, path))
            raise
        except ReplayedRefusal as replayed:
            status = replayed.status
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a status
            status = status_of(_refusal_of(error, path))
        await cast(Any, context).abort_with_status(rpc_status.to_status(status))
        raise AssertionError("abort_with_status raises")

    async def drain(self, timeout_seconds: float) -> int:
        """Wait for what is under way; return how many calls did not finish in time."""
        if not self._running:
            return 0
        _, pending = await asyncio.wait(set(self._running), timeout=timeout_seconds)
        return len(pending)


def _refusal_of(error: BaseException, path: str) -> Refusal:
    """Return what a caller is told of an error, and log it unless it is a refusal by the rules."""
    match error:
        case Refusal():
            return error
        case DatabaseUnavailableError():
            logger.warning("%s", error, extra={"method": path})
            return Refusal(
                Reason.ERROR_REASON_SERVICE_UNAVAILABLE,
                "The service is not available right now. Send the same request again.",
                retry_after_seconds=RETRY_SECONDS,
            )
        case CommitUnknownError():
            logger.error("commit not confirmed: %s", error, extra={"method": path})
            return Refusal(
                Reason.ERROR_REASON_OUTCOME_UNKNOWN,
                "The database did not confirm the change, so the outcome is not known yet. "
                "With an idempotency key, send the same request again to learn it; without one, "
                "read the records first.",
                retry_after_seconds=RETRY_SECONDS,
            )
        case _:
            logger.error("fault", exc_info=error, extra={"method": path})
            return Refusal(
                Reason.ERROR_REASON_INTERNAL, f"Internal server error {request_id.get()}"
            )


def _end(presence: Presence, context: Context) -> None:
    """Note that the call is over, which gRPC says once the answer is sent or nobody is there."""
    presence.end(left=context.cancelled())


def _log_unseen(path: str, task: asyncio.Task[Message]) -> None:
    """Log how a call failed whose client left, since nobody is told."""
    error = None if task.cancelled() else task.exception()
    if error and not isinstance(error, ReplayedRefusal):
        _refusal_of(error, path)


class ValidationInterceptor(UnaryInterceptor):
    """Refuses requests that break the rules beside the schema's fields, or are no messages."""

    async def around(
        self, path: str, behaviour: Behaviour, request: Message, context: Context
    ) -> Message:
        """Raise every problem at once, with those that the caller's own reading found first."""
        if isinstance(request, error_details_pb2.BadRequest):
            raise InvalidFields(_field_problems(request))
        sent = _sent_problems(metadata_of(context).get(FIELD_PROBLEMS_METADATA))
        found = [*sent, *problems(request)]
        if found:
            raise InvalidFields(found[:MAX_FIELD_PROBLEMS])
        answer = behaviour(request, context)
        return await answer if inspect.isawaitable(answer) else answer

    def reader(self, read: Reader) -> Reader:
        """Read a request; bytes that are none go on as a BadRequest, to be refused in its turn.

        gRPC would answer them `UNKNOWN`, before anybody is authenticated and without a log line.
        """

        def read_or_blame(raw: bytes) -> Message:
            try:
                return read(raw)
            except DecodeError:
                violation = error_details_pb2.BadRequest.FieldViolation(
                    field="request", description="is not a valid protobuf message"
                )
                return error_details_pb2.BadRequest(field_violations=[violation])

        return read_or_blame


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
