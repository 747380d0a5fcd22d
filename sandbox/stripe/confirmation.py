"""Confirms a PaymentIntent: the one place where money moves.

A confirmed intent charges its card once, or fails with a failed charge in the books, or waits for
the cardholder (3D Secure). Captures at once; separate capture is not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.books import Record
from sandbox.stripe import errors as errors
from sandbox.stripe import resources as resources
from sandbox.stripe.calls import Call
from sandbox.stripe.cards import AUTHENTICATION_REQUIRED, Authentication, Decline
from sandbox.stripe.errors import Answer, Json
from sandbox.stripe.payment_methods import scenario_of


@dataclass(frozen=True)
class Confirmation:
    """How an intent is confirmed: whether the cardholder is there, and what if they are needed."""

    off_session: bool = False
    error_on_requires_action: bool = False
    return_url: str | None = None


def confirm(call: Call, intent: Record, method: Record, how: Confirmation) -> Answer:
    """Charges, fails with 402, or leaves the intent at `requires_action`."""
    intent.body["payment_method"] = method.id
    if not _needs_authentication(method, off_session=how.off_session):
        return _charge(call, intent, method)
    if how.off_session:
        # Nobody is there to authenticate: the issuer refuses, and no charge is recorded.
        return _fail(call, intent, method, AUTHENTICATION_REQUIRED, charge=None)
    if how.error_on_requires_action:
        unmet = Decline(
            "authentication_required",
            "This payment required an authentication action to complete, but "
            "`error_on_requires_action` was set. When you're ready, you can upgrade your "
            "integration to handle actions at "
            "https://stripe.com/docs/payments/payment-intents/upgrade-to-handle-actions.",
        )
        return _fail(call, intent, method, unmet, charge=None)
    intent.body["status"] = "requires_action"
    intent.body["next_action"] = _next_action(intent.id, how.return_url)
    call.books.change(intent)
    return Answer(200, intent.body)


def complete_authentication(call: Call, intent: Record, *, succeeded: bool) -> Answer:
    """What the cardholder does at their bank: passes 3D Secure, and is charged, or fails it."""
    error = intent.body["last_payment_error"] or {}
    # Refused off session for want of the cardholder, who comes back with the client secret.
    is_left = error.get("code") == "authentication_required"
    if is_left and intent.body["status"] == "requires_payment_method":
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
    failure = Decline(
        "payment_intent_authentication_failure",
        "We are unable to authenticate your payment method. Please choose a different payment "
        "method and try again.",
    )
    return _fail(call, intent, method, failure, charge=None)


def _needs_authentication(method: Record, *, off_session: bool) -> bool:
    match scenario_of(method).authentication:
        case Authentication.NEVER:
            return False
        case Authentication.ALWAYS:
            return True
        case Authentication.ON_SESSION:
            return not off_session
        case Authentication.UNLESS_SET_UP:
            return not (off_session and method.private.get("set_up"))


def _next_action(intent_id: str, return_url: str | None) -> Json:
    """https://docs.stripe.com/api/payment_intents/object#payment_intent_object-next_action."""
    url = f"https://hooks.stripe.com/3d_secure_2/hosted?payment_intent={intent_id}"
    if return_url is not None:
        redirect = {"return_url": return_url, "url": url}
        return {"redirect_to_url": redirect, "type": "redirect_to_url"}
    challenge = {"stripe_js": url, "type": "three_d_secure_redirect"}
    return {"type": "use_stripe_sdk", "use_stripe_sdk": challenge}


def _charge(call: Call, intent: Record, method: Record) -> Answer:
    """Asks the issuer: takes the money, or records a failed charge."""
    decline = scenario_of(method).on_charge
    body = resources.charge(intent.body, method.body, decline, created=call.now)
    charge = call.keep(Record("charge", body))
    if decline is not None:
        return _fail(call, intent, method, decline, charge=charge.id)
    intent.body |= {
        "status": "succeeded",
        "amount_received": intent.body["amount"],
        "last_payment_error": None,
        "latest_charge": charge.id,
        "next_action": None,
    }
    call.books.change(intent)
    if method.body["customer"] is None:
        _use_up(call, intent, method)
    elif intent.body["setup_future_usage"]:
        method.private["set_up"] = True
        call.books.change(method)
    return Answer(200, intent.body)


def _use_up(call: Call, intent: Record, method: Record) -> None:
    """An unattached card is good for one payment, unless the intent saves it for later ones."""
    if intent.body["setup_future_usage"] and intent.body["customer"]:
        method.body["customer"] = intent.body["customer"]
        method.private["set_up"] = True
    else:
        method.private["spent"] = True
    call.books.change(method)


def _fail(
    call: Call, intent: Record, method: Record, decline: Decline, *, charge: str | None
) -> Answer:
    """402: the intent stays, with what went wrong, and waits for another card."""
    told = {"charge": charge, "payment_method": method.body}
    answer = errors.card_error(
        decline.message,
        code=decline.code,
        decline_code=decline.decline_code,
        param=decline.param,
        attempt=told,
    )
    intent.body |= {
        "status": "requires_payment_method",
        "last_payment_error": dict(answer.body["error"]),
        "latest_charge": charge,
        "next_action": None,
        "payment_method": None,
    }
    call.books.change(intent)
    answer.body["error"]["payment_intent"] = intent.body
    return answer


def unexpected_state(message: str, intent: Json) -> errors.StripeError:
    """The intent's status forbids what is asked."""
    return errors.invalid_request(
        message,
        code="payment_intent_unexpected_state",
        stage=errors.Stage.EXECUTION,
        payment_intent=intent,
    )
