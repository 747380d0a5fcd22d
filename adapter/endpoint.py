"""Serves the JSON endpoint: reads the envelope, calls the core once, writes the response.

Rules about users, cards and money, and limits of fields beyond their type, are the core's.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from functools import partial

import grpc
from aiohttp import hdrs, web
from google.protobuf.message import Message

from adapter.body import BodyTooLarge, BodyTooSlow, read_body
from adapter.settings import AdapterSettings
from rpc.catalogue import IDEMPOTENCY_KEY
from rpc.client import CoreClient, CoreResponse
from rpc.credential_failures import LIMIT, CredentialFailures
from rpc.error_details import LIMIT_METADATA, FieldProblem
from rpc.errors import CoreError
from rpc.metadata import request_id
from rpc.update_mask import UPDATE_MASK
from transcoding import json_responses
from transcoding.actions import ACTION_KEY, Action
from transcoding.envelope import (
    IDEMPOTENCY_HEADER,
    MAX_BODY_BYTES,
    CredentialsDiffer,
    CredentialsMalformed,
    CredentialsMissing,
    Envelope,
    read_action_request,
    read_envelope,
)
from transcoding.field_problems import FieldProblems, did_you_mean
from transcoding.json_responses import JsonResponse
from transcoding.parsing import InvalidJson
from transcoding.requests import NOT_A_STRING

logger = logging.getLogger("adapter")

VALIDATE_BUSINESS = "validate_business"
"""The action that only checks the credentials."""
_KEY = re.compile(r"[ -~]{1,64}")
_KEYS_DIFFER = f"has another value in the `{IDEMPOTENCY_HEADER}` header: send one of them"
_CREDENTIALS_DIFFER = "has another value in the `Authorization` header: send one of them"
_MAYBE_UNAUTHENTICATED = frozenset(
    {"INVALID_CREDENTIALS", "INTERNAL", "SERVICE_UNAVAILABLE", "OUTCOME_UNKNOWN"}
)
"""Reasons for an error that may be raised before the credentials are checked."""


class UnexpectedSuccess(RuntimeError):
    """The core executed a request that was sent with field problems. A bug of ours."""


class InvalidUpdateMask(RuntimeError):
    """The core rejected an update mask, which only the adapter writes. A bug of ours."""


class Endpoint:
    """Executes envelopes on a core, up to a maximum number at the same time."""

    def __init__(
        self, core: CoreClient, catalogue: Mapping[str, Action], settings: AdapterSettings
    ) -> None:
        self._core = core
        self._catalogue = catalogue
        self._settings = settings
        self._failures = CredentialFailures(settings.credential_failures_per_minute)
        self._in_flight = 0

    @property
    def in_flight(self) -> int:
        """How many requests are being worked on, of the settings' `max_in_flight`."""
        return self._in_flight

    async def handle(
        self, request: web.BaseRequest, log_fields: dict[str, str], action: str | None = None
    ) -> JsonResponse:
        """Return the response to one POST; adds `action` and `business_id` to the log fields.

        Without `action`, the body is an envelope. With it, that of the request's path, the body has
        its fields, and the credentials may be in the `Authorization` header.

        The body is read as JSON whatever its Content-Type is: a page in a browser cannot act for
        anybody. The credentials are in the body, or in a header that a browser adds by itself only
        if a response has asked for it with `WWW-Authenticate`, which none does.

        Only requests whose body has arrived count as in flight, so that slow senders cannot lock
        others out.
        """
        try:
            body = await read_body(
                request,
                max_bytes=MAX_BODY_BYTES,
                timeout_seconds=self._settings.body_timeout_seconds,
            )
            if self._in_flight >= self._settings.max_in_flight:
                return json_responses.error_response(
                    "RATE_LIMITED", "Too many requests at once", retry_after_seconds=1
                )
            if action is None:
                envelope = read_envelope(body)
            else:
                headers = request.headers.getall(hdrs.AUTHORIZATION, [])
                if len(headers) > 1:
                    return json_responses.CREDENTIALS_INVALID
                envelope = read_action_request(body, action, *headers)
        except BodyTooLarge:
            return json_responses.error_response(
                "BODY_TOO_LARGE", "The request body is larger than 64 KiB"
            )
        except BodyTooSlow:
            return json_responses.REQUEST_TIMEOUT
        except InvalidJson:
            return json_responses.INVALID_JSON
        except CredentialsMissing:
            return json_responses.CREDENTIALS_MISSING
        except CredentialsMalformed:
            return json_responses.CREDENTIALS_INVALID
        except CredentialsDiffer as error:
            return json_responses.invalid_fields(
                [FieldProblem(name, _CREDENTIALS_DIFFER) for name in error.names]
            )
        self._in_flight += 1
        try:
            keys = request.headers.getall(IDEMPOTENCY_HEADER, [])
            return await self._execute(envelope, keys, log_fields)
        finally:
            self._in_flight -= 1

    async def _execute(
        self, envelope: Envelope, header_keys: Sequence[str], log_fields: dict[str, str]
    ) -> JsonResponse:
        action = self._catalogue.get(envelope.action) if isinstance(envelope.action, str) else None
        if action is None:
            return await self._reject_action(envelope, log_fields)
        log_fields["action"] = action.name
        problems = FieldProblems()
        _merge_header_keys(envelope.fields, header_keys, problems)
        if not action.mutates:
            _take_unused_key(envelope.fields, problems)
        message = action.read(envelope.fields, "", problems)
        try:
            response = await self._call(action, message, envelope, problems, log_fields)
        except CoreError as error:
            return _error_response(error, action, problems)
        if problems.found:
            raise UnexpectedSuccess(action.name)
        return JsonResponse(
            200,
            action.write(response.message),
            is_replayed=response.is_replayed,
            acknowledge=response.acknowledge,
        )

    async def _call(
        self,
        action: Action,
        message: Message,
        envelope: Envelope,
        problems: FieldProblems,
        log_fields: dict[str, str],
    ) -> CoreResponse:
        """Call the core; adds the business to the log fields if its credentials are valid.

        Not earlier: a client that swaps its two credentials would put its key in our log.
        """
        credentials = envelope.credentials
        sender = log_fields.get("address"), credentials.business_id, credentials.api_key
        send = partial(
            self._core.send,
            action.method,
            message,
            credentials,
            timeout_seconds=self._settings.core_timeout_seconds,
            field_problems=problems.to_send(),
        )
        try:
            if self._failures.is_limited(*sender):
                async with self._failures.turn(*sender[:2]) as wait:
                    if wait:
                        raise _too_many_failures(wait)
                    response = await send()
            else:
                response = await send()
        except CoreError as error:
            if error.reason == "INVALID_CREDENTIALS":
                self._failures.add_failed(*sender)
            elif _was_authenticated(error):
                self._failures.add_valid(*sender)
                log_fields["business_id"] = credentials.business_id
            raise
        self._failures.add_valid(*sender)
        log_fields["business_id"] = credentials.business_id
        return response

    async def _reject_action(self, envelope: Envelope, log_fields: dict[str, str]) -> JsonResponse:
        """Return the error for an absent or unknown action, after the credentials were checked."""
        validate = self._catalogue[VALIDATE_BUSINESS]
        problems = FieldProblems()
        try:
            message = validate.read({}, "", problems)
            await self._call(validate, message, envelope, problems, log_fields)
        except CoreError as error:
            return _error_response(error, validate, problems)
        name = envelope.action
        if isinstance(name, str) and name:
            return json_responses.error_response(
                "UNKNOWN_ACTION", "Unknown action" + did_you_mean(name, self._catalogue)
            )
        problems.add_invalid(
            ACTION_KEY, name, "is required" if name in (None, "") else NOT_A_STRING
        )
        return json_responses.invalid_fields(problems.found)


def _too_many_failures(wait_seconds: int) -> CoreError:
    return CoreError(
        "RATE_LIMITED",
        "Too many requests with wrong credentials came from this address",
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        metadata={LIMIT_METADATA: LIMIT},
        retry_after_seconds=wait_seconds,
    )


def _was_authenticated(error: CoreError) -> bool:
    """Return whether the credentials of a call were certainly checked before its error."""
    is_of_address = error.metadata.get(LIMIT_METADATA) == LIMIT
    return error.reason not in _MAYBE_UNAUTHENTICATED and not is_of_address


def _merge_header_keys(
    fields: dict[str, object], keys: Sequence[str], problems: FieldProblems
) -> None:
    """Move the key of the header into the field; a key that differs from it is a problem."""
    for key in keys:
        given = fields.get(IDEMPOTENCY_KEY)
        if given is None:
            fields[IDEMPOTENCY_KEY] = key
        elif isinstance(given, str) and given != key:
            problems.add_invalid(IDEMPOTENCY_KEY, None, _KEYS_DIFFER)
            return


def _take_unused_key(fields: dict[str, object], problems: FieldProblems) -> None:
    """Check the idempotency key of a read and remove it: reads accept one and do not use it."""
    key = fields.pop(IDEMPOTENCY_KEY, None)
    if key is not None and not (isinstance(key, str) and _KEY.fullmatch(key)):
        wrong = "must be 1 to 64 printable characters" if isinstance(key, str) else NOT_A_STRING
        problems.add_invalid(IDEMPOTENCY_KEY, key, wrong)


def _error_response(error: CoreError, action: Action, problems: FieldProblems) -> JsonResponse:
    if error.reason == "INVALID_FIELDS":
        from_core = [problem for problem in error.fields if problem not in problems.found]
        if any(problem.field == UPDATE_MASK for problem in from_core):
            raise InvalidUpdateMask(action.name)
        found = [FieldProblem(action.json_path(p.field), p.description) for p in from_core]
        merged = problems.merged_with(found)
        if merged:
            return json_responses.invalid_fields(merged)
    return json_responses.core_error_response(_with_fitting_reason(error, action), request_id.get())


def _with_fitting_reason(error: CoreError, action: Action) -> CoreError:
    """Return the error with a reason that fits the action, if the status is gRPC's own."""
    if error.code is grpc.StatusCode.UNIMPLEMENTED and error.reason == "INTERNAL":
        return CoreError("NOT_IMPLEMENTED", f"{action.name} is not there yet", code=error.code)
    if error.reason == "OUTCOME_UNKNOWN" and not action.mutates:
        return CoreError(
            "SERVICE_UNAVAILABLE",
            "The answer did not arrive. Send the same request again.",
            code=error.code,
            retry_after_seconds=1,
        )
    return error
