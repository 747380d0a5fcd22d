"""Forms the google.rpc.Status of a refusal, which is what travels and what is kept. No gRPC."""

from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from core.client import ERROR_DOMAIN
from core.errors import InvalidFields, Refusal
from nivisco.annotations.v1 import annotations_pb2
from nivisco.payments.v1 import errors_pb2


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
