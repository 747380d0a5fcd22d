"""A card or customer that was removed at the gateway gives way to the card that is saved next."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from core.cards.removed import perhaps_removed, replaced_card
from core.cards.store import Card
from core.gateways.gateway import SavedCard
from nivisco.payments.v1 import cards_pb2
from rpc.errors import CoreError
from tests.core.payments.charging import charge_request
from tests.core.running import (
    Business,
    Gateway,
    authorize_card,
    create_user,
    save_card,
    with_authorize,
)
from tests.sandbox.authorize.running import PATH, build_request

MASTERCARD = "5424000000000015"


async def ask_authorize(gateway: Gateway, business: Business, name: str, **ids: str) -> None:
    inner = "".join(f"<{field}>{value}</{field}>" for field, value in ids.items())
    body = build_request(name, inner, business.login_id, business.transaction_key)
    async with (
        aiohttp.ClientSession() as session,
        session.post(gateway.url + PATH, data=body) as response,
    ):
        assert "<resultCode>Ok</resultCode>" in await response.text()


async def ask_stripe(gateway: Gateway, business: Business, method: str, path: str) -> Any:
    headers = {"Authorization": f"Bearer {business.stripe_key}"}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{gateway.url}/v1/{path}", headers=headers) as response,
    ):
        assert response.status == 200, await response.text()
        return await response.json()


@dataclass(frozen=True)
class AtGateway:
    """How to save and remove cards of one gateway."""

    name: str
    save: Callable[..., Awaitable[Any]]
    """Saves a card of the user: the usual one, or another with `other`."""
    remove_cards: Callable[[Gateway, Business, Any], Awaitable[None]]
    """Removes all cards of the customer of a saved card."""
    remove_customer: Callable[[Gateway, Business, Any], Awaitable[None]]
    customer_of: Callable[[Any], str]


async def save_authorize(business: Business, user_id: str, *, other: bool = False) -> Any:
    numbers = {"number": MASTERCARD} if other else {}
    return await business.call(authorize_card(user_id, **numbers))


async def remove_authorize_cards(gateway: Gateway, business: Business, saved: Any) -> None:
    for card in (await gateway.authorize_books(business.login_id))["cards"]:
        await ask_authorize(
            gateway,
            business,
            "deleteCustomerPaymentProfileRequest",
            customerProfileId=saved.customer_profile_id,
            customerPaymentProfileId=card["id"],
        )


async def remove_authorize_customer(gateway: Gateway, business: Business, saved: Any) -> None:
    await ask_authorize(
        gateway,
        business,
        "deleteCustomerProfileRequest",
        customerProfileId=saved.customer_profile_id,
    )


async def save_stripe(business: Business, user_id: str, *, other: bool = False) -> Any:
    return await save_card(business, user_id, "pm_card_mastercard" if other else "pm_card_visa")


async def remove_stripe_cards(gateway: Gateway, business: Business, saved: Any) -> None:
    listed = await ask_stripe(
        gateway, business, "GET", f"payment_methods?customer={saved.customer_id}"
    )
    for method in listed["data"]:
        await ask_stripe(gateway, business, "POST", f"payment_methods/{method['id']}/detach")


async def remove_stripe_customer(gateway: Gateway, business: Business, saved: Any) -> None:
    await ask_stripe(gateway, business, "DELETE", f"customers/{saved.customer_id}")


AT_GATEWAYS = [
    AtGateway(
        "authorize",
        save_authorize,
        remove_authorize_cards,
        remove_authorize_customer,
        lambda saved: str(saved.customer_profile_id),
    ),
    AtGateway(
        "stripe",
        save_stripe,
        remove_stripe_cards,
        remove_stripe_customer,
        lambda saved: str(saved.customer_id),
    ),
]


@pytest.fixture(params=AT_GATEWAYS, ids=lambda at: at.name)
def at(request: pytest.FixtureRequest) -> AtGateway:
    made: AtGateway = request.param
    return made


@pytest.fixture
async def merchant(shop: Business) -> Business:
    """A business with keys of both gateways."""
    return await with_authorize(shop)


async def cards_of(business: Business, user_id: str) -> list[tuple[str, str, bool]]:
    """Return the id, last digits and primacy of the user's cards, newest first."""
    cards = (await business.call(cards_pb2.GetUserCardsRequest(user_id=user_id))).cards
    return [(card.card_id, card.last4, card.primary) for card in cards]


async def is_chargeable(business: Business, user_id: str) -> bool:
    try:
        await business.call(charge_request(user_id))
    except CoreError as refused:
        if refused.reason != "GATEWAY_REFUSED":
            raise
        return False
    return True


@pytest.mark.parametrize("what", ["cards", "customer"])
async def test_the_same_card_takes_the_place_of_the_removed_one(
    merchant: Business, gateway: Gateway, at: AtGateway, what: str
) -> None:
    user_id = await create_user(merchant)
    old = await at.save(merchant, user_id)
    remove = at.remove_cards if what == "cards" else at.remove_customer
    await remove(gateway, merchant, old)
    assert not await is_chargeable(merchant, user_id)
    new = await at.save(merchant, user_id)
    assert new.card == old.card
    assert (at.customer_of(new) == at.customer_of(old)) == (what == "cards")
    assert await cards_of(merchant, user_id) == [(old.card.card_id, old.card.last4, True)]
    assert await is_chargeable(merchant, user_id)


@pytest.mark.parametrize("what", ["cards", "customer"])
async def test_another_card_becomes_primary_in_place_of_the_removed_one(
    merchant: Business, gateway: Gateway, at: AtGateway, what: str
) -> None:
    user_id = await create_user(merchant)
    old = await at.save(merchant, user_id)
    remove = at.remove_cards if what == "cards" else at.remove_customer
    await remove(gateway, merchant, old)
    new = await at.save(merchant, user_id, other=True)
    assert new.card.card_id != old.card.card_id
    assert await cards_of(merchant, user_id) == [
        (new.card.card_id, new.card.last4, True),
        (old.card.card_id, old.card.last4, False),
    ]
    assert await is_chargeable(merchant, user_id)


async def test_a_card_that_was_not_primary_is_replaced_and_stays_so(
    merchant: Business, gateway: Gateway, at: AtGateway
) -> None:
    user_id = await create_user(merchant)
    first = await at.save(merchant, user_id)
    second = await at.save(merchant, user_id, other=True)
    await at.remove_cards(gateway, merchant, second)
    renewed = await at.save(merchant, user_id)
    assert renewed.card == first.card
    again = await at.save(merchant, user_id, other=True)
    assert again.card == second.card
    assert [(last4, is_primary) for _, last4, is_primary in await cards_of(merchant, user_id)] == [
        (second.card.last4, False),
        (first.card.last4, True),
    ]


async def test_a_card_that_is_still_there_is_not_replaced(
    merchant: Business, at: AtGateway
) -> None:
    user_id = await create_user(merchant)
    first = await at.save(merchant, user_id)
    other = await at.save(merchant, user_id, other=True)
    again = await at.save(merchant, user_id)
    cards = await cards_of(merchant, user_id)
    assert [card_id for card_id, _, is_primary in cards if is_primary] == [first.card.card_id]
    assert again.card == first.card
    assert {card_id for card_id, _, _ in cards} == {
        each.card.card_id for each in (first, other, again)
    }


async def test_a_card_that_cannot_be_looked_for_counts_as_present(
    merchant: Business, gateway: Gateway, at: AtGateway
) -> None:
    user_id = await create_user(merchant)
    old = await at.save(merchant, user_id)
    await at.remove_cards(gateway, merchant, old)
    if at.name == "stripe":
        await gateway.fault("error_500", "/v1/payment_methods/*", times=2, method="GET")
    else:
        await gateway.authorize_fault("error_500", "getCustomerPaymentProfile")
    new = await at.save(merchant, user_id, other=True)
    assert not new.card.primary
    assert not await is_chargeable(merchant, user_id)
    newest = await at.save(merchant, user_id, other=True)
    assert newest.card.primary
    assert await is_chargeable(merchant, user_id)


async def test_concurrent_calls_replace_a_removed_card_once(
    merchant: Business, gateway: Gateway, at: AtGateway
) -> None:
    """The gateway has one card after four calls at Authorize.Net, and four at Stripe."""
    user_id = await create_user(merchant)
    old = await at.save(merchant, user_id)
    await at.remove_cards(gateway, merchant, old)
    saved = await asyncio.gather(*(at.save(merchant, user_id) for _ in range(4)))
    stored = {each.card.card_id for each in saved}
    assert stored == {old.card.card_id}
    cards = await cards_of(merchant, user_id)
    assert {card_id for card_id, _, _ in cards} == stored
    assert [card_id for card_id, _, is_primary in cards if is_primary] == [old.card.card_id]
    assert await is_chargeable(merchant, user_id)


async def test_a_customer_and_card_that_exist_are_found_without_their_ids(
    merchant: Business, gateway: Gateway
) -> None:
    user_id = await create_user(merchant)
    await gateway.authorize("answers", api_login_id=merchant.login_id, names_duplicates=False)
    await gateway.authorize_fault("reset_after", "createCustomerProfile")
    with pytest.raises(CoreError) as unknown:
        await save_authorize(merchant, user_id)
    assert unknown.value.reason == "OUTCOME_UNKNOWN"
    saved = await save_authorize(merchant, user_id)
    assert saved.card.primary
    books = await gateway.authorize_books(merchant.login_id)
    assert [each["id"] for each in books["customers"]] == [saved.customer_profile_id]
    assert [each["id"] for each in books["cards"]] == [saved.payment_profile_id]


@pytest.mark.parametrize(("separator", "enclosing"), [(",", ""), (",", '"'), ("|", "'")])
async def test_a_wrong_security_code_is_named_whatever_the_validations_format(
    merchant: Business, gateway: Gateway, separator: str, enclosing: str
) -> None:
    user_id = await create_user(merchant)
    await gateway.authorize(
        "answers", api_login_id=merchant.login_id, separator=separator, enclosing=enclosing
    )
    for number in ("4111111111111111", MASTERCARD):
        with pytest.raises(CoreError) as declined:
            await merchant.call(authorize_card(user_id, number, cvv="901"))
        assert declined.value.reason == "CARD_DECLINED"
        assert declined.value.metadata["decline_code"] == "incorrect_cvc"
        await merchant.call(authorize_card(user_id, "370000000000002", cvv="9000"))


NOW = datetime(2030, 3, 15, tzinfo=UTC)
SAVED = SavedCard("new", "visa", "1111", 12, 2031)
STORED = Card("c", "u", "authorize", "TEST", "51", "old", "visa", "1111", 1, 2030, False, NOW)


def stored(card_id: str, **changes: Any) -> Card:
    return replace(STORED, card_id=card_id, gateway_card_id=f"at-{card_id}", **changes)


def test_the_primary_card_and_those_that_look_like_the_saved_one_are_looked_for() -> None:
    cards = [
        stored("same"),
        stored("renewed", exp_year=2020),
        stored("other number", last4="0015"),
        stored("other brand", brand="mastercard"),
        stored("primary", last4="0002", is_primary=True),
        replace(STORED, gateway_card_id="new"),
    ]
    asked = perhaps_removed(cards, SAVED)
    assert [card.card_id for card in asked] == ["primary", "same", "renewed"]


def test_the_number_of_cards_that_are_looked_for_is_limited() -> None:
    cards = [stored(f"{number}", is_primary=number == 9) for number in range(10)]
    asked = perhaps_removed(cards, SAVED)
    assert [card.card_id for card in asked] == ["9", "0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("removed", "replaced"),
    [
        ([], None),
        ([stored("other", last4="0015", is_primary=True)], None),
        ([stored("first"), stored("second")], "first"),
        ([stored("first"), stored("primary", is_primary=True)], "primary"),
        ([stored("other", last4="0015", is_primary=True), stored("same")], "same"),
    ],
)
def test_a_saved_card_replaces_the_same_card_the_primary_one_first(
    removed: list[Card], replaced: str | None
) -> None:
    card = replaced_card(removed, SAVED)
    assert (card and card.card_id) == replaced
