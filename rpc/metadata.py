"""gRPC metadata of calls: credentials, request id and field problems."""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from google.rpc import error_details_pb2

from rpc.error_details import MAX_FIELD_PROBLEMS, FieldProblem
from rpc.tracing import TRACEPARENT, current_traceparent

BUSINESS_ID_METADATA = "x-business-id"

API_KEY_METADATA = "x-api-key"

SERVICE_TOKEN_METADATA = "x-service-token"  # noqa: S105 - the name of the metadata, not a token

ACKNOWLEDGES_METADATA = "x-acknowledges"
"""`true`: the client of a stream acknowledges the answers that ask for it."""

REQUEST_ID_METADATA = "x-request-id"

CLIENT_ADDRESS_METADATA = "x-client-address"
"""The address of the client of a process that calls a core, for the audit trail."""

FIELD_PROBLEMS_METADATA = "x-field-problems-bin"
"""A serialized google.rpc.BadRequest with problems that the caller found itself.

The core authenticates the call, adds the problems that it finds, and refuses the call.
"""

STATUS_DETAILS_METADATA = "grpc-status-details-bin"

REPLAYED_METADATA = "idempotency-replayed"
"""Initial metadata of a replayed response or error."""

NO_REQUEST = "-"

request_id: ContextVar[str] = ContextVar("request_id", default=NO_REQUEST)
"""Request id of the running task, shown in every log line."""

client_address: ContextVar[str] = ContextVar("client_address", default="")
"""Address of the client whose request the running task serves."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Credentials of a business (id and API key), or of a process (service token)."""

    business_id: str = ""
    api_key: str = field(default="", repr=False)
    service_token: str = field(default="", repr=False)

    def metadata(self) -> list[tuple[str, str | bytes]]:
        """Return these credentials as gRPC metadata."""
        if self.service_token:
            return [(SERVICE_TOKEN_METADATA, self.service_token)]
        return [(BUSINESS_ID_METADATA, self.business_id), (API_KEY_METADATA, self.api_key)]


def request_metadata(
    credentials: Credentials, field_problems: Sequence[FieldProblem] = ()
) -> list[tuple[str, str | bytes]]:
    """Return the metadata of a call, with the running task's request id and trace."""
    metadata = credentials.metadata()
    if (running := request_id.get()) != NO_REQUEST:
        metadata.append((REQUEST_ID_METADATA, running))
    if address := client_address.get():
        metadata.append((CLIENT_ADDRESS_METADATA, address))
    if (traceparent := current_traceparent()) is not None:
        metadata.append((TRACEPARENT, traceparent))
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
