"""Customer profiles of Authorize.Net's stand-in: reading, deleting, duplicates, validations."""

from typing import Any

import pytest

from tests.sandbox.authorize.running import (
    LOGIN,
    REASON_BY_AMOUNT,
    VISA,
    books,
    card_xml,
    charge,
    customer_with_card,
    send,
)
from tests.sandbox.running import Sandbox

PROFILE = (
    "<profile><merchantCustomerId>M</merchantCustomerId><email>c1111@example.com</email></profile>"
)


def by_customer(customer_id: str, inner: str = "") -> str:
    return f"<customerProfileId>{customer_id}</customerProfileId>{inner}"


def by_card(customer_id: str, card_id: str) -> str:
    card = f"<customerPaymentProfileId>{card_id}</customerPaymentProfileId>"
    return by_customer(customer_id, card)


def new_card(customer_id: str, inner: str = "", code: str = "") -> str:
    card = card_xml().replace("</creditCard>", f"{code}</creditCard>")
    return by_customer(
        customer_id,
        f"<paymentProfile>{card}</paymentProfile><validationMode>liveMode</validationMode>{inner}",
    )


async def answers(sandbox: Sandbox, **settings: Any) -> None:
    status, shown = await sandbox.control(
        "POST", "authorize/answers", {"api_login_id": LOGIN, **settings}
    )
    assert status == 200, shown


@pytest.mark.parametrize(
    "inner",
    [
        "<merchantCustomerId>M</merchantCustomerId>",
        "<email>c1111@example.com</email>",
        "<merchantCustomerId>M</merchantCustomerId><email>c1111@example.com</email>",
    ],
)
async def test_a_customer_is_read_with_its_cards(sandbox: Sandbox, inner: str) -> None:
    customer_id, card_id = await customer_with_card(sandbox)
    found = await send(sandbox, "getCustomerProfileRequest", inner)
    assert found.text("profile/customerProfileId") == customer_id
    assert found.texts("customerPaymentProfileId") == [card_id]
    assert (found.texts("cardNumber"), found.texts("expirationDate")) == (["XXXX1111"], ["XXXX"])
    shown = by_customer(customer_id, "<unmaskExpirationDate>true</unmaskExpirationDate>")
    unmasked = await send(sandbox, "getCustomerProfileRequest", shown)
    assert unmasked.texts("expirationDate") == ["2060-12"]
    assert VISA.encode() not in unmasked.body


async def test_a_customer_that_is_not_there_is_not_found(sandbox: Sandbox) -> None:
    await customer_with_card(sandbox)
    for inner in (by_customer("51"), "<email>nobody@example.com</email>"):
        assert (await send(sandbox, "getCustomerProfileRequest", inner)).code == "E00040"
    assert (await send(sandbox, "getCustomerProfileRequest")).code == "E00041"


async def test_masked_values_stay_and_fields_that_are_left_out_are_removed(
    sandbox: Sandbox,
) -> None:
    customer_id, card_id = await customer_with_card(sandbox)

    async def update(number: str, expires: str, bill_to: str) -> str | None:
        payment = card_xml(number, expires)
        identity = f"<customerPaymentProfileId>{card_id}</customerPaymentProfileId>"
        profile = f"<paymentProfile>{bill_to}{payment}{identity}</paymentProfile>"
        inner = f"<customerProfileId>{customer_id}</customerProfileId>{profile}"
        return (await send(sandbox, "updateCustomerPaymentProfileRequest", inner)).code

    address = "<billTo><city>Houston</city><zip>77001</zip></billTo>"
    assert await update("XXXX1111", "2061-05", address) == "I00001"
    assert await update("XXXX1111", "XXXX", "<billTo><zip>77002</zip></billTo>") == "I00001"
    shown = by_card(customer_id, card_id) + "<unmaskExpirationDate>true</unmaskExpirationDate>"
    card = await send(sandbox, "getCustomerPaymentProfileRequest", shown)
    assert [card.texts(name) for name in ("expirationDate", "zip", "city", "cardType")] == [
        ["2061-05"],
        ["77002"],
        [],
        ["Visa"],
    ]
    assert await update("XXXX2222", "2061-05", "") == "E00027"


async def test_a_customer_has_one_default_card_and_each_card_shows_its_type(
    sandbox: Sandbox,
) -> None:
    customer_id, _ = await customer_with_card(sandbox)
    marks = "<defaultPaymentProfile>true</defaultPaymentProfile>"
    cards = []
    for number in ("370000000000002", "5424000000000015"):
        inner = f"<customerType>business</customerType>{card_xml(number)}{marks}"
        made = await send(
            sandbox,
            "createCustomerPaymentProfileRequest",
            by_customer(customer_id, f"<paymentProfile>{inner}</paymentProfile>"),
        )
        cards.append(made.text("customerPaymentProfileId"))
    shown = await send(sandbox, "getCustomerProfileRequest", by_customer(customer_id))
    assert shown.texts("customerType") == ["business", "business"]
    assert shown.texts("defaultPaymentProfile") == ["true"]
    profiles = [
        (each.findtext("{*}customerPaymentProfileId"), each.find("{*}defaultPaymentProfile"))
        for each in shown.root.iter("{*}paymentProfiles")
    ]
    assert [card for card, default in profiles if default is not None] == cards[1:]


async def test_a_deleted_card_is_gone_and_the_same_card_gets_another_id(sandbox: Sandbox) -> None:
    customer_id, card_id = await customer_with_card(sandbox)
    card = by_card(customer_id, card_id)
    assert (await send(sandbox, "getCustomerPaymentProfileRequest", card)).code == "I00001"
    assert (await send(sandbox, "deleteCustomerPaymentProfileRequest", card)).code == "I00001"
    for request in ("get", "delete"):
        name = f"{request}CustomerPaymentProfileRequest"
        assert (await send(sandbox, name, card)).code == "E00040"
    assert (await charge(sandbox, customer_id, card_id)).code == "E00040"
    again = await send(sandbox, "createCustomerPaymentProfileRequest", new_card(customer_id))
    assert again.code == "I00001"
    assert again.text("customerPaymentProfileId") != card_id


async def test_a_deleted_customer_is_gone_with_its_cards(sandbox: Sandbox) -> None:
    customer_id, _ = await customer_with_card(sandbox)
    other_id, other_card = await customer_with_card(sandbox, REASON_BY_AMOUNT)
    inner = by_customer(customer_id)
    assert (await send(sandbox, "deleteCustomerProfileRequest", inner)).code == "I00001"
    assert (await send(sandbox, "deleteCustomerProfileRequest", inner)).code == "E00040"
    card = new_card(customer_id)
    assert (await send(sandbox, "createCustomerPaymentProfileRequest", card)).code == "E00040"
    shown = await books(sandbox)
    assert [customer["id"] for customer in shown["customers"]] == [other_id]
    assert [card["id"] for card in shown["cards"]] == [other_card]


async def test_a_duplicate_is_refused_with_or_without_its_id(sandbox: Sandbox) -> None:
    customer_id, card_id = await customer_with_card(sandbox)
    card = new_card(customer_id)
    for named in (True, False):
        await answers(sandbox, names_duplicates=named)
        customer = await send(sandbox, "createCustomerProfileRequest", PROFILE)
        assert customer.code == "E00039"
        assert (customer_id in (customer.text("messages/message/text") or "")) == named
        refused = await send(sandbox, "createCustomerPaymentProfileRequest", card)
        assert refused.code == "E00039"
        assert refused.text("customerPaymentProfileId") == (card_id if named else None)


@pytest.mark.parametrize(
    ("separator", "enclosing", "begin"),
    [
        (",", "", "2,1,44,"),
        ("|", "", "2|1|44|"),
        (",", '"', '"2","1","44",'),
        (";", "~", "~2~;~1~"),
    ],
)
async def test_a_validation_has_the_format_that_the_merchant_chose(
    sandbox: Sandbox, separator: str, enclosing: str, begin: str
) -> None:
    customer_id, card_id = await customer_with_card(sandbox)
    await answers(sandbox, separator=separator, enclosing=enclosing)
    await send(sandbox, "deleteCustomerPaymentProfileRequest", by_card(customer_id, card_id))
    card = new_card(customer_id, code="<cardCode>901</cardCode>")
    refused = await send(sandbox, "createCustomerPaymentProfileRequest", card)
    assert refused.code == "E00027"
    assert (refused.text("validationDirectResponse") or "").startswith(begin)
    assert (await books(sandbox))["cards"] == []


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "api_login_id"),
        ({"api_login_id": LOGIN, "separator": ""}, "separator"),
        ({"api_login_id": LOGIN, "enclosing": "ab"}, "enclosing"),
        ({"api_login_id": LOGIN, "separator": "\x00"}, "separator"),
        ({"api_login_id": LOGIN, "names_duplicates": 1}, "names_duplicates"),
    ],
)
async def test_a_wrong_format_is_refused(
    sandbox: Sandbox, body: dict[str, Any], named: str
) -> None:
    status, shown = await sandbox.control("POST", "authorize/answers", body)
    assert status == 400
    assert named in shown["error"]


async def test_a_reset_restores_the_format(sandbox: Sandbox) -> None:
    await answers(sandbox, names_duplicates=False)
    await sandbox.control("POST", "reset")
    customer_id, _ = await customer_with_card(sandbox)
    refused = await send(sandbox, "createCustomerProfileRequest", PROFILE)
    assert customer_id in (refused.text("messages/message/text") or "")
