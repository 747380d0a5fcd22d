"""Builds HTTP statuses and JSON bodies of responses; the five documented errors are verbatim."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
"""The HTTP status of a reason that only a newer core knows."""


@dataclass(frozen=True, slots=True)
class JsonResponse:
    """A status, a JSON body, and the seconds after which to retry."""

    status: int
    body: str
    retry_after_seconds: int | None = None
    is_replayed: bool = False
    """Whether the response is the stored one of an earlier request with the same key."""
    error_code: str | None = None
    """The code of an error, for the header `X-Error-Code`: the documented bodies have none."""
    acknowledge: Callable[[bool], None] | None = field(default=None, compare=False)
    """To be called with whether the response was sent; None: nobody records that."""


def _fixed(status: int, code: str, error: str) -> JsonResponse:
    return JsonResponse(status, _text({"success": False, "error": error}), error_code=code)


def _text(body: Mapping[str, object]) -> str:
    return json.dumps(body, separators=(",", ":"))


METHOD_NOT_ALLOWED = _fixed(405, "METHOD_NOT_ALLOWED", "Method Not Allowed")
REQUEST_TIMEOUT = _fixed(408, "REQUEST_TIMEOUT", "Request Timeout")
INVALID_JSON = _fixed(400, "INVALID_JSON", "Invalid JSON")
CREDENTIALS_MISSING = _fixed(
    400, "CREDENTIALS_REQUIRED", "Missing required fields: business_id and api_key"
)
"""Its code differs from CREDENTIALS_MISSING, the reason for missing keys of a gateway."""
PROXY_ONLY = _fixed(
    403, "PROXY_ONLY", "This port answers its proxy only: send the request there, by https"
)
"""Its body has no code, like the documented errors: no client of the API receives it."""
CREDENTIALS_INVALID = _fixed(401, "INVALID_CREDENTIALS", "Invalid business credentials")


def internal_error(request_id: str) -> JsonResponse:
    """Return the response to an internal error, with the request id to quote to support."""
    body = {"success": False, "error": "Internal server error", "details": request_id}
    return JsonResponse(500, _text(body), error_code="INTERNAL")


def malformed_http(status: int, phrase: str) -> JsonResponse:
    """Return the response to bytes that are not HTTP."""
    return _fixed(status, "MALFORMED_HTTP", phrase)


def error_response(
    reason: str, error: str, *, retry_after_seconds: int | None = None
) -> JsonResponse:
    """Return an error that the adapter itself raises, with a reason of the schema."""
    body = {"success": False, "error": error, "code": reason}
    return JsonResponse(HTTP_STATUS[reason], _text(body), retry_after_seconds, error_code=reason)


def invalid_fields(problems: Sequence[FieldProblem]) -> JsonResponse:
    """Return the error that lists the invalid fields."""
    body = {
        "success": False,
        "error": fields_sentence(problems),
        "code": "INVALID_FIELDS",
        "fields": [{"field": p.field, "description": p.description} for p in problems],
    }
    return JsonResponse(HTTP_STATUS["INVALID_FIELDS"], _text(body), error_code="INVALID_FIELDS")


def core_error_response(error: CoreError, request_id: str) -> JsonResponse:
    """Return the response for an error of the core, except INVALID_FIELDS with fields.

    The error's metadata becomes keys of the body; it cannot replace our own keys.
    """
    status = HTTP_STATUS.get(error.reason) or _STATUS_OF_CODE.get(error.code, 500)
    if error.reason == "INVALID_CREDENTIALS":
        return CREDENTIALS_INVALID
    if status == HTTP_STATUS["INTERNAL"]:
        return internal_error(request_id)
    # Sorted, because a map has no order and a replayed response must be identical byte for byte.
    body: dict[str, object] = dict(sorted(error.metadata.items()))
    body = {"success": False, "error": error.message or error.reason, "code": error.reason} | {
        key: value for key, value in body.items() if key not in {"success", "error", "code"}
    }
    retry = error.retry_after_seconds
    return JsonResponse(
        status,
        _text(body),
        None if retry is None else max(retry, 1),
        error.is_replayed,
        error_code=error.reason,
    )
