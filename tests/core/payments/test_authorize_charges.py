"""Charges at Authorize.Net over gRPC: responses, records and errors of each outcome."""

import asyncio
from typing import Any

import pytest
from google.type.money_pb2 import Money

from nivisco.payments.v1 import payments_pb2, types_pb2, wallet_pb2
from rpc.errors import CoreError
from tests.core.payments.charging import charge_request, fund_request, records
from tests.core.running import (
    Business,
    Gateway,
    authorize_card,
    create_user,
    register,
    save_card,
    with_authorize,
)

REASON_BY_AMOUNT = "4222222222222"
"""A card whose charge of N.00 gets the gateway's reason code N."""
AUTHORIZE = types_pb2.GATEWAY_AUTHORIZE


@pytest.fixture
async def merchant(shop: Business) -> Business:
    """A business with keys of both gateways."""
    return await with_authorize(shop)


def account_of(merchant: Business) -> str:
    """Return the merchant's account at Stripe."""
    return f"acct_{merchant.stripe_key.split('_')[2]}"


async def holder(merchant: Business, number: str = "4111111111111111") -> str:
    user_id = await create_user(merchant)
    await merchant.call(authorize_card(user_id, number))
    return user_id


async def test_charges_use_the_users_default_gateway(merchant: Business, gateway: Gateway) -> None:
    user_id = await holder(merchant)
    amount = Money(units=25, nanos=500_000_000)
    charged = await merchant.call(
        payments_pb2.ChargeCustomerRequest(
            user_id=user_id, amount=amount, description="Latte", metadata={"order id": "6735"}
        )
    )
    funded = await merchant.call(fund_request(user_id))
    assert charged.amount == Money(currency_code="USD", units=25, nanos=500_000_000)
    assert charged.status == payments_pb2.PAYMENT_STATUS_SUCCEEDED
    assert funded.wallet.balance == Money(currency_code="USD", units=50)
    shown = await gateway.authorize_charges(merchant.login_id)
    assert [each["id"] for each in shown] == [funded.transaction_id, charged.transaction_id]
    assert [each["user_fields"] for each in shown] == [{}, {"order id": "6735"}]
    recorded = await records(merchant)
    assert [each["invoice_number"] for each in shown] == [each.payment_id for each in recorded]
    assert {each.gateway for each in recorded} == {AUTHORIZE}
    history = await merchant.call(wallet_pb2.GetWalletHistoryRequest(user_id=user_id))
    (row,) = history.transactions
    assert row.source == wallet_pb2.TRANSACTION_SOURCE_AUTHORIZE
    assert row.description == "Authorize.Net wallet funding"


async def test_a_named_gateway_overrides_the_default(merchant: Business, gateway: Gateway) -> None:
    user_id = await create_user(merchant)
    await save_card(merchant, user_id)
    await merchant.call(authorize_card(user_id))
    await merchant.call(charge_request(user_id, 1))
    await merchant.call(charge_request(user_id, 2, gateway=AUTHORIZE))
    await merchant.call(fund_request(user_id, 3, gateway=AUTHORIZE))
    await merchant.call(fund_request(user_id, 4, gateway=types_pb2.GATEWAY_STRIPE))
    amounts = [each["amount"] for each in await gateway.authorize_charges(merchant.login_id)]
    assert amounts == ["3.00", "2.00"]
    assert sorted(charge["amount"] for charge in await gateway.charges(account_of(merchant))) == [
        100,
        400,
    ]


DECLINES: list[tuple[int, str, str | None, str]] = [
    # Reason code, reason and decline code of the error, the payment's status.
    (2, "CARD_DECLINED", "generic_decline", "DECLINED"),
    (3, "CARD_DECLINED", "call_issuer", "DECLINED"),
    (4, "CARD_DECLINED", "pickup_card", "DECLINED"),
    (27, "CARD_DECLINED", "incorrect_zip", "DECLINED"),
    (44, "CARD_DECLINED", "incorrect_cvc", "DECLINED"),
    (6, "CARD_DECLINED", "incorrect_number", "DECLINED"),
    (8, "CARD_DECLINED", "expired_card", "DECLINED"),
    (17, "CARD_DECLINED", "card_not_supported", "DECLINED"),
    (19, "CARD_DECLINED", "processing_error", "DECLINED"),
    (250, "CARD_DECLINED", "fraudulent", "DECLINED"),
    (252, "PENDING_REVIEW", "held_for_review", "HELD_FOR_REVIEW"),
    (253, "PENDING_REVIEW", "held_for_review", "HELD_FOR_REVIEW"),
    (13, "GATEWAY_REFUSED", None, "FAILED"),
    (103, "GATEWAY_REFUSED", None, "FAILED"),
]


async def test_each_reason_code_has_its_error_and_status(
    merchant: Business, gateway: Gateway
) -> None:
    user_id = await holder(merchant, REASON_BY_AMOUNT)
    for reason_code, reason, decline_code, status in DECLINES:
        with pytest.raises(CoreError) as refused:
            await merchant.call(fund_request(user_id, reason_code))
        error = (refused.value.reason, refused.value.metadata.get("decline_code"))
        assert error == (reason, decline_code), reason_code
        record = (await records(merchant))[0]
        assert record.status == payments_pb2.PaymentStatus.Value(f"PAYMENT_STATUS_{status}")
        if status == "HELD_FOR_REVIEW":
            assert refused.value.metadata["transaction_id"] == record.transaction_id
    assert await gateway.authorize_charges(merchant.login_id) == []
    wallet = await merchant.call(wallet_pb2.GetUserWalletRequest(user_id=user_id))
    assert wallet.wallet.balance.units == 0


async def test_an_unsupported_currency_is_refused_by_field(merchant: Business) -> None:
    user_id = await create_user(merchant, currency="jpy")
    await merchant.call(authorize_card(user_id))
    with pytest.raises(CoreError) as refused:
        await merchant.call(charge_request(user_id, 500))
    assert [problem.field for problem in refused.value.fields] == ["currency"]


async def test_refused_keys_and_throttled_charges_can_be_retried(
    merchant: Business, gateway: Gateway
) -> None:
    user_id = await holder(merchant)
    keys = {"api_login_id": merchant.login_id, "transaction_key": merchant.transaction_key}
    await gateway.authorize("keys", **keys, revoked=True)
    with pytest.raises(CoreError) as refused:
        await merchant.call(charge_request(user_id))
    assert refused.value.reason == "GATEWAY_REFUSED"
    await gateway.authorize("keys", **keys, revoked=False)
    await gateway.authorize_fault("rate_limit")
    with pytest.raises(CoreError) as busy:
        await merchant.call(charge_request(user_id))
    assert busy.value.reason == "GATEWAY_UNAVAILABLE"
    await merchant.call(charge_request(user_id))
    statuses = [record.status for record in await records(merchant)]
    assert statuses == [
        payments_pb2.PAYMENT_STATUS_SUCCEEDED,  # the throttled one
        payments_pb2.PAYMENT_STATUS_FAILED,
    ]
    assert len(await gateway.authorize_charges(merchant.login_id)) == 1


@pytest.mark.parametrize(
    ("kind", "key"),
    [("reset_after", None), ("cut_body", "order-1"), ("error_500_after", None)],
)
async def test_a_retry_after_a_lost_answer_adopts_the_charge(
    merchant: Business, gateway: Gateway, kind: str, key: str | None
) -> None:
    user_id = await holder(merchant)
    request = fund_request(user_id, idempotency_key=key)
    await gateway.authorize_fault(kind)
    with pytest.raises(CoreError) as unknown:
        await merchant.call(request)
    assert unknown.value.reason == "OUTCOME_UNKNOWN"
    assert unknown.value.retry_after_seconds == 10
    funded = await merchant.call(request)
    (charge,) = await gateway.authorize_charges(merchant.login_id)
    assert funded.transaction_id == charge["id"]
    assert funded.wallet.balance.units == 50
    assert len(await records(merchant)) == 1


async def test_a_charge_that_nothing_shows_is_not_resent_before_the_settle_time(
    merchant: Business, gateway: Gateway
) -> None:
    user_id = await holder(merchant)
    await gateway.authorize_fault("reset_before")
    for _ in range(3):
        with pytest.raises(CoreError) as unknown:
            await merchant.call(fund_request(user_id))
        assert unknown.value.reason == "OUTCOME_UNKNOWN"
    assert await gateway.authorize_charges(merchant.login_id) == []
    (record,) = await records(merchant)
    assert record.status == payments_pb2.PAYMENT_STATUS_PENDING


async def test_concurrent_charges_of_two_businesses_never_mix(
    merchant: Business, gateway: Gateway
) -> None:
    other = await with_authorize(await register(merchant.client, "southwind"))
    shops: dict[str, tuple[Business, str]] = {
        each.login_id: (each, await holder(each)) for each in (merchant, other)
    }
    await save_card(merchant, shops[merchant.login_id][1])
    stripe: dict[str, Any] = {"gateway": types_pb2.GATEWAY_STRIPE}
    calls = [
        shop.call(charge_request(user_id, units))
        for shop, user_id in shops.values()
        for units in (1, 2, 3)
    ]
    calls += [
        merchant.call(charge_request(shops[merchant.login_id][1], units, **stripe))
        for units in (4, 5)
    ]
    charged = await asyncio.gather(*calls)
    told = [answer.transaction_id for answer in charged]
    for place, (login_id, (shop, _)) in enumerate(shops.items()):
        shown = {each["id"]: each for each in await gateway.authorize_charges(login_id)}
        assert shown.keys() == set(told[3 * place : 3 * place + 3])
        mine = {r.payment_id for r in await records(shop) if r.gateway == AUTHORIZE}
        assert {each["invoice_number"] for each in shown.values()} == mine
    assert {each["amount"] for each in await gateway.charges(account_of(merchant))} == {400, 500}
