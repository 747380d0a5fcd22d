"""Errors of calls to the core, read from a gRPC status."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

import grpc
from google.rpc import error_details_pb2, status_pb2

from rpc.error_details import FieldProblem
from rpc.metadata import STATUS_DETAILS_METADATA

logger = logging.getLogger("rpc")

_NEVER_SENT = ("connections to all backends failing", "errors resolving ", "failed to connect")
"""Beginnings of gRPC's messages for a call that found no connection (pick in client_channel).

A call whose connection was lost has other messages.
"""

_OUTCOME_UNKNOWN = (
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
)

_CODES: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

Trailing = Sequence[tuple[str, str | bytes]]


class CoreError(Exception):
    """The core refused a call, or did not respond."""

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
        """Whether the error is a replay."""


def was_cancelled() -> bool:
    """Return whether the running task was cancelled and has not noticed.

    gRPC raises an RPC error instead of CancelledError when the connection is lost at the moment of
    the cancellation. Whoever catches one and goes on asks this first, or it would go on for good.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def core_error(
    code: grpc.StatusCode,
    details: str | None,
    trailing: Trailing,
    *,
    is_replayed: bool = False,
) -> CoreError:
    """Return the error of a unary call's status.

    A status without details comes from gRPC itself: no connection, or the deadline passed.
    """
    raw = next((value for key, value in trailing if key == STATUS_DETAILS_METADATA), None)
    if not isinstance(raw, bytes):
        return _transport_error(code, details or "")
    return status_error(status_pb2.Status.FromString(raw), is_replayed=is_replayed)


def status_error(status: status_pb2.Status, *, is_replayed: bool = False) -> CoreError:
    """Return the error of a status that the core sent."""
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
        code=_CODES.get(status.code, grpc.StatusCode.UNKNOWN),
        metadata=info.metadata,
        fields=[FieldProblem(v.field, v.description) for v in bad.field_violations],
        retry_after_seconds=retry.retry_delay.seconds if retry.HasField("retry_delay") else None,
        is_replayed=is_replayed,
    )


def not_sent_error(details: str) -> CoreError:
    """Return the error of a call that was certainly not sent, and log why."""
    log_unreachable(details)
    return CoreError(
        "SERVICE_UNAVAILABLE",
        "The service is not available right now. Send the same request again.",
        code=grpc.StatusCode.UNAVAILABLE,
        retry_after_seconds=1,
    )


def outcome_unknown_error(code: grpc.StatusCode) -> CoreError:
    """Return the error of a call that may have been sent and has no answer."""
    return CoreError(
        "OUTCOME_UNKNOWN",
        "The answer did not arrive, so the outcome is not known yet. "
        "With an idempotency key, send the same request again to learn it; without one, read "
        "the records first.",
        code=code,
        retry_after_seconds=1,
    )


def log_unreachable(details: str | None) -> None:
    """Log why the core is unreachable, which callers do not see."""
    logger.warning("core unreachable", extra={"reason": details})


def was_never_sent(code: grpc.StatusCode, details: str) -> bool:
    """Return whether gRPC failed before it sent the call."""
    return code is grpc.StatusCode.UNAVAILABLE and details.startswith(_NEVER_SENT)


def _transport_error(code: grpc.StatusCode, details: str) -> CoreError:
    """Return the error of a status from gRPC itself. It is certain only if nothing was sent."""
    if was_never_sent(code, details):
        return not_sent_error(details)
    if code in _OUTCOME_UNKNOWN:
        return outcome_unknown_error(code)
    return CoreError("INTERNAL", details or code.name, code=code)
