"""Charges at Stripe over gRPC: responses, records and errors of each outcome."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from google.type.money_pb2 import Money

from nivisco.payments.v1 import cards_pb2, payments_pb2, types_pb2, users_pb2, wallet_pb2
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
    create_user,
    register,
    running_core,
    save_card,
    settings_for,
    with_stripe,
)


async def test_a_charge_is_recorded_as_a_complete_payment(shop: Business, gateway: Gateway) -> None:
    user_id = await card_holder(shop)
    answer = await shop.call(
        payments_pb2.ChargeCustomerRequest(
            user_id=user_id,
            amount=Money(units=25, nanos=500_000_000),
            description="Single latte",
        )
    )
    (payment,) = await records(shop)
    assert payment.updated_at.ToSeconds() >= payment.created_at.ToSeconds() > 0
    assert answer.transaction_id.startswith("pi_")
    assert payment.payment_id.startswith("PAY-")
    assert payment == payments_pb2.Payment(
        payment_id=answer.payment_id,
        kind=payments_pb2.PAYMENT_KIND_CHARGE,
        user_id=user_id,
        env=answer.env,
        gateway=answer.gateway,
        transaction_id=answer.transaction_id,
        amount=Money(currency_code="USD", units=25, nanos=500_000_000),
        status=payments_pb2.PAYMENT_STATUS_SUCCEEDED,
        description="Single latte",
        created_at=payment.created_at,
        updated_at=payment.updated_at,
        amount_captured=Money(currency_code="USD", units=25, nanos=500_000_000),
    )
    assert answer == payments_pb2.ChargeCustomerResponse(
        transaction_id=payment.transaction_id,
        amount=payment.amount,
        status=payment.status,
        payment_id=payment.payment_id,
        env=types_pb2.ENV_TEST,
        gateway=types_pb2.GATEWAY_STRIPE,
    )
    (charge,) = await gateway.charges()
    assert (charge["amount"], charge["currency"]) == (2550, "usd")


@pytest.mark.parametrize("key", [None, "key-1"])
async def test_funding_credits_the_wallet_and_returns_it_complete(
    shop: Business, key: str | None
) -> None:
    user_id = await card_holder(shop)
    first = await shop.call(fund_request(user_id, 100, idempotency_key=key))
    wallet = (await shop.call(wallet_pb2.GetUserWalletRequest(user_id=user_id))).wallet
    (payment,) = await records(shop)
    assert payment.kind == payments_pb2.PAYMENT_KIND_FUND
    assert first == payments_pb2.FundCustomerResponse(
        transaction_id=payment.transaction_id,
        wallet=wallet,
        payment_id=payment.payment_id,
        env=types_pb2.ENV_TEST,
        gateway=types_pb2.GATEWAY_STRIPE,
        amount=Money(currency_code="USD", units=100),
        status=payments_pb2.PAYMENT_STATUS_SUCCEEDED,
    )
    assert wallet.balance == Money(currency_code="USD", units=100)
    second = await shop.call(fund_request(user_id, 50))
    assert second.wallet.wallet_id == wallet.wallet_id
    assert second.wallet.balance == Money(currency_code="USD", units=150)
    if key:  # the stored answer has the balance of the first response
        assert await shop.call(fund_request(user_id, 100, idempotency_key=key)) == first
    history = await shop.call(wallet_pb2.GetWalletHistoryRequest(user_id=user_id))
    assert [(row.source, row.reason, row.description) for row in history.transactions] == [
        (
            wallet_pb2.TRANSACTION_SOURCE_STRIPE,
            wallet_pb2.TRANSACTION_REASON_WALLET_FUND,
            "Stripe wallet funding",
        )
    ] * 2


@pytest.mark.parametrize(
    ("token", "reason", "decline_code", "status"),
    [
        ("pm_card_chargeCustomerFail", "CARD_DECLINED", "generic_decline", "DECLINED"),
        ("pm_card_authenticationRequired", "AUTHENTICATION_REQUIRED", None, "REQUIRES_ACTION"),
    ],
)
async def test_a_declined_charge_is_recorded(
    shop: Business,
    gateway: Gateway,
    token: str,
    reason: str,
    decline_code: str | None,
    status: str,
) -> None:
    user_id = await card_holder(shop, token)
    with pytest.raises(CoreError) as refused:
        await shop.call(fund_request(user_id))
    assert refused.value.reason == reason
    assert refused.value.metadata.get("decline_code") == decline_code
    assert refused.value.metadata["transaction_id"].startswith("pi_")
    assert ("client_secret" in refused.value.metadata) == (reason == "AUTHENTICATION_REQUIRED")
    (record,) = await records(shop)
    assert record.status == payments_pb2.PaymentStatus.Value(f"PAYMENT_STATUS_{status}")
    assert await gateway.charges() == []
    wallet = await shop.call(wallet_pb2.GetUserWalletRequest(user_id=user_id))
    assert wallet.wallet.balance.units == 0


async def test_a_user_without_a_card_cannot_be_charged(shop: Business) -> None:
    user_id = await create_user(shop)
    with pytest.raises(CoreError) as refused:
        await shop.call(charge_request(user_id))
    assert refused.value.reason == "CARD_NOT_FOUND"
    assert await records(shop) == []


async def test_a_business_without_keys_cannot_charge(business: Business, user_id: str) -> None:
    with pytest.raises(CoreError) as refused:
        await business.call(charge_request(user_id))
    assert refused.value.reason == "CREDENTIALS_MISSING"


async def test_a_gateway_without_keys_cannot_be_named(shop: Business) -> None:
    user_id = await card_holder(shop)
    with pytest.raises(CoreError) as refused:
        await shop.call(charge_request(user_id, gateway=types_pb2.GATEWAY_AUTHORIZE))
    assert refused.value.reason == "CREDENTIALS_MISSING"


async def test_an_inactive_user_cannot_be_charged(shop: Business, gateway: Gateway) -> None:
    user_id = await card_holder(shop)
    await shop.call(
        users_pb2.UpdateUserRequest(
            user_id=user_id, updates=users_pb2.UpdateUserRequest.Updates(active=False)
        )
    )
    with pytest.raises(CoreError) as refused:
        await shop.call(charge_request(user_id))
    assert refused.value.reason == "USER_INACTIVE"
    assert await gateway.charges() == []


@pytest.mark.parametrize(
    ("units", "currency", "fields"),
    [
        (0, "", ["amount"]),
        (-1, "", ["amount"]),
        (10**12, "", ["amount"]),
        (1, "XAU", ["amount.currency_code"]),
        (1, "EUR", ["amount.currency_code"]),
    ],
)
async def test_an_invalid_amount_is_refused_before_the_charge(
    shop: Business, gateway: Gateway, units: int, currency: str, fields: list[str]
) -> None:
    user_id = await card_holder(shop)
    with pytest.raises(CoreError) as refused:
        await shop.call(
            payments_pb2.FundCustomerRequest(
                user_id=user_id, amount=Money(units=units, currency_code=currency)
            )
        )
    assert [problem.field for problem in refused.value.fields] == fields
    assert await gateway.charges() == []
    assert await records(shop) == []


async def test_an_amount_below_the_gateways_minimum_is_refused_by_field(shop: Business) -> None:
    user_id = await card_holder(shop)
    with pytest.raises(CoreError) as refused:
        await shop.call(
            payments_pb2.ChargeCustomerRequest(user_id=user_id, amount=Money(nanos=10_000_000))
        )
    assert refused.value.reason == "INVALID_FIELDS"
    assert [problem.field for problem in refused.value.fields] == ["amount"]
    (record,) = await records(shop)
    assert record.status == payments_pb2.PAYMENT_STATUS_FAILED


async def test_the_dobra_is_charged_in_the_currency_that_stripe_lists(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await card_holder(shop)
    old, new = (
        payments_pb2.ChargeCustomerRequest(
            user_id=user_id, amount=Money(units=2500, currency_code=code)
        )
        for code in ("STD", "STN")
    )
    await shop.call(old)
    (charge,) = await gateway.charges()
    assert (charge["amount"], charge["currency"]) == (250_000, "std")
    with pytest.raises(CoreError, match="Stripe does not charge stn") as refused:
        await shop.call(new)
    assert refused.value.reason == "INVALID_FIELDS"
    assert len(await gateway.charges()) == 1


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "cut_body", "error_500_after"])
async def test_one_fault_at_the_gateway_still_charges_once(
    shop: Business, gateway: Gateway, kind: str
) -> None:
    user_id = await card_holder(shop)
    await gateway.fault(kind, INTENTS)
    answer = await shop.call(fund_request(user_id))
    assert answer.wallet.balance.units == 50
    assert len(await gateway.charges()) == 1


async def test_a_stored_server_error_of_the_gateway_stays_unknown(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await card_holder(shop)
    await gateway.fault("error_500", INTENTS)
    for _ in range(2):
        with pytest.raises(CoreError) as unknown:
            await shop.call(fund_request(user_id))
        assert unknown.value.reason == "OUTCOME_UNKNOWN"
    (record,) = await records(shop)
    assert record.status == payments_pb2.PAYMENT_STATUS_PENDING
    assert await gateway.charges() == []


async def test_a_throttled_charge_can_be_retried(shop: Business, gateway: Gateway) -> None:
    user_id = await card_holder(shop)
    await gateway.fault("rate_limit", INTENTS)
    with pytest.raises(CoreError) as refused:
        await shop.call(charge_request(user_id))
    assert (refused.value.reason, refused.value.retry_after_seconds) == ("GATEWAY_UNAVAILABLE", 1)
    await shop.call(charge_request(user_id))
    assert len(await records(shop)) == 1
    assert len(await gateway.charges()) == 1


async def test_a_timeout_is_unknown_until_a_retry(shop: Business, gateway: Gateway) -> None:
    user_id = await card_holder(shop)
    await gateway.fault("delay_after", INTENTS, seconds=60, times=2)
    with pytest.raises(CoreError) as unknown:
        await shop.call(charge_request(user_id))
    assert unknown.value.reason == "OUTCOME_UNKNOWN"
    await gateway.clear()  # on a slow machine a fault may not have struck yet
    await shop.call(charge_request(user_id))
    assert len(await gateway.charges()) == 1


async def test_a_charge_at_a_gateway_that_is_down_can_be_retried(
    tmp_path: Path, gateway: Gateway
) -> None:
    settings = settings_for(tmp_path, stripe_urls={"TEST": gateway.url, "LIVE": gateway.url})
    async with running_core(settings) as client:
        shop = await with_stripe(await register(client))
        user_id = await card_holder(shop)
        credentials = shop.credentials
    down = {"TEST": "http://127.0.0.1:9", "LIVE": "http://127.0.0.1:9"}
    async with running_core(
        settings_for(tmp_path, keyring=settings.keyring, stripe_urls=down)
    ) as client:
        with pytest.raises(CoreError) as refused:
            await Business(client, credentials).call(charge_request(user_id))
        assert refused.value.reason == "GATEWAY_UNAVAILABLE"
    async with running_core(settings) as client:
        await Business(client, credentials).call(charge_request(user_id))
        assert len(await records(Business(client, credentials))) == 1
    assert len(await gateway.charges()) == 1


async def test_the_error_of_wrong_gateway_keys_does_not_show_them(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await card_holder(shop)
    await gateway.revoke(shop.stripe_key)
    with pytest.raises(CoreError) as refused:
        await shop.call(charge_request(user_id))
    assert refused.value.reason == "GATEWAY_REFUSED"
    assert shop.stripe_key[-8:] not in refused.value.message


async def test_two_equal_requests_in_flight_are_two_charges(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await card_holder(shop)
    await asyncio.gather(*(shop.call(charge_request(user_id)) for _ in range(2)))
    assert len(await gateway.charges()) == 2


async def test_records_are_listed_newest_first_by_filter(shop: Business) -> None:
    user_id = await card_holder(shop)
    other = await card_holder(shop, "pm_card_chargeCustomerFail")
    for units in (1, 2, 3):
        await shop.call(charge_request(user_id, units))
    with pytest.raises(CoreError):
        await shop.call(charge_request(other, 4))
    cases: list[tuple[dict[str, Any], list[int], int]] = [
        ({}, [4, 3, 2, 1], 4),
        ({"page": 2, "limit": 3}, [1], 4),
        ({"user_id": other}, [4], 1),
        ({"status": payments_pb2.PAYMENT_STATUS_SUCCEEDED}, [3, 2, 1], 3),
        ({"gateway": types_pb2.GATEWAY_AUTHORIZE}, [], 0),
        ({"env": types_pb2.ENV_LIVE}, [], 0),
    ]
    for query, units_shown, total in cases:
        answer = await shop.call(payments_pb2.GetPaymentRecordsRequest(**query))
        shown = [payment.amount.units for payment in answer.payments]
        assert (shown, answer.total, answer.count) == (units_shown, total, len(shown)), query


async def test_the_primary_card_is_charged(shop: Business, gateway: Gateway) -> None:
    user_id = await card_holder(shop)
    second = await shop.call(
        cards_pb2.CreateStripeCustomerRequest(
            user_id=user_id, payment_method_token="pm_card_mastercard", set_as_primary=True
        )
    )
    assert second.card.primary
    await shop.call(charge_request(user_id))
    (charge,) = await gateway.charges()
    assert charge["payment_method_details"]["card"]["brand"] == "mastercard"


async def test_the_currency_defaults_to_the_wallets(shop: Business, gateway: Gateway) -> None:
    user_id = await create_user(shop, "eur")
    await save_card(shop, user_id)
    answer = await shop.call(charge_request(user_id))
    assert answer.amount.currency_code == "EUR"
    (charge,) = await gateway.charges()
    assert charge["currency"] == "eur"
