"""Stripe's disputes (https://docs.stripe.com/disputes/how-disputes-work, docs.stripe.com/api).

| status                 | event                          | next status            | funds      |
|------------------------|--------------------------------|------------------------|------------|
| -                      | the issuer inquires            | warning_needs_response | -          |
| -                      | the cardholder disputes        | needs_response         | withdrawn  |
| warning_needs_response | evidence                       | warning_under_review   | -          |
| an open inquiry        | it escalates                   | needs_response         | withdrawn  |
| an open inquiry        | it ends                        | warning_closed         | -          |
| needs_response         | evidence                       | under_review           | -          |
| an open dispute        | the issuer decides             | won                    | reinstated |
| an open dispute        | the issuer decides, or no one  | lost                   | -          |
| lost                   | appeal                         | appeal_needs_response  | -          |
| appeal_needs_response  | evidence                       | appeal_under_review    | -          |
| lost, an appeal        | reversed                       | won                    | reinstated |
| an appeal              | refused                        | lost                   | -          |
| won                    | reversed                       | lost                   | withdrawn  |
| warning_closed         | any                            | unchanged              | -          |

Open: needs_response, under_review. Balance transactions are in the charge's currency, also for a
dispute in another one. They take at most what is left of the charge: a dispute of a charge that is
refunded takes nothing. A dispute's fee is not modelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.books import Json, PageQuery, Record
from sandbox.stripe.calls import LIST_PARAMETERS, Call, respond, respond_with_page
from sandbox.stripe.errors import Response
from sandbox.stripe.params import EXPAND, Shape, Text, read
from sandbox.stripe.resources import generate_id

INQUIRY: Final = "warning_needs_response"
NEW_STATUSES: Final = ("needs_response", INQUIRY)
MOVES: Final[Mapping[str, tuple[str, ...]]] = {
    INQUIRY: ("warning_under_review", "warning_closed", "needs_response"),
    "warning_under_review": ("warning_closed", "needs_response"),
    "needs_response": ("under_review", "won", "lost"),
    "under_review": ("won", "lost"),
    "lost": ("won", "appeal_needs_response"),
    "appeal_needs_response": ("appeal_under_review", "won", "lost"),
    "appeal_under_review": ("won", "lost"),
    "won": ("lost",),
    "warning_closed": (),
}
"""The statuses that follow each status."""
CLOSED: Final = ("won", "lost", "warning_closed")
REASONS: Final = (
    "bank_cannot_process",
    "credit_not_processed",
    "customer_initiated",
    "debit_not_authorized",
    "duplicate",
    "fraudulent",
    "general",
    "incorrect_account_details",
    "insufficient_funds",
    "noncompliant",
    "product_not_received",
    "product_unacceptable",
    "subscription_canceled",
    "unrecognized",
)

_SECONDS_TO_RESPOND: Final = 7 * 24 * 60 * 60
_ALL: Final = 1000
_LIST: Final[Shape] = {**LIST_PARAMETERS, "charge": Text(), "payment_intent": Text()}
_EVIDENCE: Final = """
    access_activity_log billing_address cancellation_policy cancellation_policy_disclosure
    cancellation_rebuttal customer_communication customer_email_address customer_name
    customer_purchase_ip customer_signature duplicate_charge_documentation
    duplicate_charge_explanation duplicate_charge_id product_description receipt refund_policy
    refund_policy_disclosure refund_refusal_explanation service_date service_documentation
    shipping_address shipping_carrier shipping_date shipping_documentation
    shipping_tracking_number uncategorized_file uncategorized_text
"""


def retrieve_dispute(call: Call) -> Response:
    """GET /v1/disputes/{id}."""
    params = read(call.form, EXPAND)
    dispute = call.require("dispute", call.ids[0], param="id", in_path=True)
    return respond(call, dispute.body, params)


def list_disputes(call: Call) -> Response:
    """GET /v1/disputes, of all charges, of a charge or of a payment intent; newest first."""
    params = read(call.form, _LIST)
    return respond_with_page(
        call,
        "dispute",
        params,
        charge=params.get("charge"),
        payment_intent=params.get("payment_intent"),
    )


def find_newest_dispute(call: Call, charge: Record) -> Record | None:
    """Return the charge's newest dispute."""
    found, _ = call.books.list_page(call.scope, "dispute", PageQuery(limit=1, charge=charge.id))
    return found[0] if found else None


def count_withdrawn(dispute: Json) -> int:
    """Return what a dispute has taken and not given back, in the charge's currency."""
    return -sum(int(each["amount"]) for each in dispute["balance_transactions"])


def count_withdrawn_of(call: Call, charge: Json) -> int:
    """Return what all disputes of a charge have taken and not given back."""
    query = PageQuery(limit=_ALL, charge=charge["id"])
    disputes, _ = call.books.list_page(call.scope, "dispute", query)
    return sum(count_withdrawn(dispute.body) for dispute in disputes)


def add_dispute(
    call: Call,
    charge: Record,
    *,
    status: str,
    amount: int,
    currency: str,
    reason: str,
    metadata: Mapping[str, str],
) -> Record:
    """Open a dispute or an inquiry on a paid charge, and return it."""
    assert status in NEW_STATUSES, status
    body = _build_dispute(charge.body, status, call)
    body |= {"amount": amount, "currency": currency, "reason": reason, "metadata": dict(metadata)}
    if status != INQUIRY:
        _withdraw(call, body, charge.body)
    dispute = call.add(Record("dispute", body))
    charge.body["disputed"] = True
    call.books.update(charge)
    return dispute


def move_dispute(call: Call, dispute: Record, status: str) -> None:
    """Move a dispute to one of the statuses that MOVES allows, and its funds with it."""
    body = dispute.body
    assert status in MOVES[body["status"]], "the caller checks it"
    charge = call.require("charge", body["charge"], param="charge")
    body["status"] = status
    if status == "needs_response" or (status == "lost" and not count_withdrawn(body)):
        _withdraw(call, body, charge.body)
    elif status == "won":
        _move_funds(call, body, count_withdrawn(body), "Chargeback reversal")
    if status.endswith("under_review"):
        details = body["evidence_details"]
        details |= {"has_evidence": True, "submission_count": details["submission_count"] + 1}
    call.books.update(dispute)


def _withdraw(call: Call, dispute: Json, charge: Json) -> None:
    """Take the disputed amount, at most what is not refunded yet."""
    left = charge["amount_captured"] - charge["amount_refunded"]
    left -= count_withdrawn_of(call, charge)
    same_currency = dispute["currency"] == charge["currency"]
    amount = min(dispute["amount"], left) if same_currency else left
    dispute["is_charge_refundable"] = False
    dispute["payment_method_details"]["card"]["case_type"] = "chargeback"
    _move_funds(call, dispute, -amount, "Chargeback withdrawal", currency=charge["currency"])


def _move_funds(
    call: Call, dispute: Json, amount: int, description: str, currency: str | None = None
) -> None:
    moved: list[Json] = dispute["balance_transactions"]
    if not amount:
        return
    transaction = {
        "id": generate_id("txn"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": call.now,
        "created": call.now,
        "currency": currency or moved[0]["currency"],
        "description": f"{description} for {dispute['charge']}",
        "exchange_rate": None,
        "fee": 0,
        "fee_details": [],
        "net": amount,
        "reporting_category": "dispute" if amount < 0 else "dispute_reversal",
        "source": dispute["id"],
        "status": "pending",
        "type": "adjustment",
    }
    dispute["balance_transactions"] = [*moved, transaction]


def _build_dispute(charge: Json, status: str, call: Call) -> Json:
    evidence: dict[str, Any] = dict.fromkeys(_EVIDENCE.split())
    return {
        "id": generate_id("du"),
        "object": "dispute",
        "amount": 0,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": call.now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**evidence, "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": call.now + _SECONDS_TO_RESPOND,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": True,
        "livemode": call.scope.livemode,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": charge["payment_method_details"]["card"]["brand"],
                "case_type": "inquiry",
                "network": charge["payment_method_details"]["card"]["network"],
                "network_reason_code": "10",
            },
            "type": "card",
        },
        "reason": "general",
        "status": status,
    }
