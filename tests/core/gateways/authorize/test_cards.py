"""Authorize.Net: customers and cards are created once."""

from typing import Any

import pytest
from aiohttp import web

from core.gateways.authorize.gateway import AuthorizeGateway
from core.gateways.gateway import (
    CardDeclined,
    CustomerMissing,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    SavedCard,
    Succeeded,
)
from sandbox.authorize.xml import Field, messages
from tests.core.gateways.running import serving
from tests.core.gateways.running_authorize import (
    MERCHANT,
    OK,
    a_card,
    a_charge,
    authorize_at,
    books,
    xml,
)
from tests.sandbox.running import Sandbox

JANE = {
    "user_id": "USR-01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "name": "Jane Doe",
    "email": "jane@example.com",
}


@pytest.fixture
async def gateway(sandbox: Sandbox) -> Any:
    async with authorize_at(sandbox.url) as made:
        yield made


async def test_a_customer_with_a_card_is_created_in_one_call(
    sandbox: Sandbox, gateway: AuthorizeGateway
) -> None:
    customer_id, card = await gateway.create_customer_with_card(MERCHANT, **JANE, card=a_card())
    shown = await books(sandbox)
    assert [each["id"] for each in shown["customers"]] == [customer_id]
    assert shown["customers"][0]["merchantCustomerId"] == JANE["user_id"][-20:]
    assert [each["id"] for each in shown["cards"]] == [card.gateway_card_id]
    assert card == SavedCard(card.gateway_card_id, "visa", "1111", 12, 2060)
    outcome = await gateway.charge(MERCHANT, a_charge(customer_id, card.gateway_card_id))
    assert isinstance(outcome, Succeeded)


async def test_an_existing_customer_and_card_are_adopted(
    sandbox: Sandbox, gateway: AuthorizeGateway
) -> None:
    first = await gateway.create_customer_with_card(MERCHANT, **JANE, card=a_card())
    assert await gateway.create_customer_with_card(MERCHANT, **JANE, card=a_card()) == first
    assert await gateway.create_customer(MERCHANT, **JANE, gateway_key="k") == first[0]
    other = await gateway.create_customer_with_card(
        MERCHANT, **JANE, card=a_card("5424000000000015")
    )
    assert other[0] == first[0]
    assert other[1].brand == "mastercard"
    shown = await books(sandbox)
    assert (len(shown["customers"]), len(shown["cards"])) == (1, 2)


async def test_an_existing_card_gets_its_new_date(
    sandbox: Sandbox, gateway: AuthorizeGateway
) -> None:
    customer_id, old = await gateway.create_customer_with_card(MERCHANT, **JANE, card=a_card())
    renewed = a_card(exp_month=1, exp_year=2061)
    new = await gateway.save_card(MERCHANT, customer_id=customer_id, card=renewed, gateway_key="k")
    assert new == SavedCard(old.gateway_card_id, "visa", "1111", 1, 2061)
    assert [card["expiration_date"] for card in (await books(sandbox))["cards"]] == ["2061-01"]


@pytest.mark.parametrize(
    ("number", "brand"),
    [
        ("4007000000027", "visa"),
        ("5424000000000015", "mastercard"),
        ("2223000010309703", "mastercard"),
        ("370000000000002", "amex"),
        ("6011000000000012", "discover"),
        ("3088000000000017", "jcb"),
        ("38000000000006", "diners"),
        ("6221499053360818", "unionpay"),
    ],
)
async def test_each_brand_is_recognized_by_its_number(
    gateway: AuthorizeGateway, number: str, brand: str
) -> None:
    _, card = await gateway.create_customer_with_card(MERCHANT, **JANE, card=a_card(number))
    assert (card.brand, card.last4) == (brand, number[-4:])


DECLINED: list[tuple[Any, str]] = [
    (a_card(postal_code="46282"), "generic_decline"),
    (a_card("4242424242424242"), "incorrect_number"),
    (a_card(exp_year=2020), "expired_card"),
]


@pytest.mark.parametrize(("card", "code"), DECLINED)
async def test_an_unconfirmed_card_is_declined_and_not_saved(
    sandbox: Sandbox, gateway: AuthorizeGateway, card: Any, code: str
) -> None:
    with pytest.raises(CardDeclined) as declined:
        await gateway.create_customer_with_card(MERCHANT, **JANE, card=card)
    assert declined.value.decline_code == code
    assert (await books(sandbox))["customers"] == []
    customer_id = await gateway.create_customer(MERCHANT, **JANE, gateway_key="k")
    with pytest.raises(CardDeclined) as declined:
        await gateway.save_card(MERCHANT, customer_id=customer_id, card=card, gateway_key="k")
    assert declined.value.decline_code == code
    assert (await books(sandbox))["cards"] == []


async def test_a_card_of_a_missing_customer_is_refused(gateway: AuthorizeGateway) -> None:
    with pytest.raises(CustomerMissing):
        await gateway.save_card(MERCHANT, customer_id="51", card=a_card(), gateway_key="k")


async def test_a_token_is_refused(gateway: AuthorizeGateway) -> None:
    with pytest.raises(GatewayRefused, match="token"):
        await gateway.save_card(MERCHANT, customer_id="51", card="tok_visa", gateway_key="k")


@pytest.mark.parametrize("fault", ["reset_after", "cut_body", "error_500_after"])
async def test_a_retry_after_a_lost_answer_creates_nothing_twice(
    sandbox: Sandbox, gateway: AuthorizeGateway, fault: str
) -> None:
    await sandbox.schedule_fault(fault)
    with pytest.raises(GatewayUnknown):
        await gateway.create_customer_with_card(MERCHANT, **JANE, card=a_card())
    customer_id, card = await gateway.create_customer_with_card(MERCHANT, **JANE, card=a_card())
    shown = await books(sandbox)
    assert [each["id"] for each in shown["customers"]] == [customer_id]
    assert [each["id"] for each in shown["cards"]] == [card.gateway_card_id]


async def test_a_throttled_call_did_nothing(sandbox: Sandbox, gateway: AuthorizeGateway) -> None:
    await sandbox.schedule_fault("rate_limit")
    with pytest.raises(GatewayUnavailable):
        await gateway.create_customer(MERCHANT, **JANE, gateway_key="k")


ODD: list[tuple[str, list[Field]]] = [
    ("no id", [OK]),
    ("an id that is none", [OK, ("customerProfileId", "abc")]),
    ("a duplicate without an id", [messages("Error", "E00039", "A duplicate record exists.")]),
    ("an error of tomorrow", [messages("Error", "E99999", "?")]),
    ("no card", [OK, ("customerProfileId", "51")]),
]


@pytest.mark.parametrize("fields", [case[1] for case in ODD], ids=[case[0] for case in ODD])
async def test_an_answer_without_ids_is_unknown(fields: list[Field]) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return xml("createCustomerProfileResponse", fields)

    async with serving(answer) as url, authorize_at(url) as gateway:
        with pytest.raises(GatewayUnknown):
            await gateway.create_customer_with_card(MERCHANT, **JANE, card=a_card())


@pytest.mark.parametrize("delimiter", [",", "|", '","'])
async def test_a_validation_is_read_with_any_separator(
    delimiter: str,
) -> None:
    said = delimiter.join(["2", "1", "44", "This transaction has been declined."])

    async def answer(_request: web.Request) -> web.Response:
        failed = messages("Error", "E00027", "The transaction was unsuccessful.")
        return xml(
            "createCustomerPaymentProfileResponse", [failed, ("validationDirectResponse", said)]
        )

    async with serving(answer) as url, authorize_at(url) as gateway:
        with pytest.raises(CardDeclined) as declined:
            await gateway.save_card(MERCHANT, customer_id="51", card=a_card(), gateway_key="k")
    assert declined.value.decline_code == "incorrect_cvc"
