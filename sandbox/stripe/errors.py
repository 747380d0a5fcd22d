"""Stripe's error shapes (https://docs.stripe.com/api/errors), one constructor for each situation.

Raised, an error undoes whatever the request did. A decline is not raised but returned as an
`Answer`, because the failed charge that it tells of stays in the books.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]

_DOC_URL: Final = "https://stripe.com/docs/error-codes/{}"
_SUPPORT: Final = (
    "See https://stripe.com/docs/api#authentication for details, or we can help at "
    "https://support.stripe.com/."
)


@dataclass(frozen=True)
class Answer:
    """What a request is answered: HTTP status and JSON body."""

    status: int
    body: Json


class Stage(enum.Enum):
    """How far a request came; Stripe keeps an idempotent answer only once execution began.

    https://docs.stripe.com/api/idempotent_requests
    """

    VALIDATION = "validation"
    EXECUTION = "execution"


class StripeError(Exception):
    """The request is refused and leaves no effect."""

    def __init__(self, status: int, error: Mapping[str, Any], stage: Stage) -> None:
        super().__init__(str(error.get("message")))
        self.stage = stage
        self.answer = Answer(status, error_body(error))


def error_body(error: Mapping[str, Any]) -> Json:
    """The JSON body around an error; absent parts are left out, a code brings its doc_url."""
    parts = {name: value for name, value in error.items() if value is not None}
    code = parts.get("code")
    if isinstance(code, str):
        parts["doc_url"] = _DOC_URL.format(code.replace("_", "-"))
    return {"error": parts}


def invalid_request(
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    status: int = 400,
    stage: Stage = Stage.VALIDATION,
    payment_intent: Json | None = None,
) -> StripeError:
    """An `invalid_request_error`; by default found while the parameters were read."""
    error = {
        "code": code,
        "message": message,
        "param": param,
        "payment_intent": payment_intent,
        "type": "invalid_request_error",
    }
    return StripeError(status, error, stage)


def parameter_unknown(param: str) -> StripeError:
    """A parameter that the endpoint does not have."""
    return invalid_request(
        f"Received unknown parameter: {param}", code="parameter_unknown", param=param
    )


def parameter_missing(param: str) -> StripeError:
    """A required parameter is absent."""
    return invalid_request(
        f"Missing required param: {param}.", code="parameter_missing", param=param
    )


def parameter_empty(param: str) -> StripeError:
    """An empty string for something that cannot be unset."""
    return invalid_request(
        f"You passed an empty string for '{param}'. We assume empty values are an attempt to "
        f"unset a parameter; however '{param}' cannot be unset. You should remove '{param}' from "
        "your request or supply a non-empty value.",
        code="parameter_invalid_empty",
        param=param,
    )


def not_modelled(param: str) -> StripeError:
    """A parameter that Stripe has and this stand-in lacks; better refused than ignored."""
    return invalid_request(
        f"The sandbox does not stand in for this parameter: {param}. Leave it out.",
        code="parameter_unknown",
        param=param,
    )


def resource_missing(
    kind: str, identifier: str, *, param: str, in_path: bool, hint: str = ""
) -> StripeError:
    """No such object: 404 where the URL names it, 400 where a parameter does."""
    return invalid_request(
        f"No such {kind}: '{identifier}'{hint}",
        code="resource_missing",
        param=param,
        status=404 if in_path else 400,
        stage=Stage.EXECUTION,
    )


def unknown_url(method: str, path: str) -> StripeError:
    """The path, or this method on it, does not exist."""
    slash = (
        " If you are trying to list objects, remove the trailing slash. If you are trying to "
        "retrieve an object, make sure you passed a valid (non-empty) identifier in your code."
        if path.endswith("/")
        else ""
    )
    return invalid_request(
        f"Unrecognized request URL ({method}: {path}).{slash} Please see "
        "https://stripe.com/docs or we can help at https://support.stripe.com/.",
        status=404,
    )


def unauthenticated(message: str, code: str | None = None) -> StripeError:
    """401: no key, an unknown one, one that was revoked, or one of the wrong sort."""
    return invalid_request(message, code=code, status=401)


def no_key() -> StripeError:
    """401: no credentials at all."""
    return unauthenticated(
        "You did not provide an API key. You need to provide your API key in the Authorization "
        "header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). " + _SUPPORT
    )


def account_invalid(masked_key: str, account: str) -> StripeError:
    """403: `Stripe-Account` names an account that the key does not open."""
    return invalid_request(
        f"The provided key '{masked_key}' does not have access to account '{account}' (or that "
        "account does not exist). Application access may have been revoked.",
        code="account_invalid",
        status=403,
    )


def rate_limited() -> StripeError:
    """429: nothing was done."""
    return invalid_request(
        "Request rate limit exceeded. Learn more about rate limits here "
        "https://stripe.com/docs/rate-limits.",
        code="rate_limit",
        status=429,
    )


def key_reused(key: str, first_path: str, path: str) -> StripeError:
    """400: an idempotency key that already stands for another request."""
    if first_path == path:
        rule = "with the same parameters they were first used with"
    else:
        rule = f"for the same endpoint they were first used for ('{first_path}' vs '{path}')"
    message = (
        f"Keys for idempotent requests can only be used {rule}. Try using a key other than "
        f"'{key}' if you meant to execute a different request."
    )
    return StripeError(400, {"message": message, "type": "idempotency_error"}, Stage.VALIDATION)


def key_in_use(key: str) -> StripeError:
    """409: the first request with this idempotency key is still running."""
    return invalid_request(
        "There is currently another in-progress request using this Idempotent Key (that probably "
        "means you submitted twice, and the other request is still going through): "
        f"{key}. Please try again later.",
        code="idempotency_key_in_use",
        status=409,
    )


def server_fault() -> Answer:
    """500, injected or ours; Stripe's carries no code."""
    message = "An unknown error occurred. (The sandbox answered this fault.)"
    return Answer(500, error_body({"message": message, "type": "api_error"}))


def card_error(
    message: str,
    *,
    code: str,
    decline_code: str | None = None,
    param: str | None = None,
    attempt: Mapping[str, Any] | None = None,
) -> Answer:
    """402 `card_error`; `attempt` holds the charge, payment_method and payment_intent told of."""
    error = {
        **(attempt or {}),
        "code": code,
        "decline_code": decline_code,
        "message": message,
        "param": param,
        "type": "card_error",
    }
    return Answer(402, error_body(error))


def card_refused(
    message: str, *, code: str, decline_code: str | None = None, param: str | None = None
) -> StripeError:
    """402 for a card that cannot be created or attached: nothing stays in the books."""
    error = {
        "code": code,
        "decline_code": decline_code,
        "message": message,
        "param": param,
        "type": "card_error",
    }
    return StripeError(402, error, Stage.EXECUTION)
