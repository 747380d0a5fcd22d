"""Refusals as exceptions, and their statuses (AIP-193).

    Refusal                    a reason of nivisco.payments.v1.ErrorReason and a sentence
    └── InvalidFields          INVALID_FIELDS, with the problems of every field

`core.server.pipeline` turns them into gRPC statuses. Any other exception of a handler is INTERNAL.
"""

from collections.abc import Mapping, Sequence

from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from nivisco.annotations.v1 import annotations_pb2
from nivisco.payments.v1 import errors_pb2
from rpc.error_details import ERROR_DOMAIN, as_many_as_fit, fields_sentence
from rpc.error_details import FieldProblem as FieldProblem

Reason = errors_pb2.ErrorReason

RETRY_SECONDS = 1
"""Delay before the retry of a request that failed for a temporary reason."""


class Refusal(Exception):
    """The call is refused for a reason that the caller can act on."""

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
        assert problems, "a refusal names a problem"
        super().__init__(Reason.ERROR_REASON_INVALID_FIELDS, fields_sentence(problems))
        self.problems = tuple(problems)

    @classmethod
    def of(cls, field: str, description: str) -> "InvalidFields":
        """Return the refusal for one field."""
        return cls([FieldProblem(field, description)])


class ReplayedRefusal(Exception):
    """The stored refusal of an earlier run of the call."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status


def is_outcome(refusal: Refusal) -> bool:
    """Return whether a refusal is the outcome of its request, from the schema."""
    value = errors_pb2.ErrorReason.DESCRIPTOR.values_by_number[refusal.reason]
    return bool(value.GetOptions().Extensions[annotations_pb2.error].is_outcome)


def status_of(refusal: Refusal) -> status_pb2.Status:
    """Return the gRPC status of a refusal, with ErrorInfo, BadRequest and RetryInfo (AIP-193)."""
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
            for p in as_many_as_fit(refusal.problems)
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
