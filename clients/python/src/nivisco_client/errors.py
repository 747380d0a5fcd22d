"""What a call can fail with.

NiviscoError
├── ApiError          the API answered with a refusal
├── ConnectionFailed  no answer arrived
└── UnexpectedAnswer  what arrived is not an answer of the API
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field of a request."""

    field: str
    description: str


class NiviscoError(Exception):
    """A call that did not succeed. None of its attributes holds a key."""

    def __init__(self, message: str, *, request_id: str, idempotency_key: str | None) -> None:
        super().__init__(message)
        self.message = message
        self.request_id = request_id
        """The id to quote to support."""
        self.idempotency_key = idempotency_key
        """The key of a call that changes something: with it the same call is safe to repeat."""
        self.outcome_is_unknown = idempotency_key is not None
        """Whether the call may have taken effect all the same, by this try or an earlier one."""


class ApiError(NiviscoError):
    """The API refused the call."""

    def __init__(
        self,
        message: str,
        *,
        http_status: int,
        code: str | None,
        fields: tuple[FieldProblem, ...] = (),
        decline_code: str | None = None,
        transaction_id: str | None = None,
        retry_after: float | None = None,
        request_id: str,
        idempotency_key: str | None,
    ) -> None:
        super().__init__(message, request_id=request_id, idempotency_key=idempotency_key)
        self.outcome_is_unknown = idempotency_key is not None and http_status >= 500
        self.http_status = http_status
        self.code = code
        """One of `ErrorCode`, or newer than this library. None where the answer has none."""
        self.fields = fields
        """With `INVALID_FIELDS`, what is wrong with which field."""
        self.decline_code = decline_code
        """With `CARD_DECLINED`, why, in the gateway's words."""
        self.transaction_id = transaction_id
        """The gateway's id of the payment that was refused, where there is one."""
        self.retry_after = retry_after
        """After how many seconds to try again, where the API says so."""

    def __str__(self) -> str:
        return f"{self.message} (HTTP {self.http_status}{f', {self.code}' if self.code else ''})"


class ConnectionFailed(NiviscoError):
    """No answer arrived within the time."""


class UnexpectedAnswer(NiviscoError):
    """What arrived is not an answer of the API: the address may be wrong, or a proxy answered."""

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
        """After how many seconds to try again, where the answer says so."""
