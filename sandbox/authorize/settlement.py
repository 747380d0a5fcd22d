"""What happens to a transaction after the API's answer: review, settlement and refunds.

| status                     | event                              | next status               |
|----------------------------|------------------------------------|---------------------------|
| held for review            | approved in the dashboard          | capturedPendingSettlement,|
|                            |                                    | or authorizedPendingCapture |
| held for review            | declined in the dashboard          | declined                  |
| held for review            | no decision within days            | expired                   |
| authorizedPendingCapture   | no capture within 30 days          | expired                   |
| capturedPendingSettlement  | settled, daily                     | settledSuccessfully       |
| capturedPendingSettlement  | refused by the processor           | an error                  |
| settlementError            | the batch is submitted again       | settledSuccessfully       |
| voidable                   | voided                             | voided                    |
| settledSuccessfully        | refunded, by a transaction         | unchanged                 |
| -                          | a refund                           | refundPendingSettlement   |
| refundPendingSettlement    | settled, daily                     | refundSettledSuccessfully |
| refundPendingSettlement    | refused by the processor           | an error                  |
| refundPendingSettlement    | voided                             | voided                    |

An error: settlementError, communicationError, generalError or declined. Only pending and settled
refunds give money back. A control endpoint also sets any status of a charge.
https://support.authorize.net/knowledgebase/Knowledgearticle/?code=000001403 (reviews)
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from sandbox.authorize.calls import (
    AUTHORIZED,
    REFUNDED,
    TRANSACTION,
    format_moment,
    generate_id,
    get_settled_amount,
)
from sandbox.authorize.cards import get_result
from sandbox.books import Books, PageQuery, Record, Scope

_ERRORS: Final = ("settlementError", "communicationError", "generalError", "declined")
REFUND_MOVES: Final[Mapping[str, tuple[str, ...]]] = {
    "refundPendingSettlement": ("refundSettledSuccessfully", "voided", *_ERRORS),
    "settlementError": ("refundSettledSuccessfully", "generalError"),
}
"""The statuses that follow each status of a refund; any other is final."""
DECISIONS: Final[Mapping[str, str]] = {
    "approve": "capturedPendingSettlement",
    "decline": "declined",
    "expire": "expired",
}
_ALL: Final = 100_000
_REASONS: Final = {
    # The reason code of a status; 254: declined after review.
    "capturedPendingSettlement": 1,
    "settledSuccessfully": 1,
    "declined": 254,
}


def is_refund(transaction: Record) -> bool:
    """Return whether a transaction refunds another one."""
    return bool(transaction.body["type"] == "refundTransaction")


def decide(books: Books, transaction: Record, decision: str) -> None:
    """Approve or decline a transaction that is held for review, or let its time pass."""
    status = DECISIONS[decision]
    if decision == "approve" and transaction.body["type"] == "authOnlyTransaction":
        status = AUTHORIZED
    move(books, transaction, status)


def move(books: Books, transaction: Record, status: str) -> None:
    """Set a transaction's status, and the codes that show how a review or charge ended."""
    transaction.body["status"] = status
    if status in _REASONS and not is_refund(transaction):
        result = get_result(_REASONS[status])
        transaction.body |= {
            "response_code": result.response_code,
            "reason_code": result.reason_code,
            "reason": result.text,
        }
    books.update(transaction)


def get_refundable(books: Books, scope: Scope, charged: Record) -> Decimal:
    """Return what is not refunded yet of a settled transaction."""
    query = PageQuery(limit=_ALL, customer=charged.body["customer"])
    transactions, _ = books.list_page(scope, TRANSACTION, query)
    refunds = [each.body for each in transactions if each.body.get("refunds") == charged.id]
    refunded = sum(Decimal(each["amount"]) for each in refunds if each["status"] in REFUNDED)
    return get_settled_amount(charged.body) - refunded


def add_refund(
    books: Books,
    scope: Scope,
    charged: Record,
    amount: Decimal,
    invoice_number: str,
    user_fields: Mapping[str, str] | None = None,
) -> Record:
    """Refund a settled transaction by an amount of at most what is refundable."""
    now = int(books.clock())
    approved = get_result(1)
    body: dict[str, Any] = {
        **charged.body,
        "id": generate_id(TRANSACTION),
        "created": now,
        "submitted_at": format_moment(now),
        "type": "refundTransaction",
        "status": "refundPendingSettlement",
        "amount": f"{amount:.2f}",
        "response_code": approved.response_code,
        "reason_code": approved.reason_code,
        "reason": approved.text,
        "captured_amount": f"{amount:.2f}",
        "refunds": charged.id,
        "invoice_number": invoice_number,
        "user_fields": dict(user_fields or {}),
    }
    refund = Record(TRANSACTION, body)
    books.add(scope, refund)
    return refund
