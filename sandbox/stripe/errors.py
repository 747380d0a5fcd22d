"""Builds Stripe's errors (https://docs.stripe.com/api/errors), one function for each situation.

A raised error rolls back the request's writes. A decline is returned as a `Response` instead,
because its failed charge stays stored.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.books import Json

_DOC_URL: Final = "https://stripe.com/docs/error-codes/{}"
_SUPPORT: Final = (
    "See https://stripe.com/docs/api#authentication for details, or we can help at "
    "https://support.stripe.com/."
)


@dataclass(frozen=True)
class Response:
    """HTTP status and JSON body."""

    status: int
    body: Json


class Stage(enum.Enum):
    """Where a request failed; Stripe stores idempotent responses from execution on only.

    https://docs.stripe.com/api/idempotent_requests
    """

    VALIDATION = "validation"
    EXECUTION = "execution"


class StripeError(Exception):
    """Refuses the request; it has no effect."""

    def __init__(self, status: int, error: Mapping[str, Any], stage: Stage) -> None:
        super().__init__(str(error.get("message")))
        self.stage = stage
        self.response = Response(status, error_body(error))


def error_body(error: Mapping[str, Any]) -> Json:
    """Return the body of an error without its None parts; a code adds its doc_url."""
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
    setup_intent: Json | None = None,
) -> StripeError:
    """Return an `invalid_request_error`, of the validation stage by default."""
    error = {
        "code": code,
        "message": message,
        "param": param,
        "payment_intent": payment_intent,
        "setup_intent": setup_intent,
        "type": "invalid_request_error",
    }
    return StripeError(status, error, stage)


def parameter_unknown(param: str) -> StripeError:
    """Return the error for a parameter that the endpoint does not have."""
    return invalid_request(
        f"Received unknown parameter: {param}", code="parameter_unknown", param=param
    )


def parameter_missing(param: str) -> StripeError:
    """Return the error for an absent required parameter."""
    return invalid_request(
        f"Missing required param: {param}.", code="parameter_missing", param=param
    )


def parameter_empty(param: str) -> StripeError:
    """Return the error for an empty string where the parameter cannot be unset."""
    return invalid_request(
        f"You passed an empty string for '{param}'. We assume empty values are an attempt to "
        f"unset a parameter; however '{param}' cannot be unset. You should remove '{param}' from "
        "your request or supply a non-empty value.",
        code="parameter_invalid_empty",
        param=param,
    )


def not_modelled(param: str) -> StripeError:
    """Return the error for a parameter that only the real Stripe has: refused, not ignored."""
    return invalid_request(
        f"The sandbox does not stand in for this parameter: {param}. Leave it out.",
        code="parameter_unknown",
        param=param,
    )


def resource_missing(
    kind: str, identifier: str, *, param: str, in_path: bool, hint: str = ""
) -> StripeError:
    """Return the error for an unknown object: 404 if the URL names it, 400 if a parameter does."""
    return invalid_request(
        f"No such {kind}: '{identifier}'{hint}",
        code="resource_missing",
        param=param,
        status=404 if in_path else 400,
        stage=Stage.EXECUTION,
    )


def unknown_url(method: str, path: str) -> StripeError:
    """Return the 404 for an unknown path or method."""
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
    """Return the 401 for a missing, malformed, revoked or publishable key."""
    return invalid_request(message, code=code, status=401)


def no_key() -> StripeError:
    """Return the 401 for a request without credentials."""
    return unauthenticated(
        "You did not provide an API key. You need to provide your API key in the Authorization "
        "header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). " + _SUPPORT
    )


def account_invalid(masked_key: str, account: str) -> StripeError:
    """Return the 403 for a `Stripe-Account` that is not the key's account."""
    return invalid_request(
        f"The provided key '{masked_key}' does not have access to account '{account}' (or that "
        "account does not exist). Application access may have been revoked.",
        code="account_invalid",
        status=403,
    )


def rate_limited() -> StripeError:
    """Return the 429; the request has no effect."""
    return invalid_request(
        "Request rate limit exceeded. Learn more about rate limits here "
        "https://stripe.com/docs/rate-limits.",
        code="rate_limit",
        status=429,
    )


def key_reused(key: str, first_path: str, path: str) -> StripeError:
    """Return the 400 for an idempotency key that was used for another request."""
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
    """Return the 409 for an idempotency key whose first request is in flight."""
    return invalid_request(
        "There is currently another in-progress request using this Idempotent Key (that probably "
        "means you submitted twice, and the other request is still going through): "
        f"{key}. Please try again later.",
        code="idempotency_key_in_use",
        status=409,
    )


def server_fault() -> Response:
    """Return the 500, injected or for a bug of the sandbox; Stripe's has no code."""
    message = "An unknown error occurred. (The sandbox answered this fault.)"
    return Response(500, error_body({"message": message, "type": "api_error"}))


def card_error(
    message: str,
    *,
    code: str,
    decline_code: str | None = None,
    param: str | None = None,
    attempt: Mapping[str, Any] | None = None,
) -> Response:
    """Return the 402 of a declined charge; `attempt` adds its charge and payment_method."""
    error = {
        **(attempt or {}),
        "code": code,
        "decline_code": decline_code,
        "message": message,
        "param": param,
        "type": "card_error",
    }
    return Response(402, error_body(error))


def card_refused(
    message: str, *, code: str, decline_code: str | None = None, param: str | None = None
) -> StripeError:
    """Return the 402 for a card that cannot be created or attached; nothing is stored."""
    response = card_error(message, code=code, decline_code=decline_code, param=param)
    return StripeError(response.status, response.body["error"], Stage.EXECUTION)
