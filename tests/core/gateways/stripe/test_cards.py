"""Stripe: customers and cards are created once, and charges are looked up."""

from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from core.gateways.gateway import (
    CardData,
    CardDeclined,
    GatewayError,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    SavedCard,
    Succeeded,
)
from core.gateways.stripe import gateway as stripe_module
from core.gateways.stripe.gateway import StripeGateway
from core.security.secrets import Secret
from tests.core.gateways.running import (
    LISTS,
    SHOP,
    a_charge,
    charge_with,
    gateway_at,
    new_customer,
    serving,
)
from tests.sandbox.running import Sandbox

# --- Looking up charges ----------------------------------------------------------------------


async def test_a_charge_is_found_by_its_payment_id_only(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    charge = await charge_with(sandbox)
    assert await gateway.look_up_charge(SHOP, charge) is None
    outcome = await gateway.charge(SHOP, charge)
    assert await gateway.look_up_charge(SHOP, charge) == outcome
    assert await gateway.look_up_charge(SHOP, replace(charge, payment_id="PAY-X")) is None


async def test_a_charge_is_found_on_a_later_page_up_to_a_limit(
    sandbox: Sandbox, gateway: StripeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_module, "PAGE_SIZE", 2)
    charge = await charge_with(sandbox)
    outcome = await gateway.charge(SHOP, charge)
    for newer in range(1, 7):
        await gateway.charge(SHOP, replace(charge, payment_id=f"N{newer}", gateway_key=f"n{newer}"))
        found = await gateway.look_up_charge(SHOP, charge)
        assert found == (outcome if newer < 6 else None)


async def test_a_look_up_for_a_missing_customer_is_refused(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    with pytest.raises(GatewayRefused, match="no such customer"):
        await gateway.look_up_charge(SHOP, a_charge("cus_nothing"))


async def test_a_look_up_without_a_clear_response_raises(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    charge = await charge_with(sandbox)
    await sandbox.schedule_fault("cut_body", match=LISTS, times=2)
    with pytest.raises(GatewayUnknown):
        await gateway.look_up_charge(SHOP, charge)


# --- Customers and cards ---------------------------------------------------------------------


@pytest.mark.parametrize("fault", [None, "reset_before", "reset_after", "cut_body"])
async def test_a_customer_is_created_once_despite_faults(
    sandbox: Sandbox, gateway: StripeGateway, fault: str | None
) -> None:
    if fault:
        await sandbox.schedule_fault(fault, match={"path": "/v1/customers"})
    customer_id = await new_customer(gateway)
    assert await new_customer(gateway) == customer_id
    [customer] = (await sandbox.books())["customers"]
    assert customer["id"] == customer_id
    assert customer["metadata"] == {"user_id": "USR-1"}
    assert (customer["name"], customer["email"]) == ("Jane Doe", "jane@example.com")


@pytest.mark.parametrize("token", ["pm_card_visa", "tok_visa"])
@pytest.mark.parametrize("fault", [None, "reset_before", "reset_after", "cut_body"])
async def test_a_card_is_saved_from_a_payment_method_or_a_token_and_can_be_charged(
    sandbox: Sandbox, gateway: StripeGateway, token: str, fault: str | None
) -> None:
    customer_id = await new_customer(gateway)
    if fault:
        await sandbox.schedule_fault(fault, match={"path": "/v1/payment_methods"})
    card = await gateway.save_card(SHOP, customer_id=customer_id, card=token, gateway_key="k")
    again = await gateway.save_card(SHOP, customer_id=customer_id, card=token, gateway_key="k")
    assert card == again == replace(card, brand="visa", last4="4242")
    assert isinstance(card, SavedCard)
    outcome = await gateway.charge(SHOP, a_charge(customer_id, card.gateway_card_id))
    assert isinstance(outcome, Succeeded)


@pytest.mark.parametrize("token", ["pm_nothing", "tok_nothing"])
async def test_an_unknown_token_is_refused_by_field(
    sandbox: Sandbox, gateway: StripeGateway, token: str
) -> None:
    customer_id = await new_customer(gateway)
    with pytest.raises(GatewayRefused) as refused:
        await gateway.save_card(SHOP, customer_id=customer_id, card=token, gateway_key="k")
    assert refused.value.field == "payment_method_token"
    assert token not in refused.value.message


async def test_a_missing_customer_is_not_blamed_on_the_token(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    with pytest.raises(GatewayRefused) as refused:
        await gateway.save_card(
            SHOP, customer_id="cus_nothing", card="pm_card_visa", gateway_key="k"
        )
    assert refused.value.field is None


@pytest.mark.parametrize("prefix", ["pm_card_", "tok_"])
async def test_a_card_that_its_issuer_declines_is_not_saved(
    sandbox: Sandbox, gateway: StripeGateway, prefix: str
) -> None:
    customer_id, token = await new_customer(gateway), f"{prefix}visa_chargeDeclined"
    with pytest.raises(CardDeclined) as declined:
        await gateway.save_card(SHOP, customer_id=customer_id, card=token, gateway_key="k")
    assert declined.value.decline_code == "generic_decline"
    assert declined.value.message == "Your card was declined."


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        ("rate_limit", GatewayUnavailable),
        ("reset_before", GatewayUnknown),
        ("error_500", GatewayUnknown),
    ],
)
async def test_a_customer_that_cannot_be_created_raises_the_right_error(
    sandbox: Sandbox, gateway: StripeGateway, fault: str, raised: type[GatewayError]
) -> None:
    await sandbox.schedule_fault(fault, match={"path": "/v1/customers"}, times=2)
    with pytest.raises(raised):
        await new_customer(gateway)
    assert (await sandbox.books())["customers"] == []


CARD = {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2030}


@pytest.mark.parametrize(
    ("changes", "raised"),
    [
        ({"type": "us_bank_account", "card": None}, GatewayRefused),
        ({"customer": "cus_2"}, GatewayUnknown),
        ({"card": {}}, GatewayUnknown),
        ({"object": "card"}, GatewayUnknown),
        ({"id": None, "card": CARD}, GatewayUnknown),
    ],
)
async def test_an_attached_method_must_be_a_card_of_the_customer(
    changes: Any, raised: type[GatewayError]
) -> None:
    method = {"id": "pm_1", "object": "payment_method", "type": "card", "customer": "cus_1"}

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(method | changes)

    async with serving(answer) as url, gateway_at(url) as gateway:
        with pytest.raises(raised):
            await gateway.save_card(SHOP, customer_id="cus_1", card="pm_1", gateway_key="k")


async def test_a_cards_number_is_never_sent_to_stripe(gateway: StripeGateway) -> None:
    card = CardData(Secret("4242424242424242"), 12, 2060)
    with pytest.raises(GatewayRefused, match="tokens only"):
        await gateway.save_card(SHOP, customer_id="cus_1", card=card, gateway_key="k")


# --- Removing cards --------------------------------------------------------------------------


async def test_a_card_is_removed_with_others_of_its_number_but_not_those_that_are_kept(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    customer_id = await new_customer(gateway, "remove")
    tokens = ("pm_card_visa", "pm_card_visa", "pm_card_visa", "pm_card_mastercard")
    cards = [
        (
            await gateway.save_card(
                SHOP, customer_id=customer_id, card=token, gateway_key=f"remove-{number}"
            )
        ).gateway_card_id
        for number, token in enumerate(tokens)
    ]
    for _ in range(2):
        await gateway.remove_card(
            SHOP, customer_id=customer_id, gateway_card_id=cards[0], kept={cards[1], cards[3]}
        )
        left = [
            card
            for card in cards
            if await gateway.find_card(SHOP, customer_id=customer_id, gateway_card_id=card)
        ]
        assert left == [cards[1], cards[3]]
