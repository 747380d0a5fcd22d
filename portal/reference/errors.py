"""Describes every error, from ErrorReason and from the adapter's own responses."""

from collections.abc import Iterable, Mapping
from functools import cache

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.rpc import code_pb2

from nivisco.annotations.v1 import annotations_pb2
from nivisco.payments.v1 import errors_pb2
from portal.comments import comments
from portal.reference.examples import example_of_error
from portal.reference.model import Error, TransportError
from rpc.catalogue import read_method
from rpc.errors import CoreError
from transcoding import json_responses
from transcoding.json_responses import JsonResponse

_INTERNAL = frozenset({"SERVICE_TOKEN_REQUIRED"})
"""Reasons of internal services only."""
_EVERY_ACTION = (
    "SCOPE_MISSING",
    "INVALID_FIELDS",
    "BODY_TOO_LARGE",
    "RATE_LIMITED",
    "INTERNAL",
    "SERVICE_UNAVAILABLE",
)
_MUTATING_ACTION = (
    "API_KEY_CAPPED",
    "IDEMPOTENCY_KEY_REUSED",
    "REQUEST_IN_PROGRESS",
    "OUTCOME_UNKNOWN",
)


@cache
def error_table() -> Mapping[str, Error]:
    """Return every reason that the JSON endpoint can return, in the schema's order."""
    enum = errors_pb2.ErrorReason.DESCRIPTOR
    found: dict[str, Error] = {}
    for value in enum.values:
        reason = value.name.removeprefix("ERROR_REASON_")
        if not value.number or reason in _INTERNAL:
            continue
        error = value.GetOptions().Extensions[annotations_pb2.error]
        found[reason] = Error(
            reason,
            error.http_status,
            code_pb2.Code.Name(error.grpc_code),
            comments().get(f"{enum.full_name}.{value.name}", ""),
            has_code=f'"code":"{reason}"' in _body_of(reason),
            example=example_of_error(reason),
        )
    return found


def _body_of(reason: str) -> str:
    error = CoreError(reason, "", code=grpc.StatusCode.UNKNOWN)
    return json_responses.core_error_response(error, "").body


def own_errors(method: MethodDescriptor) -> tuple[Error, ...]:
    """Return the errors that the method declares, in the order of its `method_errors`."""
    return tuple(error_table()[reason] for reason in read_method(method).errors)


def general_errors(
    own: Iterable[Error], *, mutates: bool, is_refused_while_suspended: bool, moves_money: bool
) -> tuple[Error, ...]:
    """Return the errors of every action, or of every one of its kind, that are not its own."""
    named = {error.reason for error in own}
    reasons = ("INVALID_CREDENTIALS", *_EVERY_ACTION, *(_MUTATING_ACTION if mutates else ()))
    if is_refused_while_suspended:
        reasons += ("BUSINESS_SUSPENDED",)
    if moves_money:
        reasons += ("PAYMENTS_STOPPED",)
    return tuple(error_table()[reason] for reason in reasons if reason not in named)


def transport_errors() -> tuple[TransportError, ...]:
    """Return the errors with a fixed body."""
    table: tuple[tuple[str, JsonResponse], ...] = (
        ("The method is not POST.", json_responses.METHOD_NOT_ALLOWED),
        ("The body did not arrive in time. Nothing was done.", json_responses.REQUEST_TIMEOUT),
        ("The body is not a JSON object.", json_responses.INVALID_JSON),
        ("`business_id` or `api_key` is missing.", json_responses.CREDENTIALS_MISSING),
        (
            "The business is unknown or inactive, or the API key is wrong, expired or revoked.",
            json_responses.CREDENTIALS_INVALID,
        ),
        (
            "Internal server error. `details` is the request id to quote to support.",
            json_responses.internal_error("01JZ3T8Q0V5W6X7Y8Z9ABCDEFG"),
        ),
    )
    return tuple(_transport_error(when, response) for when, response in table)


def _transport_error(when: str, response: JsonResponse) -> TransportError:
    assert response.error_code is not None, "every error has a code"
    return TransportError(when, response.error_code, response.status, response.body)
