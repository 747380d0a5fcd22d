"""Stripe's customers (https://docs.stripe.com/api/customers)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.books import Json, PageQuery, Record
from sandbox.stripe import errors, resources
from sandbox.stripe.calls import LIST_PARAMETERS, Call, respond, respond_with_page
from sandbox.stripe.errors import Response
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
from sandbox.stripe.payment_methods import attach, get_or_create_method, respond_with_methods

_ALL: Final = 10_000
_DELETED: Final = "deleted_customer"
_CLEARABLE: Final = Text(clearable=True)
_SHIPPING: Final[Shape] = {"address": ADDRESS, "name": _CLEARABLE, "phone": _CLEARABLE}
_CUSTOMER: Final[Shape] = {
    **EXPAND,
    "address": ADDRESS,
    "balance": Integer(),
    "description": _CLEARABLE,
    "email": Text(characters_max=512, clearable=True),
    "invoice_settings": {"default_payment_method": _CLEARABLE},
    "metadata": Metadata(),
    "name": Text(characters_max=256, clearable=True),
    "phone": Text(characters_max=20, clearable=True),
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
_LIST: Final[Shape] = {**LIST_PARAMETERS, "email": Text(characters_max=512)}
_LIST_METHODS: Final[Shape] = {**PAGE, "type": Text(), "allow_redisplay": NotModelled()}


def create_customer(call: Call) -> Response:
    """POST /v1/customers; attaches a `payment_method`, which may be declined."""
    params = read(call.form, _CREATE)
    params["metadata"] = merge_metadata({}, params.get("metadata"))
    default = (params.pop("invoice_settings", None) or {}).get("default_payment_method")
    customer = call.add(
        Record(
            "customer",
            resources.build_customer(params, livemode=call.scope.livemode, created=call.now),
        )
    )
    if params.get("payment_method"):
        method = get_or_create_method(call, params["payment_method"], param="payment_method")
        attach(call, method, customer.id)
        # `pm_card_visa` names no stored method: as the default it means the one just created.
        default = method.id if default == params["payment_method"] else default
    if default:
        _make_default(call, customer, default)
        call.books.update(customer)
    return respond(call, customer.body, params)


def retrieve_customer(call: Call) -> Response:
    """GET /v1/customers/{id}; of a deleted one only that."""
    params = read(call.form, EXPAND)
    deleted = call.books.find(call.scope, _DELETED, call.ids[0])
    if deleted is not None:
        return Response(200, deleted.private)
    return respond(call, _get_from_path(call).body, params)


def delete_customer(call: Call) -> Response:
    """DELETE /v1/customers/{id}; its cards cannot be used again."""
    read(call.form, EXPAND)
    customer = _get_from_path(call)
    methods, _ = call.books.list_page(
        call.scope, "payment_method", PageQuery(limit=_ALL, customer=customer.id)
    )
    for method in methods:
        method.body["customer"] = None
        method.private["spent"] = True
        call.books.update(method)
    call.books.delete(customer)
    shown = {"id": customer.id, "object": "customer", "deleted": True}
    body = {"id": customer.id, "created": customer.body["created"]}
    return Response(200, call.add(Record(_DELETED, body, shown)).private)


def update_customer(call: Call) -> Response:
    """POST /v1/customers/{id}; absent parameters stay unchanged."""
    params = read(call.form, _CUSTOMER)
    customer = _get_from_path(call)
    body: Json = customer.body
    body["metadata"] = merge_metadata(body["metadata"], params.get("metadata"))
    replaced = ("balance", "description", "email", "name", "phone", "preferred_locales")
    for name in (*replaced, "shipping", "tax_exempt"):
        if name in params:
            body[name] = params[name]
    if "address" in params:
        body["address"] = _merge_address(body["address"], params["address"])
    settings = params.get("invoice_settings") or {}
    if "default_payment_method" in settings:
        _make_default(call, customer, settings["default_payment_method"])
    call.books.update(customer)
    return respond(call, body, params)


def list_customers(call: Call) -> Response:
    """GET /v1/customers; `email` is compared exactly, with case, as at Stripe."""
    params = read(call.form, _LIST)
    return respond_with_page(call, "customer", params, email=params.get("email"))


def list_payment_methods_of_customer(call: Call) -> Response:
    """GET /v1/customers/{id}/payment_methods."""
    params = read(call.form, _LIST_METHODS)
    customer = _get_from_path(call)
    return respond_with_methods(call, customer, params)


def _get_from_path(call: Call) -> Record:
    return call.require("customer", call.ids[0], param="id", in_path=True)


def _merge_address(current: Mapping[str, Any] | None, change: Json | None) -> Json | None:
    if change is None:
        return None
    return {**dict.fromkeys(ADDRESS), **(current or {}), **change}


def _make_default(call: Call, customer: Record, identifier: str | None) -> None:
    """Set the default card, which must be attached to this customer."""
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
