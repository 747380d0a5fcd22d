"""A card that is saved again at Stripe is recognized by its fingerprint."""

from typing import Any

import aiohttp

from nivisco.payments.v1 import cards_pb2
from tests.core.cards.test_removed import ask_stripe
from tests.core.payments.charging import charge_request
from tests.core.running import Business, Gateway, create_user, save_card

VISA, DEBIT = "4242424242424242", "4000056655665556"


async def method_of(gateway: Gateway, business: Business, number: str, year: int) -> str:
    """Create a payment method with this expiry year, as Stripe's browser library does."""
    form = {"type": "card", "card[number]": number, "card[exp_month]": "6"}
    headers = {"Authorization": f"Bearer {business.stripe_key}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{gateway.url}/v1/payment_methods",
            data=form | {"card[exp_year]": str(year)},
            headers=headers,
        ) as response,
    ):
        return str((await response.json())["id"])


async def listed(business: Business, user_id: str) -> list[Any]:
    return list((await business.call(cards_pb2.GetUserCardsRequest(user_id=user_id))).cards)


async def attached(gateway: Gateway, business: Business, customer_id: str) -> set[str]:
    path = f"payment_methods?customer={customer_id}"
    return {each["id"] for each in (await ask_stripe(gateway, business, "GET", path))["data"]}


async def test_the_later_expiry_date_of_a_card_wins(shop: Business, gateway: Gateway) -> None:
    user_id = await create_user(shop)
    first = await save_card(shop, user_id, await method_of(gateway, shop, VISA, 2034))
    other = await save_card(shop, user_id, await method_of(gateway, shop, DEBIT, 2034))
    for year, shown in ((2036, 2036), (2035, 2036), (2036, 2036)):
        method = await method_of(gateway, shop, VISA, year)
        again = await save_card(shop, user_id, method)
        first.card.exp_year = shown
        assert again == first
        assert await listed(shop, user_id) == [other.card, first.card]
        charged = await shop.call(charge_request(user_id))
        intent = await ask_stripe(gateway, shop, "GET", f"payment_intents/{charged.transaction_id}")
        assert (intent["payment_method"] == method) == (year == shown)


async def test_a_removed_card_is_removed_as_often_as_it_was_saved(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await create_user(shop)
    saved = [await save_card(shop, user_id) for _ in range(3)]
    other = await save_card(shop, user_id, "pm_card_mastercard")
    assert len(await attached(gateway, shop, other.customer_id)) == 4
    await shop.call(cards_pb2.RemoveCardRequest(card_id=saved[0].card.card_id))
    assert len(await attached(gateway, shop, other.customer_id)) == 1
    assert [card.card_id for card in await listed(shop, user_id)] == [other.card.card_id]
    again = await save_card(shop, user_id)
    assert again.card.card_id != saved[0].card.card_id


async def test_the_same_card_of_two_users_is_a_card_of_each(shop: Business) -> None:
    users = [await create_user(shop) for _ in range(2)]
    cards = [(await save_card(shop, user_id)).card for user_id in users]
    assert [await listed(shop, user_id) for user_id in users] == [[cards[0]], [cards[1]]]
    assert [card.user_id for card in cards] == users
