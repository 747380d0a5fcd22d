"""One call over all its tries: what is sent, what an answer means, and when to try again."""

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
from .errors import ApiError, ConnectionFailed, FieldProblem, NiviscoError, UnexpectedAnswer
from .types import CLEAR

Result = TypeVar("Result")
Read = Callable[[Mapping[str, Any]], Result]

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_CONNECT_SECONDS = 5.0
_NOT_IMPLEMENTED = 501
_OUTCOMES = frozenset({402, 404, 409})
"""Refusals that say how the request ended, whichever try it was."""


class Call:
    """A call under way. It has a repr that shows nothing of what is sent."""

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
        """Return how long the next try may take: to connect and to answer, no more than is left."""
        left = max(self._deadline - time.monotonic(), 0.001)
        connect = min(left / 2, _LONGEST_CONNECT_SECONDS)
        return httpx.Timeout(left - connect, connect=connect)

    def result(self, answer: httpx.Response, read: Read[Result]) -> Result:
        """Return what the answer holds.

        Raises:
            ApiError: it is a refusal.
            UnexpectedAnswer: it is no answer of the API.
        """
        request_id = answer.headers.get("X-Request-Id", self.request_id)
        body = _body(answer.content)
        if body is None or not isinstance(body.get("success"), bool):
            raise self._unexpected(answer, request_id)
        if not answer.is_success or not body["success"]:
            raise self._refusal(answer, body, request_id)
        try:
            return read(body)
        except (KeyError, TypeError, ValueError):
            raise self._unexpected(answer, request_id) from None

    def _unexpected(self, answer: httpx.Response, request_id: str) -> UnexpectedAnswer:
        return UnexpectedAnswer(
            f"HTTP {answer.status_code} with what is no answer of the API; check the URL",
            http_status=answer.status_code,
            retry_after=_seconds(answer.headers.get("Retry-After")),
            request_id=request_id,
            idempotency_key=self.idempotency_key,
        )

    def _refusal(
        self, answer: httpx.Response, body: Mapping[str, Any], request_id: str
    ) -> ApiError:
        return ApiError(
            str(body.get("error", "")),
            http_status=answer.status_code,
            code=body.get("code") or CODE_OF_STATUS.get(answer.status_code),
            fields=tuple(
                FieldProblem(str(each.get("field", "")), str(each.get("description", "")))
                for each in _dicts(body.get("fields"))
            ),
            decline_code=body.get("decline_code"),
            transaction_id=body.get("transaction_id"),
            retry_after=_seconds(answer.headers.get("Retry-After")),
            request_id=request_id,
            idempotency_key=self.idempotency_key,
        )

    def lost(self, error: httpx.RequestError) -> ConnectionFailed:
        """Return the failure of a try that got no answer."""
        return ConnectionFailed(
            f"no answer ({type(error).__name__}: {error})",
            request_id=self.request_id,
            idempotency_key=self.idempotency_key,
        )

    def pause_after(self, problem: NiviscoError) -> float:
        """Return how many seconds to wait before the next try.

        Raises:
            NiviscoError: the problem itself, where another try is of no use or comes too late.
        """
        self._may_have_happened |= problem.outcome_is_unknown
        if not (isinstance(problem, ApiError) and problem.http_status in _OUTCOMES):
            problem.outcome_is_unknown = self._may_have_happened
        pause = self._pause_seconds * random.uniform(1.0, 1.5)  # noqa: S311 - spreads load
        self._pause_seconds *= 2
        if isinstance(problem, ApiError | UnexpectedAnswer):
            pause = max(pause, problem.retry_after or 0.0)
        if not _is_worth_another_try(problem) or time.monotonic() + pause >= self._deadline:
            raise problem
        return pause


def _is_worth_another_try(problem: NiviscoError) -> bool:
    if isinstance(problem, ApiError | UnexpectedAnswer):
        status = problem.http_status
        return status == 429 or (status >= 500 and status != _NOT_IMPLEMENTED)
    return True


def _plain(value: object) -> object:
    """Return a value as JSON has it: exact, and without what was not given."""
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
    """Return the JSON object, its decimal numbers as the strings that they were written as."""
    try:
        parsed = json.loads(content, parse_float=str)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _dicts(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and retry_after.isdecimal() else None
