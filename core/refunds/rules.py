"""Rules of refunds: which request is a retry, and what an outcome does to a refund. Pure.

Amounts are in minor units.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from core.due_work.rules import pause_after
from core.errors import RETRY_SECONDS, InvalidFields, Reason, Refusal
from core.gateways.gateway import NotSent, RefundRefused, Refused, Unknown, Unsettled
from core.money import Amount, amount_text

RETRY_LIFE: Final = timedelta(minutes=30)
"""How long an equal request without a key returns an earlier refund."""
NOT_MADE: Final = "not_made"
"""Failure code of a refund that its gateway does not have."""
UNSETTLED_PAUSE: Final = timedelta(hours=1)
"""Between looks at a payment that is to settle, which it does once a day."""


@dataclass(frozen=True, slots=True)
class OwnRefund:
    """The part of a refund that its payment's state depends on."""

    refund_id: str
    amount_minor: int
    status: str
    gateway_refund_id: str | None

    @property
    def is_counted(self) -> bool:
        """Whether its amount is taken from what is left of the payment."""
        return self.status in ("pending", "succeeded")


@dataclass(frozen=True, slots=True)
class ToldRefund:
    """The state of a refund as its gateway tells it."""

    status: str
    gateway_refund_id: str
    failure_code: str | None = None


@dataclass(frozen=True, slots=True)
class RefundUpdate:
    """State of a refund after an attempt without a refund at the gateway."""

    status: str
    attempt: str | None = None
    check_after: timedelta | None = None
    failure_code: str | None = None


def refund_update(
    outcome: RefundRefused | Unsettled | Refused | NotSent | Unknown,
    *,
    checks: int,
    is_resumed: bool,
    was_unsettled: bool = False,
) -> RefundUpdate:
    """Return the state of a refund after an attempt.

    An earlier attempt may have made the refund: then a refusal of the keys, or a gateway that is
    away, decides nothing.

    outcome                            first attempt     resumed      was unsettled
    the gateway refuses the refund     failed            failed       failed
    the payment is not settled         unsettled         unsettled    unsettled
    refused for the keys, or not sent  failed            unknown      unsettled
    unknown                            unknown           unknown      unknown
    """
    match outcome:
        case RefundRefused():
            return RefundUpdate("failed", failure_code=outcome.code)
        case Unsettled():
            return _unsettled(checks)
        case Refused() | NotSent() if was_unsettled:
            return _unsettled(checks)
        case Refused() if not is_resumed:
            return RefundUpdate("failed", failure_code="gateway_refused")
        case NotSent() if not is_resumed:
            return RefundUpdate("failed", failure_code="gateway_unavailable")
        case _:
            return RefundUpdate("pending", "unknown", pause_after(checks))


def _unsettled(checks: int) -> RefundUpdate:
    return RefundUpdate("pending", "unsettled", min(pause_after(checks), UNSETTLED_PAUSE))


def refusal_of(
    outcome: RefundRefused | Refused | NotSent | Unknown, refund_id: str, *, is_resumed: bool
) -> Refusal:
    """Return the error response of a refund that was not made, or may not have been."""
    match outcome:
        case RefundRefused():
            return refused(refund_id, outcome.code, outcome.message)
        case Refused(field=str() as field) if not is_resumed:
            return InvalidFields.of(field, outcome.message)
        case Refused() if not is_resumed:
            return Refusal(Reason.ERROR_REASON_GATEWAY_REFUSED, outcome.message)
        case NotSent() if not is_resumed:
            return Refusal(
                Reason.ERROR_REASON_GATEWAY_UNAVAILABLE,
                "The gateway could not be reached and nothing was refunded. "
                "Send the same request again.",
                retry_after_seconds=RETRY_SECONDS,
            )
        case _:
            return outcome_unknown(refund_id)


def refused(refund_id: str, code: str, message: str) -> Refusal:
    """Return the error response of a refund that its gateway refused."""
    metadata = {"refund_id": refund_id, "failure_code": code}
    return Refusal(Reason.ERROR_REASON_REFUND_REFUSED, message, metadata=metadata)


def outcome_unknown(refund_id: str) -> Refusal:
    """Return the error response of a refund whose outcome is not known yet."""
    return Refusal(
        Reason.ERROR_REASON_OUTCOME_UNKNOWN,
        "The outcome of the refund is not known yet. Send the same request again to learn it; "
        "it will not be refunded twice.",
        metadata={"refund_id": refund_id},
        retry_after_seconds=RETRY_SECONDS,
    )


def check_refundable(status: str, *, left_minor: int, amount_minor: int, currency: str) -> None:
    """Return if so much of a payment can be refunded.

    Raises:
        Refusal: PAYMENT_STATE if it was not charged, or is voided or disputed; REFUND_TOO_HIGH.
    """
    if status not in ("succeeded", "partially_refunded", "refunded"):
        raise Refusal(
            Reason.ERROR_REASON_PAYMENT_STATE,
            f"The payment is {status}: only one that was charged, and is not voided or disputed, "
            "can be refunded",
            metadata={"payment_status": status},
        )
    if not 0 < amount_minor <= left_minor:
        raise Refusal(
            Reason.ERROR_REASON_REFUND_TOO_HIGH,
            "The amount is above what is left of the payment. At most "
            f"{amount_text(Amount(left_minor, currency))} can be refunded"
            if left_minor
            else "Nothing is left of the payment: all of it is refunded",
        )


@dataclass(frozen=True, slots=True)
class Requested:
    """What makes two requests without a key equal; an amount of None is all that is left."""

    amount_minor: int | None
    reason: str | None
    description: str | None
    metadata: str | None = None


@dataclass(frozen=True, slots=True)
class Earlier(OwnRefund):
    """An earlier refund of the payment, as a request may repeat it."""

    reason: str | None
    description: str | None
    metadata: str | None
    """As `core.metadata.stored_metadata` returns it."""
    idempotency_key: str | None
    created_at: datetime


def repeats(earlier: Earlier, requested: Requested, *, left_minor: int, now: datetime) -> bool:
    """Return whether a request without a key is a retry of an earlier refund.

    A lost answer must not refund twice, so an equal request returns the earlier refund while that
    is pending and for RETRY_LIFE, also if it got its answer. One for all that is left repeats one
    that left nothing.
    """
    is_equal = (
        earlier.reason == requested.reason
        and earlier.description == requested.description
        and earlier.metadata == requested.metadata
    )
    is_amount = earlier.amount_minor == requested.amount_minor or (
        requested.amount_minor is None and left_minor == 0
    )
    is_young = earlier.is_counted and now - earlier.created_at < RETRY_LIFE
    is_retried = earlier.status == "pending" or is_young
    return earlier.idempotency_key is None and is_equal and is_amount and is_retried


def find_earlier(
    refunds: Sequence[Earlier],
    requested: Requested,
    *,
    key: str | None,
    claimed: str | None,
    left_minor: int,
    now: datetime,
) -> str | None:
    """Return the id of the refund that a request repeats, or None if it is a new one.

    With a key, the record names it (`claimed`), and it counts unless it failed without an answer;
    after the record expired, an open one with the key still counts.
    """
    if key is not None:
        found = [each for each in refunds if each.refund_id == claimed and each.is_counted]
        found += [
            each
            for each in refunds
            if each.idempotency_key == key
            and each.status == "pending"
            and requested.amount_minor in (None, each.amount_minor)
        ]
    else:
        found = [
            each
            for each in reversed(refunds)
            if repeats(each, requested, left_minor=left_minor, now=now)
        ]
    return found[0].refund_id if found else None
