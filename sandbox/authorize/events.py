"""Which of Authorize.Net's events a change of a transaction causes.

A pure function of the transaction before and after. There is no event for settlement, for a refund
that fails at settlement, or for a held or authorized transaction that expires: only its details
show them
(https://developer.authorize.net/api/reference/features/webhooks.html).
"""

from __future__ import annotations

import json
from typing import Final

from sandbox.authorize.calls import (
    AUTHORIZED,
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
    if change.kind != TRANSACTION:
        return None
    before = json.loads(change.before) if change.before is not None else None
    after: Json = json.loads(change.after)
    name = _find_name(before["status"] if before is not None else None, after["status"])
    if name is None:
        return None
    return {
        "notificationId": generate_id("ntf"),
        "eventType": f"net.authorize.payment.{name}",
        "eventDate": format_moment(now).partition("+")[0] + "Z",
        "webhookId": "sandbox",
        "payload": {
            "responseCode": int(after["response_code"]),
            "authAmount": float(get_settled_amount(after)),
            "invoiceNumber": after["invoice_number"],
            "entityName": "transaction",
            "id": after["id"],
        },
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
