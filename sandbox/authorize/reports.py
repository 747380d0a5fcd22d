"""Authorize.Net's lists of transactions, which lag behind, and one's details, which do not.

https://developer.authorize.net/api/reference/index.html#transaction-reporting: pages are counted
from 1 and hold 1000 at most.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any, Final

from sandbox.authorize.calls import (
    CUSTOMER,
    TRANSACTION,
    Call,
    Fields,
)
from sandbox.authorize.xml import ApiError, Field, messages
from sandbox.books import PageQuery, Record

_ALL: Final = 100_000
_LIMIT_MAX: Final = 1000
_SETTLED: Final = frozenset(("settledSuccessfully", "settlementError"))
_NO_RECORDS: Final = messages("Ok", "I00004", "No records found.")
_TAKEN: Final = frozenset(("capturedPendingSettlement", "settledSuccessfully"))


def transactions_of_customer(call: Call) -> Fields:
    """GetTransactionListForCustomerRequest."""
    customer_id = call.request.text("customerProfileId")
    if call.books.find(call.scope, CUSTOMER, customer_id) is None:
        raise ApiError("E00040", "The record cannot be found.")
    card_id = call.request.text("customerPaymentProfileId")
    return _listed(
        call,
        PageQuery(limit=_ALL, customer=customer_id),
        lambda body: not card_id or body["card"] == card_id,
    )


def unsettled_transactions(call: Call) -> Fields:
    """getUnsettledTransactionListRequest: declined ones too."""
    only_held = call.request.text("status") == "pendingApproval"
    return _listed(
        call,
        PageQuery(limit=_ALL),
        lambda body: (
            body["status"] not in _SETTLED and (not only_held or body["response_code"] == "4")
        ),
    )


def transaction_details(call: Call) -> Fields:
    """GetTransactionDetailsRequest."""
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
                ("settleAmount", _settling(body)),
                ("taxExempt", "false"),
                ("payment", [("creditCard", card)]),
                ("recurringBilling", "false"),
                ("product", "Card Not Present"),
                ("marketType", "eCommerce"),
                ("profile", _profile(body)),
            ],
        )
    ]


def _listed(call: Call, query: PageQuery, belongs: Callable[[dict[str, Any]], bool]) -> Fields:
    """One page of what is old enough to be listed."""
    visible = [
        record
        for record in call.books.page(call.scope, TRANSACTION, query)[0]
        if belongs(record.body) and call.now - _submitted(record).timestamp() >= call.lag
    ]
    if call.request.text("sorting/orderDescending", "true") in ("false", "0"):
        visible.reverse()
    limit = min(int(call.request.text("paging/limit", str(_LIMIT_MAX))), _LIMIT_MAX)
    first = (int(call.request.text("paging/offset", "1")) - 1) * limit
    shown: Sequence[Field] = [
        ("transaction", _summary(record)) for record in visible[first : first + limit]
    ]
    if not shown:
        return [_NO_RECORDS]
    return [("transactions", shown), ("totalNumInResultSet", str(len(visible)))]


def _summary(record: Record) -> Sequence[Field]:
    body = record.body
    return [
        ("transId", record.id),
        *_times(body),
        ("transactionStatus", body["status"]),
        ("invoiceNumber", body["invoice_number"] or None),
        ("accountType", body["brand"]),
        ("accountNumber", f"XXXX{body['last4']}"),
        ("settleAmount", _settling(body)),
        ("marketType", "eCommerce"),
        ("product", "Card Not Present"),
        ("profile", _profile(body)),
    ]


def _submitted(record: Record) -> datetime.datetime:
    return datetime.datetime.fromisoformat(record.body["submitted_at"])


def _times(body: dict[str, Any]) -> Sequence[Field]:
    local = str(body["submitted_at"]).partition("+")[0]
    return [("submitTimeUTC", f"{local}Z"), ("submitTimeLocal", local)]


def _settling(body: dict[str, Any]) -> str:
    """What a transaction brings when it settles; nothing where it was declined or voided."""
    is_alive = body["status"] in _TAKEN or body["response_code"] == "4"
    return str(body["amount"]) if is_alive and body["status"] != "voided" else "0.00"


def _profile(body: dict[str, Any]) -> Sequence[Field]:
    return [
        ("customerProfileId", body["customer"]),
        ("customerPaymentProfileId", body["card"]),
    ]
