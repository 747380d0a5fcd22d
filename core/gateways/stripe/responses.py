"""Maps Stripe's responses to outcomes and errors, and amounts to Stripe's units. No I/O.

Stripe's messages quote keys and ids: none leaves this file except those of declines, which are
written for cardholders. A client secret leaves it in RequiresAction only.
"""

import enum
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

import stripe

from core.gateways.connections import ERRORS_BEFORE_SENDING
from core.gateways.gateway import (
    Account,
    AuthenticationNeeded,
    Authorized,
    CardDeclined,
    ChargeOutcome,
    CustomerMissing,
    Declined,
    GatewayCharge,
    GatewayError,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    NotSent,
    RefundOutcome,
    RefundRefused,
    Refused,
    RequiresAction,
    SavedCard,
    Succeeded,
    Unknown,
)
from core.money import Amount, exponent, stored_exponent

_log = logging.getLogger(__name__)

Body = dict[str, Any]
"""A JSON object of Stripe."""

# https://docs.stripe.com/currencies (zero-decimal, three-decimal, special cases)
ZERO_DECIMAL: Final = frozenset(
    ("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv")
) | {"xaf", "xof", "xpf"}
THREE_DECIMAL: Final = frozenset(("bhd", "jod", "kwd", "omr", "tnd"))
TIMES_HUNDRED: Final = frozenset(("isk", "ugx"))
"""Without decimals in ISO 4217, but Stripe takes two, always 00: 5 UGX are sent as 500."""

_WORD: Final = re.compile(r"[A-Za-z0-9_\[\]]{1,64}")
UNCLEAR: Final = "Stripe gave no clear answer. The charge may or may not have been made."


class UnchargeableAmount(Exception):
    """Stripe cannot charge this amount; `field` is the caller's field at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


def stripe_amount(amount: Amount) -> int:
    """Return the amount in Stripe's units, which are not always ISO's minor units.

    Raises:
        UnchargeableAmount: Stripe has coarser units in this currency, or does not support it.
    """
    digits, minor, currency = exponent(amount.currency), amount.minor, amount.currency
    if currency == "stn":
        raise UnchargeableAmount(
            "currency", "Stripe does not charge stn, only the dobra before 2018, std."
        )
    if currency in TIMES_HUNDRED and digits == 0:
        return minor * 100
    if currency in ZERO_DECIMAL and digits is not None:
        whole, rest = divmod(minor, int(10**digits))
        if rest:
            raise UnchargeableAmount("amount", f"Stripe charges whole {currency} only.")
        return whole
    if currency in THREE_DECIMAL and digits == 3:
        if minor % 10:
            raise UnchargeableAmount("amount", f"Stripe charges two decimals of {currency} only.")
        return minor
    if digits == 2:
        return minor
    raise UnchargeableAmount("currency", f"Stripe does not charge {currency}.")


def minor_of(amount: int, currency: str) -> int | None:
    """Return an amount of Stripe in ISO's minor units, or None if it has none.

    The currency may have been withdrawn: a refund of an old payment is in the payment's currency.
    """
    digits = stored_exponent(currency)
    if digits is None:
        return None
    if currency in TIMES_HUNDRED and digits == 0:
        return amount // 100 if amount % 100 == 0 else None
    return amount * 10**digits if currency in ZERO_DECIMAL else amount


class Kind(enum.Enum):
    """Kind of a failed call. From `LOST` on, the call may have been executed."""

    DECLINED = "declined"
    REFUSED = "refused"
    UNAUTHORIZED = "unauthorized"
    NOT_CONNECTED = "not connected"
    THROTTLED = "throttled"
    LOST = "lost"
    SERVER_ERROR = "server error"
    KEY_IN_USE = "idempotency key in use"
    KEY_REUSED = "idempotency key reused"


INCONCLUSIVE: Final = frozenset({Kind.LOST, Kind.SERVER_ERROR, Kind.KEY_IN_USE, Kind.KEY_REUSED})
INCONCLUSIVE_ABOUT_FIRST: Final = frozenset({Kind.NOT_CONNECTED, Kind.THROTTLED, Kind.UNAUTHORIZED})
"""Failures of a resend before Stripe looks at its idempotency key."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed call. It has Stripe's error body, so it is never shown whole."""

    kind: Kind
    status: int | None = None
    error: Mapping[str, Any] = field(default_factory=dict, repr=False)
    is_of_resend: bool = False
    """Whether an earlier try of the call may have been executed."""

    def word(self, name: str) -> str:
        """Return a code, type or parameter name of the error, or nothing if it is free text."""
        value = self.error.get(name)
        return value if isinstance(value, str) and _WORD.fullmatch(value) else ""


def classify(error: Exception) -> Failure:
    """Return the failure of an error of the SDK."""
    if not isinstance(error, stripe.StripeError):
        return Failure(Kind.LOST)
    body = error.json_body.get("error") if isinstance(error.json_body, dict) else None
    known = body if isinstance(body, dict) else {}
    status = error.http_status
    match error:
        case stripe.APIConnectionError():
            certain = isinstance(error.__cause__, ERRORS_BEFORE_SENDING)
            kind = Kind.NOT_CONNECTED if certain else Kind.LOST
        case stripe.RateLimitError():
            kind = Kind.THROTTLED
        case stripe.IdempotencyError():
            kind = Kind.KEY_REUSED
        case stripe.CardError():
            kind = Kind.DECLINED if known.get("type") == "card_error" else Kind.REFUSED
        case stripe.AuthenticationError() | stripe.PermissionError():
            kind = Kind.UNAUTHORIZED
        case stripe.InvalidRequestError():
            kind = Kind.REFUSED
        case _ if status == 409:  # the SDK knows no class for it
            kind = Kind.KEY_IN_USE
        case _ if status is not None and status >= 500:
            kind = Kind.SERVER_ERROR
        case _:
            kind = Kind.LOST
    return Failure(kind, status, known)


def outcome_of(intent: Body, charge: GatewayCharge) -> ChargeOutcome:
    """Return the outcome that a payment intent shows, if it is of this charge."""
    if differing := _disagreements(intent, charge):
        _log.error(
            "payment intent differs from the charge, outcome stays unknown: compare them in "
            "Stripe's dashboard",
            extra={"payment_id": charge.payment_id, "differences": differing},
        )
        return Unknown("Stripe's payment intent differs from the charge.")
    transaction_id, failed = str(intent["id"]), intent.get("last_payment_error")
    match intent.get("status"):
        case "requires_capture" | "succeeded" if not charge.is_captured:
            return Authorized(transaction_id)  # captured since: the next look at it shows that
        case "succeeded":
            return Succeeded(transaction_id)
        case "requires_action":
            return _requires_action(intent)
        case "canceled":
            return Declined(transaction_id, "canceled", "The payment was canceled at Stripe.")
        case "requires_payment_method" if isinstance(failed, dict):
            if _needs_authentication(failed):
                return _requires_action(intent)
            return _declined(Failure(Kind.DECLINED, error=failed), transaction_id)
        case _:
            return Unknown("Stripe has the payment and has not finished it.")


def outcome_of_all(intents: list[Body], charge: GatewayCharge) -> ChargeOutcome:
    """Return the outcome of a charge; of several intents, a bug, the one that took money."""
    if len(intents) > 1:
        _log.error(
            "several payment intents of one payment: refund the extra ones",
            extra={"payment_id": charge.payment_id, "payment_intents": len(intents)},
        )
    outcomes = [outcome_of(intent, charge) for intent in intents]
    precedence = (Succeeded, Authorized, Unknown, RequiresAction, Declined)
    return min(outcomes, key=lambda outcome: precedence.index(type(outcome)))


def _disagreements(intent: Body, charge: GatewayCharge) -> list[str]:
    """Return the names of the fields in which a payment intent differs from the charge."""
    customer = intent.get("customer")
    shown = {
        "object": intent.get("object"),
        "amount": intent.get("amount"),
        "currency": intent.get("currency"),
        "customer": customer.get("id") if isinstance(customer, dict) else customer,
        "payment_id": payment_id_of(intent),
    }
    expected = {
        "object": "payment_intent",
        "amount": stripe_amount(charge.amount),
        "currency": charge.amount.currency,
        "customer": charge.customer_id,
        "payment_id": charge.payment_id,
    }
    differing = [name for name, value in expected.items() if shown[name] != value]
    return differing if isinstance(intent.get("id"), str) else ["id", *differing]


PAYMENT_ID_KEY: Final = "nivisco_payment_id"
"""Metadata key of our payment's id, on the payment intents that we create."""


USER_ID_KEY: Final = "nivisco_user_id"
PRIMARY_KEY: Final = "nivisco_set_as_primary"
"""Metadata keys of our user's id, and of what was requested, on the SetupIntents that we create."""


REFUND_ID_KEY: Final = "nivisco_refund_id"
"""Metadata key of our refund's id, on the refunds that we create."""


def refund_id_of(refund: Body) -> object:
    """Return our refund's id in the metadata of a refund, if it is there."""
    metadata = refund.get("metadata")
    return metadata.get(REFUND_ID_KEY) if isinstance(metadata, dict) else None


def refund_refusal_of(failure: Failure, account: Account) -> RefundOutcome:
    """Return the outcome of a refund whose call failed.

    Stripe refuses a refund of more than is left of the charge, and one of a disputed charge
    (docs.stripe.com/api/refunds/create, docs.stripe.com/error-codes). An account that does not have
    the payment decides nothing: the keys may be of another one now.
    """
    match failure.kind:
        case Kind.REFUSED if failure.word("code") == "resource_missing":
            return Refused("Stripe has no such payment under these keys.")
        case Kind.DECLINED | Kind.REFUSED:
            code = failure.word("code")
            if not code and failure.word("param") == "amount":
                code = "amount_too_large"
            return RefundRefused(code or "refused", _refusal(failure))
        case Kind.UNAUTHORIZED:
            return Refused(_unauthorized(failure, account))
        case Kind.NOT_CONNECTED:
            return NotSent("Stripe cannot be reached. Nothing was refunded.")
        case Kind.THROTTLED:
            return NotSent("Stripe is too busy for this account. Nothing was refunded.")
        case Kind.LOST | Kind.SERVER_ERROR | Kind.KEY_IN_USE | Kind.KEY_REUSED:
            return Unknown("Stripe gave no clear answer. The refund may or may not have been made.")
        case _:
            assert_never(failure.kind)


def payment_id_of(intent: object) -> object:
    """Return our payment's id in the metadata of a customer's intent, if it is there.

    Intents of earlier versions have it under `payment_id`, which merchants use for ids of their
    own.
    """
    metadata = intent.get("metadata") if isinstance(intent, dict) else None
    if not isinstance(metadata, dict):
        return None
    return metadata.get(PAYMENT_ID_KEY, metadata.get("payment_id"))


def _needs_authentication(error: Mapping[str, Any]) -> bool:
    return "authentication_required" in (error.get("code"), error.get("decline_code"))


def _requires_action(intent: Body) -> ChargeOutcome:
    secret = intent.get("client_secret")
    if not isinstance(secret, str):
        return Unknown("Stripe asks for authentication and does not say how.")
    return RequiresAction(str(intent["id"]), secret)


def _declined(failure: Failure, transaction_id: str | None) -> Declined:
    code = failure.word("decline_code") or failure.word("code") or "card_declined"
    return Declined(transaction_id, code, _decline_message(failure))


def _decline_message(failure: Failure) -> str:
    """Return Stripe's message, which is written for the cardholder."""
    message = failure.error.get("message")
    return message if isinstance(message, str) and message else "The card was declined."


def outcome_of_failure(failure: Failure, account: Account, charge: GatewayCharge) -> ChargeOutcome:
    """Return the outcome of a charge whose call failed."""
    match failure.kind:
        case Kind.DECLINED:
            intent = failure.error.get("payment_intent")
            if not isinstance(intent, dict):
                return _declined(failure, None)
            return outcome_of({**intent, "last_payment_error": failure.error}, charge)
        case Kind.REFUSED:
            named = failure.word("param")
            return Refused(_refusal(failure), named if named in ("amount", "currency") else None)
        case Kind.UNAUTHORIZED:
            return Refused(_unauthorized(failure, account))
        case Kind.NOT_CONNECTED:
            return NotSent("Stripe cannot be reached. Nothing was charged.")
        case Kind.THROTTLED:
            return NotSent("Stripe is too busy for this account. Nothing was charged.")
        case Kind.LOST | Kind.SERVER_ERROR | Kind.KEY_IN_USE | Kind.KEY_REUSED:
            return Unknown(UNCLEAR)
        case _:
            assert_never(failure.kind)


def error_of(failure: Failure, account: Account, field: str | None = None) -> GatewayError:
    """Return the error of a call other than a charge; `field` is the caller's field at fault."""
    match failure.kind:
        case Kind.DECLINED:
            declined = _declined(failure, None)
            return CardDeclined(declined.message, declined.decline_code)
        case Kind.REFUSED if failure.word("param") == "customer":
            return CustomerMissing(_refusal(failure))
        case Kind.REFUSED:
            return GatewayRefused(_refusal(failure), field)
        case Kind.UNAUTHORIZED:
            return GatewayRefused(_unauthorized(failure, account))
        case Kind.NOT_CONNECTED:
            return GatewayUnavailable("Stripe cannot be reached. Nothing was done.")
        case Kind.THROTTLED:
            return GatewayUnavailable("Stripe is too busy for this account. Nothing was done.")
        case Kind.LOST | Kind.SERVER_ERROR | Kind.KEY_IN_USE | Kind.KEY_REUSED:
            return GatewayUnknown("Stripe gave no clear answer.")
        case _:
            assert_never(failure.kind)


_REFUSALS: Final = {
    ("charge_already_refunded", ""): "The payment was refunded before.",
    ("charge_disputed", ""): "The payment is disputed, or was charged back.",
    ("", "amount"): "The amount is above what is left of the payment at Stripe.",
    ("amount_too_small", "amount"): "The amount is below what Stripe charges in this currency.",
    ("amount_too_large", "amount"): "The amount is above what Stripe charges in this currency.",
    ("", "currency"): "Stripe does not charge this currency.",
    ("resource_missing", "payment_method"): "Stripe has no such card. Save the card again.",
    ("resource_missing", "customer"): "Stripe has no such customer under these keys.",
    ("resource_missing", "card[token]"): "Stripe has no such token.",
}


def _refusal(failure: Failure) -> str:
    """Return the reason of a refusal without Stripe's message, which may quote keys and ids."""
    code, param = failure.word("code"), failure.word("param")
    named = ", ".join(part for part in (code, f"parameter {param}" if param else "") if part)
    return _REFUSALS.get((code, param), f"Stripe refused the request ({named or 'no reason'}).")


def _unauthorized(failure: Failure, account: Account) -> str:
    """Return which key to correct, without any part of it."""
    if failure.status == 403:
        return (
            f"Stripe's {account.env} key may not do this: check account_id, and that a restricted "
            "key may write customers, payment methods and payment intents."
        )
    return f"Stripe does not know the {account.env} secret key: store a valid stripe_secret_key."


def object_of(
    response: Body | Failure, account: Account, kind: str, *, token: bool = False
) -> Body:
    """Return the object of a response.

    Raises:
        GatewayError: the call failed. With `token`, a refusal names the caller's token, unless the
            customer is missing at Stripe.
    """
    if isinstance(response, Failure):
        raise error_of(response, account, "payment_method_token" if token else None)
    if response.get("object") != kind or not isinstance(response.get("id"), str):
        raise GatewayUnknown("Stripe gave no clear answer.")
    return response


def is_missing(response: Body | Failure) -> bool:
    """Return whether the account has no object of the id in the request's path."""
    return (
        isinstance(response, Failure)
        and response.kind is Kind.REFUSED
        and response.word("code") == "resource_missing"
    )


def saved_card(method: Body, customer_id: str) -> SavedCard:
    """Return the card of an attached payment method.

    Raises:
        GatewayRefused: the payment method is not a card.
        GatewayUnknown: the response is about another customer, or shows no card.
    """
    if method.get("customer") != customer_id:
        raise GatewayUnknown("Stripe's answer is about another customer.")
    if method.get("type") != "card":
        raise GatewayRefused("The payment method is no card.", "payment_method_token")
    match method.get("card"):
        case {
            "brand": str(brand),
            "last4": str(last4),
            "exp_month": int(month),
            "exp_year": int(year),
        }:
            fingerprint = method["card"].get("fingerprint")
            known = fingerprint if isinstance(fingerprint, str) else None
            return SavedCard(str(method["id"]), brand, last4, month, year, known)
    raise GatewayUnknown("Stripe shows no card of the payment method.")


def default_card_id(customer: Body) -> str | None:
    """Return the id of a customer's default card, if it has one."""
    settings = customer.get("invoice_settings")
    default = settings.get("default_payment_method") if isinstance(settings, dict) else None
    default = default or customer.get("default_source")
    found = default.get("id") if isinstance(default, dict) else default
    return found if isinstance(found, str) else None


def setup_metadata(user_id: str, *, set_as_primary: bool) -> dict[str, str]:
    """Return the metadata of a SetupIntent that we create."""
    return {USER_ID_KEY: user_id, PRIMARY_KEY: str(set_as_primary).lower()}


def setup_user_id(intent: Body) -> str | None:
    """Return our user's id in a SetupIntent, or None if we did not create it."""
    metadata = intent.get("metadata")
    found = metadata.get(USER_ID_KEY) if isinstance(metadata, dict) else None
    return found if isinstance(found, str) else None


def is_setup_of_primary(intent: Body) -> bool:
    """Return whether the card of a SetupIntent of ours becomes the primary card."""
    return bool(intent["metadata"].get(PRIMARY_KEY) == "true")


def set_up_card_id(intent: Body) -> str:
    """Return the id of the card that a SetupIntent set up.

    Raises:
        GatewayError: AuthenticationNeeded, or GatewayUnknown if its state is another one.
    """
    method, secret = intent.get("payment_method"), intent.get("client_secret")
    match intent.get("status"):
        case "succeeded" if isinstance(method, str):
            return method
        case "requires_action" if isinstance(secret, str):
            raise AuthenticationNeeded(str(intent["id"]), secret)
        case _:
            raise GatewayUnknown("Stripe has not finished setting the card up.")
