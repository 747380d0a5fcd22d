"""createTransactionRequest: charges of stored cards, voids, and the check for duplicates.

A duplicate is found by the fields that the gateway compares (its error 11's documentation), within
the seconds that the request names in `duplicateWindow`: 120 if it names none, 28 800 at most, 0 for
no check. Only where the request names them does the answer tell the first transaction's id.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from sandbox.authorize.calls import (
    CUSTOMER,
    TRANSACTION,
    Call,
    Fields,
)
from sandbox.authorize.cards import Verdict, judged, verdict_of
from sandbox.authorize.customers import card_of
from sandbox.authorize.xml import (
    SUCCESSFUL,
    ApiError,
    Element,
    Field,
    messages,
)
from sandbox.books import Record

WINDOW_SECONDS: Final = 120
WINDOW_SECONDS_MAX: Final = 28_800

_STATUS_BY_REASON: Final = {"252": "FDSPendingReview", "253": "FDSAuthorizedPendingReview"}
_STATUS_BY_RESPONSE: Final = {
    "1": "capturedPendingSettlement",
    "2": "declined",
    "4": "underReview",
}
VOIDABLE: Final = frozenset(
    ("capturedPendingSettlement", "FDSPendingReview", "FDSAuthorizedPendingReview", "underReview")
)
_UNSUCCESSFUL: Final = messages("Error", "E00027", "The transaction was unsuccessful.")


def create_transaction(call: Call) -> Fields:
    """Charges or voids; everything else that the gateway offers is refused."""
    asked = call.request.find("transactionRequest")
    assert asked is not None, "the schema requires it"
    match asked.text("transactionType"):
        case "authCaptureTransaction":
            return _charge(call, asked)
        case "voidTransaction":
            return _void(call, asked)
        case _:
            raise ApiError("E00004", "The sandbox charges (authCapture) and voids, nothing else.")


def _charge(call: Call, asked: Element) -> Fields:
    customer_id = asked.text("profile/customerProfileId")
    customer = call.books.find(call.scope, CUSTOMER, customer_id)
    card = card_of(call, customer_id, asked.text("profile/paymentProfile/paymentProfileId"))
    if customer is None or card is None:
        raise ApiError("E00040", "Customer Profile ID or Customer Payment Profile ID not found.")
    amount = Decimal(asked.text("amount", "0"))
    if amount <= 0 or amount != round(amount, 2):
        return _answered(verdict_of(5), None, card)
    named = _setting(asked, "duplicateWindow")
    window = min(int(named), WINDOW_SECONDS_MAX) if named.isdigit() else WINDOW_SECONDS
    fingerprint = _fingerprint(asked, customer, card, window)
    is_checked = window and call.knows_duplicates
    if is_checked and (first := call.books.last_sent(call.scope, fingerprint, call.now - window)):
        return _answered(verdict_of(11), first if named else None, card)
    verdict = judged(card.private["fingerprint"], card.body["postal_code"], amount)
    if verdict.response_code == "3":
        return _answered(verdict, None, card)  # what is an error leaves no transaction
    transaction = call.keep(_transaction(call, asked, card, verdict))
    call.books.note_sent(call.scope, fingerprint, transaction.id, call.now)
    return _answered(verdict, transaction.id, card)


def _transaction(call: Call, asked: Element, card: Record, verdict: Verdict) -> Record:
    status = _STATUS_BY_RESPONSE[verdict.response_code]
    submitted = datetime.datetime.fromtimestamp(call.now, datetime.UTC)
    return Record(
        TRANSACTION,
        {
            "id": call.new_id(TRANSACTION),
            "created": int(call.now),
            "submitted_at": submitted.isoformat(timespec="milliseconds"),
            "customer": card.body["customer"],
            "card": card.id,
            "type": "authCaptureTransaction",
            "status": _STATUS_BY_REASON.get(verdict.reason_code, status),
            "amount": f"{Decimal(asked.text('amount')):.2f}",
            "currency": asked.text("currencyCode", "USD").lower(),
            "invoice_number": asked.text("order/invoiceNumber"),
            "description": asked.text("order/description"),
            "response_code": verdict.response_code,
            "reason_code": verdict.reason_code,
            "reason": verdict.text,
            "brand": card.body["brand"],
            "last4": card.body["last4"],
        },
    )


def _void(call: Call, asked: Element) -> Fields:
    identifier = asked.text("refTransId")
    transaction = call.books.find(call.scope, TRANSACTION, identifier)
    if transaction is None or transaction.body["status"] not in (*VOIDABLE, "voided"):
        return _answered(verdict_of(16), None, transaction, reference=identifier)
    if transaction.body["status"] == "voided":
        already = Verdict("1", "310", verdict_of(310).text)
        return _answered(already, identifier, transaction, reference=identifier)
    transaction.body["status"] = "voided"
    call.books.change(transaction)
    return _answered(verdict_of(1), identifier, transaction, reference=identifier)


def _setting(asked: Element, name: str) -> str:
    for setting in asked.all("transactionSettings/setting"):
        if setting.text("settingName") == name:
            return setting.text("settingValue")
    return ""


def _fingerprint(asked: Element, customer: Record, card: Record, window: int) -> str:
    """What two requests for the same transaction share."""
    compared: Sequence[Any] = (
        card.private["fingerprint"],
        card.body["expiration_date"],
        card.body["postal_code"],
        customer.body["merchantCustomerId"],
        asked.text("transactionType"),
        str(Decimal(asked.text("amount")).normalize()),
        asked.text("order/invoiceNumber"),
        asked.text("poNumber"),
        window,
    )
    return hashlib.sha256(json.dumps(compared).encode()).hexdigest()


def _answered(
    verdict: Verdict, transaction_id: str | None, card: Record | None, *, reference: str = ""
) -> Fields:
    """The answer to a transaction, its own messages included."""
    is_accepted = verdict.response_code in ("1", "4")
    said: Field = (
        ("messages", [("message", [("code", verdict.reason_code), ("description", verdict.text)])])
        if is_accepted
        else (
            "errors",
            [("error", [("errorCode", verdict.reason_code), ("errorText", verdict.text)])],
        )
    )
    body = card.body if card is not None else {"last4": "", "brand": ""}
    profile: Sequence[Field] | None = None
    if "expiration_date" in body:
        profile = [
            ("customerProfileId", body["customer"]),
            ("customerPaymentProfileId", body["id"]),
        ]
    response: Sequence[Field] = [
        ("responseCode", verdict.response_code),
        ("authCode", "SANDBX" if verdict.response_code == "1" else ""),
        ("avsResultCode", "P"),
        ("cvvResultCode", ""),
        ("cavvResultCode", ""),
        ("transId", transaction_id or "0"),
        ("refTransID", reference),
        ("transHash", ""),
        ("testRequest", "0"),
        ("accountNumber", f"XXXX{body['last4']}" if body["last4"] else ""),
        ("accountType", body["brand"]),
        said,
        ("transHashSha2", ""),
        ("profile", profile),
    ]
    overall = _UNSUCCESSFUL if verdict.response_code == "3" else SUCCESSFUL
    return [overall, ("transactionResponse", response)]
