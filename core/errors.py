"""What the rules refuse, as exceptions that know their reason; no transport is known here.

    Refusal                    a reason of nivisco.payments.v1.ErrorReason and a sentence
    └── InvalidFields          INVALID_FIELDS, with every problem by field

`core.interceptors` turns them into gRPC statuses. Everything else that escapes a handler is a
fault of ours.
"""

from collections.abc import Mapping, Sequence

from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from nivisco.annotations.v1 import annotations_pb2
from nivisco.payments.v1 import errors_pb2
from rpc.error_details import ERROR_DOMAIN, fields_sentence
from rpc.error_details import FieldProblem as FieldProblem

Reason = errors_pb2.ErrorReason

RETRY_SECONDS = 1
"""After how many seconds to send a request again that met a passing obstacle."""


class Refusal(Exception):
    """The call is refused, for a reason that the caller can act on."""

    def __init__(
        self,
        reason: "errors_pb2.ErrorReason.ValueType",
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.retry_after_seconds = retry_after_seconds


class InvalidFields(Refusal):
    """One or more fields are missing, malformed or unknown."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        assert problems, "a refusal names what is wrong"
        super().__init__(Reason.ERROR_REASON_INVALID_FIELDS, fields_sentence(problems))
        self.problems = tuple(problems)

    @classmethod
    def of(cls, field: str, description: str) -> "InvalidFields":
        """Make the refusal of one field."""
        return cls([FieldProblem(field, description)])


class ReplayedRefusal(Exception):
    """A refusal that was told before and is told again as it was."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status


def http_status_of(refusal: Refusal) -> int:
    """Return the HTTP status that carries a refusal, from the schema."""
    value = errors_pb2.ErrorReason.DESCRIPTOR.values_by_number[refusal.reason]
    return int(value.GetOptions().Extensions[annotations_pb2.error].http_status)


def status_of(refusal: Refusal) -> status_pb2.Status:
    """Return the status of a refusal, with ErrorInfo always and what else applies (AIP-193)."""
    value = errors_pb2.ErrorReason.DESCRIPTOR.values_by_number[refusal.reason]
    error = value.GetOptions().Extensions[annotations_pb2.error]
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=value.name.removeprefix("ERROR_REASON_"),
            domain=ERROR_DOMAIN,
            metadata=refusal.metadata,
        )
    ]
    if isinstance(refusal, InvalidFields):
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=p.field, description=p.description)
            for p in refusal.problems
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if refusal.retry_after_seconds is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.seconds = refusal.retry_after_seconds
        details.append(retry)
    status = status_pb2.Status(code=error.grpc_code, message=refusal.message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status
