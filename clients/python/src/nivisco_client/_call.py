"""One call with all its attempts: the request, its response, and when to retry."""

import json
import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any, TypeVar

import httpx

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

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""Errors before the first byte of a request, TLS included."""


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
        self._deadline = time.monotonic() + timeout_seconds
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._may_have_happened = False
        sent = {**credentials, "action": action, **payload, "idempotency_key": idempotency_key}
        self.content = json.dumps(_plain(sent)).encode()
        self.headers = {
            "Content-Type": "application/json",
            "User-Agent": f"nivisco-python/{VERSION}",
            "X-Request-Id": self.request_id,
        }

    def timeout(self) -> httpx.Timeout:
        """Return the timeouts of the next attempt within the time left."""
        left = max(self._deadline - time.monotonic(), 0.001)
        connect = min(left / 2, _LONGEST_CONNECT_SECONDS)
        return httpx.Timeout(left - connect, connect=connect)

    def result(self, response: httpx.Response, read: Read[Result]) -> Result:
        """Return the result in a response.

        Raises:
            ApiError: it is an error.
            UnexpectedResponse: it is not a response of the API.
        """
        request_id = response.headers.get("X-Request-Id", self.request_id)
        body = _body(response.content)
        if body is None or not isinstance(body.get("success"), bool):
            raise self._unexpected(response, request_id)
        if not response.is_success or not body["success"]:
            raise self._error(response, body, request_id)
        try:
            return read(body)
        except (KeyError, TypeError, ValueError):
            raise self._unexpected(response, request_id) from None

    def _unexpected(self, response: httpx.Response, request_id: str) -> UnexpectedResponse:
        return UnexpectedResponse(
            f"HTTP {response.status_code} with a response that is not from the API; check the URL",
            http_status=response.status_code,
            retry_after=_seconds(response.headers.get("Retry-After")),
            request_id=request_id,
            idempotency_key=self.idempotency_key,
        )

    def _error(
        self, response: httpx.Response, body: Mapping[str, Any], request_id: str
    ) -> ApiError:
        return ApiError(
            str(body.get("error", "")),
            http_status=response.status_code,
            code=(
                body.get("code")
                or response.headers.get("X-Error-Code")
                or CODE_OF_STATUS.get(response.status_code)
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
            retry_after=_seconds(response.headers.get("Retry-After")),
            request_id=request_id,
            idempotency_key=self.idempotency_key,
        )

    def lost(self, error: httpx.RequestError) -> ConnectionFailed:
        """Return the error of an attempt without a response."""
        return ConnectionFailed(
            f"no response ({type(error).__name__}: {error})",
            was_sent=not isinstance(error, _NOT_SENT),
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
        if not _is_retryable(problem) or time.monotonic() + pause >= self._deadline:
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
