"""What a call raises.

NiviscoError
├── ApiError            the API refused the call
│   └── DeclinedError   402: the card or the wallet does not pay
└── NoAnswerError       no usable answer came: what was asked for may have happened
"""

from typing import Any, List, Mapping, NamedTuple, Optional


class FieldProblem(NamedTuple):
    """What is wrong with one field of a request."""

    field: str
    description: str


class NiviscoError(Exception):
    """A call that did not succeed."""

    def __init__(self, message: str, *, action: str, idempotency_key: Optional[str]) -> None:
        super().__init__(message)
        self.message = message
        self.action = action
        self.idempotency_key = idempotency_key
        """Under which to repeat the same call, to learn its outcome; None for a read."""

    @property
    def outcome_unknown(self) -> bool:
        """Whether what was asked for may have happened all the same."""
        return False


class ApiError(NiviscoError):
    """The API refused the call."""

    def __init__(
        self,
        message: str,
        *,
        action: str,
        idempotency_key: Optional[str],
        status: int,
        body: Mapping[str, Any],
        retry_after: Optional[int],
        request_id: Optional[str],
    ) -> None:
        super().__init__(message, action=action, idempotency_key=idempotency_key)
        self.status = status
        """The HTTP status."""
        self.code: Optional[str] = body.get("code")
        """The reason, such as `USER_NOT_FOUND`; some refusals have none."""
        self.details: Optional[str] = body.get("details")
        self.decline_code: Optional[str] = body.get("decline_code")
        """Why the card was declined."""
        self.fields: List[FieldProblem] = [
            FieldProblem(each["field"], each["description"]) for each in body.get("fields") or []
        ]
        self.retry_after = retry_after
        """After how many seconds to repeat the call."""
        self.request_id = request_id
        """What to quote to support."""
        self.body = body
        """The whole answer; its numbers are the texts that were sent."""

    @property
    def outcome_unknown(self) -> bool:
        # A 429 says nothing of the attempts before it.
        is_open = self.status == 429 or (self.status >= 500 and self.code not in _SURE)
        return self.idempotency_key is not None and is_open


class DeclinedError(ApiError):
    """The card was declined, the customer must authenticate, or the wallet holds too little."""


class NoAnswerError(NiviscoError):
    """No usable answer came: unreachable, too late, cut off or not JSON."""

    @property
    def outcome_unknown(self) -> bool:
        return self.idempotency_key is not None


_SURE = ("NOT_IMPLEMENTED", "GATEWAY_REFUSED", "GATEWAY_UNAVAILABLE")
"""The reasons of a 5xx that say that nothing happened."""
