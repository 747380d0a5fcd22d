"""Routes a request to Stripe's endpoint, and executes it once for each idempotency key.

A request's effect and the stored response of its idempotency key commit together
(https://docs.stripe.com/api/idempotent_requests).
"""

from __future__ import annotations

import enum
import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any, Final

from sandbox.books import Scope, StoredResponse
from sandbox.stripe import errors
from sandbox.stripe.calls import Call, Endpoint
from sandbox.stripe.cards import find_card_by_number
from sandbox.stripe.customers import (
    create_customer,
    delete_customer,
    list_customers,
    list_payment_methods_of_customer,
    retrieve_customer,
    update_customer,
)
from sandbox.stripe.disputes import list_disputes, retrieve_dispute
from sandbox.stripe.errors import Response, Stage, StripeError
from sandbox.stripe.forms import Form
from sandbox.stripe.payment_intents import (
    cancel_payment_intent,
    capture_payment_intent,
    confirm_payment_intent,
    create_payment_intent,
    list_payment_intents,
    retrieve_charge,
    retrieve_payment_intent,
)
from sandbox.stripe.payment_methods import (
    attach_payment_method,
    create_payment_method,
    detach_payment_method,
    list_payment_methods,
    retrieve_payment_method,
    update_payment_method,
)
from sandbox.stripe.refunds import (
    cancel_refund,
    create_refund,
    list_refunds,
    retrieve_refund,
    update_refund,
)
from sandbox.stripe.setup_intents import (
    cancel_setup_intent,
    confirm_setup_intent,
    create_setup_intent,
    list_setup_intents,
    retrieve_setup_intent,
)

API_VERSION: Final = "2026-10-28.endive"  # the version that the SDK 16.1 sends
IDEMPOTENCY_KEY_CHARACTERS_MAX: Final = 255

_ID: Final = "*"
_ENDPOINTS: Final[dict[tuple[str, ...], Endpoint]] = {
    ("POST", "customers"): create_customer,
    ("GET", "customers"): list_customers,
    ("GET", "customers", _ID): retrieve_customer,
    ("POST", "customers", _ID): update_customer,
    ("DELETE", "customers", _ID): delete_customer,
    ("GET", "customers", _ID, "payment_methods"): list_payment_methods_of_customer,
    ("POST", "payment_methods"): create_payment_method,
    ("GET", "payment_methods"): list_payment_methods,
    ("GET", "payment_methods", _ID): retrieve_payment_method,
    ("POST", "payment_methods", _ID): update_payment_method,
    ("POST", "payment_methods", _ID, "attach"): attach_payment_method,
    ("POST", "payment_methods", _ID, "detach"): detach_payment_method,
    ("POST", "payment_intents"): create_payment_intent,
    ("GET", "payment_intents"): list_payment_intents,
    ("GET", "payment_intents", _ID): retrieve_payment_intent,
    ("POST", "payment_intents", _ID, "confirm"): confirm_payment_intent,
    ("POST", "payment_intents", _ID, "cancel"): cancel_payment_intent,
    ("POST", "payment_intents", _ID, "capture"): capture_payment_intent,
    ("POST", "setup_intents"): create_setup_intent,
    ("GET", "setup_intents"): list_setup_intents,
    ("GET", "setup_intents", _ID): retrieve_setup_intent,
    ("POST", "setup_intents", _ID, "confirm"): confirm_setup_intent,
    ("POST", "setup_intents", _ID, "cancel"): cancel_setup_intent,
    ("GET", "charges", _ID): retrieve_charge,
    ("POST", "refunds"): create_refund,
    ("GET", "refunds"): list_refunds,
    ("GET", "refunds", _ID): retrieve_refund,
    ("POST", "refunds", _ID): update_refund,
    ("POST", "refunds", _ID, "cancel"): cancel_refund,
    ("GET", "disputes"): list_disputes,
    ("GET", "disputes", _ID): retrieve_dispute,
}
PUBLISHABLE: Final = frozenset(
    (
        create_payment_method,
        retrieve_payment_intent,
        confirm_payment_intent,
        retrieve_setup_intent,
        confirm_setup_intent,
    )
)
"""Endpoints for a browser, which has a publishable key and the client secret of the intent."""
_SECRET_FIELDS: Final = ("customer", "metadata")
"""Fields of an intent that a publishable key does not show."""


class InjectedFailure(enum.Enum):
    """When an injected 500 happens; Stripe stores and replays it like any response."""

    BEFORE_EFFECT = "before"
    AFTER_EFFECT = "after"


@dataclass(frozen=True)
class Outcome:
    """A response; for a replay, also the id of the request that it first answered."""

    response: Response
    original_request: str | None = None


def find_endpoint(method: str, path: str) -> tuple[Endpoint, tuple[str, ...]]:
    """Return the endpoint at a URL and the ids in the path; raises Stripe's 404."""
    empty, version, *steps = path.split("/")
    if (empty, version) == ("", "v1") and all(steps):
        pattern = tuple(_ID if place == 1 else step for place, step in enumerate(steps))
        endpoint = _ENDPOINTS.get((method, *pattern))
        if endpoint is not None:
            return endpoint, tuple(steps[1:2])
    raise errors.unknown_url(method, path)


def as_browser(call: Call) -> Call:
    """Return a browser's call in the scope of its intent, if it has the intent's client secret.

    The sandbox does not know which account a publishable key belongs to.

    Raises:
        StripeError: the intent is unknown, of the other mode, or has another client secret.
    """
    if not call.ids:
        return call
    kind = call.path.split("/")[2].removesuffix("s")
    found = call.books.find_in_any_scope(kind, call.ids[0])
    given = call.form.get("client_secret")
    if found is None or found[0].livemode != call.scope.livemode:
        raise errors.resource_missing(kind, call.ids[0], param="intent", in_path=True)
    if not isinstance(given, str) or given != found[1].body["client_secret"]:
        raise errors.invalid_request(
            f"The client_secret provided does not match any associated {kind} on this account.",
            code=f"{kind}_invalid_parameter",
            param="client_secret",
        )
    return replace(call, scope=found[0])


def shown_to_browser(response: Response) -> Response:
    """Return a response without what a publishable key does not show."""
    body = response.body
    if error := body.get("error"):
        hidden = {name: _public(value) for name, value in error.items()}
        return replace(response, body={"error": hidden})
    return replace(response, body=_public(body))


def _public(value: Any) -> Any:
    if not isinstance(value, dict) or "client_secret" not in value:
        return value
    return {name: each for name, each in value.items() if name not in _SECRET_FIELDS}


def execute(
    call: Call,
    endpoint: Endpoint,
    request_id: str,
    *,
    idempotency_key: str | None,
    injected: InjectedFailure | None,
) -> Outcome:
    """Run the endpoint in one transaction, or replay the stored response of its key."""
    if idempotency_key is None:
        with call.books.transaction():
            return Outcome(_run(call, endpoint, request_id, injected)[0])
    fingerprint = _fingerprint(call)
    with call.books.transaction():
        stored = call.books.find_response(call.scope, idempotency_key)
        if stored is not None:
            if (stored.path, stored.fingerprint) != (call.path, fingerprint):
                raise errors.key_reused(idempotency_key, stored.path, call.path)
            return Outcome(Response(stored.status, stored.body), stored.request_id)
        response, stage = _run(call, endpoint, request_id, injected)
        if stage is Stage.EXECUTION:
            call.books.store_response(
                call.scope,
                idempotency_key,
                StoredResponse(call.path, fingerprint, request_id, response.status, response.body),
            )
        return Outcome(response)


def _run(
    call: Call, endpoint: Endpoint, request_id: str, injected: InjectedFailure | None
) -> tuple[Response, Stage]:
    if injected is InjectedFailure.BEFORE_EFFECT:
        return add_log_url(errors.server_fault(), call.scope, request_id), Stage.EXECUTION
    try:
        with call.books.savepoint():
            response, stage = endpoint(call), Stage.EXECUTION
    except StripeError as error:
        response, stage = error.response, error.stage
    if injected is InjectedFailure.AFTER_EFFECT:
        response, stage = errors.server_fault(), Stage.EXECUTION
    return add_log_url(response, call.scope, request_id), stage


def add_log_url(response: Response, scope: Scope, request_id: str) -> Response:
    """Return the response with `request_log_url`, which every error of Stripe has."""
    if "error" not in response.body:
        return response
    mode = "" if scope.livemode else "test/"
    url = f"https://dashboard.stripe.com/{scope.account}/{mode}workbench/logs?object={request_id}"
    return replace(response, body={"error": {**response.body["error"], "request_log_url": url}})


def _fingerprint(call: Call) -> str:
    """Return a digest of the request's parameters that depends on no card number."""
    canonical = json.dumps(_without_card_number(call.form), sort_keys=True)
    return hashlib.sha256(f"{call.method} {call.path} {canonical}".encode()).hexdigest()


def _without_card_number(form: Form) -> Form:
    """Return the parameters with card numbers replaced by their test card, CVCs by "given"."""
    plain: Form = {}
    for name, value in form.items():
        if isinstance(value, dict):
            plain[name] = _without_card_number(value)
        elif name == "number":
            card = find_card_by_number("".join(digit for digit in value if digit.isdigit()))
            plain[name] = f"{card.scenario} {card.last4}" if card else "not a published test card"
        elif name == "cvc":
            plain[name] = "given"
        else:
            plain[name] = value
    return plain
