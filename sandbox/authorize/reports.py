"""Authorize.Net's lists of transactions, which may lag, and a transaction's details, which do not.

Pages count from 1 and have 1000 entries at most
(https://developer.authorize.net/api/reference/index.html#transaction-reporting).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any, Final

from sandbox.authorize.calls import (
    AUTHORIZED,
    CAPTURED,
    CUSTOMER,
    IN_REVIEW,
    REFUNDED,
    TRANSACTION,
    Call,
    Fields,
    get_settled_amount,
)
from sandbox.authorize.xml import ApiError, Field, messages
from sandbox.books import PageQuery, Record

_ALL: Final = 100_000
_LIMIT_MAX: Final = 1000
_SETTLED: Final = ("settledSuccessfully", "refundSettledSuccessfully", "settlementError")
_NO_RECORDS: Final = messages("Ok", "I00004", "No records found.")


def transactions_of_customer(call: Call) -> Fields:
    """Handle getTransactionListForCustomerRequest."""
    customer_id = call.request.text("customerProfileId")
    if call.books.find(call.scope, CUSTOMER, customer_id) is None:
        raise ApiError("E00040", "The record cannot be found.")
    card_id = call.request.text("customerPaymentProfileId")
    return _list_transactions(
        call,
        PageQuery(limit=_ALL, customer=customer_id),
        lambda body: not card_id or body["card"] == card_id,
    )


def unsettled_transactions(call: Call) -> Fields:
    """Handle getUnsettledTransactionListRequest, which includes declined transactions."""
    only_in_review = call.request.text("status") == "pendingApproval"
    return _list_transactions(
        call,
        PageQuery(limit=_ALL),
        lambda body: (
            body["status"] not in _SETTLED and (not only_in_review or body["status"] in IN_REVIEW)
        ),
    )


def transaction_details(call: Call) -> Fields:
    """Handle getTransactionDetailsRequest."""
    transaction = call.books.find(call.scope, TRANSACTION, call.request.text("transId"))
    if transaction is None:
        raise ApiError("E00040", "The record cannot be found.")
    body = transaction.body
    order: Sequence[Field] = [
        ("invoiceNumber", body["invoice_number"] or None),
        ("description", body["description"] or None),
    ]
    card: Sequence[Field] = [
        ("cardNumber", f"XXXX{body['last4']}"),
        ("expirationDate", "XXXX"),
        ("cardType", body["brand"]),
    ]
    return [
        (
            "transaction",
            [
                ("transId", transaction.id),
                *([("refTransId", body["refunds"])] if "refunds" in body else []),
                *_times(body),
                ("transactionType", body["type"]),
                ("transactionStatus", body["status"]),
                ("responseCode", body["response_code"]),
                ("responseReasonCode", body["reason_code"]),
                ("responseReasonDescription", body["reason"]),
                ("AVSResponse", "P"),
                ("order", order),
                ("authAmount", body["amount"]),
                ("settleAmount", _settle_amount(body)),
                ("taxExempt", "false"),
                ("payment", [("creditCard", card)]),
                ("recurringBilling", "false"),
                ("product", "Card Not Present"),
                ("marketType", "eCommerce"),
                ("profile", _profile(body)),
            ],
        )
    ]


def _list_transactions(
    call: Call, query: PageQuery, is_included: Callable[[dict[str, Any]], bool]
) -> Fields:
    """Return a page of the transactions that are older than the lag."""
    visible = [
        record
        for record in call.books.list_page(call.scope, TRANSACTION, query)[0]
        if is_included(record.body)
        and call.now - _submitted(record).timestamp() >= call.lag_seconds
    ]
    if call.request.text("sorting/orderDescending", "true") in ("false", "0"):
        visible.reverse()
    limit = min(int(call.request.text("paging/limit", str(_LIMIT_MAX))), _LIMIT_MAX)
    first = (int(call.request.text("paging/offset", "1")) - 1) * limit
    entries: Sequence[Field] = [
        ("transaction", _summary(record)) for record in visible[first : first + limit]
    ]
    if not entries:
        return [_NO_RECORDS]
    return [("transactions", entries), ("totalNumInResultSet", str(len(visible)))]


def _summary(record: Record) -> Sequence[Field]:
    body = record.body
    return [
        ("transId", record.id),
        *_times(body),
        ("transactionStatus", body["status"]),
        ("invoiceNumber", body["invoice_number"] or None),
        ("accountType", body["brand"]),
        ("accountNumber", f"XXXX{body['last4']}"),
        ("settleAmount", _settle_amount(body)),
        ("marketType", "eCommerce"),
        ("product", "Card Not Present"),
        ("profile", _profile(body)),
    ]


def _submitted(record: Record) -> datetime.datetime:
    return datetime.datetime.fromisoformat(record.body["submitted_at"])


def _times(body: dict[str, Any]) -> Sequence[Field]:
    local = str(body["submitted_at"]).partition("+")[0]
    return [("submitTimeUTC", f"{local}Z"), ("submitTimeLocal", local)]


def _settle_amount(body: dict[str, Any]) -> str:
    """Return the amount that settles: zero for a transaction that moves no money."""
    can_settle = body["status"] in (*CAPTURED, *REFUNDED, *IN_REVIEW, AUTHORIZED)
    return f"{get_settled_amount(body):.2f}" if can_settle else "0.00"


def _profile(body: dict[str, Any]) -> Sequence[Field]:
    return [("customerProfileId", body["customer"]), ("customerPaymentProfileId", body["card"])]
