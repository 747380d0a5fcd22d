"""Another saved card becomes the primary one."""

import asyncio
from typing import Any

import pytest

from nivisco.payments.v1 import cards_pb2, types_pb2
from rpc.errors import CoreError
from tests.core.payments.charging import charge_request
from tests.core.running import (
    Business,
    authorize_card,
    create_user,
    register,
    save_card,
    with_authorize,
)

MASTERCARD = "pm_card_mastercard"


async def set_primary(business: Business, card_id: str, **more: Any) -> Any:
    request = cards_pb2.SetPrimaryCardRequest(card_id=card_id, **more)
    return (await business.call(request)).card


async def primary(business: Business, user_id: str, **which: Any) -> Any:
    request = cards_pb2.GetUserPrimaryCardRequest(user_id=user_id, **which)
    return (await business.call(request)).card


async def test_the_card_is_charged_from_then_on(shop: Business) -> None:
    user_id = await create_user(shop)
    first = (await save_card(shop, user_id)).card
    second = (await save_card(shop, user_id, MASTERCARD)).card
    changed = await set_primary(shop, second.card_id, user_id=user_id)
    second.primary, first.primary = True, False
    assert changed == second == await primary(shop, user_id)
    cards = (await shop.call(cards_pb2.GetUserCardsRequest(user_id=user_id))).cards
    assert list(cards) == [second, first]
    assert (await shop.call(charge_request(user_id))).gateway == types_pb2.GATEWAY_STRIPE
    assert await set_primary(shop, second.card_id) == second  # again: nothing changes


async def test_its_gateway_becomes_the_users_default(shop: Business) -> None:
    merchant = await with_authorize(shop)
    user_id = await create_user(merchant)
    stripe = (await save_card(merchant, user_id)).card
    authorize = (await merchant.call(authorize_card(user_id))).card
    assert await primary(merchant, user_id) == stripe
    await set_primary(merchant, authorize.card_id)
    assert await primary(merchant, user_id) == authorize
    assert await primary(merchant, user_id, gateway=types_pb2.GATEWAY_STRIPE) == stripe


async def test_concurrent_calls_leave_one_primary_card(shop: Business) -> None:
    user_id = await create_user(shop)
    tokens = ("pm_card_visa", MASTERCARD, "pm_card_amex")
    cards = [(await save_card(shop, user_id, token)).card for token in tokens]
    await asyncio.gather(*(set_primary(shop, card.card_id) for card in cards * 3))
    listed = (await shop.call(cards_pb2.GetUserCardsRequest(user_id=user_id))).cards
    assert sum(card.primary for card in listed) == 1


async def test_a_repeated_key_has_the_first_answer_and_no_second_effect(shop: Business) -> None:
    user_id = await create_user(shop)
    first = (await save_card(shop, user_id)).card
    second = (await save_card(shop, user_id, MASTERCARD)).card
    answer = await set_primary(shop, second.card_id, idempotency_key="k")
    await set_primary(shop, first.card_id)
    again = await set_primary(shop, second.card_id, idempotency_key="k")
    assert again.SerializeToString() == answer.SerializeToString()
    assert (await primary(shop, user_id)).card_id == first.card_id


async def test_any_other_card_is_refused(shop: Business) -> None:
    card_id = (await save_card(shop, await create_user(shop))).card.card_id
    other_user = await create_user(shop)
    for fields, reason, named in (
        ({"card_id": "CRD-" + "0" * 26}, "CARD_NOT_FOUND", []),
        ({"card_id": card_id, "user_id": other_user}, "CARD_NOT_FOUND", []),
        ({"card_id": card_id, "user_id": "USR-1"}, "USER_NOT_FOUND", []),
        ({}, "INVALID_FIELDS", ["card_id"]),
        ({"card_id": "a b"}, "INVALID_FIELDS", ["card_id"]),
        ({"card_id": "x" * 65}, "INVALID_FIELDS", ["card_id"]),
    ):
        with pytest.raises(CoreError) as refused:
            await shop.call(cards_pb2.SetPrimaryCardRequest(**fields))
        found = [problem.field for problem in refused.value.fields]
        assert (refused.value.reason, found) == (reason, named), fields


async def test_a_card_of_another_business_is_like_an_unknown_one(shop: Business) -> None:
    card = (await save_card(shop, await create_user(shop))).card
    stranger = await register(shop.client, "stranger")
    refusals = []
    for card_id in (card.card_id, "CRD-" + "0" * 26):
        with pytest.raises(CoreError) as refused:
            await set_primary(stranger, card_id)
        refusals.append((refused.value.reason, refused.value.message, refused.value.metadata))
    assert refusals[0] == refusals[1]
