"""What the rules refuse, as exceptions that know their reason; no transport is known here.

    Refusal                    a reason of nivisco.payments.v1.ErrorReason and a sentence
    └── InvalidFields          INVALID_FIELDS, with every problem by field

`core.interceptors` turns them into gRPC statuses. Everything else that escapes a handler is a
fault of ours.
"""

from collections.abc import Mapping, Sequence

from core.client import FieldProblem, fields_sentence
from nivisco.payments.v1 import errors_pb2

Reason = errors_pb2.ErrorReason

RETRY_SECONDS = 1
"""After how many seconds to send a request again that met a passing obstacle."""


class Refusal(Exception):
    """The call is refused, for a reason that the caller can act on."""

    def __init__(
        self,
        reason: "errors_pb2.ErrorReason.ValueType",
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.retry_after_seconds = retry_after_seconds


class InvalidFields(Refusal):
    """One or more fields are missing, malformed or unknown."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        assert problems, "a refusal names what is wrong"
        super().__init__(Reason.ERROR_REASON_INVALID_FIELDS, fields_sentence(problems))
        self.problems = tuple(problems)

    @classmethod
    def of(cls, field: str, description: str) -> "InvalidFields":
        """Make the refusal of one field."""
        return cls([FieldProblem(field, description)])
