"""Retries of charges without a response: they resume, join or return the earlier charge."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.type.money_pb2 import Money

from core.database.schema import payments, wallet_transactions
from core.database.transactions import Database
from nivisco.payments.v1 import cards_pb2, payments_pb2, types_pb2, users_pb2, wallet_pb2
from rpc.errors import CoreError
from tests.core.payments.charging import (
    INTENTS,
    card_holder,
    charge_request,
    fund_request,
    records,
    until_logged,
)
from tests.core.running import (
    Business,
    Gateway,
    ShiftedClock,
    register,
    running_core,
    settings_for,
    with_stripe,
)


@pytest.fixture(autouse=True)
def _log_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="core")


async def leave_unknown(
    shop: Business, gateway: Gateway, user_id: str, kind: str = "reset_after", **more: Any
) -> None:
    """Fund with an unknown outcome."""
    await gateway.fault(kind, INTENTS, times=20, method=None)
    with pytest.raises(CoreError) as unknown:
        await shop.call(fund_request(user_id, **more))
    await gateway.clear()
    assert unknown.value.reason == "OUTCOME_UNKNOWN"


async def fund_and_leave(
    shop: Business, gateway: Gateway, user_id: str, caplog: pytest.LogCaptureFixture
) -> "asyncio.Task[Any]":
    """Fund for a caller that leaves while the gateway is still charging."""
    await gateway.fault("delay_after", INTENTS, seconds=60)
    caller = asyncio.ensure_future(shop.call(fund_request(user_id)))
    await gateway.wait_until_holding(1)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    await until_logged(caplog, "call", code="CANCELLED")
    return caller


async def assert_charged_once(shop: Business, gateway: Gateway, user_id: str) -> None:
    """Assert that the card was charged 50 once and the wallet credited once."""
    assert len(await gateway.charges()) == 1
    wallet = await shop.call(wallet_pb2.GetUserWalletRequest(user_id=user_id))
    assert wallet.wallet.balance.units == 50
    (record,) = await records(shop)
    assert record.status == payments_pb2.PAYMENT_STATUS_SUCCEEDED


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "cut_body"])
async def test_a_retry_after_an_unknown_outcome_returns_the_same_charge(
    shop: Business, gateway: Gateway, kind: str
) -> None:
    user_id = await card_holder(shop)
    await leave_unknown(shop, gateway, user_id, kind)
    (record,) = await records(shop)
    assert record.status == payments_pb2.PAYMENT_STATUS_PENDING
    assert not record.HasField("transaction_id")
    answer = await shop.call(fund_request(user_id))
    assert answer.wallet.balance.units == 50
    (record,) = await records(shop)
    assert record.status == payments_pb2.PAYMENT_STATUS_SUCCEEDED
    assert len(await gateway.charges()) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"units": 51},
        {"description": "other"},
        {"idempotency_key": "other"},
        {"env": types_pb2.ENV_TEST, "units": 52},
    ],
)
async def test_another_request_does_not_resume_an_open_attempt(
    shop: Business, gateway: Gateway, changes: dict[str, Any]
) -> None:
    user_id = await card_holder(shop)
    await leave_unknown(shop, gateway, user_id)
    await shop.call(fund_request(user_id, **changes))
    assert len(await records(shop)) == 2
    assert len(await gateway.charges()) == 2


async def test_a_stopping_core_finishes_its_charges(
    tmp_path: Path, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_for(tmp_path, stripe_urls={"TEST": gateway.url, "LIVE": gateway.url})
    async with running_core(settings) as client:
        shop = await with_stripe(await register(client))
        user_id = await card_holder(shop)
        await gateway.fault("delay_after", INTENTS, seconds=0.5)
        leaving = await fund_and_leave(shop, gateway, user_id, caplog)
        assert leaving.cancelled()
        credentials = shop.credentials
    async with running_core(settings) as client:
        (record,) = await records(Business(client, credentials))
        assert record.status == payments_pb2.PAYMENT_STATUS_SUCCEEDED


async def test_the_attempt_of_a_dead_core_is_resumed(tmp_path: Path, gateway: Gateway) -> None:
    settings = settings_for(tmp_path, stripe_urls={"TEST": gateway.url, "LIVE": gateway.url})
    async with running_core(settings) as client:
        shop = await with_stripe(await register(client))
        user_id = await card_holder(shop)
        await shop.call(charge_request(user_id))
        credentials = shop.credentials
    # As after a core died between the gateway's response and the commit of the outcome.
    database = Database(settings.database_url)
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            payments.update().values(
                status="pending",
                attempt="running",
                transaction_id=None,
                answered=False,
                lease_owner="dead",
                leased_until=datetime.now(UTC) + timedelta(hours=1),
                look_at=datetime.now(UTC) + timedelta(hours=1),
            )
        )
        assert (await transaction.connection.execute(wallet_transactions.select())).all() == []
    await database.close()
    async with running_core(settings) as client:
        await Business(client, credentials).call(charge_request(user_id))
        assert len(await records(Business(client, credentials))) == 1
    assert len(await gateway.charges()) == 1


async def test_a_retry_joins_the_charge_while_it_runs(
    shop: Business, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    user_id = await card_holder(shop)
    await fund_and_leave(shop, gateway, user_id, caplog)
    again = asyncio.ensure_future(shop.call(fund_request(user_id)))
    await until_logged(caplog, "charge joined")
    await gateway.clear()
    assert (await again).wallet.balance.units == 50
    await assert_charged_once(shop, gateway, user_id)


async def test_a_retry_after_the_charge_gets_its_response_once(
    shop: Business, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    user_id = await card_holder(shop)
    await fund_and_leave(shop, gateway, user_id, caplog)
    await gateway.clear()
    async with asyncio.timeout(20):
        while (await records(shop))[0].status == payments_pb2.PAYMENT_STATUS_PENDING:
            pass
    answer = await shop.call(fund_request(user_id))
    assert answer.wallet.balance.units == 50
    await assert_charged_once(shop, gateway, user_id)
    await shop.call(fund_request(user_id))
    assert len(await gateway.charges()) == 2


async def test_a_retry_joins_another_retry_that_resumes(
    shop: Business, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    user_id = await card_holder(shop)
    await leave_unknown(shop, gateway, user_id)
    await gateway.fault("delay_after", INTENTS, seconds=60)
    first = asyncio.ensure_future(shop.call(fund_request(user_id)))
    await gateway.wait_until_holding(1)
    second = asyncio.ensure_future(shop.call(fund_request(user_id)))
    await until_logged(caplog, "charge joined")
    await gateway.clear()
    assert await first == await second
    await assert_charged_once(shop, gateway, user_id)


async def test_a_refusal_of_a_resumed_charge_leaves_its_outcome_unknown(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await card_holder(shop)
    await leave_unknown(shop, gateway, user_id)
    await gateway.revoke(shop.stripe_key)
    with pytest.raises(CoreError) as refused:
        await shop.call(fund_request(user_id))
    assert refused.value.reason == "OUTCOME_UNKNOWN"
    await gateway.revoke(shop.stripe_key, revoked=False)
    await gateway.fault("rate_limit", INTENTS)
    with pytest.raises(CoreError) as turned_away:
        await shop.call(fund_request(user_id))
    assert turned_away.value.reason == "OUTCOME_UNKNOWN"
    await shop.call(fund_request(user_id))
    await assert_charged_once(shop, gateway, user_id)


@pytest.mark.parametrize(("kind", "charged"), [("reset_after", True), ("reset_before", False)])
async def test_a_charge_with_an_expired_gateway_key_is_looked_up_and_not_resent(
    tmp_path: Path, gateway: Gateway, kind: str, *, charged: bool
) -> None:
    clock = ShiftedClock()
    settings = settings_for(tmp_path, stripe_urls={"TEST": gateway.url, "LIVE": gateway.url})
    async with running_core(settings, clock) as client:
        shop = await with_stripe(await register(client))
        user_id = await card_holder(shop)
        await leave_unknown(shop, gateway, user_id, kind)
        clock.ahead = timedelta(hours=23, seconds=1)
        if charged:
            await shop.call(fund_request(user_id))
            await assert_charged_once(shop, gateway, user_id)
            return
        with pytest.raises(CoreError) as unknown:
            await shop.call(fund_request(user_id))
        assert unknown.value.reason == "OUTCOME_UNKNOWN"
        assert await gateway.charges() == []


async def test_a_retry_of_an_unsent_charge_charges_the_current_primary_card(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await card_holder(shop)
    await gateway.fault("rate_limit", INTENTS)
    with pytest.raises(CoreError):
        await shop.call(charge_request(user_id))
    await shop.call(
        cards_pb2.CreateStripeCustomerRequest(
            user_id=user_id, payment_method_token="pm_card_mastercard", set_as_primary=True
        )
    )
    await shop.call(charge_request(user_id))
    (charge,) = await gateway.charges()
    assert charge["payment_method_details"]["card"]["brand"] == "mastercard"
    assert [record.status for record in await records(shop)] == [
        payments_pb2.PAYMENT_STATUS_SUCCEEDED,
        payments_pb2.PAYMENT_STATUS_FAILED,
    ]


async def test_an_open_attempt_is_resumed_for_a_user_that_is_now_inactive(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await card_holder(shop)
    await leave_unknown(shop, gateway, user_id)
    await shop.call(
        users_pb2.UpdateUserRequest(
            user_id=user_id, updates=users_pb2.UpdateUserRequest.Updates(active=False)
        )
    )
    await shop.call(fund_request(user_id))
    await assert_charged_once(shop, gateway, user_id)


async def test_a_key_makes_one_charge_however_often_it_is_sent(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await card_holder(shop)
    request = fund_request(user_id, idempotency_key="order-1")
    answers = await asyncio.gather(*(shop.call(request) for _ in range(5)))
    answers.append(await shop.call(request))
    assert all(answer == answers[0] for answer in answers)
    await assert_charged_once(shop, gateway, user_id)


@pytest.mark.parametrize(
    "other",
    [
        {"amount": Money(units=51)},
        {"description": "other"},
        {"env": types_pb2.ENV_LIVE},
        {"gateway": types_pb2.GATEWAY_AUTHORIZE},
        {"user_id": "<other>"},
    ],
)
async def test_a_key_that_was_used_for_another_request_is_refused(
    shop: Business, gateway: Gateway, other: dict[str, Any]
) -> None:
    user_id = await card_holder(shop)
    await shop.call(fund_request(user_id, idempotency_key="order-1"))
    request = fund_request(user_id, idempotency_key="order-1")
    if "user_id" in other:
        other = {"user_id": await card_holder(shop)}
    request.MergeFrom(payments_pb2.FundCustomerRequest(**other))
    with pytest.raises(CoreError) as refused:
        await shop.call(request)
    assert refused.value.reason == "IDEMPOTENCY_KEY_REUSED"
    assert len(await gateway.charges()) == 1


async def test_an_unsent_charge_is_not_sent_for_a_user_that_is_now_inactive(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await card_holder(shop)
    await gateway.fault("rate_limit", INTENTS)
    with pytest.raises(CoreError):
        await shop.call(fund_request(user_id))
    await shop.call(
        users_pb2.UpdateUserRequest(
            user_id=user_id, updates=users_pb2.UpdateUserRequest.Updates(active=False)
        )
    )
    with pytest.raises(CoreError) as refused:
        await shop.call(fund_request(user_id))
    assert refused.value.reason == "USER_INACTIVE"
    assert await gateway.charges() == []


async def test_a_key_makes_one_charge_across_users(shop: Business, gateway: Gateway) -> None:
    users = [await card_holder(shop) for _ in range(4)]
    results = await asyncio.gather(
        *(shop.call(fund_request(user, idempotency_key="order-1")) for user in users),
        return_exceptions=True,
    )
    refused = [result.reason for result in results if isinstance(result, CoreError)]
    assert refused == ["IDEMPOTENCY_KEY_REUSED"] * 3
    assert len(await gateway.charges()) == 1
