"""Stripe's PaymentIntents and the charges they make (https://docs.stripe.com/api/payment_intents).

Reads and checks what is asked; what a confirmation does is in `stripe_confirmation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.books import Record
from sandbox.stripe import errors as errors
from sandbox.stripe import resources as resources
from sandbox.stripe.amounts import check_amount
from sandbox.stripe.calls import (
    LIST,
    Call,
    listed,
    shown,
)
from sandbox.stripe.confirmation import Confirmation, confirm, unexpected_state
from sandbox.stripe.errors import Answer, Json
from sandbox.stripe.params import (
    ADDRESS,
    EXPAND,
    Boolean,
    BooleanOr,
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
from sandbox.stripe.payment_methods import refuse_spent, resolved

_CONFIRMABLE: Final = ("requires_payment_method", "requires_confirmation", "requires_action")
_CANCELABLE: Final = (
    "requires_payment_method",
    "requires_capture",
    "requires_confirmation",
    "requires_action",
    "processing",
)
TYPES_REMOVED_SINCE: Final = "2026-09-30"  # docs.stripe.com/changelog/endive
_ONLY_WITH_CONFIRM: Final = ("error_on_requires_action", "off_session", "return_url")

_TYPES_PARAMETERS: Final = ("payment_method_types", "allowed_payment_method_types")

_UNSETTABLE: Final = Text(may_unset=True)
_SHARED: Final[Shape] = {
    **EXPAND,
    "capture_method": Choice(("automatic", "automatic_async")),
    "error_on_requires_action": Boolean(),
    "off_session": BooleanOr(("one_off", "recurring")),
    "payment_method": Text(),
    "allowed_payment_method_types": TextList(),
    "payment_method_types": TextList(),
    "receipt_email": _UNSETTABLE,
    "return_url": Text(),
    "setup_future_usage": Choice(("off_session", "on_session")),
    "shipping": {
        "address": ADDRESS,
        **dict.fromkeys(("carrier", "name", "phone", "tracking_number"), _UNSETTABLE),
    },
    **{
        name: NotModelled()
        for name in (
            "amount_details",
            "confirmation_token",
            "excluded_payment_method_types",
            "hooks",
            "mandate",
            "mandate_data",
            "payment_details",
            "payment_method_data",
            "payment_method_options",
            "radar_options",
            "use_stripe_sdk",
        )
    },
}
_CREATE: Final[Shape] = {
    **_SHARED,
    "amount": Integer(minimum=1),
    "automatic_payment_methods": {
        "enabled": Boolean(),
        "allow_redirects": Choice(("always", "never")),
    },
    "confirm": Boolean(),
    "confirmation_method": Choice(("automatic", "manual")),
    "currency": Text(),
    "customer": Text(),
    "description": Text(characters_max=1000, may_unset=True),
    "metadata": Metadata(),
    "statement_descriptor": Text(characters_max=22, may_unset=True),
    "statement_descriptor_suffix": Text(characters_max=22, may_unset=True),
    **{
        name: NotModelled()
        for name in ("application_fee_amount", "on_behalf_of", "transfer_data", "transfer_group")
    },
}
_RETRIEVE: Final[Shape] = {**EXPAND, "client_secret": Text()}
_CANCEL: Final[Shape] = {
    **EXPAND,
    "cancellation_reason": Choice(
        ("abandoned", "duplicate", "fraudulent", "requested_by_customer")
    ),
}
_SEARCHED: Final[Shape] = {**LIST, "customer": Text(), "customer_account": NotModelled()}


def create_payment_intent(call: Call) -> Answer:
    """POST /v1/payment_intents; with `confirm`, charges at once."""
    params = read(call.form, _CREATE, required=("amount", "currency"))
    _check_creation(call, params)
    params["metadata"] = merge_metadata({}, params.get("metadata"))
    if "customer" in params:
        call.require("customer", params["customer"], param="customer")
    method = None
    if "payment_method" in params:
        method = resolved(call, params["payment_method"], param="payment_method")
        _check_owner(method, params.get("customer"), intent=None)
        params["payment_method"] = method.id
    body = resources.payment_intent(params, livemode=call.scope.livemode, created=call.now)
    body["status"] = "requires_confirmation" if method else "requires_payment_method"
    if not params.get("confirm"):
        return shown(call, call.keep(Record("payment_intent", body)).body, params)
    _check_return_url(body, params, intent=None)
    if method is None:
        raise _missing_method(body, told=None)
    intent = call.keep(Record("payment_intent", body))
    return _expanded(call, confirm(call, intent, method, _confirmation(params)), params)


def retrieve_payment_intent(call: Call) -> Answer:
    """GET /v1/payment_intents/{id}."""
    params = read(call.form, _RETRIEVE)
    return shown(call, _named_in_path(call).body, params)


def list_payment_intents(call: Call) -> Answer:
    """GET /v1/payment_intents, newest first."""
    params = read(call.form, _SEARCHED)
    if "customer" in params:
        call.require("customer", params["customer"], param="customer")
    return listed(call, "payment_intent", params, customer=params.get("customer"))


def confirm_payment_intent(call: Call) -> Answer:
    """POST /v1/payment_intents/{id}/confirm."""
    params = read(call.form, _SHARED)
    _check_types(call, params)
    intent = _named_in_path(call)
    status = intent.body["status"]
    if status == "succeeded":
        raise unexpected_state(
            "You cannot confirm this PaymentIntent because it has already succeeded after being "
            "previously confirmed.",
            intent.body,
        )
    if status not in _CONFIRMABLE:
        raise unexpected_state(
            f"You cannot confirm this PaymentIntent because it has a status of {status}. Only a "
            "PaymentIntent with one of the following statuses may be confirmed: "
            f"{', '.join(_CONFIRMABLE)}.",
            intent.body,
        )
    identifier = params.get("payment_method") or intent.body["payment_method"]
    if identifier is None:
        raise _missing_method(intent.body, told=intent.body)
    method = resolved(call, identifier, param="payment_method")
    _check_owner(method, intent.body["customer"], intent=intent.body)
    _check_return_url(intent.body, params, intent=intent.body)
    for name in ("capture_method", "receipt_email", "setup_future_usage", "shipping"):
        if name in params:
            intent.body[name] = params[name]
    return _expanded(call, confirm(call, intent, method, _confirmation(params)), params)


def cancel_payment_intent(call: Call) -> Answer:
    """POST /v1/payment_intents/{id}/cancel, while nothing was charged."""
    params = read(call.form, _CANCEL)
    intent = _named_in_path(call)
    status = intent.body["status"]
    if status not in _CANCELABLE:
        raise unexpected_state(
            f"You cannot cancel this PaymentIntent because it has a status of {status}. Only a "
            "PaymentIntent with one of the following statuses may be canceled: "
            f"{', '.join(_CANCELABLE)}.",
            intent.body,
        )
    intent.body |= {
        "status": "canceled",
        "canceled_at": call.now,
        "cancellation_reason": params.get("cancellation_reason"),
        "next_action": None,
    }
    call.books.change(intent)
    return shown(call, intent.body, params)


def retrieve_charge(call: Call) -> Answer:
    """GET /v1/charges/{id}."""
    params = read(call.form, EXPAND)
    charge = call.require("charge", call.ids[0], param="id", in_path=True)
    return shown(call, charge.body, params)


def _check_creation(call: Call, params: dict[str, Any]) -> None:
    """What can be said of the parameters without looking into the books."""
    params["currency"] = params["currency"].lower()
    check_amount(params["amount"], params["currency"])
    _check_types(call, params)
    automatic = params.get("automatic_payment_methods") or {}
    exclusive = [name for name in _TYPES_PARAMETERS if params.get(name)]
    if automatic.get("enabled"):
        exclusive.append("automatic_payment_methods")
    if len(exclusive) > 1:
        raise errors.invalid_request(
            f"You may only specify one of these parameters: {', '.join(exclusive)}.",
            code="parameters_exclusive",
        )
    for name in _ONLY_WITH_CONFIRM:
        if params.get(name) and not params.get("confirm"):
            raise errors.invalid_request(
                f"The parameter `{name}` cannot be passed when creating a PaymentIntent unless "
                "`confirm` is set to true.",
                param=name,
            )


def _check_types(call: Call, params: Mapping[str, Any]) -> None:
    """Card is the only type here; naming types by the old parameter ended with endive.

    https://docs.stripe.com/changelog/endive (2026-09-30, "Removes the payment method types
    parameter from Payment Intents and Setup Intents")
    """
    if "payment_method_types" in params and call.version[:10] >= TYPES_REMOVED_SINCE:
        raise errors.invalid_request(
            "`payment_method_types` is no longer supported on this API version. Use dynamic "
            "payment methods, or `allowed_payment_method_types` to limit them.",
            code="payment_method_types_no_longer_supported",
            param="payment_method_types",
        )
    for parameter in _TYPES_PARAMETERS:
        others = [name for name in params.get(parameter, []) if name != "card"]
        if others:
            raise errors.invalid_request(
                f"The payment method type provided: {others[0]} is invalid. The sandbox stands "
                "in for card only.",
                param=parameter,
            )


def _check_owner(method: Record, customer: str | None, *, intent: Json | None) -> None:
    """A card attached to a customer can be charged for that customer only."""
    owner = method.body["customer"]
    if owner is None:
        refuse_spent(method)
        return
    if owner == customer:
        return
    if customer is None:
        message = (
            f"The `payment_method` parameter supplied {method.id} belongs to the Customer {owner}. "
            "Please include the Customer in the `customer` parameter on the PaymentIntent."
        )
    else:
        message = (
            f"The PaymentMethod {method.id} does not belong to the Customer you supplied "
            f"{customer}. Please use this PaymentMethod with the Customer that it belongs to "
            "instead."
        )
    raise errors.invalid_request(
        message,
        code="parameter_missing" if customer is None else None,
        param="payment_method",
        stage=errors.Stage.EXECUTION,
        payment_intent=intent,
    )


def _check_return_url(body: Json, params: Mapping[str, Any], *, intent: Json | None) -> None:
    """An intent open to redirects needs somewhere to return to (API since 2023-08-16).

    https://docs.stripe.com/upgrades#2023-08-16
    """
    automatic = body["automatic_payment_methods"]
    named = any(params.get(parameter) for parameter in _TYPES_PARAMETERS)
    if params.get("return_url") or named or automatic is None:
        return
    if automatic["allow_redirects"] == "always":
        raise errors.invalid_request(
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. "
            "Because some of these payment methods might redirect your customer off of your page, "
            "you must provide a `return_url`. If you don't want to accept redirect-based payment "
            "methods, set `automatic_payment_methods[enabled]` to `true` and "
            "`automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents "
            "and Payment Intents.",
            stage=errors.Stage.EXECUTION,
            payment_intent=intent,
        )


def _confirmation(params: Mapping[str, Any]) -> Confirmation:
    return Confirmation(
        off_session=bool(params.get("off_session")),
        error_on_requires_action=bool(params.get("error_on_requires_action")),
        return_url=params.get("return_url"),
    )


def _expanded(call: Call, answer: Answer, params: Mapping[str, Any]) -> Answer:
    """Expands what succeeded; an error's parts stay as they are."""
    return shown(call, answer.body, params) if answer.status == 200 else answer


def _named_in_path(call: Call) -> Record:
    return call.require("payment_intent", call.ids[0], param="intent", in_path=True)


def _missing_method(body: Json, *, told: Json | None) -> errors.StripeError:
    customer = body["customer"]
    if customer is not None:
        remedy = (
            f"To confirm the PaymentIntent with {customer}, specify a payment method attached to "
            "this customer along with the customer ID."
        )
    else:
        remedy = (
            "You can either update the PaymentIntent with a payment method and then confirm it "
            "again, or confirm it again directly with a payment method or ConfirmationToken."
        )
    return errors.invalid_request(
        "You cannot confirm this PaymentIntent because it's missing a payment method. " + remedy,
        code="payment_intent_unexpected_state",
        stage=errors.Stage.EXECUTION,
        payment_intent=told,
    )
