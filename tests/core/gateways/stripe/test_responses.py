"""Stripe: amounts in its units, and the kind of each SDK error."""

import asyncio
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
import stripe

from core.gateways.stripe.responses import (
    THREE_DECIMAL,
    TIMES_HUNDRED,
    ZERO_DECIMAL,
    Failure,
    Kind,
    UnchargeableAmount,
    classify,
    minor_of,
    stripe_amount,
)
from core.money import Amount, exponent

# https://docs.stripe.com/currencies, its lists and special cases, checked in November 2026.


@pytest.mark.parametrize(
    ("minor", "currency", "sent"),
    [
        (2550, "usd", 2550),
        (2550, "eur", 2550),
        (500, "huf", 500),  # zero-decimal for payouts only
        (500, "twd", 500),
        (500, "jpy", 500),
        (500, "krw", 500),
        (1, "xof", 1),
        (5, "isk", 500),
        (5, "ugx", 500),
        (500, "mga", 5),
        (5120, "kwd", 5120),
        (10, "bhd", 10),
        (2550, "std", 2550),
    ],
)
def test_amounts_in_stripes_units(minor: int, currency: str, sent: int) -> None:
    assert stripe_amount(Amount(minor, currency)) == sent


@pytest.mark.parametrize(
    ("minor", "currency", "field"),
    [
        (550, "mga", "amount"),
        (1, "mga", "amount"),
        (5124, "kwd", "amount"),
        (1, "tnd", "amount"),
        (1000, "iqd", "currency"),
        (1000, "lyd", "currency"),
        (10000, "clf", "currency"),
        (5, "uyi", "currency"),
        (2550, "stn", "currency"),  # Stripe has std only, 1000 of which are one stn
    ],
)
def test_an_amount_without_a_stripe_unit_is_refused_and_not_rounded(
    minor: int, currency: str, field: str
) -> None:
    with pytest.raises(UnchargeableAmount) as refused:
        stripe_amount(Amount(minor, currency))
    assert refused.value.field == field


def test_a_withdrawn_currency_is_read_but_not_charged() -> None:
    assert minor_of(2550, "bgn") == 2550
    with pytest.raises(UnchargeableAmount):
        stripe_amount(Amount(2550, "bgn"))


def test_the_listed_currencies_have_the_expected_decimals() -> None:
    assert {exponent(currency) for currency in ZERO_DECIMAL - {"mga"}} == {0}
    assert exponent("mga") == 2
    assert {exponent(currency) for currency in TIMES_HUNDRED} == {0}
    assert {exponent(currency) for currency in THREE_DECIMAL} == {3}


SDK: Any = stripe
"""The SDK's errors, whose constructors have no types."""


def not_connected(cause: BaseException) -> stripe.APIConnectionError:
    error: stripe.APIConnectionError = SDK.APIConnectionError("network")
    error.__cause__ = cause
    return error


def response_error(kind: type[stripe.StripeError], status: int, **error: Any) -> stripe.StripeError:
    made = kind("sk_test_secret")
    made.http_status, made.json_body = status, {"error": error}
    return made


def card_error(**error: Any) -> stripe.StripeError:
    made: stripe.CardError = SDK.CardError("declined", None, None)
    made.http_status, made.json_body = 402, {"error": error}
    return made


CONNECTION: Any = Mock(host="api.stripe.com", port=443, ssl=True)
REFUSED = ConnectionRefusedError(111, "refused")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (not_connected(aiohttp.ClientConnectorError(CONNECTION, REFUSED)), Kind.NOT_CONNECTED),
        (not_connected(aiohttp.ClientConnectorDNSError(CONNECTION, REFUSED)), Kind.NOT_CONNECTED),
        (not_connected(aiohttp.ClientConnectorSSLError(CONNECTION, REFUSED)), Kind.NOT_CONNECTED),
        (
            not_connected(aiohttp.ClientConnectorCertificateError(CONNECTION, ValueError())),
            Kind.NOT_CONNECTED,
        ),
        (not_connected(aiohttp.ConnectionTimeoutError()), Kind.NOT_CONNECTED),
        (not_connected(aiohttp.InvalidURL("nowhere")), Kind.NOT_CONNECTED),
        (not_connected(aiohttp.ServerDisconnectedError()), Kind.LOST),
        (not_connected(aiohttp.ClientOSError(104, "reset")), Kind.LOST),
        (not_connected(aiohttp.SocketTimeoutError()), Kind.LOST),
        (not_connected(TimeoutError()), Kind.LOST),
        (not_connected(ConnectionResetError()), Kind.LOST),
        (SDK.APIConnectionError("why?"), Kind.LOST),
        (TimeoutError(), Kind.LOST),
        (asyncio.IncompleteReadError(b"", 1), Kind.LOST),
        (aiohttp.ClientPayloadError(), Kind.LOST),
        (AttributeError("to_dict"), Kind.LOST),
        (response_error(stripe.RateLimitError, 429), Kind.THROTTLED),
        (response_error(stripe.AuthenticationError, 401), Kind.UNAUTHORIZED),
        (response_error(stripe.PermissionError, 403), Kind.UNAUTHORIZED),
        (response_error(stripe.IdempotencyError, 400), Kind.KEY_REUSED),
        (response_error(stripe.APIError, 409), Kind.KEY_IN_USE),
        (response_error(stripe.APIError, 500), Kind.SERVER_ERROR),
        (response_error(stripe.APIError, 503), Kind.SERVER_ERROR),
        (response_error(stripe.APIError, 200), Kind.LOST),
        (response_error(stripe.APIError, 424), Kind.LOST),
        (SDK.InvalidRequestError("no", "amount", "parameter_invalid"), Kind.REFUSED),
        (card_error(type="card_error", code="card_declined"), Kind.DECLINED),
        (card_error(type="invalid_request_error"), Kind.REFUSED),
        (SDK.StripeError("new"), Kind.LOST),
    ],
    ids=lambda value: value.value if isinstance(value, Kind) else type(value).__name__,
)
def test_each_error_has_its_kind(error: Exception, kind: Kind) -> None:
    assert classify(error).kind is kind


def test_a_failure_shows_codes_but_no_messages() -> None:
    failure = classify(card_error(type="card_error", code="card_declined", message="sk_live_1"))
    assert failure.word("code") == "card_declined"
    assert Failure(Kind.LOST, error={"code": "a free sentence"}).word("code") == ""
    assert "sk_live_1" not in repr(failure)
