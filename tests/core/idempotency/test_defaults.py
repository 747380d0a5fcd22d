"""A request that names a field and one that leaves it to its default are the same request.

An absent field is what the first request resolved. Defaults that move between two requests with one
key, or between a charge without a key and its retry, change nothing.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from google.type.money_pb2 import Money

from core.idempotency.same_request import RESOLVED_FIELDS
from core.payments.retries import may_have_been_default
from nivisco.payments.v1 import (
    cards_pb2,
    recurring_pb2,
    types_pb2,
    users_pb2,
    wallet_pb2,
)
from rpc.catalogue import mutating_actions
from rpc.errors import CoreError
from tests.core.payments.charging import (
    INTENTS,
    card_holder,
    charge_request,
    fund_request,
    records,
)
from tests.core.running import (
    Business,
    Gateway,
    ShiftedClock,
    authorize_card,
    create_user,
    register,
    running_core,
    settings_for,
    with_authorize,
    with_stripe,
)

Request = Callable[[str], Message]
USD = Money(currency_code="usd")
TEST, LIVE = types_pb2.ENV_TEST, types_pb2.ENV_LIVE
STRIPE, AUTHORIZE = types_pb2.GATEWAY_STRIPE, types_pb2.GATEWAY_AUTHORIZE


def credit(user_id: str, **more: Any) -> wallet_pb2.AddWalletFundsRequest:
    return wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=Money(units=100), **more)


def debit(user_id: str, **more: Any) -> wallet_pb2.ChargeWalletRequest:
    return wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=Money(units=10), **more)


def hold(user_id: str) -> Message:
    return wallet_pb2.HoldWalletRequest(
        user_id=user_id, amount=Money(units=5), expires_in_seconds=3600
    )


def new_user(_: str) -> users_pb2.CreateUserRequest:
    user = users_pb2.CreateUserRequest.NewUser(name="Alicia", email="alicia@example.com")
    return users_pb2.CreateUserRequest(user=user)


def job(user_id: str) -> recurring_pb2.CreateRecurringRequest:
    return recurring_pb2.CreateRecurringRequest(
        user_id=user_id,
        amount=Money(units=5),
        interval_type=recurring_pb2.INTERVAL_TYPE_MONTH,
        start_at="2099-01-31T08:00",
    )


def stripe_card(user_id: str, token: str = "pm_card_mastercard") -> Message:
    return cards_pb2.CreateStripeCustomerRequest(user_id=user_id, payment_method_token=token)


NEW_USER = users_pb2.CreateUserRequest.NewUser
JOB: dict[str, Any] = {
    "amount": USD,
    "interval_value": 1,
    "timezone": "UTC",
    "catch_up": recurring_pb2.CATCH_UP_LATEST,
    "env": TEST,
    "preview": 0,
}
DEFAULTED: dict[str, tuple[Request, dict[str, Any]]] = {
    "ChargeCustomer": (charge_request, {"env": TEST, "gateway": STRIPE, "amount": USD}),
    "FundCustomer": (fund_request, {"env": TEST, "gateway": STRIPE, "amount": USD}),
    "ChargeWallet": (debit, {"env": TEST, "amount": USD}),
    "AddWalletFunds": (credit, {"env": TEST, "amount": USD}),
    "HoldWallet": (hold, {"env": TEST, "amount": USD}),
    "CreateStripeCustomer": (stripe_card, {"env": TEST, "set_as_primary": False}),
    "CreateAuthorizeCustomer": (authorize_card, {"env": TEST, "set_as_primary": False}),
    "CreateUser": (new_user, {"user": NEW_USER(currency="usd")}),
    "CreateRecurring": (job, JOB),
}
"""By action: a request without defaulted fields, and all of them as they resolve."""


TESTED_ELSEWHERE = {
    "ImportCustomer": {"env", "gateway"},
    "RefundPayment": {"env", "amount"},
    "TransferWallet": {"env", "amount"},
    "CaptureHold": {"amount"},
    "CapturePayment": {"env", "amount"},
    "VoidPayment": {"env"},
    "SettleReceivable": {"env", "amount"},
}
"""In tests/core/cards, refunds, payments and wallet, as they need more than a user."""


def keyed(request: Message, key: str) -> Message:
    copy = type(request)()
    copy.CopyFrom(request)
    copy.idempotency_key = key  # type: ignore[attr-defined]
    return copy


def with_fields(request: Message, **named: Any) -> Message:
    full = type(request)()
    full.CopyFrom(request)
    full.MergeFrom(type(request)(**named))
    return full


async def refusal_of(business: Business, request: Message) -> CoreError:
    with pytest.raises(CoreError) as refused:
        await business.call(request)
    return refused.value


@pytest.fixture
async def merchant(shop: Business) -> Business:
    """A business with TEST keys of both gateways."""
    return await with_authorize(shop)


async def move_defaults(merchant: Business, user_id: str) -> None:
    """Make LIVE the business's default environment, and Authorize.Net the user's gateway."""
    await with_stripe(merchant, LIVE)
    await merchant.call(authorize_card(user_id, env=TEST, set_as_primary=True))


def test_every_defaulted_field_of_every_action_is_tested() -> None:
    for method in mutating_actions().values():
        fields = method.descriptor.input_type.fields_by_name
        if "update_mask" in fields:
            continue  # all but the currency stay as they are if they are absent
        name = method.descriptor.name
        tested = TESTED_ELSEWHERE.get(name, set()) | DEFAULTED.get(name, (None, {}))[1].keys()
        defaulted = {path.partition(".")[0] for path in RESOLVED_FIELDS} & set(fields.keys())
        assert defaulted <= tested, name


@pytest.mark.parametrize("name", DEFAULTED)
async def test_an_absent_field_matches_what_the_first_request_resolved(
    merchant: Business, name: str
) -> None:
    request_of, named = DEFAULTED[name]
    user_id = await card_holder(merchant)
    await merchant.call(credit(user_id))
    brief = request_of(user_id)
    cases = {"all": named} | {field: {field: value} for field, value in named.items()}
    pairs: dict[str, tuple[Message, Message]] = {}
    for case, fields in cases.items():
        full = with_fields(brief, **fields)
        pairs |= {f"brief, then {case}": (brief, full), f"{case}, then brief": (full, brief)}
    responses = {key: await merchant.call(keyed(first, key)) for key, (first, _) in pairs.items()}
    await move_defaults(merchant, user_id)
    for key, (_, again) in pairs.items():
        assert await merchant.call(keyed(again, key)) == responses[key], key


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("CreateUser", {"user": NEW_USER(currency="eur")}),
        ("CreateRecurring", {"interval_value": 2}),
        ("CreateRecurring", {"timezone": "Etc/UTC"}),
        ("CreateRecurring", {"catch_up": recurring_pb2.CATCH_UP_ALL}),
        ("CreateRecurring", {"env": LIVE}),
        ("CreateRecurring", {"source": recurring_pb2.RECURRING_SOURCE_STRIPE}),
        ("CreateRecurring", {"start_at": "2099-01-31T09:00"}),
        ("ChargeWallet", {"env": LIVE}),
        ("CreateStripeCustomer", {"env": LIVE}),
        ("CreateStripeCustomer", {"set_as_primary": True}),
    ],
)
async def test_a_field_that_contradicts_what_the_first_request_resolved_is_refused(
    shop: Business, name: str, other: dict[str, Any]
) -> None:
    user_id = await create_user(shop)
    await shop.call(credit(user_id))
    request = DEFAULTED[name][0](user_id)
    await shop.call(keyed(request, "k"))
    await with_stripe(shop, LIVE)
    refused = await refusal_of(shop, keyed(with_fields(request, **other), "k"))
    assert refused.reason == "IDEMPOTENCY_KEY_REUSED"


async def test_a_named_value_matches_an_absent_one_of_the_retry(shop: Business) -> None:
    user_id = await create_user(shop)
    named = with_fields(job(user_id), interval_value=3, timezone="America/Chicago", env=LIVE)
    first = await shop.call(keyed(named, "k"))
    assert await shop.call(keyed(job(user_id), "k")) == first
    euros = with_fields(new_user(""), user=NEW_USER(currency="eur"))
    first = await shop.call(keyed(euros, "user"))
    assert await shop.call(keyed(new_user(""), "user")) == first


async def test_the_currency_of_an_update_matches_the_jobs(shop: Business) -> None:
    user_id = await create_user(shop)
    created = await shop.call(job(user_id))
    brief, named = (
        recurring_pb2.UpdateRecurringRequest(recurring_id=created.recurring_id, amount=amount)
        for amount in (Money(units=7), Money(units=7, currency_code="USD"))
    )
    for key, first, again in (("a", brief, named), ("b", named, brief)):
        assert await shop.call(keyed(first, key)) == await shop.call(keyed(again, key))
    interval = recurring_pb2.UpdateRecurringRequest(
        recurring_id=created.recurring_id, amount=Money(units=7), interval_value=1
    )
    assert (await refusal_of(shop, keyed(interval, "a"))).reason == "IDEMPOTENCY_KEY_REUSED"


@pytest.mark.parametrize(
    "named", [{"env": TEST}, {"amount": USD}, {"env": TEST, "amount": USD, "description": ""}]
)
async def test_a_stored_refusal_matches_a_retry_that_names_the_defaults(
    shop: Business, named: dict[str, Any]
) -> None:
    user_id = await create_user(shop)
    brief, full = debit(user_id), with_fields(debit(user_id), **named)
    for key, first in (("brief", brief), ("full", full)):
        assert (await refusal_of(shop, keyed(first, key))).reason == "WALLET_TOO_LOW"
    await shop.call(credit(user_id))
    await with_stripe(shop, LIVE)
    for key, again in (("brief", full), ("full", brief)):
        assert (await refusal_of(shop, keyed(again, key))).reason == "WALLET_TOO_LOW"
    euros = with_fields(brief, amount=Money(currency_code="EUR"))
    assert (await refusal_of(shop, keyed(euros, "brief"))).reason == "IDEMPOTENCY_KEY_REUSED"


async def test_a_declined_card_matches_a_retry_that_names_the_environment(shop: Business) -> None:
    user_id = await create_user(shop)
    brief = stripe_card(user_id, "pm_card_chargeDeclined")
    assert (await refusal_of(shop, keyed(brief, "k"))).reason == "CARD_DECLINED"
    await with_stripe(shop, LIVE)
    for again in (brief, with_fields(brief, env=TEST)):
        assert (await refusal_of(shop, keyed(again, "k"))).reason == "CARD_DECLINED"
    live = with_fields(brief, env=LIVE)
    assert (await refusal_of(shop, keyed(live, "k"))).reason == "IDEMPOTENCY_KEY_REUSED"


async def test_a_card_is_saved_in_the_environment_of_the_first_request(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await create_user(shop)
    await gateway.fault("rate_limit", "/v1/customers", times=20)
    brief = keyed(stripe_card(user_id), "k")
    assert (await refusal_of(shop, brief)).reason == "GATEWAY_UNAVAILABLE"
    await gateway.clear()
    await with_stripe(shop, LIVE)
    assert (await shop.call(brief)).card.env == TEST


async def test_a_keyed_charge_that_failed_is_repeated_as_it_first_resolved(
    merchant: Business, gateway: Gateway
) -> None:
    user_id = await card_holder(merchant)
    request = keyed(fund_request(user_id), "k")
    await gateway.revoke(merchant.stripe_key)
    assert (await refusal_of(merchant, request)).reason == "GATEWAY_REFUSED"
    await gateway.revoke(merchant.stripe_key, revoked=False)
    await move_defaults(merchant, user_id)
    charged = await merchant.call(request)
    assert (charged.env, charged.gateway) == (TEST, STRIPE)


async def leave_unknown(shop: Business, gateway: Gateway, request: Message) -> None:
    await gateway.fault("reset_after", INTENTS, times=20, method=None)
    assert (await refusal_of(shop, request)).reason == "OUTCOME_UNKNOWN"
    await gateway.clear()


@pytest.mark.parametrize("key", ["", "k"])
async def test_a_charge_is_retried_in_the_environment_and_gateway_of_the_first_request(
    merchant: Business, gateway: Gateway, key: str
) -> None:
    user_id = await card_holder(merchant)
    request = keyed(fund_request(user_id), key) if key else fund_request(user_id)
    await leave_unknown(merchant, gateway, request)
    await move_defaults(merchant, user_id)
    charged = await merchant.call(request)
    assert (charged.env, charged.gateway) == (TEST, STRIPE)
    account = f"acct_{merchant.stripe_key.split('_')[2]}"
    assert len(await gateway.charges(account)) == 1
    assert await gateway.authorize_charges(merchant.login_id) == []


async def test_a_charge_in_a_named_environment_is_no_retry_of_one_in_another(
    tmp_path: Path, database_url: str, gateway: Gateway
) -> None:
    clock, urls = ShiftedClock(), {"TEST": gateway.url, "LIVE": gateway.url}
    settings = settings_for(tmp_path, database_url=database_url, stripe_urls=urls)
    async with running_core(settings, clock) as client:
        shop = await with_stripe(await with_stripe(await register(client)), LIVE)
        user_id = await create_user(shop)
        for env in (TEST, LIVE):
            await shop.call(with_fields(stripe_card(user_id), env=env))
        clock.ahead += timedelta(minutes=1)
        await leave_unknown(shop, gateway, fund_request(user_id, env=TEST))
        # LIVE was the default before, so a request without an environment means another charge.
        assert (await shop.call(fund_request(user_id))).env == LIVE
        assert (await shop.call(fund_request(user_id, env=LIVE))).env == LIVE
        assert len(await records(shop)) == 2
        assert (await shop.call(fund_request(user_id, env=TEST))).env == TEST
    assert len(await gateway.charges()) == 3


def test_another_environment_may_have_been_the_default_until_it_moved() -> None:
    moved_at = datetime(2030, 1, 1, 12, tzinfo=UTC)
    assert [
        may_have_been_default(moved_at + timedelta(seconds=seconds), moved_at)
        for seconds in (-3600, 0, 29, 31, 3600)
    ] == [True, True, True, False, False]
