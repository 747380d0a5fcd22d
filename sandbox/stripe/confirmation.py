"""Confirms a PaymentIntent: the one place where money moves.

| state               | event                           | next state                            |
|---------------------|---------------------------------|---------------------------------------|
| -                   | create without payment_method   | requires_payment_method               |
| -                   | create with payment_method      | requires_confirmation                 |
| open                | confirm, charge succeeds        | succeeded                             |
| open                | confirm, charge is declined     | requires_payment_method, 402          |
| open                | confirm, 3D Secure required     | requires_action                       |
| open                | the same without a cardholder   | requires_payment_method, 402          |
| requires_action     | authentication succeeds         | as confirm, without 3D Secure         |
| requires_action     | authentication fails            | requires_payment_method, 402          |
| open                | cancel                          | canceled                              |
| open                | confirm, `capture_method` manual| requires_capture                      |
| requires_capture    | capture, of all or a part       | succeeded                             |
| requires_capture    | cancel, or seven days           | canceled                              |
| succeeded, canceled | any of these                    | unchanged, 400                        |

Open: requires_payment_method, requires_confirmation, requires_action. Without a cardholder:
`off_session` or `error_on_requires_action`. Authentication is also accepted in
requires_payment_method when the last error is authentication_required: the cardholder came back.
A decline stores a failed charge. What a capture leaves is released, and like a canceled
authorization it is no refund (docs.stripe.com/changelog/basil, 2025-03-31).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from sandbox.books import Json, Record
from sandbox.stripe import errors, resources
from sandbox.stripe.calls import Call
from sandbox.stripe.cards import AUTHENTICATION_REQUIRED, Authentication, Decline
from sandbox.stripe.errors import Response
from sandbox.stripe.payment_methods import get_scenario

AUTHENTICATION_FAILED: Final = Decline(
    "setup_intent_authentication_failure",
    "We are unable to authenticate your payment method. Please choose a different payment method "
    "and try again.",
)


@dataclass(frozen=True)
class ConfirmOptions:
    """The parameters of a confirmation that concern 3D Secure."""

    off_session: bool = False
    error_on_requires_action: bool = False
    return_url: str | None = None


def confirm(call: Call, intent: Record, method: Record, options: ConfirmOptions) -> Response:
    """Charge, fail with 402, or move the intent to `requires_action`."""
    intent.body["payment_method"] = method.id
    if not _needs_authentication(method, off_session=options.off_session):
        return _charge(call, intent, method)
    if options.off_session:
        return _fail(call, intent, method, AUTHENTICATION_REQUIRED, charge=None)
    if options.error_on_requires_action:
        action_required = Decline(
            "authentication_required",
            "This payment required an authentication action to complete, but "
            "`error_on_requires_action` was set. When you're ready, you can upgrade your "
            "integration to handle actions at "
            "https://stripe.com/docs/payments/payment-intents/upgrade-to-handle-actions.",
        )
        return _fail(call, intent, method, action_required, charge=None)
    intent.body["status"] = "requires_action"
    intent.body["next_action"] = next_action("payment_intent", intent.id, options.return_url)
    call.books.update(intent)
    return Response(200, intent.body)


def complete_authentication(call: Call, intent: Record, *, succeeded: bool) -> Response:
    """Finish 3D Secure: charge the card, or fail the intent with 402."""
    error = intent.body["last_payment_error"] or {}
    came_back = error.get("code") == "authentication_required"
    if came_back and intent.body["status"] == "requires_payment_method":
        intent.body["payment_method"] = error["payment_method"]["id"]
    elif intent.body["status"] != "requires_action":
        raise unexpected_state(
            f"The PaymentIntent has a status of {intent.body['status']}; only one that "
            "requires_action can be authenticated.",
            intent.body,
        )
    method = call.require("payment_method", intent.body["payment_method"], param="payment_method")
    if succeeded:
        return _charge(call, intent, method)
    failure = replace(AUTHENTICATION_FAILED, code="payment_intent_authentication_failure")
    return _fail(call, intent, method, failure, charge=None)


def _needs_authentication(method: Record, *, off_session: bool) -> bool:
    match get_scenario(method).authentication:
        case Authentication.NEVER:
            return False
        case Authentication.ALWAYS:
            return True
        case Authentication.ON_SESSION:
            return not off_session
        case Authentication.UNLESS_SET_UP:
            return not (off_session and method.private.get("set_up"))


def next_action(kind: str, intent_id: str, return_url: str | None) -> Json:
    """Return a next_action (docs.stripe.com/api/payment_intents/object)."""
    url = f"https://hooks.stripe.com/3d_secure_2/hosted?{kind}={intent_id}"
    if return_url is not None:
        redirect = {"return_url": return_url, "url": url}
        return {"redirect_to_url": redirect, "type": "redirect_to_url"}
    challenge = {"stripe_js": url, "type": "three_d_secure_redirect"}
    return {"type": "use_stripe_sdk", "use_stripe_sdk": challenge}


def _charge(call: Call, intent: Record, method: Record) -> Response:
    """Store a succeeded or failed charge, as the card's scenario says."""
    decline = get_scenario(method).on_charge
    body = resources.build_charge(intent.body, method.body, decline, created=call.now)
    charge = call.add(Record("charge", body))
    if decline is not None:
        return _fail(call, intent, method, decline, charge=charge.id)
    intent.body |= {"last_payment_error": None, "latest_charge": charge.id, "next_action": None}
    if intent.body["capture_method"] == "manual":
        intent.body |= {"status": "requires_capture", "amount_capturable": intent.body["amount"]}
    else:
        intent.body |= {"status": "succeeded", "amount_received": intent.body["amount"]}
    call.books.update(intent)
    if method.body["customer"] is None:
        _save_or_spend(call, intent, method)
    elif intent.body["setup_future_usage"]:
        method.private["set_up"] = True
        call.books.update(method)
    return Response(200, intent.body)


def capture(call: Call, intent: Record, amount: int) -> None:
    """Take an amount of an authorized intent; the rest is released."""
    charge = call.require("charge", intent.body["latest_charge"], param="latest_charge")
    charge.body |= {
        "amount_captured": amount,
        "balance_transaction": resources.generate_id("txn"),
        "captured": True,
    }
    call.books.update(charge)
    intent.body |= {"status": "succeeded", "amount_capturable": 0, "amount_received": amount}
    call.books.update(intent)


def _save_or_spend(call: Call, intent: Record, method: Record) -> None:
    """Attach an unattached card if the intent saves it for later, otherwise use it up."""
    if intent.body["setup_future_usage"] and intent.body["customer"]:
        method.body["customer"] = intent.body["customer"]
        method.private["set_up"] = True
    else:
        method.private["spent"] = True
    call.books.update(method)


def _fail(
    call: Call, intent: Record, method: Record, decline: Decline, *, charge: str | None
) -> Response:
    """Return a 402; the intent records the error and requires another card."""
    response = errors.card_error(
        decline.message,
        code=decline.code,
        decline_code=decline.decline_code,
        param=decline.param,
        attempt={"charge": charge, "payment_method": method.body},
    )
    intent.body |= {
        "status": "requires_payment_method",
        "last_payment_error": dict(response.body["error"]),
        "latest_charge": charge,
        "next_action": None,
        "payment_method": None,
    }
    call.books.update(intent)
    response.body["error"]["payment_intent"] = intent.body
    return response


def unexpected_state(message: str, intent: Json) -> errors.StripeError:
    """Return the 400 for an intent whose status forbids the request."""
    return errors.invalid_request(
        message,
        code="payment_intent_unexpected_state",
        stage=errors.Stage.EXECUTION,
        payment_intent=intent,
    )
