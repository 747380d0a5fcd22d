"""createTransactionRequest: charges, authorizes, captures, voids, refunds; finds duplicates.

| status           | event                         | next status                      |
|------------------|-------------------------------|----------------------------------|
| -                | charge approved               | capturedPendingSettlement        |
| -                | authorization approved        | authorizedPendingCapture         |
| authorized       | capture of at most its amount | capturedPendingSettlement        |
| authorized       | capture of more               | unchanged, reason 47             |
| captured         | capture                       | unchanged, reason 311            |
| any other        | capture                       | unchanged, reason 16             |
| -                | either declined               | declined                         |
| -                | charge in review, reason 252  | FDSPendingReview                 |
| -                | charge in review, reason 253  | FDSAuthorizedPendingReview       |
| -                | charge in review, reason 193  | underReview                      |
| -                | charge is an error            | no transaction                   |
| voidable         | void                          | voided                           |
| voided           | void                          | voided, reason 310               |
| any other        | void                          | unchanged, reason 16             |
| settled          | refund of at most the rest    | a refund, refundPendingSettlement|
| settled          | refund of more than the rest  | no refund, reason 55             |
| any other        | refund                        | no refund, reason 54             |

Voidable: authorizedPendingCapture, capturedPendingSettlement, refundPendingSettlement and the three
reviews. A capture keeps the transaction's id. What else happens to one is in `settlement`.

A duplicate has the same values in the fields that the gateway compares (documentation of its error
11) within `duplicateWindow` seconds: 120 if the request names none, at most 28 800, 0 for no check.
Only if the request names a window does the response contain the first transaction's id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from sandbox.authorize.calls import (
    AUTHORIZED,
    CAPTURED,
    CUSTOMER,
    IN_REVIEW,
    TRANSACTION,
    Call,
    Fields,
    format_moment,
    generate_id,
)
from sandbox.authorize.cards import ChargeResult, charge_card, get_result
from sandbox.authorize.customers import find_card
from sandbox.authorize.settlement import add_refund, get_refundable
from sandbox.authorize.xml import SUCCESSFUL, ApiError, Element, Field, messages
from sandbox.books import Record

WINDOW_SECONDS: Final = 120
WINDOW_SECONDS_MAX: Final = 28_800
REFUND_SECONDS_MAX: Final = 180 * 24 * 60 * 60
"""How long after its charge a refund is accepted (responseCodes.html?code=54)."""

_STATUS_BY_REASON: Final = {"252": "FDSPendingReview", "253": "FDSAuthorizedPendingReview"}
_STATUS_BY_RESPONSE: Final = {"1": "capturedPendingSettlement", "2": "declined", "4": "underReview"}
_VOIDABLE: Final = (
    AUTHORIZED,
    "capturedPendingSettlement",
    "refundPendingSettlement",
    *IN_REVIEW,
)
_UNSUCCESSFUL: Final = messages("Error", "E00027", "The transaction was unsuccessful.")


def create_transaction(call: Call) -> Fields:
    """Charge, authorize, capture, void or refund; other types are refused."""
    request = call.request.find("transactionRequest")
    assert request is not None, "the schema requires it"
    match request.text("transactionType"):
        case "authCaptureTransaction" | "authOnlyTransaction":
            return _charge(call, request)
        case "priorAuthCaptureTransaction":
            return _capture(call, request)
        case "voidTransaction":
            return _void(call, request)
        case "refundTransaction":
            return _refund(call, request)
        case _:
            raise ApiError("E00004", "The sandbox has no such type of transaction.")


def _charge(call: Call, request: Element) -> Fields:
    customer_id = request.text("profile/customerProfileId")
    customer = call.books.find(call.scope, CUSTOMER, customer_id)
    card = find_card(call, customer_id, request.text("profile/paymentProfile/paymentProfileId"))
    if customer is None or card is None:
        raise ApiError("E00040", "Customer Profile ID or Customer Payment Profile ID not found.")
    amount = Decimal(request.text("amount", "0"))
    if amount <= 0 or amount != round(amount, 2):
        return _respond(get_result(5), None, card)
    requested_window = _read_setting(request, "duplicateWindow")
    window = WINDOW_SECONDS
    if requested_window.isdigit():
        window = min(int(requested_window), WINDOW_SECONDS_MAX)
    fingerprint = _fingerprint(request, customer, card, window)
    if window and call.detects_duplicates:
        first = call.books.find_by_fingerprint(call.scope, fingerprint, call.now - window)
        if first is not None:
            return _respond(get_result(11), first if requested_window else None, card)
    result = charge_card(card.private["fingerprint"], card.body["postal_code"], amount)
    if result.response_code == "3":
        return _respond(result, None, card)
    transaction = call.add(_build_transaction(call, request, card, result))
    call.books.store_fingerprint(call.scope, fingerprint, transaction.id, call.now)
    return _respond(result, transaction.id, card, user_fields=transaction.body["user_fields"])


def _build_transaction(call: Call, request: Element, card: Record, result: ChargeResult) -> Record:
    kind = request.text("transactionType")
    status = _STATUS_BY_RESPONSE[result.response_code]
    if result.response_code == "1" and kind == "authOnlyTransaction":
        status = AUTHORIZED
    return Record(
        TRANSACTION,
        {
            "id": generate_id(TRANSACTION),
            "created": int(call.now),
            "submitted_at": format_moment(call.now),
            "customer": card.body["customer"],
            "card": card.id,
            "type": kind,
            "status": _STATUS_BY_REASON.get(result.reason_code, status),
            "amount": f"{Decimal(request.text('amount')):.2f}",
            "currency": request.text("currencyCode", "USD").lower(),
            "invoice_number": request.text("order/invoiceNumber"),
            "description": request.text("order/description"),
            "user_fields": _read_user_fields(request),
            "response_code": result.response_code,
            "reason_code": result.reason_code,
            "reason": result.text,
            "brand": card.body["brand"],
            "last4": card.body["last4"],
        },
    )


def _capture(call: Call, request: Element) -> Fields:
    identifier = request.text("refTransId")
    transaction = call.books.find(call.scope, TRANSACTION, identifier)
    if transaction is not None and transaction.body["status"] in CAPTURED:
        captured = ChargeResult("1", "311", get_result(311).text)
        return _respond(captured, identifier, transaction, reference=identifier)
    if transaction is None or transaction.body["status"] != AUTHORIZED:
        return _respond(get_result(16), None, transaction, reference=identifier)
    authorized = Decimal(transaction.body["amount"])
    amount = Decimal(request.text("amount") or authorized)
    if amount <= 0 or amount != round(amount, 2):
        return _respond(get_result(5), None, transaction, reference=identifier)
    if amount > authorized:
        return _respond(get_result(47), None, transaction, reference=identifier)
    transaction.body |= {"status": "capturedPendingSettlement", "captured_amount": f"{amount:.2f}"}
    call.books.update(transaction)
    return _respond(get_result(1), identifier, transaction, reference=identifier)


def _void(call: Call, request: Element) -> Fields:
    identifier = request.text("refTransId")
    transaction = call.books.find(call.scope, TRANSACTION, identifier)
    if transaction is None or transaction.body["status"] not in (*_VOIDABLE, "voided"):
        return _respond(get_result(16), None, transaction, reference=identifier)
    if transaction.body["status"] == "voided":
        already_voided = ChargeResult("1", "310", get_result(310).text)
        return _respond(already_voided, identifier, transaction, reference=identifier)
    transaction.body["status"] = "voided"
    call.books.update(transaction)
    return _respond(get_result(1), identifier, transaction, reference=identifier)


def _refund(call: Call, request: Element) -> Fields:
    """Refund a settled charge; the card's last four digits must be those that were charged."""
    identifier = request.text("refTransId")
    charged = call.books.find(call.scope, TRANSACTION, identifier)
    amount = Decimal(request.text("amount", "0"))
    number = request.text("payment/creditCard/cardNumber")
    if charged is None:
        return _respond(get_result(16), None, None, reference=identifier)
    if amount <= 0 or amount != round(amount, 2):
        return _respond(get_result(5), None, charged, reference=identifier)
    requested_window = _read_setting(request, "duplicateWindow")
    window = min(int(requested_window or WINDOW_SECONDS), WINDOW_SECONDS_MAX)
    fingerprint = _fingerprint_refund(request, window)
    if window and call.detects_duplicates:
        first = call.books.find_by_fingerprint(call.scope, fingerprint, call.now - window)
        if first is not None:
            shown = first if requested_window else None
            return _respond(get_result(11), shown, charged, reference=identifier)
    is_old = call.now - charged.body["created"] > REFUND_SECONDS_MAX
    if charged.body["status"] != "settledSuccessfully" or is_old:
        return _respond(get_result(54), None, charged, reference=identifier)
    if number[-4:] != charged.body["last4"]:
        return _respond(get_result(6), None, charged, reference=identifier)
    if amount > get_refundable(call.books, call.scope, charged):
        return _respond(get_result(55), None, charged, reference=identifier)
    refund = add_refund(
        call.books,
        call.scope,
        charged,
        amount,
        request.text("order/invoiceNumber"),
        _read_user_fields(request),
    )
    call.books.store_fingerprint(call.scope, fingerprint, refund.id, call.now)
    return _respond(
        get_result(1),
        refund.id,
        charged,
        reference=identifier,
        user_fields=refund.body["user_fields"],
    )


def _fingerprint_refund(request: Element, window: int) -> str:
    compared = (
        *(request.text(name) for name in ("transactionType", "refTransId", "amount")),
        request.text("order/invoiceNumber"),
        window,
    )
    return hashlib.sha256(json.dumps(compared).encode()).hexdigest()


def _read_user_fields(request: Element) -> dict[str, str]:
    return {each.text("name"): each.text("value") for each in request.all("userFields/userField")}


def _read_setting(request: Element, name: str) -> str:
    for setting in request.all("transactionSettings/setting"):
        if setting.text("settingName") == name:
            return setting.text("settingValue")
    return ""


def _fingerprint(request: Element, customer: Record, card: Record, window: int) -> str:
    """Return a digest of the fields that make a request a duplicate."""
    compared: Sequence[Any] = (
        card.private["fingerprint"],
        card.body["expiration_date"],
        card.body["postal_code"],
        customer.body["merchantCustomerId"],
        request.text("transactionType"),
        str(Decimal(request.text("amount")).normalize()),
        request.text("order/invoiceNumber"),
        request.text("poNumber"),
        window,
    )
    return hashlib.sha256(json.dumps(compared).encode()).hexdigest()


def _respond(
    result: ChargeResult,
    transaction_id: str | None,
    card: Record | None,
    *,
    reference: str = "",
    user_fields: Mapping[str, str] | None = None,
) -> Fields:
    """Return the fields of a createTransactionResponse."""
    is_accepted = result.response_code in ("1", "4")
    result_messages: Field = (
        ("messages", [("message", [("code", result.reason_code), ("description", result.text)])])
        if is_accepted
        else (
            "errors",
            [("error", [("errorCode", result.reason_code), ("errorText", result.text)])],
        )
    )
    body = card.body if card is not None else {"last4": "", "brand": ""}
    profile: Sequence[Field] | None = None
    if "expiration_date" in body:
        profile = [
            ("customerProfileId", body["customer"]),
            ("customerPaymentProfileId", body["id"]),
        ]
    echoed: Sequence[Field] = [
        ("userField", [("name", name), ("value", value)])
        for name, value in (user_fields or {}).items()
    ]
    response: Sequence[Field] = [
        ("responseCode", result.response_code),
        ("authCode", "SANDBX" if result.response_code == "1" else ""),
        ("avsResultCode", "P"),
        ("cvvResultCode", ""),
        ("cavvResultCode", ""),
        ("transId", transaction_id or "0"),
        ("refTransID", reference),
        ("transHash", ""),
        ("testRequest", "0"),
        ("accountNumber", f"XXXX{body['last4']}" if body["last4"] else ""),
        ("accountType", body["brand"]),
        result_messages,
        ("userFields", echoed or None),
        ("transHashSha2", ""),
        ("profile", profile),
    ]
    overall = _UNSUCCESSFUL if result.response_code == "3" else SUCCESSFUL
    return [overall, ("transactionResponse", response)]
