"""A card's expiry date and billing address are changed at its gateway."""

from datetime import UTC, datetime
from typing import Any

import pytest

from core.cards.rules import check_change
from core.errors import InvalidFields
from core.gateways.gateway import CardChange
from nivisco.payments.v1 import cards_pb2
from rpc.errors import CoreError
from tests.core.cards.test_remove_card import GATEWAYS, Shop, refused
from tests.core.cards.test_removed import ask_authorize, ask_stripe
from tests.core.payments.charging import charge_request
from tests.core.running import Business, Gateway, create_user, register, with_authorize

UPDATES = {"stripe": "/v1/payment_methods/*", "authorize": "updateCustomerPaymentProfile"}
ADDRESS = {"address": "1 Main St", "city": "Houston", "state": "TX", "country": "US"}
NOW = datetime(2030, 3, 15, tzinfo=UTC)


@pytest.fixture(params=GATEWAYS)
async def at(request: pytest.FixtureRequest, shop: Business, gateway: Gateway) -> Shop:
    return Shop(await with_authorize(shop), gateway, request.param)


async def update(at: Shop, card_id: str, **changes: Any) -> Any:
    request = cards_pb2.UpdateCardRequest(card_id=card_id, **changes)
    return (await at.business.call(request)).card


async def card_at_gateway(at: Shop) -> tuple[str, dict[str, str]]:
    """Return the expiry date and the billing address of the only card of the gateway."""
    if at.name == "authorize":
        (card,) = (await at.gateway.authorize_books(at.business.login_id))["cards"]
        return card["expiration_date"], card["bill_to"]
    (customer,) = (await ask_stripe(at.gateway, at.business, "GET", "customers"))["data"]
    path = f"payment_methods?customer={customer['id']}"
    (method,) = (await ask_stripe(at.gateway, at.business, "GET", path))["data"]
    names = {"line1": "address", "postal_code": "zip"}
    address = method["billing_details"]["address"].items()
    date = f"{method['card']['exp_year']}-{method['card']['exp_month']:02d}"
    return date, {names.get(name, name): value for name, value in address if value}


async def test_what_is_not_set_stays_as_it_is(at: Shop) -> None:
    user_id = await create_user(at.business)
    card = await at.save(user_id)
    changed = await update(at, card.card_id, exp_month=5, exp_year=2061, postal_code="77002")
    card.exp_month, card.exp_year = 5, 2061
    assert changed == card
    assert await card_at_gateway(at) == ("2061-05", {"zip": "77002"})
    assert await update(at, card.card_id, **ADDRESS) == card
    assert await update(at, card.card_id, exp_month=6, exp_year=2062) != card
    assert await card_at_gateway(at) == ("2062-06", {**ADDRESS, "zip": "77002"})
    (listed,) = (await at.business.call(cards_pb2.GetUserCardsRequest(user_id=user_id))).cards
    assert (listed.exp_month, listed.exp_year, listed.last4) == (6, 2062, card.last4)
    await at.business.call(charge_request(user_id, gateway=GATEWAYS[at.name]))


async def test_a_lost_answer_leaves_a_change_that_the_same_request_ends(at: Shop) -> None:
    user_id = await create_user(at.business)
    card = await at.save(user_id)
    for kind in ("reset_after", "reset_before"):
        if at.name == "stripe":
            await at.gateway.fault(kind, UPDATES["stripe"], 2)
        else:
            await at.gateway.authorize_fault(kind, UPDATES["authorize"], 2)
        request = cards_pb2.UpdateCardRequest(
            card_id=card.card_id, exp_month=5, exp_year=2061, idempotency_key=kind
        )
        assert await refused(at.business.call(request)) == "OUTCOME_UNKNOWN"
        await at.gateway.clear()
        answers = [(await at.business.call(request)).SerializeToString() for _ in range(2)]
        assert answers[0] == answers[1]
    assert (await card_at_gateway(at))[0] == "2061-05"


async def test_a_refusal_leaves_the_card_as_it_was(at: Shop) -> None:
    business, user_id = at.business, await create_user(at.business)
    card, gone = await at.save(user_id), await at.save(user_id, 1)
    await at.remove(gone.card_id)
    before = await card_at_gateway(at)
    date: dict[str, Any] = {"exp_month": 5, "exp_year": 2061}
    stranger = await register(business.client, "stranger")
    for caller, card_id in ((stranger, card.card_id), (business, gone.card_id), (business, "C")):
        request = cards_pb2.UpdateCardRequest(card_id=card_id, **date)
        assert await refused(caller.call(request)) == "CARD_NOT_FOUND"
    for changes, named in (
        ({}, ["exp_month"]),
        ({"exp_month": 5}, ["exp_year"]),
        ({"exp_month": 5, "exp_year": 2020}, ["exp_year"]),
        ({"exp_month": 13, "exp_year": 2061}, ["exp_month"]),
        ({"country": "usa"}, ["country"]),
        ({"city": "x" * 41, "address": "y" * 61}, ["address", "city"]),
    ):
        with pytest.raises(CoreError) as invalid:
            await update(at, card.card_id, **changes)
        assert [problem.field for problem in invalid.value.fields] == named, changes
    assert await card_at_gateway(at) == before


async def test_a_card_that_the_gateway_does_not_have_is_refused(at: Shop) -> None:
    card = await at.save(await create_user(at.business))
    if at.name == "stripe":
        (customer,) = (await ask_stripe(at.gateway, at.business, "GET", "customers"))["data"]
        await ask_stripe(at.gateway, at.business, "DELETE", f"customers/{customer['id']}")
    else:
        (customer,) = (await at.gateway.authorize_books(at.business.login_id))["customers"]
        await ask_authorize(
            at.gateway,
            at.business,
            "deleteCustomerProfileRequest",
            customerProfileId=customer["id"],
        )
    request = update(at, card.card_id, exp_month=5, exp_year=2061)
    assert await refused(request) == "GATEWAY_REFUSED"


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        (CardChange(3, 2030), []),
        (CardChange(2, 2030), ["exp_month"]),
        (CardChange(12, 2029), ["exp_year"]),
        (CardChange(country="US"), []),
        (CardChange(), ["exp_month"]),
        (CardChange(exp_year=2031), ["exp_month"]),
        (CardChange(exp_month=3, city="a\nb"), ["exp_year", "city"]),
    ],
)
def test_a_change_sets_something_that_is_not_over(change: CardChange, fields: list[str]) -> None:
    found = []
    try:
        check_change(change, NOW)
    except InvalidFields as invalid:
        found = [problem.field for problem in invalid.problems]
    assert found == fields
