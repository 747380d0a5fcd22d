"""The operations of a scenario, and what each client knows of its own: the model."""

from dataclasses import dataclass, field
from typing import Any, cast

from google.protobuf import message_factory
from google.protobuf.message import Message

from nivisco.annotations.v1 import annotations_pb2
from nivisco.payments.v1 import errors_pb2
from rpc.metadata import Credentials
from tests.core.running import METHODS

AT_AUTHORIZE = {
    "charge": "charge_authorize",
    "fund": "fund_authorize",
    "save_card": "save_authorize",
    "new_customer": "new_profile",
    "job": "job_authorize",
    "give_back": "give_back_authorize",
    "reserve": "reserve_authorize",
    "capture": "capture_authorize",
    "void": "void_authorize",
}
"""The same kind of operation at Authorize.Net."""
RETRYABLE = frozenset(
    {
        "OUTCOME_UNKNOWN",
        "SERVICE_UNAVAILABLE",
        "GATEWAY_UNAVAILABLE",
        "REQUEST_IN_PROGRESS",
        "CYCLE_IN_PROGRESS",
        "CAPTURE_IN_PROGRESS",
    }
)
"""Reasons after which the same request is sent again. Every other response is final."""

OPEN_REASONS = frozenset({"AUTHENTICATION_REQUIRED", "PENDING_REVIEW"})
"""Refusals of a charge that the cardholder or the merchant may still complete."""
STATE_REASONS = frozenset({"NO_FAILED_CYCLE", "RECURRING_STATE"})
"""Refusals of a retry of a cycle that had not failed."""
_RESERVATIONS = frozenset({"reserve", "reserve_authorize"})
_PAYMENTS = _RESERVATIONS | {
    *("charge", "fund", "decline", "charge_authorize", "fund_authorize", "authenticate", "review"),
}
UNKNOWN_TRIES = 2


@dataclass(slots=True)
class Caller:
    """A business that calls the API. A key rotation changes its credentials."""

    credentials: Credentials

    @property
    def business_id(self) -> str:
        """The id of the business."""
        return self.credentials.business_id


@dataclass(frozen=True, slots=True)
class FinalResponse:
    """A success or a refusal that is not to be retried."""

    reason: str
    """Empty for a success."""
    content: Any
    """The message's bytes, or the refusal's message and metadata."""

    @property
    def is_success(self) -> bool:
        """Whether the operation was executed."""
        return not self.reason

    @property
    def keeps_key(self) -> bool:
        """Whether it is the outcome of its key; after another refusal the request is tried anew."""
        value = errors_pb2.ErrorReason.DESCRIPTOR.values_by_name.get(f"ERROR_REASON_{self.reason}")
        if value is None:  # a success, or a charge that needs manual review
            return True
        return bool(value.GetOptions().Extensions[annotations_pb2.error].is_outcome)


@dataclass(frozen=True, slots=True)
class LostResponse:
    """A request without a final response."""

    core: str
    """The core that received it."""
    sent_at: float
    reason: str


@dataclass(slots=True)
class Operation:
    """One operation of a client, with all its retries."""

    number: int
    kind: str
    caller: Caller
    request: Any
    user_id: str = ""
    is_keyed: bool = True
    gives_up: bool = False
    """Whether its client gives up at the first lost response."""
    is_concurrent: bool = False
    """Whether two clients send it concurrently."""
    uses_json: bool = False
    """Whether its client calls over JSON."""
    began_at: float = 0.0
    """By the shared clock."""
    final: list[FinalResponse] = field(default_factory=list)
    lost: list[LostResponse] = field(default_factory=list)
    was_found: bool = False
    """Whether its client found it in the wallet history."""
    started_with: Credentials | None = None
    """The credentials of the first request, which a rotation's retries repeat."""

    def __str__(self) -> str:
        how = ["key" if self.is_keyed else "no key"]
        how += ["over JSON"] if self.uses_json else []
        how += ["gives up"] if self.gives_up else []
        how += ["concurrent"] if self.is_concurrent else []
        return f"{self.kind} {self.number} ({', '.join(how)})"

    @property
    def description(self) -> str:
        """The description of its payment, movement or job, by which the check finds it."""
        return f"op {self.number}"

    @property
    def is_payment(self) -> bool:
        """Whether it charges a card."""
        return self.kind in _PAYMENTS

    @property
    def is_reservation(self) -> bool:
        """Whether it authorizes a payment, to be captured or voided."""
        return self.kind in _RESERVATIONS

    @property
    def is_capture(self) -> bool:
        """Whether it captures an authorized payment."""
        return self.kind in ("capture", "capture_authorize")

    @property
    def is_refund(self) -> bool:
        """Whether it refunds a payment."""
        return self.kind.startswith("give_back")

    @property
    def is_job(self) -> bool:
        """Whether it creates a recurring job."""
        return self.kind.startswith("job")

    @property
    def is_retry(self) -> bool:
        """Whether it retries the last cycle of a job."""
        return self.kind.startswith("retry_")

    @property
    def is_authorize(self) -> bool:
        """Whether it goes to Authorize.Net."""
        return self.kind in AT_AUTHORIZE.values()

    @property
    def is_unknown(self) -> bool:
        """Whether the latest responses were all OUTCOME_UNKNOWN."""
        last = [each.reason for each in self.lost[-UNKNOWN_TRIES:]]
        return last == ["OUTCOME_UNKNOWN"] * UNKNOWN_TRIES

    @property
    def moves_wallet(self) -> bool:
        """Whether it only credits or debits a wallet."""
        return self.kind in ("debit", "credit", "overdraw")

    @property
    def was_executed(self) -> bool:
        """Whether its client knows that it was executed."""
        return self.was_found or any(each.is_success for each in self.final)

    @property
    def was_refused(self) -> bool:
        """Whether its client received a refusal."""
        return any(not each.is_success for each in self.final)

    @property
    def may_complete(self) -> bool:
        """Whether its first response left the charge to the cardholder or the merchant."""
        return bool(self.final) and self.final[0].reason in OPEN_REASONS

    def response(self) -> Any:
        """Return the successful response."""
        success = next(each for each in self.final if each.is_success)
        return response_class(self.request).FromString(success.content)

    def with_other_body(self) -> Message | None:
        """Return another request with the same key; None for a request without a description."""
        if not hasattr(self.request, "description"):
            return None
        other: Any = type(self.request)()
        other.CopyFrom(self.request)
        other.description = "another body"
        return cast(Message, other)


def response_class(request: Message) -> type[Message]:
    """Return the class of the response to a request."""
    method = METHODS[request.DESCRIPTOR.name.removesuffix("Request")]
    return message_factory.GetMessageClass(method.output_type)
