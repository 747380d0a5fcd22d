"""Customer profiles and the cards in them: made once, known again, never with a card's number.

What counts as the same profile: https://developer.authorize.net/api/reference/features/
customer_profiles.html#Duplicate_Profile_Verification. A customer by id, description and email; a
customer's card by number and billing address, whatever its expiration date.
"""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from typing import Any, Final

from sandbox.authorize.calls import (
    CARD,
    CUSTOMER,
    Call,
    Fields,
)
from sandbox.authorize.cards import (
    Verdict,
    brand_of,
    fingerprint_of,
    judged,
    verdict_of,
)
from sandbox.authorize.xml import ApiError, Element, Field
from sandbox.books import PageQuery, Record

_ALL: Final = 10_000
_IDENTITY: Final = ("merchantCustomerId", "description", "email")
_DATE: Final = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_WITHOUT_CHECK: Final = frozenset(("", "none", "testMode"))


def create_customer_profile(call: Call) -> Fields:
    """createCustomerProfileRequest, with any number of cards."""
    profile = call.request.find("profile")
    assert profile is not None, "the schema requires it"
    identity = {name: profile.text(name) for name in _IDENTITY}
    if not any(identity.values()):
        raise ApiError("E00041", "One or more fields must contain a value.")
    for known in call.books.page(call.scope, CUSTOMER, PageQuery(limit=_ALL))[0]:
        if all(known.body[name] == value for name, value in identity.items()):
            raise ApiError("E00039", f"A duplicate record with ID {known.id} already exists.")
    customer = Record(CUSTOMER, {"id": call.new_id(CUSTOMER), "created": int(call.now), **identity})
    call.keep(customer)
    added = [_add_card(call, customer.id, card) for card in profile.all("paymentProfiles")]
    return [
        ("customerProfileId", customer.id),
        ("customerPaymentProfileIdList", [("numericString", card.id) for card, _ in added]),
        ("customerShippingAddressIdList", []),
        ("validationDirectResponseList", [("string", said) for _, said in added if said]),
    ]


def create_payment_profile(call: Call) -> Fields:
    """CreateCustomerPaymentProfileRequest."""
    customer = _customer(call)
    given = call.request.find("paymentProfile")
    assert given is not None, "the schema requires it"
    card, said = _add_card(call, customer.id, given)
    return [
        ("customerProfileId", customer.id),
        ("customerPaymentProfileId", card.id),
        ("validationDirectResponse", said),
    ]


def update_payment_profile(call: Call) -> Fields:
    """updateCustomerPaymentProfileRequest: the card becomes what is given."""
    customer = _customer(call)
    given = call.request.find("paymentProfile")
    assert given is not None, "the schema requires it"
    card = card_of(call, customer.id, given.text("customerPaymentProfileId"))
    if card is None:
        raise _not_found()
    body, private = _card(given)
    said = _checked(call, body, private)
    card.body |= body
    card.private |= private
    call.books.change(card)
    return [("validationDirectResponse", said)]


def card_of(call: Call, customer_id: str, card_id: str) -> Record | None:
    """A customer's card."""
    card = call.books.find(call.scope, CARD, card_id)
    return card if card is not None and card.body["customer"] == customer_id else None


def _customer(call: Call) -> Record:
    found = call.books.find(call.scope, CUSTOMER, call.request.text("customerProfileId"))
    if found is None:
        raise _not_found()
    return found


def _not_found() -> ApiError:
    return ApiError("E00040", "The record cannot be found.")


def _add_card(call: Call, customer_id: str, given: Element) -> tuple[Record, str | None]:
    """A new card of the customer, and what its check said."""
    body, private = _card(given)
    for known in call.books.page(call.scope, CARD, PageQuery(limit=_ALL, customer=customer_id))[0]:
        same_card = known.private["fingerprint"] == private["fingerprint"]
        if same_card and known.body["postal_code"] == body["postal_code"]:
            raise ApiError(
                "E00039",
                "A duplicate customer payment profile already exists.",
                [("customerProfileId", customer_id), ("customerPaymentProfileId", known.id)],
            )
    said = _checked(call, body, private)
    identity = {"id": call.new_id(CARD), "created": int(call.now), "customer": customer_id}
    return call.keep(Record(CARD, identity | body, private)), said


def _card(given: Element) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is shown and what is kept of a card that is given."""
    number = given.text("payment/creditCard/cardNumber")
    if not number:
        raise ApiError("E00029", "The sandbox takes credit cards only.")
    body = {
        "brand": brand_of(number) or "",
        "last4": number[-4:],
        "expiration_date": given.text("payment/creditCard/expirationDate"),
        "postal_code": given.text("billTo/zip"),
    }
    return body, {"fingerprint": fingerprint_of(number) if body["brand"] else ""}


def _checked(call: Call, body: dict[str, Any], private: dict[str, Any]) -> str | None:
    """What the check of a card said, where one was asked for; raises E00027 if it failed."""
    verdict = _verdict(call, body, private)
    said = _direct_response(verdict, body)
    if verdict.response_code == "1":
        asked = call.request.text("validationMode") not in _WITHOUT_CHECK
        return said if asked else None
    single: Field = ("validationDirectResponse", said)
    several: Field = ("validationDirectResponseList", [("string", said)])
    is_first = call.request.name == "createCustomerProfileRequest"
    raise ApiError("E00027", verdict.text, [several if is_first else single])


def _verdict(call: Call, body: dict[str, Any], private: dict[str, Any]) -> Verdict:
    if not private["fingerprint"]:
        return verdict_of(6)
    if not _DATE.fullmatch(body["expiration_date"]):
        return verdict_of(7)
    today = datetime.datetime.fromtimestamp(call.now, datetime.UTC)
    if body["expiration_date"] < today.strftime("%Y-%m"):
        return verdict_of(8)
    if call.request.text("validationMode") in _WITHOUT_CHECK:
        return verdict_of(1)
    return judged(private["fingerprint"], body["postal_code"], Decimal(0))


def _direct_response(verdict: Verdict, body: dict[str, Any]) -> str:
    """The old comma-separated answer, of which nothing but its begin and the card matter here."""
    begin = [verdict.response_code, "1", verdict.reason_code, verdict.text.replace(",", "")]
    approval = ["SANDBX", "Y"] if verdict.response_code == "1" else ["", "P"]
    middle = ["0", "none", "Test transaction for ValidateCustomerPaymentProfile.", "0.00", "CC"]
    card = [f"XXXX{body['last4']}", body["brand"]]
    fields = [*begin, *approval, *middle, "auth_only"]
    return ",".join([*fields, *[""] * (50 - len(fields)), *card, *[""] * 16])
