"""Refunds at Stripe over gRPC: responses, records, wallets and errors, on each database."""

import asyncio
import contextlib
import itertools
import os
import random
from typing import Any

import pytest
from google.type.money_pb2 import Money

from nivisco.payments.v1 import payments_pb2, types_pb2, wallet_pb2
from rpc.errors import CoreError
from tests.core.payments.charging import card_holder, charge_request, fund_request, records
from tests.core.refunds.refunding import (
    FAILED,
    REFUNDS,
    SUCCEEDED,
    balance_of,
    refund_request,
    refunds_of,
)
from tests.core.running import Business, Gateway, register, with_stripe
from tests.prove.operations import RETRYABLE

CONCURRENT_REFUNDS = int(os.environ.get("CONCURRENT_REFUNDS", "48"))
"""Of one payment at the same time, some of them in the gateway's dashboard."""
FUNDED_UNITS = CONCURRENT_REFUNDS
"""Three quarters of the refunds, of 1 or 2 units each, are made before nothing is left."""


async def reason_of(call: Any) -> str:
    with pytest.raises(CoreError) as caught:
        await call
    return caught.value.reason


async def test_refunds_are_made_and_listed_until_nothing_is_left(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await card_holder(shop)
    charged = await shop.call(charge_request(user_id))
    keyed = refund_request(
        charged.payment_id, 10, reason="REFUND_REASON_DUPLICATE", idempotency_key="first"
    )
    first = await shop.call(keyed)
    assert await shop.call(keyed) == first
    rest = await shop.call(
        refund_request(None, transaction_id=charged.transaction_id, description="the rest")
    )
    assert [each.refund.amount.units for each in (first, rest)] == [10, 15]
    assert first.refund.status == rest.refund.status == SUCCEEDED
    (payment,) = await records(shop)
    assert payment.status == payments_pb2.PAYMENT_STATUS_REFUNDED
    assert payment.amount_refunded == payment.amount
    (books,) = await gateway.books()
    shown = {each["id"]: each for each in books["refunds"]}
    made = shown[first.refund.gateway_refund_id]
    assert (made["amount"], made["reason"]) == (1000, "duplicate")
    assert made["metadata"]["nivisco_refund_id"] == first.refund.refund_id
    assert sum(each["amount"] for each in shown.values()) == 2500
    listed = await refunds_of(shop)
    assert listed == [rest.refund, first.refund]
    assert await refunds_of(shop, payment_id=charged.payment_id, user_id=user_id) == listed
    assert await refunds_of(shop, status=FAILED) == []


async def test_an_absent_field_is_what_the_first_request_resolved(
    shop: Business, gateway: Gateway
) -> None:
    """Also after the default environment moved, and while the outcome is unknown."""
    charged = await shop.call(charge_request(await card_holder(shop)))
    await gateway.fault("reset_before", REFUNDS, times=2)
    await gateway.fault("reset_before", REFUNDS, times=20, method="GET")
    request = refund_request(charged.payment_id, 10, idempotency_key="k")
    assert await reason_of(shop.call(request)) == "OUTCOME_UNKNOWN"
    await gateway.clear()
    await with_stripe(shop, types_pb2.ENV_LIVE)
    first = await shop.call(request)
    assert first.refund.env == types_pb2.ENV_TEST
    request.env = types_pb2.ENV_TEST
    assert await shop.call(request) == first
    request.amount.currency_code = "USD"
    assert await shop.call(request) == first
    request.ClearField("env")
    assert await shop.call(request) == first
    request.amount.units = 9
    assert await reason_of(shop.call(request)) == "IDEMPOTENCY_KEY_REUSED"


async def test_a_refund_that_is_not_possible_moves_nothing(shop: Business) -> None:
    user_id = await card_holder(shop)
    charged = await shop.call(charge_request(user_id))
    refused = {
        "REFUND_TOO_HIGH": refund_request(charged.payment_id, 26),
        "PAYMENT_NOT_FOUND": refund_request("PAY-0000000000000000"),
        "INVALID_FIELDS": refund_request(None),
    }
    for reason, request in refused.items():
        assert await reason_of(shop.call(request)) == reason
    euros = refund_request(charged.payment_id)
    euros.amount.CopyFrom(Money(currency_code="EUR", units=1))
    assert await reason_of(shop.call(euros)) == "INVALID_FIELDS"
    both = refund_request(charged.payment_id, transaction_id=charged.transaction_id)
    assert await reason_of(shop.call(both)) == "INVALID_FIELDS"
    live = refund_request(charged.payment_id, env="ENV_LIVE")
    assert await reason_of(shop.call(live)) == "PAYMENT_NOT_FOUND"
    declined = await card_holder(shop, "pm_card_chargeCustomerFail")
    assert await reason_of(shop.call(charge_request(declined))) == "CARD_DECLINED"
    (failed, _) = await records(shop)
    assert await reason_of(shop.call(refund_request(failed.payment_id))) == "PAYMENT_STATE"
    assert await refunds_of(shop) == []


async def test_the_payment_of_another_business_is_like_an_unknown_one(shop: Business) -> None:
    charged = await shop.call(charge_request(await card_holder(shop)))
    stranger = await register(shop.client, "stranger")
    requests = (
        refund_request("PAY-0000000000000000"),
        refund_request(charged.payment_id),
        refund_request(None, transaction_id=charged.transaction_id),
    )
    refusals = []
    for request in requests:
        with pytest.raises(CoreError) as caught:
            await stranger.call(request)
        refusals.append((caught.value.reason, caught.value.message, caught.value.metadata))
    assert refusals == refusals[:1] * 3
    assert await refunds_of(stranger, payment_id=charged.payment_id) == []


async def test_the_refund_of_a_funding_debits_the_wallet(shop: Business) -> None:
    user_id = await card_holder(shop)
    funded = await shop.call(fund_request(user_id))
    await shop.call(refund_request(funded.payment_id, 20))
    assert await balance_of(shop, user_id) == 30
    await shop.call(wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=Money(units=10)))
    too_much = refund_request(funded.payment_id, 30, idempotency_key="all")
    assert await reason_of(shop.call(too_much)) == "WALLET_TOO_LOW"
    assert await balance_of(shop, user_id) == 20
    assert len(await refunds_of(shop)) == 1
    await shop.call(refund_request(funded.payment_id, 30, allow_receivable=True))
    assert await balance_of(shop, user_id) == 0
    history = await shop.call(wallet_pb2.GetWalletHistoryRequest(user_id=user_id))
    reasons = [wallet_pb2.TransactionReason.Name(each.reason) for each in history.transactions]
    assert reasons[:2] == ["TRANSACTION_REASON_REFUND", "TRANSACTION_REASON_RECEIVABLE"]
    assert history.transactions[1].amount.units == 10


async def test_a_refund_that_the_gateway_refuses_gives_everything_back(
    shop: Business, gateway: Gateway
) -> None:
    """It was refunded in the dashboard, and no webhook has told of it."""
    user_id = await card_holder(shop)
    funded = await shop.call(fund_request(user_id))
    await gateway.control("stripe/refunds", payment_intent=funded.transaction_id, amount=4000)
    request = refund_request(funded.payment_id, 20, idempotency_key="k")
    assert await reason_of(shop.call(request)) == "REFUND_REFUSED"
    assert await reason_of(shop.call(request)) == "REFUND_REFUSED"
    (refund,) = await refunds_of(shop)
    assert (refund.status, refund.failure_code) == (FAILED, "amount_too_large")
    (payment,) = await records(shop)
    assert payment.status == payments_pb2.PAYMENT_STATUS_SUCCEEDED
    assert await balance_of(shop, user_id) == 50


async def test_concurrent_refunds_never_exceed_the_payment(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await card_holder(shop)
    funded = await shop.call(fund_request(user_id, FUNDED_UNITS))
    rng = random.Random(15)  # noqa: S311 - amounts

    async def one(number: int) -> int:
        if number % 8 == 0:
            with contextlib.suppress(AssertionError):  # the gateway refuses it
                await gateway.control(
                    "stripe/refunds", payment_intent=funded.transaction_id, amount=100
                )
            return 0
        key = {"idempotency_key": f"k{number}"}
        request = refund_request(funded.payment_id, rng.randint(1, 2), **key)
        for tries in itertools.count(1):
            try:
                return int((await shop.call(request)).refund.amount.units)
            except CoreError as error:
                if error.reason in ("REFUND_TOO_HIGH", "REFUND_REFUSED"):
                    return 0
                if error.reason not in RETRYABLE:
                    raise
                # Many wait for the payment's lock, some of them for too long.
                await asyncio.sleep(rng.random() * min(2**tries, 64))
        raise AssertionError("count() never ends")

    made = sum(await asyncio.gather(*(one(number) for number in range(CONCURRENT_REFUNDS))))
    (books,) = await gateway.books()
    ours = [each for each in books["refunds"] if each["metadata"]]
    assert sum(each["amount"] for each in ours) == made * 100
    assert sum(each["amount"] for each in books["refunds"]) <= FUNDED_UNITS * 100
    (payment,) = await records(shop)
    assert payment.amount_refunded.units == made
    assert await balance_of(shop, user_id) == FUNDED_UNITS - made
