"""A card is removed at its gateway and here, however often and whatever answer is lost."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from core.cards.removed import next_primary
from nivisco.payments.v1 import cards_pb2, credentials_pb2, types_pb2
from rpc.errors import CoreError
from tests.core.cards.test_removed import STORED, ask_stripe, stored
from tests.core.payments.charging import charge_request
from tests.core.running import (
    Business,
    Gateway,
    authorize_card,
    create_user,
    register,
    save_card,
    with_authorize,
)

REMOVALS = {"stripe": "/v1/payment_methods/*/detach", "authorize": "deleteCustomerPaymentProfile"}
GATEWAYS = {"stripe": types_pb2.GATEWAY_STRIPE, "authorize": types_pb2.GATEWAY_AUTHORIZE}


@dataclass(frozen=True)
class Shop:
    """A business with keys of both gateways, and the gateway of the test."""

    business: Business
    gateway: Gateway
    name: str

    async def save(self, user_id: str, which: int = 0) -> Any:
        """Save one of three cards and return it."""
        if self.name == "stripe":
            tokens = ("pm_card_visa", "pm_card_mastercard", "pm_card_amex")
            return (await save_card(self.business, user_id, tokens[which])).card
        numbers = ("4111111111111111", "5424000000000015", "6011000000000012")
        return (await self.business.call(authorize_card(user_id, numbers[which]))).card

    async def remove(self, card_id: str, key: str | None = None) -> Any:
        """Remove a card."""
        request = cards_pb2.RemoveCardRequest(card_id=card_id, idempotency_key=key)
        return await self.business.call(request)

    async def listed(self, user_id: str) -> list[tuple[str, bool]]:
        """Return the ids of the user's cards, newest first, and which are primary."""
        request = cards_pb2.GetUserCardsRequest(user_id=user_id)
        cards = (await self.business.call(request)).cards
        return [(card.card_id, card.primary) for card in cards]

    async def at_gateway(self) -> int:
        """Return how many cards the gateway has."""
        if self.name == "authorize":
            return len((await self.gateway.authorize_books(self.business.login_id))["cards"])
        customers = (await ask_stripe(self.gateway, self.business, "GET", "customers"))["data"]
        paths = [f"payment_methods?customer={customer['id']}" for customer in customers]
        lists = [await ask_stripe(self.gateway, self.business, "GET", path) for path in paths]
        return sum(len(each["data"]) for each in lists)

    async def fault(self, kind: str, times: int = 1) -> None:
        """Have the next removals meet a fault."""
        if self.name == "stripe":
            await self.gateway.fault(kind, REMOVALS["stripe"], times)
        else:
            await self.gateway.authorize_fault(kind, REMOVALS["authorize"], times)


@pytest.fixture(params=GATEWAYS)
async def at(request: pytest.FixtureRequest, shop: Business, gateway: Gateway) -> Shop:
    return Shop(await with_authorize(shop), gateway, request.param)


async def refused(removal: Any) -> str:
    with pytest.raises(CoreError) as error:
        await removal
    return str(error.value.reason)


async def test_the_newest_other_card_takes_the_place_of_the_primary_one(at: Shop) -> None:
    user_id = await create_user(at.business)
    first, second, third = [await at.save(user_id, which) for which in range(3)]
    removed = await at.remove(first.card_id)
    third.primary, first.primary = True, False
    assert (removed.card, removed.primary_card) == (first, third)
    assert await at.listed(user_id) == [(third.card_id, True), (second.card_id, False)]
    assert await at.at_gateway() == 2
    await at.business.call(charge_request(user_id, gateway=GATEWAYS[at.name]))
    assert (await at.remove(second.card_id)).primary_card == third
    assert not (await at.remove(third.card_id)).HasField("primary_card")
    assert await at.listed(user_id) == []
    assert await at.at_gateway() == 0
    charge = charge_request(user_id, gateway=GATEWAYS[at.name])
    assert await refused(at.business.call(charge)) == "CARD_NOT_FOUND"
    again = await at.save(user_id)
    assert again.card_id != first.card_id
    assert again.primary


async def test_a_removal_is_repeated_safely(at: Shop) -> None:
    user_id = await create_user(at.business)
    card, other = await at.save(user_id), await at.save(user_id, 1)
    keyed = await asyncio.gather(*(at.remove(card.card_id, "k") for _ in range(3)))
    unkeyed = await asyncio.gather(*(at.remove(card.card_id) for _ in range(3)))
    answers = {answer.SerializeToString() for answer in (*keyed, *unkeyed)}
    assert len(answers) == 1
    assert await at.listed(user_id) == [(other.card_id, True)]
    assert await refused(at.remove(other.card_id, "k")) == "IDEMPOTENCY_KEY_REUSED"


async def test_a_lost_answer_leaves_a_removal_that_the_same_request_ends(at: Shop) -> None:
    user_id = await create_user(at.business)
    for kind in ("reset_after", "error_500_after", "reset_before"):
        card = await at.save(user_id)
        await at.fault(kind, times=2)
        if at.name == "authorize" or kind == "reset_before":
            assert await refused(at.remove(card.card_id)) == "OUTCOME_UNKNOWN"
            assert await at.listed(user_id) == [(card.card_id, True)]
        else:  # Stripe shows afterwards that the card is detached
            await at.remove(card.card_id)
        await at.gateway.clear()
        assert (await at.remove(card.card_id)).card.card_id == card.card_id
        assert (await at.listed(user_id), await at.at_gateway()) == ([], 0)


async def test_a_refusal_leaves_the_card_as_it_was(at: Shop) -> None:
    business, user_id = at.business, await create_user(at.business)
    card = await at.save(user_id)
    stranger = await register(business.client, "stranger")
    for caller, card_id in ((stranger, card.card_id), (business, "CRD-" + "0" * 26)):
        removal = caller.call(cards_pb2.RemoveCardRequest(card_id=card_id))
        assert await refused(removal) == "CARD_NOT_FOUND"
    if at.name == "stripe":
        await at.gateway.revoke(business.stripe_key)
        assert await refused(at.remove(card.card_id)) == "GATEWAY_REFUSED"
    assert await at.listed(user_id) == [(card.card_id, True)]
    if at.name == "stripe":
        await at.gateway.revoke(business.stripe_key, revoked=False)
    assert await at.at_gateway() == 1


async def test_a_card_of_an_account_whose_keys_are_gone_is_removed_here(shop: Business) -> None:
    user_id = await create_user(shop)
    card = (await save_card(shop, user_id)).card
    other = credentials_pb2.ModifyStripeCredentialsRequest.Credentials(
        env=types_pb2.ENV_TEST, stripe_secret_key="sk_test_otheraccount_a"
    )
    await shop.call(credentials_pb2.ModifyStripeCredentialsRequest(credentials=other))
    await shop.call(cards_pb2.RemoveCardRequest(card_id=card.card_id))
    assert not (await shop.call(cards_pb2.GetUserCardsRequest(user_id=user_id))).cards


async def test_a_charge_in_flight_is_completed(shop: Business, gateway: Gateway) -> None:
    user_id = await create_user(shop)
    card = (await save_card(shop, user_id)).card
    await gateway.fault("delay_after", "/v1/payment_intents", seconds=60)
    charge = asyncio.create_task(shop.call(charge_request(user_id)))
    await gateway.wait_until_holding(1)
    removed = await shop.call(cards_pb2.RemoveCardRequest(card_id=card.card_id))
    assert not removed.HasField("primary_card")
    await gateway.clear()
    assert (await charge).transaction_id.startswith("pi_")


@pytest.mark.parametrize(
    ("cards", "customer_id", "expected"),
    [
        ([], "51", None),
        ([stored("newest"), stored("older")], "51", "newest"),
        ([stored("elsewhere", gateway="stripe"), stored("here")], "51", "here"),
        ([stored("replaced", customer_id="50"), stored("present")], "51", "present"),
        ([stored("here")], None, None),
    ],
)
def test_the_next_primary_card_is_the_newest_that_can_be_charged(
    cards: Any, customer_id: str | None, expected: str | None
) -> None:
    found = next_primary(cards, STORED.gateway, customer_id)
    assert (found and found.card_id) == expected


async def test_a_card_that_is_detached_while_it_is_saved_is_not_stored(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await create_user(shop)
    card = (await save_card(shop, user_id)).card
    await gateway.fault("delay_after", "/v1/payment_methods/*/attach", seconds=60)
    saving = asyncio.create_task(save_card(shop, user_id))
    await gateway.wait_until_holding(1)
    await shop.call(cards_pb2.RemoveCardRequest(card_id=card.card_id))
    await gateway.clear()
    assert await refused(saving) == "OUTCOME_UNKNOWN"
    assert not (await shop.call(cards_pb2.GetUserCardsRequest(user_id=user_id))).cards
    assert (await save_card(shop, user_id)).card.primary
