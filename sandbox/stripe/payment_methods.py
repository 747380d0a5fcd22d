"""Stripe's PaymentMethods, cards only (https://docs.stripe.com/api/payment_methods).

A card number passes through here and nowhere else: it is looked up in the table of published
test cards, and from then on only its scenario's name, brand and last four digits are known.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any, Final

from sandbox.books import Record
from sandbox.stripe import errors as errors
from sandbox.stripe import resources as resources
from sandbox.stripe.calls import Call, listed, shown
from sandbox.stripe.cards import (
    NOT_A_TEST_CARD,
    SCENARIOS,
    Decline,
    Scenario,
    TestCard,
    card_of_number,
    card_of_payment_method,
    card_of_token,
    passes_luhn,
)
from sandbox.stripe.errors import Answer
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

TEST_CARD_LIFE_YEARS: Final = 1  # the expiry of cards made of a token

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
    "billing_details": {
        "address": ADDRESS,
        **{part: Text(may_unset=True) for part in ("email", "name", "phone", "tax_id")},
    },
    "metadata": Metadata(),
    "allow_redisplay": _ALLOW_REDISPLAY,
    "customer": NotModelled(),
    "payment_method": NotModelled(),
    "radar_options": NotModelled(),
}
_LIST: Final[Shape] = {
    **PAGE,
    "customer": Text(),
    "type": Text(),
    "allow_redisplay": NotModelled(),
    "customer_account": NotModelled(),
}
_ATTACH: Final[Shape] = {**EXPAND, "customer": Text(), "customer_account": NotModelled()}

_SPENT: Final = (
    "The provided PaymentMethod was previously used with a PaymentIntent without Customer "
    "attachment, shared with a connected account without Customer attachment, or was detached "
    "from a Customer. It may not be used again. To use a PaymentMethod multiple times, you must "
    "attach it to a Customer first."
)


def create_payment_method(call: Call) -> Answer:
    """POST /v1/payment_methods, from a published card number or token."""
    params = read(call.form, _CREATE, required=("type",))
    if params["type"] != "card":
        raise errors.invalid_request(
            "Invalid type: the sandbox stands in for card payment methods only", param="type"
        )
    given = params.get("card")
    if given is None:
        raise errors.parameter_missing("card")
    params["metadata"] = merge_metadata({}, params.get("metadata"))
    card, expires = _card_given(call, given)
    method = _made(call, card, params, expires=expires, cvc_given="cvc" in given)
    return shown(call, method.body, params)


def retrieve_payment_method(call: Call) -> Answer:
    """GET /v1/payment_methods/{id}; `pm_card_visa` and its like answer a new one."""
    params = read(call.form, EXPAND)
    return shown(call, resolved(call, call.ids[0], param="id", in_path=True).body, params)


def list_payment_methods(call: Call) -> Answer:
    """GET /v1/payment_methods of one customer, cards that are attached now."""
    params = read(call.form, _LIST)
    if "customer" not in params:
        # Stripe lists here what belongs to the account itself; the sandbox has nothing such.
        return Answer(200, resources.page([], has_more=False, url=call.path))
    customer = call.require("customer", params["customer"], param="customer")
    if params.get("type", "card") != "card":
        return Answer(200, resources.page([], has_more=False, url=call.path))
    return listed(call, "payment_method", params, customer=customer.id)


def attach_payment_method(call: Call) -> Answer:
    """POST /v1/payment_methods/{id}/attach; the card's issuer may decline it here."""
    params = read(call.form, _ATTACH, required=("customer",))
    method = resolved(call, call.ids[0], param="payment_method", in_path=True)
    customer = call.require("customer", params["customer"], param="customer")
    attached(call, method, customer.id)
    return shown(call, method.body, params)


def detach_payment_method(call: Call) -> Answer:
    """POST /v1/payment_methods/{id}/detach; a detached card may not be used again."""
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
    call.books.change(method)
    _forget_default(call, customer, method.id)
    return shown(call, method.body, params)


def resolved(call: Call, identifier: str, *, param: str, in_path: bool = False) -> Record:
    """The stored PaymentMethod, or a new one where a published test id is named."""
    card = card_of_payment_method(identifier)
    if card is None:
        return call.require("payment_method", identifier, param=param, in_path=in_path)
    return _made(call, card, {}, expires=_default_expiry(call), cvc_given=True)


def attached(call: Call, method: Record, customer: str) -> None:
    """Attaches the card to the customer, unless another has it or its issuer declines."""
    if method.body["customer"] == customer:
        return
    if method.body["customer"] is not None:
        raise errors.invalid_request(
            "The payment method you provided has already been attached to a customer.",
            stage=errors.Stage.EXECUTION,
        )
    refuse_spent(method)
    decline = scenario_of(method).on_attach
    if decline is not None:
        raise _refused(decline)
    method.body["customer"] = customer
    call.books.change(method)


def refuse_spent(method: Record) -> None:
    """Refuses a card that was used unattached, or detached."""
    if method.private.get("spent"):
        raise errors.invalid_request(_SPENT, stage=errors.Stage.EXECUTION)


def scenario_of(method: Record) -> Scenario:
    """What the card behind a PaymentMethod does."""
    return SCENARIOS[method.private["scenario"]]


def _made(
    call: Call,
    card: TestCard,
    params: Mapping[str, Any],
    *,
    expires: tuple[int, int],
    cvc_given: bool,
) -> Record:
    body = resources.payment_method(
        card,
        SCENARIOS[card.scenario],
        params,
        expires=expires,
        cvc_given=cvc_given,
        livemode=call.scope.livemode,
        created=call.now,
    )
    return call.keep(Record("payment_method", body, {"scenario": card.scenario}))


def _card_given(call: Call, given: Mapping[str, str]) -> tuple[TestCard, tuple[int, int]]:
    """The card that `card[token]` or `card[number]` stands for, and its expiry."""
    token = given.get("token")
    if token is not None:
        card = card_of_token(token)
        if card is None:
            raise errors.resource_missing("token", token, param="card[token]", in_path=False)
        return card, _default_expiry(call)
    for name in ("number", "exp_month", "exp_year"):
        if name not in given:
            raise errors.parameter_missing(f"card[{name}]")
    number = re.sub(r"[ -]", "", given["number"])
    if not re.fullmatch(r"[0-9]{12,19}", number) or not passes_luhn(number):
        raise errors.card_refused(
            "Your card number is incorrect.", code="incorrect_number", param="number"
        )
    card = card_of_number(number)
    if card is None:
        raise _refused(NOT_A_TEST_CARD)
    if not re.fullmatch(r"[0-9]{3,4}", given.get("cvc", "000")):
        raise errors.card_refused(
            "Your card's security code is invalid.", code="invalid_cvc", param="cvc"
        )
    return card, _expiry(call, given["exp_month"], given["exp_year"])


def _expiry(call: Call, month_text: str, year_text: str) -> tuple[int, int]:
    """(year, month), in the future or this very month; years may have two digits."""
    today = datetime.datetime.fromtimestamp(call.now, datetime.UTC)
    month = int(month_text) if re.fullmatch(r"[0-9]{1,2}", month_text) else 0
    if not 1 <= month <= 12:
        raise errors.card_refused(
            "Your card's expiration month is invalid.",
            code="invalid_expiry_month",
            param="exp_month",
        )
    year = int(year_text) if re.fullmatch(r"[0-9]{2}|[0-9]{4}", year_text) else 0
    year += 2000 if len(year_text) == len("30") else 0
    if not today.year <= year <= today.year + 50:
        raise errors.card_refused(
            "Your card's expiration year is invalid.", code="invalid_expiry_year", param="exp_year"
        )
    if (year, month) < (today.year, today.month):
        raise errors.card_refused(
            "Your card's expiration month is invalid.",
            code="invalid_expiry_month",
            param="exp_month",
        )
    return year, month


def _default_expiry(call: Call) -> tuple[int, int]:
    today = datetime.datetime.fromtimestamp(call.now, datetime.UTC)
    return today.year + TEST_CARD_LIFE_YEARS, today.month


def _refused(decline: Decline) -> errors.StripeError:
    return errors.card_refused(
        decline.message,
        code=decline.code,
        decline_code=decline.decline_code,
        param=decline.param,
    )


def _forget_default(call: Call, customer_id: str, method_id: str) -> None:
    customer = call.books.find(call.scope, "customer", customer_id)
    if customer is None:
        return
    settings = customer.body["invoice_settings"]
    if settings["default_payment_method"] == method_id:
        settings["default_payment_method"] = None
        call.books.change(customer)
