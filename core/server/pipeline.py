"""The request pipeline: what every call passes, from its bytes to those of its answer.

Its steps: request id and log record (`Pipeline.answer`); parse, authenticate, limit, validate,
idempotency and servicer (`Pipeline._run`); status (`Pipeline._answer`). Health and reflection do
not pass it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import Final

import grpc
from google.protobuf import message_factory
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from core.authentication.pipeline import admit, metadata_text, refusal_unless_answered
from core.authentication.service import AuthenticationService
from core.business.limiter import BusinessLimiter
from core.caller import Origin, Presence, current_caller, set_origin, set_presence
from core.database.transactions import (
    CommitUnknownError,
    DatabaseUnavailableError,
    ListTimeoutError,
)
from core.errors import RETRY_SECONDS, InvalidFields, Reason, Refusal, ReplayedRefusal, status_of
from core.idempotency.pipeline import IdempotentRuns, Ran, Serve
from core.ids import new_request_id
from core.messages import gateway_word
from core.metrics import REQUEST_SECONDS
from core.security.keyring import UnknownKeyError
from core.server.validation import problems
from nivisco.payments.v1.types_pb2 import GATEWAY_UNSPECIFIED
from rpc import tracing
from rpc.catalogue import Method, action_name, methods_by_path
from rpc.error_details import MAX_FIELD_PROBLEMS, FieldProblem
from rpc.metadata import (
    CLIENT_ADDRESS_METADATA,
    FIELD_PROBLEMS_METADATA,
    REQUEST_ID_METADATA,
    request_id,
)
from rpc.request_log import log_request

logger = logging.getLogger("core")

_POLLED = "/nivisco.internal.v1.OccurrencesService/ClaimDueOccurrences"
"""Every scheduler calls it each second, so its successes are logged at DEBUG."""
_FAULTS: Final = ("INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "UNKNOWN")
"""Codes that say that something of ours, or of a gateway, failed."""
_OK: Final = grpc.StatusCode.OK.name
_CODE_NAMES: Final[Mapping[int, str]] = {code.value[0]: code.name for code in grpc.StatusCode}
_REQUEST_ID_LENGTH_MAX = 64
_CALLS_GATEWAY: Final = "GATEWAY_UNAVAILABLE"
"""An error of the actions that may call a gateway; in one transaction none does, but before it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call is answered."""

    body: bytes
    """The serialized response; empty if the call is refused."""
    status: status_pb2.Status | None = None
    """The status of a call that is refused or failed; None stands for OK."""
    is_replayed: bool = False
    """Whether an earlier call with the same idempotency key had this answer."""


@dataclass(frozen=True, slots=True)
class _Served:
    """A method with what parses its requests and what serves them."""

    path: str
    action: str
    method: Method
    may_call_gateway: bool
    parse: Callable[[bytes], Message]
    servicer: Callable[[Message, None], Awaitable[Message]]


class Pipeline:
    """Answers the calls of every method of the schema."""

    def __init__(
        self,
        servicers: Mapping[str, object],
        authentication: AuthenticationService,
        idempotency: IdempotentRuns,
        limiter: BusinessLimiter,
    ) -> None:
        """Serve each service of the schema with the servicer under its full name."""
        self._served = {
            path: _Served(
                path,
                action_name(method.descriptor.name),
                method,
                method.keeps_own_idempotency_record and _CALLS_GATEWAY in method.errors,
                message_factory.GetMessageClass(method.descriptor.input_type).FromString,
                getattr(
                    servicers[method.descriptor.containing_service.full_name],
                    method.descriptor.name,
                ),
            )
            for path, method in methods_by_path().items()
        }
        self._authentication = authentication
        self._idempotency = idempotency
        self._limiter = limiter
        self._running: set[asyncio.Task[Answer]] = set()

    async def answer(
        self, path: str, metadata: Mapping[str, str | bytes], body: bytes, presence: Presence
    ) -> Answer:
        """Answer a call of the method at `path`, a path of `methods_by_path()`.

        Runs in a task of the call's own, because it sets the task's request id. It may be cancelled
        when the caller leaves; the work continues: a charge completes, and no query is cancelled,
        which would leave SQLite locked. The one who sends the answer ends `presence`.

        Raises:
            CancelledError: it was cancelled. Errors of every other kind are statuses.
        """
        request_id.set(_request_id_of(metadata))
        set_presence(presence)
        started, code = time.perf_counter(), grpc.StatusCode.CANCELLED.name
        served = self._served[path]
        span = None
        if path != _POLLED:
            parent = metadata.get(tracing.TRACEPARENT)
            span = tracing.begin(served.action, is_server=True, traceparent=parent)
        work = asyncio.create_task(self._answer(served, metadata, body))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        try:
            answer = await asyncio.shield(work)
            code = _OK if answer.status is None else _CODE_NAMES[answer.status.code]
        except asyncio.CancelledError:
            presence.end(left=True)
            raise
        finally:
            seconds = time.perf_counter() - started
            REQUEST_SECONDS.observe((served.action, code), seconds)
            _log_call(path, code, seconds)
            if span is not None:
                span.end(is_error=code in _FAULTS, code=code)
        return answer

    @property
    def in_flight(self) -> int:
        """How many calls are being worked on, also such that nobody waits for any more."""
        return len(self._running)

    async def drain(self, timeout_seconds: float) -> int:
        """Wait for the calls in flight; return how many did not finish in time."""
        if not self._running:
            return 0
        _, pending = await asyncio.wait(set(self._running), timeout=timeout_seconds)
        return len(pending)

    async def _answer(
        self, served: _Served, metadata: Mapping[str, str | bytes], body: bytes
    ) -> Answer:
        """Return the answer, with every error as a status, also if the caller has left."""
        try:
            ran = await self._run(served, metadata, body)
            return Answer(ran.response.SerializeToString(), is_replayed=ran.is_replayed)
        except ReplayedRefusal as replayed:
            return Answer(b"", replayed.status, is_replayed=True)
        except Exception as error:  # noqa: BLE001 - every error becomes a status
            return Answer(b"", status_of(_refusal_of(error, served.path)))

    async def _run(self, served: _Served, metadata: Mapping[str, str | bytes], body: bytes) -> Ran:
        """Run the call: parse, authenticate, validate, and serve it once."""
        parsed = _parsed(served, body)
        await admit(self._authentication, served.method, metadata, parsed)
        if served.method.is_action:
            self._limiter.take_request(current_caller())
        request = _validated(parsed, metadata)
        if served.method.is_mutating:
            set_origin(_origin_of(served, request, metadata))
        serve: Serve = partial(served.servicer, request, None)
        if served.may_call_gateway:
            serve = partial(self._limiter.at_gateway, current_caller(), serve)
        if served.method.is_action and served.method.is_mutating:
            return await self._idempotency.run(
                current_caller(),
                served.method,
                request,
                serve,
                unless_answered=refusal_unless_answered(served.method),
            )
        return Ran(await serve())


def _request_id_of(metadata: Mapping[str, str | bytes]) -> str:
    """Return the request id that the caller sent, or a new one."""
    sent = metadata_text(metadata, REQUEST_ID_METADATA)
    is_usable = 0 < len(sent) <= _REQUEST_ID_LENGTH_MAX and sent.isprintable()
    return sent if is_usable else new_request_id()


def _origin_of(served: _Served, request: Message, metadata: Mapping[str, str | bytes]) -> Origin:
    """Return who makes the changes of an admitted call."""
    called = partial(
        Origin,
        action=served.action,
        request_id=request_id.get(),
        address=_address_of(metadata),
    )
    match served.method.scope:
        case None if served.method.admin_only:
            # It writes into the chain of another business, which may read it.
            return called("operator", "admin", address="")
        case None:
            return called("api_key", current_caller().key_id)
        case "operator":
            name = getattr(request, "decided_by", "")
            return called("operator", "".join(filter(str.isprintable, name)))
        case "webhooks":
            gateway = gateway_word(getattr(request, "gateway", GATEWAY_UNSPECIFIED))
            return called("gateway", gateway or "")
        case scope:
            return called(scope)


def _address_of(metadata: Mapping[str, str | bytes]) -> str:
    """Return the client's address, as the process that called says it; empty if it is none.

    Without the scope of an IPv6 address, which may be a text of any length.
    """
    sent = metadata_text(metadata, CLIENT_ADDRESS_METADATA).partition("%")[0]
    try:
        return str(ip_address(sent))
    except ValueError:
        return ""


def _log_call(path: str, code: str, seconds: float) -> None:
    level = logging.DEBUG if path == _POLLED and code == _OK else logging.INFO
    fields = {"method": path, "code": code, "milliseconds": round(seconds * 1000, 3)}
    log_request(logger, level, "call", fields)


def _parsed(served: _Served, body: bytes) -> Message | None:
    """Return the request; None if it is malformed, which is refused after authentication."""
    try:
        return served.parse(body)
    except DecodeError:
        return None


def _validated(request: Message | None, metadata: Mapping[str, str | bytes]) -> Message:
    """Return the request if it could be parsed and keeps the schema's rules.

    Raises:
        InvalidFields: with all problems, those that the caller sent first.
    """
    if request is None:
        raise InvalidFields.of("request", "is not a valid protobuf message")
    found = [*_sent_problems(metadata.get(FIELD_PROBLEMS_METADATA)), *problems(request)]
    if found:
        raise InvalidFields(found[:MAX_FIELD_PROBLEMS])
    return request


def _sent_problems(raw: str | bytes | None) -> Sequence[FieldProblem]:
    if raw is None:
        return ()
    try:
        sent = error_details_pb2.BadRequest.FromString(raw if isinstance(raw, bytes) else b"")
    except DecodeError:
        sent = error_details_pb2.BadRequest()
    return [FieldProblem(v.field, v.description) for v in sent.field_violations] or [
        FieldProblem(FIELD_PROBLEMS_METADATA, "is not a google.rpc.BadRequest")
    ]


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
