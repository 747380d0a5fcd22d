"""Credentials that their gateway is asked about before they are stored. With the sandbox."""

from collections.abc import Callable
from typing import Any

import pytest

from nivisco.payments.v1 import credentials_pb2 as pb
from nivisco.payments.v1 import types_pb2
from rpc.errors import CoreError
from tests.core.running import Business, Gateway, register

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
STRIPE_KEY = "sk_test_verified_obviouslyfake"
OTHER_KEY = "sk_test_verified_anotherfake"
PAYMENT_INTENTS = "/v1/payment_intents"


def stripe(verb: str, **keys: Any) -> Any:
    request: Any = getattr(pb, f"{verb}StripeCredentialsRequest")
    if verb == "Add":
        keys = {"stripe_secret_key": STRIPE_KEY, "stripe_public_key": "pk_test_fake"} | keys
    credentials = request.Credentials(env=types_pb2.ENV_TEST, **keys)
    return request(credentials=credentials, verify=True)


def authorize(verb: str, **keys: Any) -> Any:
    request: Any = getattr(pb, f"{verb}AuthorizeCredentialsRequest")
    if verb == "Add":
        keys = {"api_login_id": "login", "transaction_key": "obviouslyfake"} | keys
    credentials = request.Credentials(env=types_pb2.ENV_TEST, **keys)
    return request(credentials=credentials, verify=True)


async def problem_of(shop: Business, request: Any) -> str | None:
    """Return the field at fault, or the reason of another refusal, or None."""
    try:
        await shop.call(request)
    except CoreError as error:
        return error.fields[0].field if error.fields else error.reason
    return None


@pytest.fixture
async def merchant(shop: Business) -> Business:
    """A business without gateway keys, on a core whose gateways are served."""
    return await register(shop.client)


async def revoke_pair(gateway: Gateway) -> None:
    await gateway.control(
        "authorize/keys", api_login_id="login", transaction_key="obviouslyfake", revoked=True
    )


@ON_SQLITE
@pytest.mark.parametrize("of", [stripe, authorize])
async def test_what_the_gateway_accepts_is_stored(
    merchant: Business, of: Callable[..., Any]
) -> None:
    assert await problem_of(merchant, of("Add")) is None
    assert await problem_of(merchant, of("Add")) == "CREDENTIALS_EXIST"


@ON_SQLITE
async def test_what_stripe_refuses_is_not_stored(merchant: Business, gateway: Gateway) -> None:
    """Also a key that may not act for the account."""
    await gateway.revoke(STRIPE_KEY)
    field = "credentials.stripe_secret_key"
    assert await problem_of(merchant, stripe("Add")) == field
    await gateway.revoke(STRIPE_KEY, revoked=False)
    assert await problem_of(merchant, stripe("Add", account_id="acct_other")) == field
    assert await problem_of(merchant, stripe("Modify", account_id="acct_other")) == (
        "CREDENTIALS_NOT_FOUND"
    )
    assert await problem_of(merchant, stripe("Add")) is None


@ON_SQLITE
async def test_what_authorize_net_refuses_is_not_stored(
    merchant: Business, gateway: Gateway
) -> None:
    await revoke_pair(gateway)
    field = "credentials.transaction_key"
    assert await problem_of(merchant, authorize("Add")) == field
    long = authorize("Add", transaction_key="f" * 20)
    assert await problem_of(merchant, long) == field
    assert await problem_of(merchant, authorize("Modify", api_login_id="other")) == (
        "CREDENTIALS_NOT_FOUND"
    )
    assert await problem_of(merchant, authorize("Add", api_login_id="other")) is None
    back = authorize("Modify", api_login_id="login")
    assert await problem_of(merchant, back) == field


@ON_SQLITE
async def test_a_change_is_verified_with_what_stays_stored(
    merchant: Business, gateway: Gateway
) -> None:
    assert await problem_of(merchant, stripe("Add")) is None
    field = "credentials.stripe_secret_key"
    webhook = {"stripe_webhook_secret": "whsec_obviouslyfake"}
    await gateway.revoke(STRIPE_KEY)
    assert await problem_of(merchant, stripe("Modify", **webhook)) == field
    assert await problem_of(merchant, stripe("Modify", stripe_secret_key=OTHER_KEY)) is None
    assert await problem_of(merchant, stripe("Modify", **webhook)) is None


@ON_SQLITE
@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "error_500"])
async def test_a_gateway_without_a_clear_answer_stores_nothing(
    merchant: Business, gateway: Gateway, kind: str
) -> None:
    await gateway.fault(kind, PAYMENT_INTENTS, times=20, method=None)
    await gateway.authorize_fault(kind, "authenticateTest", times=20)
    for of in (stripe, authorize):
        keyed = of("Add")
        keyed.idempotency_key = of.__name__
        assert await problem_of(merchant, keyed) == "GATEWAY_UNAVAILABLE"
    await gateway.clear()
    for of in (stripe, authorize):
        keyed = of("Add")
        keyed.idempotency_key = of.__name__
        assert await problem_of(merchant, keyed) is None


@ON_SQLITE
async def test_a_repeated_request_is_answered_without_the_gateway(
    merchant: Business, gateway: Gateway
) -> None:
    keyed = stripe("Add")
    keyed.idempotency_key = "k"
    first = await merchant.call(keyed)
    await gateway.revoke(STRIPE_KEY)
    assert await merchant.call(keyed) == first


@ON_SQLITE
async def test_without_verify_no_gateway_is_asked(merchant: Business, gateway: Gateway) -> None:
    await gateway.revoke(STRIPE_KEY)
    request = stripe("Add")
    request.verify = False
    assert await problem_of(merchant, request) is None


@ON_SQLITE
async def test_a_refusal_shows_no_secret(merchant: Business, gateway: Gateway) -> None:
    await gateway.revoke(STRIPE_KEY)
    await revoke_pair(gateway)
    for request, secret in ((stripe("Add"), STRIPE_KEY), (authorize("Add"), "obviouslyfake")):
        with pytest.raises(CoreError) as refused:
            await merchant.call(request)
        assert secret not in f"{refused.value!r} {refused.value.fields}"
