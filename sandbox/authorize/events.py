"""Which of Authorize.Net's events a change of a transaction or card causes.

A pure function of the object before and after. There is no event for settlement, for a refund
that fails at settlement, or for a held or authorized transaction that expires: only its details
show them
(https://developer.authorize.net/api/reference/features/webhooks.html).
"""

from __future__ import annotations

import json
from typing import Final

from sandbox.authorize.calls import (
    AUTHORIZED,
    CARD,
    IN_REVIEW,
    TRANSACTION,
    format_moment,
    get_settled_amount,
)
from sandbox.books import Change, Json
from sandbox.stripe.resources import generate_id

_AFTER_REVIEW: Final = {
    AUTHORIZED: "fraud.approved",
    "capturedPendingSettlement": "fraud.approved",
    "declined": "fraud.declined",
    "voided": "void.created",
}
_NEW: Final = {
    AUTHORIZED: "authorization.created",
    "capturedPendingSettlement": "authcapture.created",
    "refundPendingSettlement": "refund.created",
    **dict.fromkeys(IN_REVIEW, "fraud.held"),
}


def build_event(change: Change, now: float) -> Json | None:
    """Return the event of a change."""
    if change.kind == CARD:
        return _build_card_event(change, now)
    if change.kind != TRANSACTION:
        return None
    before = json.loads(change.before) if change.before is not None else None
    after: Json = json.loads(change.after)
    name = _find_name(before["status"] if before is not None else None, after["status"])
    if name is None:
        return None
    payload = {
        "responseCode": int(after["response_code"]),
        "authAmount": float(get_settled_amount(after)),
        "invoiceNumber": after["invoice_number"],
        "entityName": "transaction",
        "id": after["id"],
    }
    return _build(f"payment.{name}", payload, now)


def _build_card_event(change: Change, now: float) -> Json | None:
    """Return the event of a card that was changed or deleted; the card itself is not in it."""
    if change.before is None:
        return None
    after: Json = json.loads(change.after)
    payload = {
        "customerProfileId": int(after["customer"]),
        "entityName": "customerPaymentProfile",
        "id": after["id"],
    }
    name = "deleted" if after.get("is_deleted") else "updated"
    return _build(f"customer.paymentProfile.{name}", payload, now)


def _build(kind: str, payload: Json, now: float) -> Json:
    return {
        "notificationId": generate_id("ntf"),
        "eventType": f"net.authorize.{kind}",
        "eventDate": format_moment(now).partition("+")[0] + "Z",
        "webhookId": "sandbox",
        "payload": payload,
    }


def _find_name(before: str | None, after: str) -> str | None:
    if before is None:
        return _NEW.get(after)
    if before == after:
        return None
    if before in IN_REVIEW:
        return _AFTER_REVIEW.get(after)
    if before == AUTHORIZED and after == "capturedPendingSettlement":
        return "priorAuthCapture.created"
    return "void.created" if after == "voided" else None
