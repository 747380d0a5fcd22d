"""Which of Stripe's events a change of an object causes (https://docs.stripe.com/api/events/types).

A pure function of the object before and after. Only the events that an endpoint of ours listens to:
payment_intent.*, setup_intent.*, charge.refunded, charge.refund.updated, refund.*,
charge.dispute.*, and payment_method.updated, automatically_updated and detached.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from sandbox.books import Change, Json
from sandbox.stripe.api import API_VERSION
from sandbox.stripe.disputes import CLOSED, count_withdrawn
from sandbox.stripe.resources import generate_id

_BY_STATUS: Final = {
    "succeeded": "payment_intent.succeeded",
    "canceled": "payment_intent.canceled",
    "requires_action": "payment_intent.requires_action",
    "requires_capture": "payment_intent.amount_capturable_updated",
}


def build_events(change: Change, now: int) -> Iterator[Json]:
    """Return the events of a change, in the order in which Stripe creates them."""
    before = json.loads(change.before) if change.before is not None else None
    after = json.loads(change.after)
    for kind in _list_types(change.kind, before, after):
        data: Json = {"object": after}
        if before is not None and kind.endswith(("updated", "detached")):
            data["previous_attributes"] = _list_previous(before, after)
        yield {
            "id": generate_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": now,
            "data": data,
            "livemode": change.scope.livemode,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
        }


def _list_previous(before: Json, after: Json) -> Json:
    """Return the values that the change replaced."""
    return {name: value for name, value in before.items() if after.get(name) != value}


def _list_types(kind: str, before: Json | None, after: Json) -> Iterator[str]:
    match kind:
        case "payment_intent":
            return _list_intent_types(before, after)
        case "setup_intent":
            return _list_setup_types(before, after)
        case "charge":
            return _list_charge_types(before, after)
        case "refund":
            return _list_refund_types(before, after)
        case "dispute":
            return _list_dispute_types(before, after)
        case "payment_method":
            return _list_method_types(before, after)
        case _:
            return iter(())


def _list_intent_types(before: Json | None, after: Json) -> Iterator[str]:
    if before is None:
        yield "payment_intent.created"
    elif _state_of(before) != _state_of(after):
        if after["status"] in _BY_STATUS:
            yield _BY_STATUS[after["status"]]
        elif after["last_payment_error"]:
            yield "payment_intent.payment_failed"


def _list_setup_types(before: Json | None, after: Json) -> Iterator[str]:
    if before is None:
        yield "setup_intent.created"
    elif before["latest_attempt"] != after["latest_attempt"] or before["status"] != after["status"]:
        if after["status"] in ("succeeded", "canceled", "requires_action"):
            yield f"setup_intent.{after['status']}"
        elif after["last_setup_error"]:
            yield "setup_intent.setup_failed"


def _state_of(intent: Json) -> tuple[Any, ...]:
    error = intent["last_payment_error"] or {}
    return intent["status"], intent["latest_charge"], error.get("code")


def _list_charge_types(before: Json | None, after: Json) -> Iterator[str]:
    if before is not None and after["amount_refunded"] > before["amount_refunded"]:
        yield "charge.refunded"


def _list_refund_types(before: Json | None, after: Json) -> Iterator[str]:
    if before is None:
        yield "refund.created"
    elif before != after:
        yield "refund.updated"
        yield "charge.refund.updated"
        if after["status"] == "failed" != before["status"]:
            yield "refund.failed"


def _list_method_types(before: Json | None, after: Json) -> Iterator[str]:
    """A request can change the expiry date; only the account updater changes the number."""
    if before is None or before == after:
        return
    if before["customer"] is not None and after["customer"] is None:
        yield "payment_method.detached"
    elif before["customer"] is not None and before["card"]["last4"] != after["card"]["last4"]:
        yield "payment_method.automatically_updated"
    elif before["customer"] == after["customer"] is not None:
        yield "payment_method.updated"


def _list_dispute_types(before: Json | None, after: Json) -> Iterator[str]:
    if before is None:
        yield "charge.dispute.created"
    elif before["status"] != after["status"] and after["status"] in CLOSED:
        yield "charge.dispute.closed"
    elif before != after:
        yield "charge.dispute.updated"
    withdrawn = count_withdrawn(after) - (count_withdrawn(before) if before is not None else 0)
    if withdrawn > 0:
        yield "charge.dispute.funds_withdrawn"
    elif withdrawn < 0:
        yield "charge.dispute.funds_reinstated"
