"""Authorize.Net's stand-in for Accept.js: a nonce for card data, which a request can use once."""

import json
from pathlib import Path
from typing import Any

import pytest

from sandbox.authorize.calls import get_account
from sandbox.authorize.nonces import DESCRIPTOR, LIFE_SECONDS, Nonces
from sandbox.authorize.xml import ApiError
from tests.sandbox.authorize.running import LOGIN, PATH, VISA, customer_with_card, send
from tests.sandbox.running import Sandbox

MASTERCARD = "5424000000000015"
TOKEN = {"cardNumber": MASTERCARD, "expirationDate": "122060", "cardCode": "900", "zip": "77001"}


def request(login_id: str = LOGIN, **token: Any) -> bytes:
    """Return the request of Accept.js."""
    content = {
        "merchantAuthentication": {"name": login_id, "clientKey": "an obviously fake client key"},
        "data": {"type": "TOKEN", "id": "1"}
        | ({"bankToken": token} if "accountNumber" in token else {"token": TOKEN | token}),
    }
    return json.dumps({"securePaymentContainerRequest": content}).encode()


async def test_a_nonce_saves_its_card_once_and_is_spent_by_a_refusal(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    customer_id, _ = await customer_with_card(sandbox)

    async def nonce(**token: Any) -> str:
        headers = {"Content-Type": "application/json", "Origin": "https://shop.example.com"}
        async with sandbox.session.post(
            sandbox.url + PATH, data=request(**token), headers=headers
        ) as response:
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            shown = json.loads((await response.text()).removeprefix("\ufeff"))
            return str(shown["opaqueData"]["dataValue"])

    async def save(value: str) -> Any:
        opaque = f"<dataDescriptor>{DESCRIPTOR}</dataDescriptor><dataValue>{value}</dataValue>"
        return await send(
            sandbox,
            "createCustomerPaymentProfileRequest",
            f"<customerProfileId>{customer_id}</customerProfileId><paymentProfile><payment>"
            f"<opaqueData>{opaque}</opaqueData></payment></paymentProfile>"
            "<validationMode>liveMode</validationMode>",
        )

    value = await nonce()
    assert (await save(value)).code == "I00001"
    assert (await save(value)).code == "E00114"
    again = await nonce()
    assert [(await save(again)).code for _ in range(2)] == ["E00039", "E00114"]
    wrong = await nonce(cardNumber="370000000000002", cardCode="901")
    assert [(await save(wrong)).code for _ in range(2)] == ["E00027", "E00114"]
    async with sandbox.session.options(sandbox.url + PATH) as preflight:
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    for file in tmp_path.iterdir():
        assert MASTERCARD.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("account", "descriptor", "age_seconds", "code"),
    [
        (LOGIN, DESCRIPTOR, LIFE_SECONDS - 1, ""),
        (LOGIN, DESCRIPTOR, LIFE_SECONDS, "E00115"),
        ("other", DESCRIPTOR, 0, "E00116"),
        (LOGIN, "COMMON.APPLE.INAPP.PAYMENT", 0, "E00113"),
    ],
)
def test_a_nonce_is_of_one_account_for_fifteen_minutes(
    account: str, descriptor: str, age_seconds: float, code: str
) -> None:
    now = 1000.0
    nonces = Nonces(lambda: now)
    value = nonces.answer(request())["opaqueData"]["dataValue"]
    now += age_seconds
    if code:
        with pytest.raises(ApiError) as refused:
            nonces.take(get_account(account), descriptor, value)
        assert refused.value.code == code
    else:
        card = nonces.take(get_account(account), descriptor, value)
        assert (card.number, card.expiration_date) == (MASTERCARD, "2060-12")
        assert MASTERCARD not in repr(card)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (request(cardNumber="4242424242424242"), "E_WC_05"),
        (request(cardNumber=""), "E_WC_05"),
        (request(expirationDate="132060"), "E_WC_08"),
        (request(cardCode="12"), "E_WC_15"),
        (request(accountNumber="12a"), "E_WC_27"),
        (request(""), "E00007"),
        (request(zip=1), "E00003"),
        (b"{}", "E00003"),
        (b"\xff", "E00003"),
        (b"[" * 100_000, "E00003"),
    ],
)
def test_data_that_is_no_test_card_gets_no_nonce(body: bytes, code: str) -> None:
    shown = Nonces(lambda: 0.0).answer(body)
    assert [each["code"] for each in shown["messages"]["message"]] == [code]
    assert "opaqueData" not in shown
    assert VISA not in str(shown)
