"""Forms the bodies, codes and headers of answers; it knows nothing of connections.

The five bodies of the public reference's section on errors stand here word for word.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import grpc

from nivisco.annotations.v1 import annotations_pb2
from nivisco.payments.v1 import errors_pb2
from rpc.error_details import FieldProblem, fields_sentence
from rpc.errors import CoreError

_REASON_PREFIX = "ERROR_REASON_"
HTTP_STATUS: Final[Mapping[str, int]] = {
    value.name.removeprefix(_REASON_PREFIX): value.GetOptions()
    .Extensions[annotations_pb2.error]
    .http_status
    for value in errors_pb2.ErrorReason.DESCRIPTOR.values
    if value.number
}
"""The HTTP status of every error reason, from the schema."""

_STATUS_OF_CODE: Final[Mapping[grpc.StatusCode, int]] = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
}
"""For a reason that only a newer core knows; from the architecture's table of errors."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back: a status, a JSON text, and after how many seconds to retry."""

    status: int
    body: str
    retry_after_seconds: int | None = None
    is_replayed: bool = False
    """Whether the same idempotency key was answered so before."""


def _documented(status: int, error: str) -> Answer:
    return Answer(status, _text({"success": False, "error": error}))


def _text(body: Mapping[str, object]) -> str:
    return json.dumps(body, separators=(",", ":"))


METHOD_NOT_ALLOWED = _documented(405, "Method Not Allowed")
INVALID_JSON = _documented(400, "Invalid JSON")
CREDENTIALS_MISSING = _documented(400, "Missing required fields: business_id and api_key")
PROXY_ONLY = _documented(403, "This port answers its proxy only: send the request there, by https")
"""Like the documented ones it has no code: nobody who gets it is a client that could act on one."""
CREDENTIALS_INVALID = _documented(401, "Invalid business credentials")


def internal(request_id: str) -> Answer:
    """Return the answer to a fault of ours, which shows the id to quote to support."""
    body = {"success": False, "error": "Internal server error", "details": request_id}
    return Answer(500, _text(body))


def malformed_http(status: int, phrase: str) -> Answer:
    """Return the answer to bytes that are not HTTP, in the form of the documented ones."""
    return _documented(status, phrase)


def refusal(reason: str, error: str, *, retry_after_seconds: int | None = None) -> Answer:
    """Return a refusal that the adapter itself makes, for a reason of the schema."""
    body = {"success": False, "error": error, "code": reason}
    return Answer(HTTP_STATUS[reason], _text(body), retry_after_seconds)


def invalid_fields(problems: Sequence[FieldProblem]) -> Answer:
    """Return the refusal that lists what is wrong with which field."""
    body = {
        "success": False,
        "error": fields_sentence(problems),
        "code": "INVALID_FIELDS",
        "fields": [{"field": p.field, "description": p.description} for p in problems],
    }
    return Answer(HTTP_STATUS["INVALID_FIELDS"], _text(body))


def core_refusal(error: CoreError, request_id: str) -> Answer:
    """Return the answer that carries a refusal of the core, other than INVALID_FIELDS with fields.

    The metadata of the reason become keys of the body; none can take the place of ours.
    """
    status = HTTP_STATUS.get(error.reason) or _STATUS_OF_CODE.get(error.code, 500)
    if error.reason == "INVALID_CREDENTIALS":
        return CREDENTIALS_INVALID
    if status == HTTP_STATUS["INTERNAL"]:
        return internal(request_id)
    # In one order, because a map has none: an answer that is given again is the same to the byte.
    body: dict[str, object] = dict(sorted(error.metadata.items()))
    body = {"success": False, "error": error.message or error.reason, "code": error.reason} | {
        key: value for key, value in body.items() if key not in {"success", "error", "code"}
    }
    retry = error.retry_after_seconds
    return Answer(status, _text(body), None if retry is None else max(retry, 1), error.is_replayed)
