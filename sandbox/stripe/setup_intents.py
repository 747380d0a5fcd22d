"""Stripe's SetupIntents: cards saved for later charges (docs.stripe.com/api/setup_intents).

| state           | event                         | next state                   |
|-----------------|-------------------------------|------------------------------|
| -               | create                        | requires_payment_method      |
| -               | create with payment_method    | requires_confirmation        |
| open            | confirm, card is taken        | succeeded                    |
| open            | confirm, card is declined     | requires_payment_method, 402 |
| open            | confirm, 3D Secure required   | requires_action              |
| requires_action | authentication succeeds       | succeeded                    |
| requires_action | authentication fails          | requires_payment_method, 402 |
| open            | cancel                        | canceled                     |

Open: requires_payment_method, requires_confirmation, requires_action. A success attaches the card
to the intent's customer, and charges without the cardholder need no 3D Secure if the card's bank
takes that. A confirmation is always with the cardholder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.books import Json, Record
from sandbox.stripe import errors, resources
from sandbox.stripe.calls import LIST_PARAMETERS, Call, respond, respond_with_page
from sandbox.stripe.cards import Authentication, Decline
from sandbox.stripe.confirmation import AUTHENTICATION_FAILED, next_action
from sandbox.stripe.errors import Response
from sandbox.stripe.params import (
    EXPAND,
    Boolean,
    Choice,
    Metadata,
    NotModelled,
    Shape,
    Text,
    TextList,
    merge_metadata,
    read,
)
from sandbox.stripe.payment_methods import get_or_create_method, get_scenario, refuse_spent

KIND: Final = "setup_intent"
OPEN: Final = ("requires_payment_method", "requires_confirmation", "requires_action")

_CONFIRM: Final[Shape] = {
    **EXPAND,
    "client_secret": Text(),
    "payment_method": Text(),
    "return_url": Text(),
    **{
        name: NotModelled()
        for name in (
            "confirmation_token",
            "mandate_data",
            "payment_method_data",
            "payment_method_options",
            "use_stripe_sdk",
        )
    },
}
_CREATE: Final[Shape] = {
    **_CONFIRM,
    "allowed_payment_method_types": TextList(),
    "confirm": Boolean(),
    "customer": Text(),
    "description": Text(characters_max=1000, clearable=True),
    "metadata": Metadata(),
    "usage": Choice(("off_session", "on_session")),
    **{
        name: NotModelled()
        for name in (
            "attach_to_self",
            "automatic_payment_methods",
            "customer_account",
            "excluded_payment_method_types",
            "flow_directions",
            "on_behalf_of",
            "payment_method_configuration",
            "payment_method_types",
            "single_use",
        )
    },
}
_RETRIEVE: Final[Shape] = {**EXPAND, "client_secret": Text()}
_CANCEL: Final[Shape] = {
    **EXPAND,
    "cancellation_reason": Choice(("abandoned", "duplicate", "requested_by_customer")),
}
_LIST: Final[Shape] = {
    **LIST_PARAMETERS,
    "customer": Text(),
    "payment_method": Text(),
    "attach_to_self": NotModelled(),
    "customer_account": NotModelled(),
}


def create_setup_intent(call: Call) -> Response:
    """POST /v1/setup_intents; `confirm` sets the card up at once."""
    params = read(call.form, _CREATE)
    others = [name for name in params.get("allowed_payment_method_types", []) if name != "card"]
    if others:
        raise errors.invalid_request(
            f"The payment method type provided: {others[0]} is invalid. The sandbox stands in for "
            "card only.",
            param="allowed_payment_method_types",
        )
    params["metadata"] = merge_metadata({}, params.get("metadata"))
    if "customer" in params:
        call.require("customer", params["customer"], param="customer")
    method = None
    if "payment_method" in params:
        method = get_or_create_method(call, params["payment_method"], param="payment_method")
        _check_owner(method, params.get("customer"))
        params["payment_method"] = method.id
    body = resources.build_setup_intent(params, livemode=call.scope.livemode, created=call.now)
    body["status"] = "requires_confirmation" if method else "requires_payment_method"
    if not params.get("confirm"):
        return respond(call, call.add(Record(KIND, body)).body, params)
    if method is None:
        raise _unexpected("You cannot confirm this SetupIntent because it's missing a card.", body)
    return _confirm(call, call.add(Record(KIND, body)), method, params)


def retrieve_setup_intent(call: Call) -> Response:
    """GET /v1/setup_intents/{id}."""
    params = read(call.form, _RETRIEVE)
    return respond(call, _get_from_path(call).body, params)


def list_setup_intents(call: Call) -> Response:
    """GET /v1/setup_intents, newest first; of a customer, or with a payment method."""
    params = read(call.form, _LIST)
    return respond_with_page(
        call,
        KIND,
        params,
        customer=params.get("customer"),
        payment_method=params.get("payment_method"),
    )


def confirm_setup_intent(call: Call) -> Response:
    """POST /v1/setup_intents/{id}/confirm."""
    params = read(call.form, _CONFIRM)
    intent = _get_from_path(call)
    _require_open(intent, "confirm")
    identifier = params.get("payment_method") or intent.body["payment_method"]
    if identifier is None:
        message = "You cannot confirm this SetupIntent because it's missing a card."
        raise _unexpected(message, intent.body)
    method = get_or_create_method(call, identifier, param="payment_method")
    _check_owner(method, intent.body["customer"])
    return _confirm(call, intent, method, params)


def cancel_setup_intent(call: Call) -> Response:
    """POST /v1/setup_intents/{id}/cancel."""
    params = read(call.form, _CANCEL)
    intent = _get_from_path(call)
    _require_open(intent, "cancel")
    reason = params.get("cancellation_reason")
    intent.body |= {"status": "canceled", "cancellation_reason": reason, "next_action": None}
    call.books.update(intent)
    return respond(call, intent.body, params)


def complete_setup_authentication(call: Call, intent: Record, *, succeeded: bool) -> Response:
    """Finish 3D Secure: save the card, or fail the intent with 402."""
    if intent.body["status"] != "requires_action":
        raise _unexpected(
            f"The SetupIntent has a status of {intent.body['status']}; only one that "
            "requires_action can be authenticated.",
            intent.body,
        )
    method = call.require("payment_method", intent.body["payment_method"], param="payment_method")
    if not succeeded:
        return _fail(call, intent, method, AUTHENTICATION_FAILED)
    return _set_up(call, intent, method)


def _confirm(call: Call, intent: Record, method: Record, params: Mapping[str, Any]) -> Response:
    scenario = get_scenario(method)
    intent.body |= {
        "payment_method": method.id,
        "latest_attempt": resources.generate_id("setatt"),
        "last_setup_error": None,
    }
    if scenario.on_attach is not None:
        return _fail(call, intent, method, scenario.on_attach)
    needs_authentication = scenario.authentication is Authentication.ALWAYS or (
        scenario.authentication is Authentication.UNLESS_SET_UP and not method.private.get("set_up")
    )
    if not needs_authentication:
        response = _set_up(call, intent, method)
        return respond(call, response.body, params)
    action = next_action("setup_intent", intent.id, params.get("return_url"))
    intent.body |= {"status": "requires_action", "next_action": action}
    call.books.update(intent)
    return respond(call, intent.body, params)


def _set_up(call: Call, intent: Record, method: Record) -> Response:
    method.body["customer"] = method.body["customer"] or intent.body["customer"]
    method.private["set_up"] = True
    call.books.update(method)
    intent.body |= {"status": "succeeded", "next_action": None}
    call.books.update(intent)
    return Response(200, intent.body)


def _fail(call: Call, intent: Record, method: Record, decline: Decline) -> Response:
    """Return a 402; the intent records the error and requires another card."""
    response = errors.card_error(
        decline.message,
        code=decline.code,
        decline_code=decline.decline_code,
        param=decline.param,
        attempt={"payment_method": method.body},
    )
    intent.body |= {
        "status": "requires_payment_method",
        "last_setup_error": dict(response.body["error"]),
        "next_action": None,
        "payment_method": None,
    }
    call.books.update(intent)
    response.body["error"]["setup_intent"] = intent.body
    return response


def _check_owner(method: Record, customer: str | None) -> None:
    """Refuse another customer's card, and a used-up one."""
    owner = method.body["customer"]
    if owner is None:
        refuse_spent(method)
    elif owner != customer:
        raise errors.invalid_request(
            f"The payment method supplied ({method.id}) belongs to another customer than the "
            "SetupIntent's.",
            param="payment_method",
            stage=errors.Stage.EXECUTION,
        )


def _require_open(intent: Record, verb: str) -> None:
    status = intent.body["status"]
    if status not in OPEN:
        raise _unexpected(
            f"You cannot {verb} this SetupIntent because it has a status of {status}.", intent.body
        )


def _get_from_path(call: Call) -> Record:
    return call.require(KIND, call.ids[0], param="intent", in_path=True)


def _unexpected(message: str, intent: Json) -> errors.StripeError:
    return errors.invalid_request(
        message,
        code="setup_intent_unexpected_state",
        stage=errors.Stage.EXECUTION,
        setup_intent=intent,
    )
