"""Customer profiles and their cards; duplicates are refused, card numbers are not stored.

A customer is a duplicate by id, description and email; a customer's card by number and billing
address, whatever its expiration date. https://developer.authorize.net/api/reference/features/
customer_profiles.html#Duplicate_Profile_Verification
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from sandbox.authorize.calls import (
    CARD,
    CUSTOMER,
    AnswerFormat,
    Call,
    CardInput,
    Fields,
    generate_id,
)
from sandbox.authorize.cards import (
    ECHECK,
    ChargeResult,
    charge_card,
    find_brand,
    fingerprint_card,
    get_result,
)
from sandbox.authorize.xml import ApiError, Element, Field
from sandbox.books import PageQuery, Record

_ALL: Final = 10_000
_IDENTITY: Final = ("merchantCustomerId", "description", "email")
_LOOKUP: Final = {
    # By the request's element: the field of the customer.
    "customerProfileId": "id",
    "merchantCustomerId": "merchantCustomerId",
    "email": "email",
}
_BILL_TO: Final = (
    "firstName",
    "lastName",
    "company",
    "address",
    "city",
    "state",
    "zip",
    "country",
    "phoneNumber",
    "faxNumber",
    "email",
)
_EXPIRATION_DATE: Final = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_TRUE: Final = ("true", "1")
_WITHOUT_VALIDATION: Final = frozenset(("", "none", "testMode"))


def create_customer_profile(call: Call) -> Fields:
    """Handle createCustomerProfileRequest, with any number of cards."""
    profile = call.request.find("profile")
    assert profile is not None, "the schema requires it"
    identity = {name: profile.text(name) for name in _IDENTITY}
    if not any(identity.values()):
        raise ApiError("E00041", "One or more fields must contain a value.")
    for existing in call.books.list_page(call.scope, CUSTOMER, PageQuery(limit=_ALL))[0]:
        if all(existing.body[name] == value for name, value in identity.items()):
            name = f" with ID {existing.id}" if call.answer_format.names_duplicates else ""
            raise ApiError("E00039", f"A duplicate record{name} already exists.", _lists())
    customer = Record(CUSTOMER, {"id": generate_id(CUSTOMER), "created": int(call.now), **identity})
    call.add(customer)
    added = [_add_card(call, customer.id, card) for card in profile.all("paymentProfiles")]
    cards = [card.id for card, _ in added]
    return [("customerProfileId", customer.id), *_lists(cards, [text for _, text in added if text])]


def _lists(cards: Sequence[str] = (), validations: Sequence[str] = ()) -> Fields:
    """Return the lists that each response about a new customer has."""
    return [
        ("customerPaymentProfileIdList", [("numericString", card) for card in cards]),
        ("customerShippingAddressIdList", []),
        ("validationDirectResponseList", [("string", text) for text in validations]),
    ]


def get_customer_profile(call: Call) -> Fields:
    """Handle getCustomerProfileRequest: by the gateway's id, or the newest by the merchant's."""
    asked = {field: call.request.text(name) for name, field in _LOOKUP.items()}
    if not any(asked.values()):
        raise ApiError("E00041", "One or more fields must contain a value.")
    for customer in call.books.list_page(call.scope, CUSTOMER, PageQuery(limit=_ALL))[0]:
        if all(value in ("", customer.body[field]) for field, value in asked.items()):
            return [("profile", _show_customer(call, customer))]
    raise _not_found()


def delete_customer_profile(call: Call) -> Fields:
    """Handle deleteCustomerProfileRequest, with the customer's cards."""
    customer = _get_customer(call)
    for record in (customer, *_cards_of(call, customer.id)):
        call.books.delete(record)
    return []


def get_payment_profile(call: Call) -> Fields:
    """Handle getCustomerPaymentProfileRequest."""
    return [("paymentProfile", _show_card(call, _get_card(call)))]


def delete_payment_profile(call: Call) -> Fields:
    """Handle deleteCustomerPaymentProfileRequest."""
    card = _get_card(call)
    card.body["is_deleted"] = True  # for the event
    call.books.update(card)
    call.books.delete(card)
    return []


def create_payment_profile(call: Call) -> Fields:
    """Handle createCustomerPaymentProfileRequest."""
    customer = _get_customer(call)
    profile = call.request.find("paymentProfile")
    assert profile is not None, "the schema requires it"
    card, direct_response = _add_card(call, customer.id, profile)
    return [
        ("customerProfileId", customer.id),
        ("customerPaymentProfileId", card.id),
        ("validationDirectResponse", direct_response),
    ]


def update_payment_profile(call: Call) -> Fields:
    """Handle updateCustomerPaymentProfileRequest: replaces the card's data, masked values aside."""
    profile = call.request.find("paymentProfile")
    assert profile is not None, "the schema requires it"
    card = _get_card(call, "paymentProfile/customerPaymentProfileId")
    body, private, code = _read_card(call, profile, card)
    if body["is_default"]:
        _clear_default(call, card.body["customer"])
    private = card.private | private
    direct_response = _validate(call, body, private, code)
    card.body |= body
    card.private |= private
    call.books.update(card)
    return [("validationDirectResponse", direct_response)]


def find_card(call: Call, customer_id: str, card_id: str) -> Record | None:
    """Return the customer's card."""
    card = call.books.find(call.scope, CARD, card_id)
    return card if card is not None and card.body["customer"] == customer_id else None


def _get_customer(call: Call) -> Record:
    found = call.books.find(call.scope, CUSTOMER, call.request.text("customerProfileId"))
    if found is None:
        raise _not_found()
    return found


def _get_card(call: Call, path: str = "customerPaymentProfileId") -> Record:
    found = find_card(call, _get_customer(call).id, call.request.text(path))
    if found is None:
        raise _not_found()
    return found


def _cards_of(call: Call, customer_id: str) -> list[Record]:
    return call.books.list_page(call.scope, CARD, PageQuery(limit=_ALL, customer=customer_id))[0]


def _show_customer(call: Call, customer: Record) -> Fields:
    cards = [("paymentProfiles", _show_card(call, card)) for card in _cards_of(call, customer.id)]
    identity = [(name, customer.body[name] or None) for name in _IDENTITY]
    return [*identity, ("customerProfileId", customer.id), *cards]


def _show_card(call: Call, card: Record) -> Fields:
    """Return a card with its number masked; its date is shown on request."""
    is_unmasked = call.request.text("unmaskExpirationDate") in _TRUE
    bill_to = [*card.body["bill_to"].items()]
    number = f"XXXX{card.body['last4']}"
    shown: Field = (
        "creditCard",
        [
            ("cardNumber", number),
            ("expirationDate", card.body["expiration_date"] if is_unmasked else "XXXX"),
            ("cardType", card.body["brand"]),
        ],
    )
    if card.body["brand"] == ECHECK:
        shown = ("bankAccount", [("accountNumber", number)])
    return [
        ("customerType", card.body.get("customer_type") or None),
        ("billTo", bill_to or None),
        ("customerPaymentProfileId", card.id),
        ("defaultPaymentProfile", "true" if card.body.get("is_default") else None),
        ("payment", [shown]),
    ]


def _clear_default(call: Call, customer_id: str) -> None:
    """Have no default card: a customer has one at most."""
    for card in _cards_of(call, customer_id):
        if card.body.get("is_default"):
            card.body["is_default"] = False
            call.books.update(card)


def _not_found() -> ApiError:
    return ApiError("E00040", "The record cannot be found.")


def _add_card(call: Call, customer_id: str, profile: Element) -> tuple[Record, str | None]:
    """Store a new card of the customer; return it and its validation's direct response."""
    body, private, code = _read_card(call, profile)
    for existing in _cards_of(call, customer_id):
        same_card = existing.private["fingerprint"] == private["fingerprint"]
        if same_card and existing.body["postal_code"] == body["postal_code"]:
            ids = [("customerProfileId", customer_id), ("customerPaymentProfileId", existing.id)]
            raise ApiError(
                "E00039",
                "A duplicate customer payment profile already exists.",
                ids if call.answer_format.names_duplicates else (),
            )
    direct_response = _validate(call, body, private, code)
    if body["is_default"]:
        _clear_default(call, customer_id)
    identity = {"id": generate_id(CARD), "created": int(call.now), "customer": customer_id}
    return call.add(Record(CARD, identity | body, private)), direct_response


def _read_input(call: Call, profile: Element) -> CardInput:
    """Return the card data of a request; a nonce for it is spent now."""
    opaque = profile.find("payment/opaqueData")
    if opaque is not None:
        return call.take_nonce(
            call.scope.account, opaque.text("dataDescriptor"), opaque.text("dataValue")
        )
    path = "payment/creditCard"
    number = profile.text(f"{path}/cardNumber")
    if not number:
        raise ApiError("E00029", "The sandbox takes credit cards only.")
    date, code = profile.text(f"{path}/expirationDate"), profile.text(f"{path}/cardCode")
    return CardInput(number, date, code, "")


def _read_card(
    call: Call, profile: Element, stored: Record | None = None
) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return the body and the private part of the card's record, and its security code.

    A masked number or date, as the gateway shows it, is that of the stored card.
    """
    given = _read_input(call, profile)
    number, date = given.number, given.expiration_date
    if stored is not None and date == "XXXX":
        date = stored.body["expiration_date"]
    bill_to = {name: profile.text(f"billTo/{name}") for name in _BILL_TO}
    body = {
        "brand": ECHECK if given.is_bank_account else find_brand(number) or "",
        "last4": number[-4:],
        "expiration_date": date,
        "postal_code": bill_to["zip"] or given.postal_code,
        "bill_to": {name: text for name, text in bill_to.items() if text},
        "customer_type": profile.text("customerType"),
        "is_default": profile.text("defaultPaymentProfile") in _TRUE,
    }
    if stored is not None and number == f"XXXX{stored.body['last4']}":
        return body | {"brand": stored.body["brand"]}, {}, given.code
    return body, {"fingerprint": fingerprint_card(number) if body["brand"] else ""}, given.code


def _validate(call: Call, body: dict[str, Any], private: dict[str, Any], code: str) -> str | None:
    """Return the direct response if validation was requested; raises E00027 if it fails."""
    result = _get_validation_result(call, body, private, code)
    direct_response = _direct_response(result, body, call.answer_format)
    if result.response_code == "1":
        is_requested = call.request.text("validationMode") not in _WITHOUT_VALIDATION
        return direct_response if is_requested else None
    is_new_customer = call.request.name == "createCustomerProfileRequest"
    single: Fields = [("validationDirectResponse", direct_response)]
    raise ApiError(
        "E00027", result.text, _lists((), [direct_response]) if is_new_customer else single
    )


def _get_validation_result(
    call: Call, body: dict[str, Any], private: dict[str, Any], code: str
) -> ChargeResult:
    if not private["fingerprint"]:
        return get_result(6)
    if body["brand"] == ECHECK:
        return get_result(1)
    if not _EXPIRATION_DATE.fullmatch(body["expiration_date"]):
        return get_result(7)
    today = datetime.datetime.fromtimestamp(call.now, datetime.UTC)
    if body["expiration_date"] < today.strftime("%Y-%m"):
        return get_result(8)
    if call.request.text("validationMode") in _WITHOUT_VALIDATION:
        return get_result(1)
    return charge_card(private["fingerprint"], body["postal_code"], Decimal(0), code)


def _direct_response(result: ChargeResult, body: dict[str, Any], form: AnswerFormat) -> str:
    """Return the old response of separated fields; only its beginning and the card are modelled."""
    begin = [result.response_code, "1", result.reason_code, result.text.replace(",", "")]
    approval = ["SANDBX", "Y"] if result.response_code == "1" else ["", "P"]
    middle = ["0", "none", "Test transaction for ValidateCustomerPaymentProfile.", "0.00", "CC"]
    card = [f"XXXX{body['last4']}", body["brand"]]
    fields = [*begin, *approval, *middle, "auth_only"]
    padded = [*fields, *[""] * (50 - len(fields)), *card, *[""] * 16]
    return form.separator.join(f"{form.enclosing}{each}{form.enclosing}" for each in padded)
