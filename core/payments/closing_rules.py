"""Rules of captures and voids: which requests an authorized payment takes, and what they end in.

Pure. Amounts are in minor units.
"""

import enum
from dataclasses import dataclass
from typing import Final

from core.errors import RETRY_SECONDS, InvalidFields, Reason, Refusal
from core.gateways.events import EXPIRED
from core.gateways.gateway import (
    CardDeclined,
    GatewayError,
    GatewayRefused,
    GatewayUnavailable,
)
from core.money import Amount, amount_text
from core.payments.event_rules import CHARGED
from core.payments.store import Payment

CAPTURE: Final = "capture"
VOID: Final = "void"


@dataclass(frozen=True, slots=True)
class Requested:
    """What makes two requests to capture or void a payment equal."""

    closing: str
    amount_minor: int | None
    """Amount to capture; None for a void."""
    key: str | None
    void_reason: str | None = None


class ClosingStep(enum.Enum):
    """What a request does about an authorized payment."""

    BEGIN = enum.auto()
    CONTINUE = enum.auto()
    """Wait for the earlier run of the request, or send it again."""
    RETURN = enum.auto()
    """Return the payment, as an earlier run of the request ended."""


def closing_step(payment: Payment, requested: Requested) -> ClosingStep:
    """Return what a request does about a payment.

    payment                                  equal request    another request
    authorized, nothing requested            BEGIN            BEGIN
    authorized, a capture or void open       CONTINUE         refused
    ended as it was requested                RETURN           refused
    any other                                refused          refused

    A payment is captured once, so an equal request without a key can be answered at any time.

    Raises:
        Refusal: CAPTURE_IN_PROGRESS, CAPTURE_TOO_HIGH, AUTHORIZATION_EXPIRED or PAYMENT_STATE.
    """
    # A core of an earlier version keeps the reason of a void that it gives up.
    void_reason = payment.void_reason if payment.closing == VOID else None
    known = Requested(
        payment.closing or "", payment.closing_minor, payment.closing_key, void_reason
    )
    if payment.is_closing:
        if known == requested:
            return ClosingStep.CONTINUE
        raise Refusal(
            Reason.ERROR_REASON_CAPTURE_IN_PROGRESS,
            f"Another request to {payment.closing} the payment is in progress. Send this one "
            "again when that has ended.",
            retry_after_seconds=RETRY_SECONDS,
        )
    if payment.status == "authorized":
        _check_amount(payment, requested.amount_minor)
        return ClosingStep.BEGIN
    if known == requested and problem_of_ended(payment) is None:
        return ClosingStep.RETURN
    raise _not_authorized(payment)


def _check_amount(payment: Payment, amount_minor: int | None) -> None:
    assert payment.authorized_minor is not None, "an authorized payment was requested as such"
    if amount_minor is not None and amount_minor > payment.authorized_minor:
        raise Refusal(
            Reason.ERROR_REASON_CAPTURE_TOO_HIGH,
            "The amount is above what is authorized. At most "
            f"{amount_text(Amount(payment.authorized_minor, payment.currency))} can be captured",
        )


def problem_of_ended(payment: Payment) -> Refusal | None:
    """Return why a payment that is not authorized any more is not as requested; None if it is."""
    if payment.closing == CAPTURE:
        is_captured = payment.status in CHARGED and payment.amount_minor == payment.closing_minor
        return None if is_captured else _not_authorized(payment)
    is_released = payment.closing == VOID and payment.status == "voided"
    return None if is_released else _not_authorized(payment)


def _not_authorized(payment: Payment) -> Refusal:
    if payment.status == "voided" and payment.decline_code == EXPIRED:
        return Refusal(
            Reason.ERROR_REASON_AUTHORIZATION_EXPIRED,
            "The authorization has expired, and the gateway has released the amount. Charge the "
            "customer again.",
        )
    hint = " Give its money back with refund_payment." if payment.status in CHARGED else ""
    return Refusal(
        Reason.ERROR_REASON_PAYMENT_STATE,
        f"The payment is {payment.status}: only one that is authorized can be captured or "
        f"voided.{hint}",
        metadata={"payment_status": payment.status},
    )


def is_certain(
    error: GatewayError, *, is_resumed: bool, shows_authorized: bool, is_settled: bool
) -> bool:
    """Return whether a failed call proves that nothing was captured or voided, nor will be.

    error                  first call   sent again
    refused or declined    yes          if the gateway still shows the payment as authorized, and
                                        no earlier call can be in flight (`is_settled`)
    not sent               yes          no
    no clear answer        no           no
    """
    if not is_resumed:
        return is_over(error)
    return isinstance(error, CardDeclined | GatewayRefused) and shows_authorized and is_settled


def is_over(error: GatewayError) -> bool:
    """Return whether a failed call did nothing, nor will, whatever earlier ones do."""
    return isinstance(error, CardDeclined | GatewayRefused | GatewayUnavailable)


def refusal_of(error: GatewayError) -> Refusal:
    """Return the error response of a capture or void that was certainly not made."""
    if isinstance(error, GatewayRefused) and error.field is not None:
        return InvalidFields.of(error.field, error.message)
    if isinstance(error, CardDeclined | GatewayRefused):
        return Refusal(Reason.ERROR_REASON_GATEWAY_REFUSED, error.message)
    return Refusal(
        Reason.ERROR_REASON_GATEWAY_UNAVAILABLE,
        "The gateway could not be reached and nothing was done. Send the same request again.",
        retry_after_seconds=RETRY_SECONDS,
    )


def outcome_unknown(payment_id: str) -> Refusal:
    """Return the error response of a capture or void whose outcome is not known yet."""
    return Refusal(
        Reason.ERROR_REASON_OUTCOME_UNKNOWN,
        "It is not known yet whether the gateway did it. Send the same request again to learn it; "
        "a payment is captured once.",
        metadata={"payment_id": payment_id},
        retry_after_seconds=RETRY_SECONDS,
    )
