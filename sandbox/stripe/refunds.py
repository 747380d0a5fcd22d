"""Stripe's refunds (https://docs.stripe.com/api/refunds, https://docs.stripe.com/refunds).

| status                   | event                   | next status                | charge's sum |
|--------------------------|-------------------------|----------------------------|--------------|
| -                        | create                  | succeeded                  | more         |
| -                        | create, on order        | pending or requires_action | more         |
| requires_action          | the cardholder acts     | pending                    | same         |
| requires_action, pending | the money arrives       | succeeded                  | same         |
| any of the three         | the issuer returns it   | failed                     | less         |
| any of the three         | the merchant cancels it | canceled                   | less         |
| failed, canceled         | any                     | unchanged                  | same         |

The API cancels in requires_action only, the dashboard also later, so long as the money is on its
way. A charge counts refunds from their creation on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.books import Json, Record
from sandbox.stripe import errors
from sandbox.stripe.amounts import format_amount
from sandbox.stripe.calls import LIST_PARAMETERS, Call, respond, respond_with_page
from sandbox.stripe.disputes import count_withdrawn_of
from sandbox.stripe.errors import Response
from sandbox.stripe.params import (
    EXPAND,
    Choice,
    Integer,
    Metadata,
    NotModelled,
    Shape,
    Text,
    merge_metadata,
    read,
)
from sandbox.stripe.resources import generate_id

NEW_STATUSES: Final = ("succeeded", "pending", "requires_action")
MOVES: Final[Mapping[str, tuple[str, ...]]] = {
    "requires_action": ("pending", "succeeded", "failed", "canceled"),
    "pending": ("succeeded", "failed", "canceled"),
    "succeeded": ("failed", "canceled"),
    "failed": (),
    "canceled": (),
}
"""The statuses that follow each status."""
FAILURE_REASONS: Final = (
    # docs.stripe.com/api/refunds/object#refund_object-failure_reason
    "lost_or_stolen_card",
    "expired_or_canceled_card",
    "charge_for_pending_refund_disputed",
    "insufficient_funds",
    "declined",
    "merchant_request",
    "unknown",
)
REASONS: Final = ("duplicate", "fraudulent", "requested_by_customer")

_SECONDS_TO_ACT: Final = 45 * 24 * 60 * 60
_CREATE: Final[Shape] = {
    **EXPAND,
    "amount": Integer(minimum=1),
    "charge": Text(),
    "metadata": Metadata(),
    "payment_intent": Text(),
    "reason": Choice(REASONS),
    **{
        name: NotModelled()
        for name in (
            "currency",
            "customer",
            "instructions_email",
            "origin",
            "refund_application_fee",
            "reverse_transfer",
        )
    },
}
_UPDATE: Final[Shape] = {**EXPAND, "metadata": Metadata()}
_LIST: Final[Shape] = {**LIST_PARAMETERS, "charge": Text(), "payment_intent": Text()}


def create_refund(call: Call) -> Response:
    """POST /v1/refunds: refund a charge, fully unless an amount is given."""
    params = read(call.form, _CREATE)
    charge = _get_charge(call, params)
    refund = add_refund(
        call,
        charge,
        amount=params.get("amount"),
        reason=params.get("reason"),
        metadata=merge_metadata({}, params.get("metadata")),
    )
    return respond(call, refund.body, params)


def retrieve_refund(call: Call) -> Response:
    """GET /v1/refunds/{id}."""
    params = read(call.form, EXPAND)
    return respond(call, _get_from_path(call).body, params)


def update_refund(call: Call) -> Response:
    """POST /v1/refunds/{id}: change the metadata."""
    params = read(call.form, _UPDATE)
    refund = _get_from_path(call)
    refund.body["metadata"] = merge_metadata(refund.body["metadata"], params.get("metadata"))
    call.books.update(refund)
    return respond(call, refund.body, params)


def list_refunds(call: Call) -> Response:
    """GET /v1/refunds, of all charges, of a charge or of a payment intent; newest first."""
    params = read(call.form, _LIST)
    return respond_with_page(
        call,
        "refund",
        params,
        charge=params.get("charge"),
        payment_intent=params.get("payment_intent"),
    )


def cancel_refund(call: Call) -> Response:
    """POST /v1/refunds/{id}/cancel, in requires_action only."""
    params = read(call.form, EXPAND)
    refund = _get_from_path(call)
    if refund.body["status"] != "requires_action":
        raise errors.invalid_request(
            f"Refund {refund.id} cannot be canceled because it has a status of "
            f"{refund.body['status']}. Only refunds that require action can be canceled.",
            stage=errors.Stage.EXECUTION,
        )
    move_refund(call, refund, "canceled")
    return respond(call, refund.body, params)


def add_refund(
    call: Call,
    charge: Record,
    *,
    amount: int | None = None,
    status: str = "succeeded",
    reason: str | None = None,
    metadata: Mapping[str, str],
) -> Record:
    """Refund a charge, by what is not refunded yet for None; return the refund.

    Raises:
        StripeError: the charge has not been paid, is refunded or charged back, or the amount is
            more than what is not refunded yet.
    """
    assert status in NEW_STATUSES, status
    refundable = _get_refundable(call, charge)
    if amount is None:
        amount = refundable
    if amount > refundable:
        currency = charge.body["currency"]
        raise errors.invalid_request(
            f"Refund amount ({format_amount(amount, currency)}) is greater than unrefunded amount "
            f"on charge ({format_amount(refundable, currency)})",
            param="amount",
            stage=errors.Stage.EXECUTION,
        )
    body = _build_refund(charge.body, amount, status, created=call.now)
    body |= {"metadata": dict(metadata), "reason": reason}
    refund = call.add(Record("refund", body))
    _count_refund(call, charge, amount)
    return refund


def move_refund(
    call: Call, refund: Record, status: str, *, failure_reason: str | None = None
) -> None:
    """Move a refund to one of the statuses that MOVES allows, and its charge's sum with it."""
    assert status in MOVES[refund.body["status"]], "the caller checks it"
    refund.body |= {
        "status": status,
        "next_action": None,
        "pending_reason": "processing" if status == "pending" else None,
    }
    if status in ("failed", "canceled"):
        default = "merchant_request" if status == "canceled" else "unknown"
        refund.body |= {
            "failure_balance_transaction": generate_id("txn"),
            "failure_reason": failure_reason or default,
        }
    call.books.update(refund)
    if status in ("failed", "canceled"):
        charge = call.require("charge", refund.body["charge"], param="charge")
        _count_refund(call, charge, -refund.body["amount"])


def _get_charge(call: Call, params: Mapping[str, Any]) -> Record:
    """Return the charge that `charge` or `payment_intent` names."""
    if "payment_intent" in params:
        intent = call.require("payment_intent", params["payment_intent"], param="payment_intent")
        charge = call.books.find(call.scope, "charge", str(intent.body["latest_charge"]))
        if charge is None or not charge.body["paid"]:
            raise errors.invalid_request(
                f"This PaymentIntent ({intent.id}) does not have a successful charge to refund.",
                param="payment_intent",
                stage=errors.Stage.EXECUTION,
            )
        if params.get("charge", charge.id) == charge.id:
            return charge
        raise errors.invalid_request(
            f"The charge {params['charge']} does not belong to the PaymentIntent {intent.id}.",
            param="charge",
            stage=errors.Stage.EXECUTION,
        )
    if "charge" in params:
        return call.require("charge", params["charge"], param="charge")
    raise errors.invalid_request(
        "One of the following params should be provided for this request: payment_intent or charge."
    )


def _get_refundable(call: Call, charge: Record) -> int:
    """Return the amount that is not refunded yet, above 0."""
    body = charge.body
    refundable: int = body["amount_captured"] - body["amount_refunded"]
    if not body["paid"]:
        message, code = f"Charge {charge.id} has not been paid; it cannot be refunded.", None
    elif not body["captured"]:
        message, code = f"Charge {charge.id} has not been captured: cancel its PaymentIntent.", None
    elif count_withdrawn_of(call, body):
        message = f"Charge {charge.id} has been charged back; cannot issue a refund."
        code = "charge_disputed"
    elif not refundable:
        message = f"Charge {charge.id} has already been refunded."
        code = "charge_already_refunded"
    else:
        return refundable
    raise errors.invalid_request(message, code=code, stage=errors.Stage.EXECUTION)


def _count_refund(call: Call, charge: Record, amount: int) -> None:
    """Add an amount, below 0 for one that came back, to the charge's refunded sum."""
    refunded = charge.body["amount_refunded"] + amount
    assert 0 <= refunded <= charge.body["amount_captured"], charge.id
    charge.body |= {
        "amount_refunded": refunded,
        "refunded": refunded == charge.body["amount_captured"],
    }
    call.books.update(charge)


def _get_from_path(call: Call) -> Record:
    return call.require("refund", call.ids[0], param="id", in_path=True)


def _build_refund(charge: Json, amount: int, status: str, *, created: int) -> Json:
    needs_action = status == "requires_action"
    email = {"email_sent_at": created, "email_sent_to": charge["billing_details"]["email"]}
    display = {"email_sent": email, "expires_at": created + _SECONDS_TO_ACT}
    return {
        "id": generate_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": generate_id("txn"),
        "charge": charge["id"],
        "created": created,
        "currency": charge["currency"],
        "destination_details": {
            "card": {
                "reference": None,
                "reference_status": "pending",
                "reference_type": "acquirer_reference_number",
                "type": "refund",
            },
            "type": "card",
        },
        "failure_balance_transaction": None,
        "failure_reason": None,
        "metadata": {},
        "next_action": {"display_details": display, "type": "display_details"}
        if needs_action
        else None,
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "pending_reason": "processing" if status == "pending" else None,
        "reason": None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": status,
        "transfer_reversal": None,
    }
