"""Errors of a call.

NiviscoError
├── ApiError          the API returned an error
├── ConnectionFailed  no response arrived
└── UnexpectedResponse  the response is not from the API
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """A problem of one field of a request."""

    field: str
    description: str


class NiviscoError(Exception):
    """A call that did not succeed. None of its attributes contains the API key."""

    def __init__(self, message: str, *, request_id: str, idempotency_key: str | None) -> None:
        super().__init__(message)
        self.message = message
        self.request_id = request_id
        """The id to quote to support."""
        self.idempotency_key = idempotency_key
        """Idempotency key of a mutating call, with which the call is safe to repeat."""
        self.outcome_is_unknown = idempotency_key is not None
        """Whether the call may have taken effect, by this attempt or an earlier one."""


class ApiError(NiviscoError):
    """The API returned an error."""

    def __init__(
        self,
        message: str,
        *,
        http_status: int,
        code: str | None,
        fields: tuple[FieldProblem, ...] = (),
        decline_code: str | None = None,
        transaction_id: str | None = None,
        payment_id: str | None = None,
        client_secret: str | None = None,
        retry_after: float | None = None,
        body: Mapping[str, Any] | None = None,
        request_id: str,
        idempotency_key: str | None,
    ) -> None:
        super().__init__(message, request_id=request_id, idempotency_key=idempotency_key)
        self.outcome_is_unknown = idempotency_key is not None and http_status >= 500
        self.http_status = http_status
        self.code = code
        """One of `ErrorCode`, or newer than this library. None if the response has none."""
        self.fields = fields
        """With `INVALID_FIELDS`, the invalid fields."""
        self.decline_code = decline_code
        """With `CARD_DECLINED`, the gateway's decline code."""
        self.transaction_id = transaction_id
        """The gateway's id of the payment, if there is one."""
        self.payment_id = payment_id
        """Id of the payment, `PAY-…`, if there is one."""
        self.client_secret = client_secret
        """With `AUTHENTICATION_REQUIRED`, what Stripe's browser library needs to have the customer
        authenticate. For that customer's browser only: do not log it."""
        self.body: Mapping[str, Any] = body or {}
        """The whole response, with decimal numbers as strings; it may have more fields than this
        library knows, and the client secret."""
        self.retry_after = retry_after
        """Seconds to wait before a retry, if the API returns them."""

    def __str__(self) -> str:
        return f"{self.message} (HTTP {self.http_status}{f', {self.code}' if self.code else ''})"


class ConnectionFailed(NiviscoError):
    """No response arrived in time."""

    def __init__(
        self, message: str, *, was_sent: bool, request_id: str, idempotency_key: str | None
    ) -> None:
        super().__init__(message, request_id=request_id, idempotency_key=idempotency_key)
        self.was_sent = was_sent
        """Whether any of the request may have left: false if no connection was made."""
        self.outcome_is_unknown = was_sent and idempotency_key is not None


class UnexpectedResponse(NiviscoError):
    """The response is not from the API: the URL may be wrong, or a proxy responded."""

    def __init__(
        self,
        message: str,
        *,
        http_status: int,
        retry_after: float | None = None,
        request_id: str,
        idempotency_key: str | None,
    ) -> None:
        super().__init__(message, request_id=request_id, idempotency_key=idempotency_key)
        self.http_status = http_status
        self.retry_after = retry_after
        """Seconds to wait before a retry, if the response has them."""
