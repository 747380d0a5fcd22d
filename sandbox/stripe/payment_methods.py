"""Stripe's PaymentMethods, cards only (https://docs.stripe.com/api/payment_methods).

A card number is looked up in the table of test cards here; nothing but its scenario's name, brand
and last four digits goes further.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any, Final

from sandbox.books import Record
from sandbox.stripe import errors, resources
from sandbox.stripe.calls import Call, respond, respond_with_page
from sandbox.stripe.cards import (
    INCORRECT_NUMBER,
    INVALID_CVC,
    INVALID_MONTH,
    INVALID_YEAR,
    NOT_A_TEST_CARD,
    SCENARIOS,
    Decline,
    Scenario,
    TestCard,
    find_card_by_number,
    find_card_by_payment_method,
    find_card_by_token,
    passes_luhn,
)
from sandbox.stripe.errors import Response
from sandbox.stripe.params import (
    ADDRESS,
    EXPAND,
    PAGE,
    Choice,
    Metadata,
    NotModelled,
    Shape,
    Text,
    merge_metadata,
    read,
)

TEST_CARD_LIFE_YEARS: Final = 1  # for cards created from a token or test id

_BILLING_DETAILS: Final[Shape] = {
    "address": ADDRESS,
    **{part: Text(clearable=True) for part in ("email", "name", "phone", "tax_id")},
}
_ALLOW_REDISPLAY: Final = Choice(("always", "limited", "unspecified"))
_CARD: Final[Shape] = {
    "number": Text(),
    "exp_month": Text(),
    "exp_year": Text(),
    "cvc": Text(),
    "token": Text(),
    "networks": NotModelled(),
}
_CREATE: Final[Shape] = {
    **EXPAND,
    "type": Text(),
    "card": _CARD,
    "billing_details": _BILLING_DETAILS,
    "metadata": Metadata(),
    "allow_redisplay": _ALLOW_REDISPLAY,
    "customer": NotModelled(),
    "payment_method": NotModelled(),
    "radar_options": NotModelled(),
}
_UPDATE: Final[Shape] = {
    **EXPAND,
    "card": {"exp_month": Text(), "exp_year": Text(), "networks": NotModelled()},
    "billing_details": _BILLING_DETAILS,
    "metadata": Metadata(),
    "allow_redisplay": _ALLOW_REDISPLAY,
}
_LIST: Final[Shape] = {
    **PAGE,
    "customer": Text(),
    "type": Text(),
    "allow_redisplay": NotModelled(),
    "customer_account": NotModelled(),
}
_ATTACH: Final[Shape] = {**EXPAND, "customer": Text(), "customer_account": NotModelled()}

_SPENT_MESSAGE: Final = (
    "The provided PaymentMethod was previously used with a PaymentIntent without Customer "
    "attachment, shared with a connected account without Customer attachment, or was detached "
    "from a Customer. It may not be used again. To use a PaymentMethod multiple times, you must "
    "attach it to a Customer first."
)


def create_payment_method(call: Call) -> Response:
    """POST /v1/payment_methods, from a test card's number or token."""
    params = read(call.form, _CREATE, required=("type",))
    if params["type"] != "card":
        raise errors.invalid_request(
            "Invalid type: the sandbox stands in for card payment methods only", param="type"
        )
    card_params = params.get("card")
    if card_params is None:
        raise errors.parameter_missing("card")
    params["metadata"] = merge_metadata({}, params.get("metadata"))
    card, expiry = _read_card(call, card_params)
    method = _create(call, card, params, expiry=expiry, cvc_given="cvc" in card_params)
    return respond(call, method.body, params)


def retrieve_payment_method(call: Call) -> Response:
    """GET /v1/payment_methods/{id}; a test id such as `pm_card_visa` creates a new one."""
    params = read(call.form, EXPAND)
    return respond(
        call, get_or_create_method(call, call.ids[0], param="id", in_path=True).body, params
    )


def list_payment_methods(call: Call) -> Response:
    """GET /v1/payment_methods: the cards attached to one customer."""
    params = read(call.form, _LIST)
    if "customer" not in params:
        # Stripe lists the account's own methods here; the sandbox models none.
        return Response(200, resources.build_page([], has_more=False, url=call.path))
    customer = call.require("customer", params["customer"], param="customer")
    return respond_with_methods(call, customer, params)


def respond_with_methods(call: Call, customer: Record, params: Mapping[str, Any]) -> Response:
    """Return a page of the customer's cards; a customer has no other type of method."""
    if params.get("type", "card") != "card":
        return Response(200, resources.build_page([], has_more=False, url=call.path))
    return respond_with_page(call, "payment_method", params, customer=customer.id)


def attach_payment_method(call: Call) -> Response:
    """POST /v1/payment_methods/{id}/attach; the issuer may decline the card."""
    params = read(call.form, _ATTACH, required=("customer",))
    method = get_or_create_method(call, call.ids[0], param="payment_method", in_path=True)
    customer = call.require("customer", params["customer"], param="customer")
    attach(call, method, customer.id)
    return respond(call, method.body, params)


def update_payment_method(call: Call) -> Response:
    """POST /v1/payment_methods/{id}: of an attached card; absent parameters stay unchanged."""
    params = read(call.form, _UPDATE)
    method = call.require("payment_method", call.ids[0], param="payment_method", in_path=True)
    body = method.body
    if body["customer"] is None:
        raise errors.invalid_request(
            "You must save this PaymentMethod to a customer before you can update it.",
            stage=errors.Stage.EXECUTION,
        )
    if card := params.get("card"):
        month, year = (
            card.get(name, str(body["card"][name])) for name in ("exp_month", "exp_year")
        )
        body["card"]["exp_year"], body["card"]["exp_month"] = _read_expiry(call, month, year)
    billing = dict(params.get("billing_details") or {})
    address = billing.pop("address", None) or {}
    body["billing_details"] |= billing
    body["billing_details"]["address"] |= address
    body["metadata"] = merge_metadata(body["metadata"], params.get("metadata"))
    body["allow_redisplay"] = params.get("allow_redisplay", body["allow_redisplay"])
    call.books.update(method)
    return respond(call, body, params)


def detach_payment_method(call: Call) -> Response:
    """POST /v1/payment_methods/{id}/detach; the card cannot be used again."""
    params = read(call.form, EXPAND)
    method = call.require("payment_method", call.ids[0], param="payment_method", in_path=True)
    customer = method.body["customer"]
    if customer is None:
        raise errors.invalid_request(
            "The payment method you provided is not attached to a customer so detachment is "
            "impossible.",
            stage=errors.Stage.EXECUTION,
        )
    method.body["customer"] = None
    method.private["spent"] = True
    call.books.update(method)
    _clear_default(call, customer, method.id)
    return respond(call, method.body, params)


def get_or_create_method(
    call: Call, identifier: str, *, param: str, in_path: bool = False
) -> Record:
    """Return the stored PaymentMethod; a test id such as `pm_card_visa` creates one."""
    card = find_card_by_payment_method(identifier)
    if card is None:
        return call.require("payment_method", identifier, param=param, in_path=in_path)
    return _create(call, card, {}, expiry=_default_expiry(call), cvc_given=True)


def attach(call: Call, method: Record, customer: str) -> None:
    """Attach the card to the customer; raises if another customer has it or it is declined."""
    if method.body["customer"] == customer:
        return
    if method.body["customer"] is not None:
        raise errors.invalid_request(
            "The payment method you provided has already been attached to a customer.",
            stage=errors.Stage.EXECUTION,
        )
    refuse_spent(method)
    decline = get_scenario(method).on_attach
    if decline is not None:
        raise _decline_error(decline)
    method.body["customer"] = customer
    call.books.update(method)


def refuse_spent(method: Record) -> None:
    """Raise Stripe's 400 for a card that was charged unattached, or detached."""
    if method.private.get("spent"):
        raise errors.invalid_request(_SPENT_MESSAGE, stage=errors.Stage.EXECUTION)


def get_scenario(method: Record) -> Scenario:
    """Return the behaviour of a PaymentMethod's test card."""
    return SCENARIOS[method.private["scenario"]]


def _create(
    call: Call,
    card: TestCard,
    params: Mapping[str, Any],
    *,
    expiry: tuple[int, int],
    cvc_given: bool,
) -> Record:
    body = resources.build_payment_method(
        card,
        SCENARIOS[card.scenario],
        params,
        expiry=expiry,
        cvc_given=cvc_given,
        livemode=call.scope.livemode,
        created=call.now,
    )
    return call.add(Record("payment_method", body, {"scenario": card.scenario}))


def _read_card(call: Call, card_params: Mapping[str, str]) -> tuple[TestCard, tuple[int, int]]:
    """Return the test card of `card[token]` or `card[number]`, and its expiry."""
    token = card_params.get("token")
    if token is not None:
        card = find_card_by_token(token)
        if card is None:
            raise errors.resource_missing("token", token, param="card[token]", in_path=False)
        return card, _default_expiry(call)
    for name in ("number", "exp_month", "exp_year"):
        if name not in card_params:
            raise errors.parameter_missing(f"card[{name}]")
    number = re.sub(r"[ -]", "", card_params["number"])
    if not re.fullmatch(r"[0-9]{12,19}", number) or not passes_luhn(number):
        raise _decline_error(INCORRECT_NUMBER)
    card = find_card_by_number(number)
    if card is None:
        raise _decline_error(NOT_A_TEST_CARD)
    if not re.fullmatch(r"[0-9]{3,4}", card_params.get("cvc", "000")):
        raise _decline_error(INVALID_CVC)
    return card, _read_expiry(call, card_params["exp_month"], card_params["exp_year"])


def _read_expiry(call: Call, month_text: str, year_text: str) -> tuple[int, int]:
    """Return (year, month), this month or later; the year may have two digits."""
    today = datetime.datetime.fromtimestamp(call.now, datetime.UTC)
    month = int(month_text) if re.fullmatch(r"[0-9]{1,2}", month_text) else 0
    if not 1 <= month <= 12:
        raise _decline_error(INVALID_MONTH)
    year = int(year_text) if re.fullmatch(r"[0-9]{2}|[0-9]{4}", year_text) else 0
    year += 2000 if len(year_text) == len("30") else 0
    if not today.year <= year <= today.year + 50:
        raise _decline_error(INVALID_YEAR)
    if (year, month) < (today.year, today.month):
        raise _decline_error(INVALID_MONTH)
    return year, month


def _default_expiry(call: Call) -> tuple[int, int]:
    today = datetime.datetime.fromtimestamp(call.now, datetime.UTC)
    return today.year + TEST_CARD_LIFE_YEARS, today.month


def _decline_error(decline: Decline) -> errors.StripeError:
    return errors.card_refused(
        decline.message, code=decline.code, decline_code=decline.decline_code, param=decline.param
    )


def _clear_default(call: Call, customer_id: str, method_id: str) -> None:
    customer = call.books.find(call.scope, "customer", customer_id)
    if customer is None:
        return
    settings = customer.body["invoice_settings"]
    if settings["default_payment_method"] == method_id:
        settings["default_payment_method"] = None
        call.books.update(customer)
