"""Stripe's customers: create, read, update, list (https://docs.stripe.com/api/customers)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.books import Record
from sandbox.stripe import errors as errors
from sandbox.stripe import resources as resources
from sandbox.stripe.calls import (
    LIST,
    Call,
    listed,
    shown,
)
from sandbox.stripe.errors import Answer, Json
from sandbox.stripe.params import (
    ADDRESS,
    EXPAND,
    PAGE,
    Choice,
    Integer,
    Metadata,
    NotModelled,
    Shape,
    Text,
    TextList,
    merge_metadata,
    read,
)
from sandbox.stripe.payment_methods import attached, resolved

_UNSETTABLE: Final = Text(may_unset=True)
_SHIPPING: Final[Shape] = {"address": ADDRESS, "name": _UNSETTABLE, "phone": _UNSETTABLE}
_CUSTOMER: Final[Shape] = {
    **EXPAND,
    "address": ADDRESS,
    "balance": Integer(),
    "description": _UNSETTABLE,
    "email": Text(characters_max=512, may_unset=True),
    "invoice_settings": {"default_payment_method": _UNSETTABLE},
    "metadata": Metadata(),
    "name": Text(characters_max=256, may_unset=True),
    "phone": Text(characters_max=20, may_unset=True),
    "preferred_locales": TextList(),
    "shipping": _SHIPPING,
    "tax_exempt": Choice(("exempt", "none", "reverse")),
    **{
        name: NotModelled()
        for name in (
            "business_name",
            "cash_balance",
            "default_source",
            "individual_name",
            "invoice_prefix",
            "next_invoice_sequence",
            "source",
            "tax",
        )
    },
}
_CREATE: Final[Shape] = {
    **_CUSTOMER,
    "payment_method": Text(),
    "tax_id_data": NotModelled(),
    "test_clock": NotModelled(),
}
_SEARCHED: Final[Shape] = {**LIST, "email": Text(characters_max=512)}
_METHODS_OF: Final[Shape] = {**PAGE, "type": Text(), "allow_redisplay": NotModelled()}


def create_customer(call: Call) -> Answer:
    """POST /v1/customers; a `payment_method` is attached at once, and may be declined."""
    params = read(call.form, _CREATE)
    params["metadata"] = merge_metadata({}, params.get("metadata"))
    default = (params.pop("invoice_settings", None) or {}).get("default_payment_method")
    customer = call.keep(
        Record(
            "customer",
            resources.customer(params, livemode=call.scope.livemode, created=call.now),
        )
    )
    if params.get("payment_method"):
        method = resolved(call, params["payment_method"], param="payment_method")
        attached(call, method, customer.id)
        # The default may be named by the same id as the card, which for pm_card_visa is no
        # stored one.
        default = method.id if default == params["payment_method"] else default
    if default:
        _make_default(call, customer, default)
        call.books.change(customer)
    return shown(call, customer.body, params)


def retrieve_customer(call: Call) -> Answer:
    """GET /v1/customers/{id}."""
    params = read(call.form, EXPAND)
    return shown(call, _named_in_path(call).body, params)


def update_customer(call: Call) -> Answer:
    """POST /v1/customers/{id}; what is not given stays."""
    params = read(call.form, _CUSTOMER)
    customer = _named_in_path(call)
    body: Json = customer.body
    body["metadata"] = merge_metadata(body["metadata"], params.get("metadata"))
    replaced = ("balance", "description", "email", "name", "phone", "preferred_locales")
    for name in (*replaced, "shipping", "tax_exempt"):
        if name in params:
            body[name] = params[name]
    if "address" in params:
        body["address"] = _merged_address(body["address"], params["address"])
    settings = params.get("invoice_settings") or {}
    if "default_payment_method" in settings:
        _make_default(call, customer, settings["default_payment_method"])
    call.books.change(customer)
    return shown(call, body, params)


def list_customers(call: Call) -> Answer:
    """GET /v1/customers; `email` matches exactly and by case, as Stripe does."""
    params = read(call.form, _SEARCHED)
    return listed(call, "customer", params, email=params.get("email"))


def list_payment_methods_of_customer(call: Call) -> Answer:
    """GET /v1/customers/{id}/payment_methods."""
    params = read(call.form, _METHODS_OF)
    customer = _named_in_path(call)
    if params.get("type", "card") != "card":
        return Answer(200, resources.page([], has_more=False, url=call.path))
    return listed(call, "payment_method", params, customer=customer.id)


def _named_in_path(call: Call) -> Record:
    return call.require("customer", call.ids[0], param="id", in_path=True)


def _merged_address(current: Mapping[str, Any] | None, change: Json | None) -> Json | None:
    if change is None:
        return None
    return {**dict.fromkeys(ADDRESS), **(current or {}), **change}


def _make_default(call: Call, customer: Record, identifier: str | None) -> None:
    """Only a card that is attached to this customer may be its default."""
    if identifier is not None:
        method = call.books.find(call.scope, "payment_method", identifier)
        if method is None or method.body["customer"] != customer.id:
            raise errors.invalid_request(
                f"The customer does not have a payment method with the ID {identifier}. The "
                "payment method must be attached to the customer.",
                code="resource_missing",
                param="invoice_settings[default_payment_method]",
                stage=errors.Stage.EXECUTION,
            )
    customer.body["invoice_settings"]["default_payment_method"] = identifier
