"""Cards after too many requests to save one, whatever became of them. On each database."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.limits import CardTestingLimits
from nivisco.payments.v1 import cards_pb2
from rpc.errors import CoreError
from tests.core.running import (
    Business,
    Gateway,
    ShiftedClock,
    authorize_card,
    create_user,
    register,
    running_core,
    save_card,
    settings_for,
    with_authorize,
    with_stripe,
)

LIMITS = CardTestingLimits(timedelta(hours=1), user_declines=0, card_declines=0, card_saves=3)
DECLINED = "pm_card_chargeDeclined"


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
async def shop(
    tmp_path: Path, database_url: str, gateway: Gateway, clock: ShiftedClock
) -> AsyncIterator[Business]:
    urls = {"TEST": gateway.url, "LIVE": gateway.url}
    settings = settings_for(
        tmp_path,
        database_url=database_url,
        stripe_urls=urls,
        authorize_urls=urls,
        card_testing=LIMITS,
    )
    async with running_core(settings, clock) as client:
        yield await with_authorize(await with_stripe(await register(client)))


async def refusal(request: Any) -> CoreError:
    with pytest.raises(CoreError) as refused:
        await request
    return refused.value


async def saved_or_reason(request: Any) -> str:
    try:
        await request
    except CoreError as error:
        return error.reason
    return "saved"


async def test_saved_and_declined_cards_count_at_both_gateways(
    shop: Business, gateway: Gateway, clock: ShiftedClock
) -> None:
    user_id, other_id = await create_user(shop), await create_user(shop)
    keyed = cards_pb2.CreateStripeCustomerRequest(
        user_id=user_id, payment_method_token="pm_card_visa", idempotency_key="card-1"
    )
    answer = await shop.call(keyed)
    assert (await refusal(save_card(shop, user_id, DECLINED))).reason == "CARD_DECLINED"
    await shop.call(authorize_card(user_id))
    for request in (authorize_card(user_id, "4242424242424242"), "pm_card_mastercard"):
        blocked = await refusal(
            save_card(shop, user_id, request) if isinstance(request, str) else shop.call(request)
        )
        assert blocked.reason == "TOO_MANY_CARD_ATTEMPTS"
        assert blocked.retry_after_seconds is not None
        assert 3400 < blocked.retry_after_seconds <= 3600
    assert await shop.call(keyed) == answer
    await save_card(shop, other_id)
    cards = (await shop.call(cards_pb2.GetUserCardsRequest(user_id=user_id))).cards
    assert len(cards) == 2
    assert len((await gateway.authorize_books(shop.login_id))["cards"]) == 1
    clock.ahead += timedelta(seconds=blocked.retry_after_seconds or 0)
    await save_card(shop, user_id, "pm_card_mastercard")


async def test_of_many_cards_at_once_as_many_are_saved_as_the_limit_says(shop: Business) -> None:
    user_id = await create_user(shop)
    tokens = ["pm_card_visa", "pm_card_mastercard", "pm_card_amex", "pm_card_jcb"] * 3
    ended = await asyncio.gather(
        *(saved_or_reason(save_card(shop, user_id, token)) for token in tokens)
    )
    assert sorted(ended) == ["TOO_MANY_CARD_ATTEMPTS"] * 9 + ["saved"] * 3


async def test_a_repeated_request_whose_outcome_is_unknown_is_not_refused(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await create_user(shop)
    keyed = cards_pb2.CreateStripeCustomerRequest(
        user_id=user_id, payment_method_token="pm_card_visa", idempotency_key="card-1"
    )
    for _ in range(4):
        await gateway.fault("reset_before", "/v1/customers", times=20)
        assert (await refusal(shop.call(keyed))).reason == "OUTCOME_UNKNOWN"
    await gateway.clear()
    assert (await refusal(save_card(shop, user_id))).reason == "TOO_MANY_CARD_ATTEMPTS"
    await shop.call(keyed)
