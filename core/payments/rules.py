"""Rules of charges: what an outcome does to the payment, and the response to it. Pure."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from core.due_work.rules import pause_after as pause_after
from core.errors import RETRY_SECONDS, InvalidFields, Reason, Refusal
from core.gateways.gateway import (
    DUPLICATE_WINDOW_SECONDS,
    Authorized,
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
    """State of a payment after an attempt.

    `attempt` says why a pending payment is still open: `unknown` or `not_sent`.
    """

    status: str
    attempt: str | None = None
    transaction_id: str | None = None
    decline_code: str | None = None
    check_after: timedelta | None = None
    """Delay before the gateway is asked about the payment."""

    @property
    def is_success(self) -> bool:
        """Whether the card was charged, or authorized if that was requested."""
        return self.status in ("succeeded", "authorized")


CLOSED_UNSENT = PaymentUpdate("failed")
"""State of a payment that was never sent and will not be."""


@dataclass(frozen=True, slots=True)
class ResumePolicy:
    """How a gateway's charges with an unknown outcome are resumed."""

    resend_life: timedelta
    """Age of a payment up to which its charge may be sent again without being made twice."""
    review_after: timedelta
    """Age from which the gateway's lists cannot show the charge any more."""
    settle_time: timedelta | None = None
    """Time after sending from which a charge that no list shows was not made: longer than a call
    can be in flight plus the lists' lag. None: a resend is safe at any time."""
    retry_seconds: int = RETRY_SECONDS
    """Delay after which a retry may find the outcome."""


SETTLE_TIME = timedelta(seconds=180)
_DUPLICATE_WINDOW = timedelta(seconds=DUPLICATE_WINDOW_SECONDS)


def resume_policies(settle_time: timedelta = SETTLE_TIME) -> Mapping[str, ResumePolicy]:
    """Return the policy of each gateway.

    Stripe keeps idempotency keys for 24 hours (docs.stripe.com/api/idempotent_requests).
    Authorize.Net refuses duplicates for 8 hours from the first transaction, so a resend must
    arrive within them.
    """
    return {
        "stripe": ResumePolicy(timedelta(hours=23), timedelta(hours=26)),
        "authorize": ResumePolicy(
            _DUPLICATE_WINDOW - settle_time, _DUPLICATE_WINDOW, settle_time, retry_seconds=10
        ),
    }


class ResumeStep(enum.Enum):
    """What an attempt does at the gateway."""

    SEND = "send"
    LOOK_UP = "look up"
    LOOK_UP_AND_SEND = "look up, then send if nothing is found"


def resume_step(
    policy: ResumePolicy,
    *,
    created_at: datetime,
    sent_at: datetime | None,
    now: datetime,
    may_send: bool = True,
) -> ResumeStep:
    """Return how to resume a charge that may have been made.

    age             since last sending      Stripe      Authorize.Net
    any, suspended  any                     LOOK_UP     LOOK_UP
    > resend_life   any                     LOOK_UP     LOOK_UP
    younger         < settle_time           SEND        LOOK_UP
    younger         longer                  SEND        LOOK_UP_AND_SEND
    """
    if not may_send or is_too_old_to_send(policy, created_at, now):
        return ResumeStep.LOOK_UP
    if policy.settle_time is None:
        return ResumeStep.SEND
    has_settled = now - (sent_at or created_at) >= policy.settle_time
    return ResumeStep.LOOK_UP_AND_SEND if has_settled else ResumeStep.LOOK_UP


def is_too_old_to_send(policy: ResumePolicy, created_at: datetime, now: datetime) -> bool:
    """Return whether the gateway may no longer recognize a resend as the same charge."""
    return now - created_at > policy.resend_life


CLOSE_UNSENT_AFTER = timedelta(minutes=15)
AUTHENTICATION_LIFE = timedelta(days=1)
"""How long a customer may take to authenticate a payment; after that it is canceled."""
REVIEW_LIFE = timedelta(days=35)
"""How long a held or authorized charge is asked for: Authorize.Net holds one for at most 30 days,
Stripe for 7, or up to 30 as well
(https://docs.stripe.com/payments/place-a-hold-on-a-payment-method)."""
CANCEL_LIFE = timedelta(days=7)
"""How long a payment is asked for that should be canceled by now: one that the gateway shows with
another amount, for example, is neither charged nor canceled for us."""
_UNCLEAR_LOOKS_MAX = 20


def next_look(
    status: str,
    *,
    created_at: datetime,
    now: datetime,
    checks: int,
    is_unclear: bool,
    cancel_at: datetime | None = None,
    is_closing: bool = False,
) -> datetime | None:
    """Return when to ask the gateway about a payment that has an outcome; None: never.

    `cancel_at` is since when the payment is to be canceled, None if it need not be any more.
    `is_closing` says whether a capture or void of it is requested.

    payment                            next look
    events leave its state open        soon, then as an open attempt
    to be canceled, up to 7 days       soon, then as an open attempt
    to be captured or voided           soon, then as an open attempt
    requires_action, up to 8 days      after half of its age again, 30 seconds to 1 hour
    held_for_review or authorized,     after half of its age again, 15 minutes to 12 hours
    up to 35 days
    any other                          never: only events change it
    """
    age = now - created_at
    if is_unclear and checks < _UNCLEAR_LOOKS_MAX:
        return now + pause_after(checks)
    if cancel_at is not None and now - cancel_at < CANCEL_LIFE:
        return now + pause_after(checks)
    if is_closing:
        return now + pause_after(checks)
    if status == "requires_action" and age < AUTHENTICATION_LIFE + CANCEL_LIFE:
        return now + min(max(age / 2, timedelta(seconds=30)), timedelta(hours=1))
    if status in ("held_for_review", "authorized") and age < REVIEW_LIFE:
        return now + min(max(age / 2, timedelta(minutes=15)), timedelta(hours=12))
    return None


def must_cancel(
    status: str, *, created_at: datetime, cancel_at: datetime | None, now: datetime
) -> bool:
    """Return whether to cancel a payment at its gateway that could still be charged."""
    if cancel_at is not None and cancel_at <= now:
        return status in CANCELABLE
    return status == "requires_action" and now - created_at >= AUTHENTICATION_LIFE


CANCELABLE = frozenset(("requires_action", "held_for_review", "declined"))
"""Statuses of a payment that its gateway may still charge: a customer can complete a Stripe payment
that was declined with another card."""


def payment_update(
    outcome: ChargeOutcome, *, checks: int = 0, is_last_check: bool = False
) -> PaymentUpdate:
    """Return the state of a payment after an attempt with this outcome.

    Absence of evidence is never failure: an unknown outcome leaves the payment pending, and once
    the gateway's lists cannot show the charge any more (`is_last_check`), a person must look.

    unknown, because the gateway                        before      is_last_check
    shows nothing of the charge                         pending     needs_review
    shows nothing that decides it, or another charge    pending     needs_review
    refuses to be asked (keys revoked or deleted)       pending     needs_review
    lists more than is read                             pending     needs_review
    is away, is busy, or gives no clear answer          pending     pending
    """
    match outcome:
        case Succeeded():
            return PaymentUpdate("succeeded", transaction_id=outcome.transaction_id)
        case Authorized():
            return PaymentUpdate(
                "authorized",
                transaction_id=outcome.transaction_id,
                check_after=timedelta(minutes=15),
            )
        case Declined():
            return PaymentUpdate(
                "declined",
                transaction_id=outcome.transaction_id,
                decline_code=outcome.decline_code,
            )
        case RequiresAction():
            return PaymentUpdate(
                "requires_action",
                transaction_id=outcome.transaction_id,
                check_after=timedelta(seconds=30),
            )
        case HeldForReview():
            return PaymentUpdate(
                "held_for_review",
                transaction_id=outcome.transaction_id,
                check_after=timedelta(minutes=15),
            )
        case Refused():
            return PaymentUpdate("failed")
        case NotSent():
            return PaymentUpdate("pending", attempt="not_sent", check_after=CLOSE_UNSENT_AFTER)
        case Unknown(shows_nothing=True) if is_last_check:
            return PaymentUpdate("needs_review")
        case Unknown():
            return PaymentUpdate("pending", attempt="unknown", check_after=pause_after(checks))
        case _:
            assert_never(outcome)


def resumed_outcome(outcome: ChargeOutcome) -> ChargeOutcome:
    """Return the outcome of an attempt whose charge may have been sent before.

    A refusal or a failed connection of this call does not decide the earlier one.
    """
    if isinstance(outcome, Refused | NotSent):
        return Unknown(outcome.message)
    return outcome


def refusal_of(
    outcome: ChargeOutcome, payment_id: str, retry_seconds: int = RETRY_SECONDS
) -> Refusal:
    """Return the error response of a charge that did not succeed.

    `retry_seconds` is the retry delay of an unknown outcome.
    """
    match outcome:
        case Succeeded() | Authorized():
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
            # No money moved, so 402 like a decline; the reason says that it still may.
            return Refusal(
                Reason.ERROR_REASON_PENDING_REVIEW,
                "The charge is pending review at the gateway. Approve or decline it in the "
                "gateway's dashboard, and do not charge again before, not another card either.",
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


def decline_message(outcome: ChargeOutcome) -> str | None:
    """Return the gateway's message about a charge that did not succeed, or None without one."""
    return outcome.message if isinstance(outcome, Declined) else None


def is_conclusive(outcome: ChargeOutcome) -> bool:
    """Return whether the gateway decided the charge, so that the outcome holds for any attempt."""
    return isinstance(outcome, Succeeded | Authorized | Declined | RequiresAction | HeldForReview)


def may_still_succeed(status: str) -> bool:
    """Return whether a success that the gateway shows outranks a payment's outcome."""
    return status in ("declined", "failed", "needs_review", "requires_action", "held_for_review")


def needs_review(payment_id: str) -> Refusal:
    """Return the error response of a charge whose outcome the gateway never showed."""
    return Refusal(
        Reason.ERROR_REASON_OUTCOME_UNKNOWN,
        "The gateway never told the outcome of this charge. Look for the payment_id in its "
        "dashboard; it will not be charged again under this idempotency key.",
        metadata={"payment_id": payment_id},
    )


def outcome_unknown(payment_id: str, retry_seconds: int = RETRY_SECONDS) -> Refusal:
    """Return the error response of a charge whose outcome is not known yet."""
    return Refusal(
        Reason.ERROR_REASON_OUTCOME_UNKNOWN,
        "The outcome of the charge is not known yet. Send the same request again to learn it; "
        "it will not be charged twice.",
        metadata={"payment_id": payment_id},
        retry_after_seconds=retry_seconds,
    )
