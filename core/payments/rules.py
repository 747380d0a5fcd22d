"""What a charge's outcome makes of its payment, and what its caller is told. Pure."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from core.errors import RETRY_SECONDS, InvalidFields, Reason, Refusal
from core.gateways.gateway import (
    DUPLICATE_WINDOW_SECONDS,
    ChargeOutcome,
    Declined,
    HeldForReview,
    NotSent,
    Refused,
    RequiresAction,
    Succeeded,
    Unknown,
)


@dataclass(frozen=True, slots=True)
class PaymentUpdate:
    """How a payment's row reads after an attempt.

    `attempt` says why a pending payment is still open: `unknown`, or `not_sent`.
    """

    status: str
    attempt: str | None = None
    transaction_id: str | None = None
    decline_code: str | None = None
    check_after: timedelta | None = None
    """How long to leave an open attempt alone before the sweep looks at it."""

    @property
    def is_success(self) -> bool:
        """Whether the card was charged."""
        return self.status == "succeeded"


CLOSED_UNSENT = PaymentUpdate("failed")
"""How a payment reads that was never sent and never will be."""


@dataclass(frozen=True, slots=True)
class Resuming:
    """How a gateway lets a charge be taken up again that got no clear answer."""

    resend_life: timedelta
    """How old a payment may be for its order to be sent again, and be known again there."""
    review_after: timedelta
    """How old it is when nothing that the gateway shows will tell any more."""
    settle_time: timedelta | None = None
    """How long after the last sending an order that no list shows was never carried out: longer
    than a call can be in flight, and the lists' lag. None: sending it again does no harm at all."""
    retry_seconds: int = RETRY_SECONDS
    """When asking again may find out more."""


SETTLE_TIME = timedelta(seconds=180)
_DUPLICATE_WINDOW = timedelta(seconds=DUPLICATE_WINDOW_SECONDS)


def resuming_by_gateway(settle_time: timedelta = SETTLE_TIME) -> Mapping[str, Resuming]:
    """Return how each gateway's charges are resumed.

    Stripe keeps idempotency keys for 24 hours (docs.stripe.com/api/idempotent_requests).
    Authorize.Net refuses a duplicate for 8 hours from the first transaction on, so that what is
    sent again has to arrive within them.
    """
    return {
        "stripe": Resuming(timedelta(hours=23), timedelta(hours=26)),
        "authorize": Resuming(
            _DUPLICATE_WINDOW - settle_time, _DUPLICATE_WINDOW, settle_time, retry_seconds=10
        ),
    }


class ResumeStep(enum.Enum):
    """How an attempt goes about its charge."""

    SEND = "send"
    LOOK_UP = "look up"
    LOOK_UP_AND_SEND = "look up, and send where nothing shows"


def resume_step(
    resuming: Resuming, *, created_at: datetime, sent_at: datetime | None, now: datetime
) -> ResumeStep:
    """Return how to resume a charge that may have been made."""
    if is_too_old_to_send(resuming, created_at, now):
        return ResumeStep.LOOK_UP
    if resuming.settle_time is None:
        return ResumeStep.SEND
    has_settled = now - (sent_at or created_at) >= resuming.settle_time
    return ResumeStep.LOOK_UP_AND_SEND if has_settled else ResumeStep.LOOK_UP


def is_too_old_to_send(resuming: Resuming, created_at: datetime, now: datetime) -> bool:
    """Tell whether the gateway may have forgotten the order, so that it is only looked up."""
    return now - created_at > resuming.resend_life


CLOSE_UNSENT_AFTER = timedelta(minutes=15)
_PAUSES = (
    *(timedelta(seconds=seconds) for seconds in (5, 15, 60, 300, 900)),
    timedelta(hours=1),
)


def pause_after(checks: int) -> timedelta:
    """Return how long to leave an unknown attempt alone that was looked at so many times."""
    return _PAUSES[min(checks, len(_PAUSES) - 1)]


def settle(outcome: ChargeOutcome, *, checks: int = 0, is_last_look: bool = False) -> PaymentUpdate:
    """Return how the payment's row reads after an attempt with this outcome.

    What is not known stays pending, absence of evidence is never failure; until the evidence has
    run out (`is_last_look`), and a person must look. A gateway that is away has not shown its
    evidence.
    """
    match outcome:
        case Succeeded():
            return PaymentUpdate("succeeded", transaction_id=outcome.transaction_id)
        case Declined():
            return PaymentUpdate(
                "declined",
                transaction_id=outcome.transaction_id,
                decline_code=outcome.decline_code,
            )
        case RequiresAction():
            return PaymentUpdate("requires_action", transaction_id=outcome.transaction_id)
        case HeldForReview():
            return PaymentUpdate("held_for_review", transaction_id=outcome.transaction_id)
        case Refused():
            return PaymentUpdate("failed")
        case NotSent():
            return PaymentUpdate("pending", attempt="not_sent", check_after=CLOSE_UNSENT_AFTER)
        case Unknown(shows_nothing=True) if is_last_look:
            return PaymentUpdate("needs_review")
        case Unknown():
            return PaymentUpdate("pending", attempt="unknown", check_after=pause_after(checks))
        case _:
            assert_never(outcome)


def of_resumed(outcome: ChargeOutcome) -> ChargeOutcome:
    """Return what an outcome says of an attempt that may have charged before.

    That today's call was refused or not sent says nothing of what yesterday's did.
    """
    if isinstance(outcome, Refused | NotSent):
        return Unknown(outcome.message)
    return outcome


def refusal_of(
    outcome: ChargeOutcome, payment_id: str, retry_seconds: int = RETRY_SECONDS
) -> Refusal:
    """Return what the caller is told of a charge that did not succeed.

    `retry_seconds` is when to ask again what is not known.
    """
    match outcome:
        case Succeeded():
            raise AssertionError("success is no refusal")
        case Declined():
            metadata = {"decline_code": outcome.decline_code}
            if outcome.transaction_id:
                metadata["transaction_id"] = outcome.transaction_id
            return Refusal(Reason.ERROR_REASON_CARD_DECLINED, outcome.message, metadata=metadata)
        case RequiresAction():
            return Refusal(
                Reason.ERROR_REASON_AUTHENTICATION_REQUIRED,
                "The customer must authenticate this payment with their bank",
                metadata={
                    "transaction_id": outcome.transaction_id,
                    "client_secret": outcome.client_secret,
                },
            )
        case HeldForReview():
            # No money moved, so it is 402 like a decline; its code says that it still may.
            return Refusal(
                Reason.ERROR_REASON_CARD_DECLINED,
                "The gateway holds this charge for review. Approve or decline it in the gateway's "
                "dashboard, and do not charge again before.",
                metadata={
                    "decline_code": "held_for_review",
                    "transaction_id": outcome.transaction_id,
                },
            )
        case Refused(field=str() as field):
            return InvalidFields.of(field, outcome.message)
        case Refused():
            return Refusal(Reason.ERROR_REASON_GATEWAY_REFUSED, outcome.message)
        case NotSent():
            return Refusal(
                Reason.ERROR_REASON_GATEWAY_UNAVAILABLE,
                "The gateway could not be reached and nothing was charged. "
                "Send the same request again.",
                metadata={"payment_id": payment_id},
                retry_after_seconds=RETRY_SECONDS,
            )
        case Unknown():
            return outcome_unknown(payment_id, retry_seconds)
        case _:
            assert_never(outcome)


def is_proof(outcome: ChargeOutcome) -> bool:
    """Tell whether an outcome holds whoever got it: the gateway's last word on its key."""
    return isinstance(outcome, Succeeded | Declined | RequiresAction | HeldForReview)


def needs_review(payment_id: str) -> Refusal:
    """Make the answer to a charge whose outcome the gateway never told."""
    return Refusal(
        Reason.ERROR_REASON_OUTCOME_UNKNOWN,
        "The gateway never told the outcome of this charge. Look for the payment_id in its "
        "dashboard; it will not be charged again under this idempotency key.",
        metadata={"payment_id": payment_id},
    )


def outcome_unknown(payment_id: str, retry_seconds: int = RETRY_SECONDS) -> Refusal:
    """Make the answer to a charge whose outcome is not known yet."""
    return Refusal(
        Reason.ERROR_REASON_OUTCOME_UNKNOWN,
        "The outcome of the charge is not known yet. Send the same request again to learn it; "
        "it will not be charged twice.",
        metadata={"payment_id": payment_id},
        retry_after_seconds=retry_seconds,
    )
