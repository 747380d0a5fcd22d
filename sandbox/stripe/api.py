"""Stripe's endpoints, and how a request to one is carried out once or replayed.

Everything that a request does and the answer that its idempotency key stands for commit together
(https://docs.stripe.com/api/idempotent_requests).
"""

from __future__ import annotations

import enum
import hashlib
import json
from dataclasses import dataclass, replace
from typing import Final

from sandbox.books import StoredAnswer
from sandbox.stripe import errors as errors
from sandbox.stripe.calls import Call, Endpoint
from sandbox.stripe.cards import card_of_number
from sandbox.stripe.customers import (
    create_customer,
    list_customers,
    list_payment_methods_of_customer,
    retrieve_customer,
    update_customer,
)
from sandbox.stripe.errors import Answer, Stage, StripeError
from sandbox.stripe.forms import Form
from sandbox.stripe.keys import Scope
from sandbox.stripe.payment_intents import (
    cancel_payment_intent,
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
)

API_VERSION: Final = "2026-10-28.endive"  # the version that the SDK 16.1 sends
IDEMPOTENCY_KEY_CHARACTERS_MAX: Final = 255

_ID: Final = "*"
_ENDPOINTS: Final[dict[tuple[str, ...], Endpoint]] = {
    ("POST", "customers"): create_customer,
    ("GET", "customers"): list_customers,
    ("GET", "customers", _ID): retrieve_customer,
    ("POST", "customers", _ID): update_customer,
    ("GET", "customers", _ID, "payment_methods"): list_payment_methods_of_customer,
    ("POST", "payment_methods"): create_payment_method,
    ("GET", "payment_methods"): list_payment_methods,
    ("GET", "payment_methods", _ID): retrieve_payment_method,
    ("POST", "payment_methods", _ID, "attach"): attach_payment_method,
    ("POST", "payment_methods", _ID, "detach"): detach_payment_method,
    ("POST", "payment_intents"): create_payment_intent,
    ("GET", "payment_intents"): list_payment_intents,
    ("GET", "payment_intents", _ID): retrieve_payment_intent,
    ("POST", "payment_intents", _ID, "confirm"): confirm_payment_intent,
    ("POST", "payment_intents", _ID, "cancel"): cancel_payment_intent,
    ("GET", "charges", _ID): retrieve_charge,
}


class Injected(enum.Enum):
    """A 500 of Stripe's own, which it stores and replays like any answer."""

    FAILS_BEFORE_EFFECT = "before"
    FAILS_AFTER_EFFECT = "after"


@dataclass(frozen=True)
class Outcome:
    """The answer, and, where it is a replay, the request that was answered so first."""

    answer: Answer
    original_request: str | None = None


def find_endpoint(method: str, path: str) -> tuple[Endpoint, tuple[str, ...]]:
    """The endpoint at a URL and the ids in it; raises Stripe's 404."""
    empty, version, *steps = path.split("/")
    if (empty, version) == ("", "v1") and all(steps):
        pattern = tuple(_ID if place == 1 else step for place, step in enumerate(steps))
        endpoint = _ENDPOINTS.get((method, *pattern))
        if endpoint is not None:
            return endpoint, tuple(steps[1:2])
    raise errors.unknown_url(method, path)


def carry_out(
    call: Call,
    endpoint: Endpoint,
    request_id: str,
    *,
    idempotency_key: str | None,
    injected: Injected | None,
) -> Outcome:
    """Runs the endpoint in one transaction, or replays what its key stands for."""
    if idempotency_key is None:
        with call.books.transaction():
            return Outcome(_run(call, endpoint, request_id, injected)[0])
    fingerprint = _fingerprint(call)
    with call.books.transaction():
        stored = call.books.answer_stored_for(call.scope, idempotency_key)
        if stored is not None:
            if (stored.path, stored.fingerprint) != (call.path, fingerprint):
                raise errors.key_reused(idempotency_key, stored.path, call.path)
            return Outcome(stored.answer, original_request=stored.request_id)
        answer, stage = _run(call, endpoint, request_id, injected)
        if stage is Stage.EXECUTION:
            call.books.store_answer(
                call.scope,
                idempotency_key,
                StoredAnswer(call.path, fingerprint, request_id, answer),
            )
        return Outcome(answer)


def _run(
    call: Call, endpoint: Endpoint, request_id: str, injected: Injected | None
) -> tuple[Answer, Stage]:
    if injected is Injected.FAILS_BEFORE_EFFECT:
        return logged(errors.server_fault(), call.scope, request_id), Stage.EXECUTION
    try:
        with call.books.effect():
            answer, stage = endpoint(call), Stage.EXECUTION
    except StripeError as error:
        answer, stage = error.answer, error.stage
    if injected is Injected.FAILS_AFTER_EFFECT:
        answer, stage = errors.server_fault(), Stage.EXECUTION
    return logged(answer, call.scope, request_id), stage


def logged(answer: Answer, scope: Scope, request_id: str) -> Answer:
    """The answer with Stripe's link to the request's log, which errors carry."""
    if "error" not in answer.body:
        return answer
    mode = "" if scope.livemode else "test/"
    url = f"https://dashboard.stripe.com/{scope.account}/{mode}workbench/logs?object={request_id}"
    return replace(answer, body={"error": {**answer.body["error"], "request_log_url": url}})


def _fingerprint(call: Call) -> str:
    """Tells one request's parameters from another's, without a trace of a card number."""
    canonical = json.dumps(_without_card_number(call.form), sort_keys=True)
    return hashlib.sha256(f"{call.method} {call.path} {canonical}".encode()).hexdigest()


def _without_card_number(form: Form) -> Form:
    """The parameters with a card's number as the table knows it, and its CVC as present."""
    plain: Form = {}
    for name, value in form.items():
        if isinstance(value, dict):
            plain[name] = _without_card_number(value)
        elif name == "number":
            card = card_of_number("".join(digit for digit in value if digit.isdigit()))
            plain[name] = f"{card.scenario} {card.last4}" if card else "not a published test card"
        elif name == "cvc":
            plain[name] = "given"
        else:
            plain[name] = value
    return plain
