"""Counts and traces the calls of a gateway's methods: how long they took, and how they ended."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from core.gateways.gateway import (
    AuthenticationNeeded,
    Authorized,
    CardDeclined,
    CustomerMissing,
    Declined,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    HeldForReview,
    ListTooLong,
    NotSent,
    RefundRefused,
    Refused,
    RequiresAction,
    Succeeded,
    Unknown,
    Unsettled,
)
from core.metrics import GATEWAY_CALL_SECONDS
from rpc import tracing

VERBS: Final = (
    "check_account",
    "create_customer",
    "create_customer_with_card",
    "create_customer_with_nonce",
    "save_card",
    "set_up_card",
    "find_setup",
    "find_card",
    "cards_of_customer",
    "remove_card",
    "update_card",
    "charge",
    "look_up_charge",
    "read_state",
    "cancel_payment",
    "capture_payment",
    "refund",
    "look_up_refund",
    "complete_event",
)
"""Methods of gateways; some have all of them."""
OUTCOMES: Final[Mapping[type, str]] = {
    Succeeded: "succeeded",
    Authorized: "authorized",
    Declined: "declined",
    CardDeclined: "declined",
    RequiresAction: "requires_action",
    AuthenticationNeeded: "requires_action",
    HeldForReview: "held_for_review",
    Refused: "refused",
    RefundRefused: "refused",
    GatewayRefused: "refused",
    CustomerMissing: "customer_missing",
    NotSent: "not_sent",
    GatewayUnavailable: "not_sent",
    Unknown: "unknown",
    GatewayUnknown: "unknown",
    ListTooLong: "unknown",
    Unsettled: "unsettled",
}
"""Outcome by the type of what a method returns or raises. `ok`: it returned anything else."""
_FAULTS: Final = ("error", "not_sent", "unknown")
_OK: Final = "ok"
_ERROR: Final = "error"
"""An exception that no gateway should raise."""
_CANCELLED: Final = "cancelled"


def observe_calls(name: str, gateway: object) -> None:
    """Have the calls of the gateway's methods counted and traced under `name`.

    A method that calls another one of these counts both.
    """
    for verb in VERBS:
        if hasattr(gateway, verb):
            setattr(gateway, verb, partial(_observed, name, gateway, verb))


async def _observed(name: str, gateway: object, verb: str, /, *args: Any, **kwargs: Any) -> Any:
    method = getattr(type(gateway), verb)
    began, outcome = time.perf_counter(), _CANCELLED
    span = tracing.begin(f"{name} {verb}")
    try:
        result = await method(gateway, *args, **kwargs)
        outcome = OUTCOMES.get(type(result), _OK)
    except Exception as error:
        outcome = OUTCOMES.get(type(error), _ERROR)
        raise
    finally:
        GATEWAY_CALL_SECONDS.observe((name, verb, outcome), time.perf_counter() - began)
        if span is not None:
            span.end(is_error=outcome in _FAULTS, outcome=outcome)
    return result
