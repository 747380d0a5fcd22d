"""One call with all its attempts: the request, its response, and when to retry."""

import json
import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeVar

import httpcore

from ._version import VERSION
from .codes import CODE_OF_STATUS
from .errors import ApiError, ConnectionFailed, FieldProblem, NiviscoError, UnexpectedResponse
from .types import CLEAR

Result = TypeVar("Result")
Read = Callable[[Mapping[str, Any]], Result]

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_CONNECT_SECONDS = 5.0
_NOT_IMPLEMENTED = 501
_OUTCOMES = frozenset({402, 404, 409})
"""Statuses of errors that are the final outcome, also of an earlier attempt."""

LOST = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
    TimeoutError,
)
"""Errors of an attempt without a response."""


class Call:
    """A call in flight. Its repr contains nothing of the request."""

    def __init__(
        self,
        credentials: Mapping[str, str],
        action: str,
        payload: Mapping[str, object],
        idempotency_key: str | None,
        timeout_seconds: float,
    ) -> None:
        self.idempotency_key = idempotency_key
        self.request_id = uuid.uuid4().hex
        self.deadline = time.monotonic() + timeout_seconds
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._may_have_happened = False
        self._was_sent = False
        sent = {**credentials, "action": action, **payload, "idempotency_key": idempotency_key}
        self.content = json.dumps(_plain(sent)).encode()
        self.headers: dict[bytes | str, bytes | str] = {
            "Content-Type": "application/json",
            "User-Agent": f"nivisco-python/{VERSION}",
            "X-Request-Id": self.request_id,
        }

    def left(self) -> float:
        """Return the seconds until the deadline, at least one millisecond."""
        return max(self.deadline - time.monotonic(), 0.001)

    def begin_attempt(self) -> dict[str, Any]:
        """Return the timeouts of the next attempt within the time left, for httpcore."""
        self._was_sent = False
        left = self.left()
        connect = min(left / 2, _LONGEST_CONNECT_SECONDS)
        rest = left - connect
        return {"timeout": {"connect": connect, "pool": rest, "read": rest, "write": rest}}

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Note that the request leaves, which httpcore reports, as it does that to a proxy."""
        if event.endswith(".send_request_headers.started"):
            self._was_sent = self._was_sent or info["request"].method != b"CONNECT"

    async def trace_async(self, event: str, info: Mapping[str, Any]) -> None:
        """Do what `trace` does."""
        self.trace(event, info)

    def result(self, response: httpcore.Response, read: Read[Result]) -> Result:
        """Return the result in a response.

        Raises:
            ApiError: it is an error.
            UnexpectedResponse: it is not a response of the API.
        """
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in response.headers
        }
        request_id = headers.get("x-request-id", self.request_id)
        body = _body(response.content)
        if body is None or not isinstance(body.get("success"), bool):
            raise self._unexpected(response, headers, request_id)
        if not 200 <= response.status <= 299 or not body["success"]:
            raise self._error(response, headers, body, request_id)
        try:
            return read({**body, "request_id": request_id})
        except (KeyError, TypeError, ValueError):
            raise self._unexpected(response, headers, request_id) from None

    def _unexpected(
        self, response: httpcore.Response, headers: Mapping[str, str], request_id: str
    ) -> UnexpectedResponse:
        return UnexpectedResponse(
            f"HTTP {response.status} with a response that is not from the API; check the URL",
            http_status=response.status,
            retry_after=_seconds(headers.get("retry-after")),
            request_id=request_id,
            idempotency_key=self.idempotency_key,
        )

    def _error(
        self,
        response: httpcore.Response,
        headers: Mapping[str, str],
        body: Mapping[str, Any],
        request_id: str,
    ) -> ApiError:
        return ApiError(
            str(body.get("error", "")),
            http_status=response.status,
            code=(
                body.get("code")
                or headers.get("x-error-code")
                or CODE_OF_STATUS.get(response.status)
            ),
            fields=tuple(
                FieldProblem(str(each.get("field", "")), str(each.get("description", "")))
                for each in _dicts(body.get("fields"))
            ),
            decline_code=body.get("decline_code"),
            transaction_id=body.get("transaction_id"),
            payment_id=body.get("payment_id"),
            client_secret=body.get("client_secret"),
            body=body,
            retry_after=_seconds(headers.get("retry-after")),
            request_id=request_id,
            idempotency_key=self.idempotency_key,
        )

    def lost(self, error: Exception) -> ConnectionFailed:
        """Return the error of an attempt without a response."""
        return ConnectionFailed(
            f"no response ({type(error).__name__}: {error})",
            was_sent=self._was_sent,
            request_id=self.request_id,
            idempotency_key=self.idempotency_key,
        )

    def pause_after(self, problem: NiviscoError) -> float:
        """Return how many seconds to wait before the next attempt.

        Raises:
            NiviscoError: the problem itself, if a retry is useless or too late.
        """
        self._may_have_happened |= problem.outcome_is_unknown
        if not (isinstance(problem, ApiError) and problem.http_status in _OUTCOMES):
            problem.outcome_is_unknown = self._may_have_happened
        pause = self._pause_seconds * random.uniform(1.0, 1.5)  # noqa: S311 - spreads load
        self._pause_seconds *= 2
        if isinstance(problem, ApiError | UnexpectedResponse):
            pause = max(pause, problem.retry_after or 0.0)
        if not _is_retryable(problem) or time.monotonic() + pause >= self.deadline:
            raise problem
        return pause


def _is_retryable(problem: NiviscoError) -> bool:
    if isinstance(problem, ApiError | UnexpectedResponse):
        status = problem.http_status
        return status in (408, 429) or (status >= 500 and status != _NOT_IMPLEMENTED)
    return True


def _plain(value: object) -> object:
    """Return a value for JSON: exact, without absent fields."""
    if isinstance(value, float):
        raise TypeError("an amount is a decimal string or a Decimal, never a float")
    if value is CLEAR:
        return None
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date):
        if isinstance(value, datetime) and value.tzinfo is None:
            raise TypeError("a datetime needs a time zone")
        return value.isoformat()
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items() if each is not None}
    if is_dataclass(value) and not isinstance(value, type):
        return _plain({field.name: getattr(value, field.name) for field in fields(value)})
    return value


def _body(content: bytes) -> dict[str, Any] | None:
    """Return the JSON object, with decimal numbers as strings."""
    try:
        parsed = json.loads(content, parse_float=str)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _dicts(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and retry_after.isdecimal() else None
