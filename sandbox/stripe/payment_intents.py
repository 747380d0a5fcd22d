"""Stripe's PaymentIntents and their charges (https://docs.stripe.com/api/payment_intents).

Reads and validates requests; `confirmation` charges and holds the table of states.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.books import Json, Record
from sandbox.stripe import errors, resources
from sandbox.stripe.amounts import check_amount
from sandbox.stripe.calls import LIST_PARAMETERS, Call, respond, respond_with_page
from sandbox.stripe.confirmation import ConfirmOptions, capture, confirm, unexpected_state
from sandbox.stripe.errors import Response
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
from sandbox.stripe.payment_methods import get_or_create_method, refuse_spent

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

_CLEARABLE: Final = Text(clearable=True)
_CONFIRM: Final[Shape] = {
    **EXPAND,
    "client_secret": Text(),
    "capture_method": Choice(("automatic", "automatic_async", "manual")),
    "error_on_requires_action": Boolean(),
    "off_session": BooleanOr(("one_off", "recurring")),
    "payment_method": Text(),
    "allowed_payment_method_types": TextList(),
    "payment_method_types": TextList(),
    "receipt_email": _CLEARABLE,
    "return_url": Text(),
    "setup_future_usage": Choice(("off_session", "on_session")),
    "shipping": {
        "address": ADDRESS,
        **dict.fromkeys(("carrier", "name", "phone", "tracking_number"), _CLEARABLE),
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
    **_CONFIRM,
    "amount": Integer(minimum=1),
    "automatic_payment_methods": {
        "enabled": Boolean(),
        "allow_redirects": Choice(("always", "never")),
    },
    "confirm": Boolean(),
    "confirmation_method": Choice(("automatic", "manual")),
    "currency": Text(),
    "customer": Text(),
    "description": Text(characters_max=1000, clearable=True),
    "metadata": Metadata(),
    "statement_descriptor": Text(characters_max=22, clearable=True),
    "statement_descriptor_suffix": Text(characters_max=22, clearable=True),
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
_CAPTURE: Final[Shape] = {
    **EXPAND,
    "amount_to_capture": Integer(minimum=1),
    "metadata": Metadata(),
    "statement_descriptor": Text(characters_max=22, clearable=True),
    "statement_descriptor_suffix": Text(characters_max=22, clearable=True),
    **{
        name: NotModelled()
        for name in (
            "amount_details",
            "application_fee_amount",
            "final_capture",
            "hooks",
            "payment_details",
            "transfer_data",
        )
    },
}
_LIST: Final[Shape] = {**LIST_PARAMETERS, "customer": Text(), "customer_account": NotModelled()}


def create_payment_intent(call: Call) -> Response:
    """POST /v1/payment_intents; `confirm` charges at once."""
    params = read(call.form, _CREATE, required=("amount", "currency"))
    _check_creation(call, params)
    params["metadata"] = merge_metadata({}, params.get("metadata"))
    if "customer" in params:
        call.require("customer", params["customer"], param="customer")
    method = None
    if "payment_method" in params:
        method = get_or_create_method(call, params["payment_method"], param="payment_method")
        _check_owner(method, params.get("customer"), intent=None)
        params["payment_method"] = method.id
    body = resources.build_payment_intent(params, livemode=call.scope.livemode, created=call.now)
    body["status"] = "requires_confirmation" if method else "requires_payment_method"
    if not params.get("confirm"):
        return respond(call, call.add(Record("payment_intent", body)).body, params)
    _check_return_url(body, params, intent=None)
    if method is None:
        raise _missing_method(body, intent=None)
    intent = call.add(Record("payment_intent", body))
    return _confirm(call, intent, method, params)


def retrieve_payment_intent(call: Call) -> Response:
    """GET /v1/payment_intents/{id}."""
    params = read(call.form, _RETRIEVE)
    return respond(call, _get_from_path(call).body, params)


def list_payment_intents(call: Call) -> Response:
    """GET /v1/payment_intents, newest first."""
    params = read(call.form, _LIST)
    if "customer" in params:
        call.require("customer", params["customer"], param="customer")
    return respond_with_page(call, "payment_intent", params, customer=params.get("customer"))


def confirm_payment_intent(call: Call) -> Response:
    """POST /v1/payment_intents/{id}/confirm."""
    params = read(call.form, _CONFIRM)
    _check_types(call, params)
    intent = _get_from_path(call)
    if intent.body["status"] == "succeeded":
        raise unexpected_state(
            "You cannot confirm this PaymentIntent because it has already succeeded after being "
            "previously confirmed.",
            intent.body,
        )
    _require_status(intent, _CONFIRMABLE, "confirm", "confirmed")
    identifier = params.get("payment_method") or intent.body["payment_method"]
    if identifier is None:
        raise _missing_method(intent.body, intent=intent.body)
    method = get_or_create_method(call, identifier, param="payment_method")
    _check_owner(method, intent.body["customer"], intent=intent.body)
    _check_return_url(intent.body, params, intent=intent.body)
    for name in ("capture_method", "receipt_email", "setup_future_usage", "shipping"):
        if name in params:
            intent.body[name] = params[name]
    return _confirm(call, intent, method, params)


def cancel_payment_intent(call: Call) -> Response:
    """POST /v1/payment_intents/{id}/cancel; refused after a charge was captured."""
    params = read(call.form, _CANCEL)
    intent = _get_from_path(call)
    cancel(call, intent, params.get("cancellation_reason"))
    return respond(call, intent.body, params)


def cancel(call: Call, intent: Record, reason: str | None) -> None:
    """Cancel an intent, or release what is authorized; raises Stripe's 400 once it is captured."""
    _require_status(intent, _CANCELABLE, "cancel", "canceled")
    intent.body |= {
        "status": "canceled",
        "amount_capturable": 0,
        "canceled_at": call.now,
        "cancellation_reason": reason,
        "next_action": None,
    }
    call.books.update(intent)


def capture_payment_intent(call: Call) -> Response:
    """POST /v1/payment_intents/{id}/capture: take all that was authorized, or less."""
    params = read(call.form, _CAPTURE)
    intent = _get_from_path(call)
    _require_status(intent, ("requires_capture",), "capture", "captured")
    capturable: int = intent.body["amount_capturable"]
    amount = params.get("amount_to_capture", capturable)
    if amount > capturable:
        raise errors.invalid_request(
            f"Amount {amount} is above the amount that can be captured, {capturable}.",
            code="amount_too_large",
            param="amount_to_capture",
            stage=errors.Stage.EXECUTION,
            payment_intent=intent.body,
        )
    intent.body["metadata"] = merge_metadata(intent.body["metadata"], params.get("metadata"))
    for name in ("statement_descriptor", "statement_descriptor_suffix"):
        if name in params:
            intent.body[name] = params[name]
    capture(call, intent, amount)
    return respond(call, intent.body, params)


def retrieve_charge(call: Call) -> Response:
    """GET /v1/charges/{id}."""
    params = read(call.form, EXPAND)
    charge = call.require("charge", call.ids[0], param="id", in_path=True)
    return respond(call, charge.body, params)


def _check_creation(call: Call, params: dict[str, Any]) -> None:
    """Validate the parameters that need no stored object."""
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
    """Refuse every type but card, and the old parameter from API version endive on.

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
    """Refuse another customer's card, and a used-up one."""
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
    """Require a return_url if the intent accepts redirects (API since 2023-08-16).

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


def _confirm(call: Call, intent: Record, method: Record, params: Mapping[str, Any]) -> Response:
    """Confirm the intent; `expand` applies to a success only."""
    options = ConfirmOptions(
        off_session=bool(params.get("off_session")),
        error_on_requires_action=bool(params.get("error_on_requires_action")),
        return_url=params.get("return_url"),
    )
    response = confirm(call, intent, method, options)
    return respond(call, response.body, params) if response.status == 200 else response


def _require_status(intent: Record, statuses: tuple[str, ...], verb: str, past: str) -> None:
    status = intent.body["status"]
    if status not in statuses:
        raise unexpected_state(
            f"You cannot {verb} this PaymentIntent because it has a status of {status}. Only a "
            f"PaymentIntent with one of the following statuses may be {past}: "
            f"{', '.join(statuses)}.",
            intent.body,
        )


def _get_from_path(call: Call) -> Record:
    return call.require("payment_intent", call.ids[0], param="intent", in_path=True)


def _missing_method(body: Json, *, intent: Json | None) -> errors.StripeError:
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
        payment_intent=intent,
    )
