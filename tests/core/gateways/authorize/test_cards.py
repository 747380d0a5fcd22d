"""Authorize.Net: customers and cards are created once."""

import string
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.gateways.authorize.codes import reading_of_transaction
from core.gateways.authorize.customers import READ_PAUSES
from core.gateways.authorize.gateway import AuthorizeGateway
from core.gateways.authorize.profiles import card_id_of
from core.gateways.authorize.requests import Request
from core.gateways.authorize.responses import error_of
from core.gateways.authorize.xml import parse_answer
from core.gateways.gateway import (
    CardDeclined,
    CardNonce,
    CustomerMissing,
    GatewayError,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    SavedCard,
    Succeeded,
)
from core.security.secrets import Secret
from sandbox.authorize.xml import Field, messages, write
from tests.core.gateways.running import serving
from tests.core.gateways.running_authorize import (
    FAILED,
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


SIGNS = st.sampled_from([*string.punctuation, *string.ascii_letters, "\t", " ", "ä", "€"])
"""What a merchant may choose to separate or enclose fields with."""


@settings(max_examples=300)
@given(
    code=st.sampled_from("23"),
    reason=st.sampled_from((2, 44, 65, 315)),
    separator=SIGNS,
    enclosing=SIGNS | st.just(""),
    number=st.integers(0, 99),
)
@example(code="2", reason=44, separator=",", enclosing='"', number=1)
@example(code="2", reason=44, separator="|", enclosing="", number=1)
def test_a_validation_is_read_in_each_format_that_a_merchant_may_choose(
    code: str, reason: int, separator: str, enclosing: str, number: int
) -> None:
    fields = (code, str(number), str(reason), "This transaction has been declined.", "", "P", "0")
    said = separator.join(f"{enclosing}{field}{enclosing}" for field in fields)
    body = write(
        "createCustomerPaymentProfileResponse", [FAILED, ("validationDirectResponse", said)]
    )
    answer = parse_answer(body, Request(b"", "createCustomerPaymentProfileResponse"))
    with pytest.raises(GatewayError) as raised:
        card_id_of(answer, MERCHANT)
    expected = error_of(reading_of_transaction(code, str(reason)), str(reason), MERCHANT)
    assert (type(raised.value), raised.value.__dict__) == (type(expected), expected.__dict__)


@pytest.mark.parametrize("said", ["", "2", "2,1", "2,1,x", "2,1|44,", '"2","1","44', "21441"])
async def test_a_validation_in_no_format_is_a_decline(said: str) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return xml(
            "createCustomerPaymentProfileResponse", [FAILED, ("validationDirectResponse", said)]
        )

    async with serving(answer) as url, authorize_at(url) as gateway:
        with pytest.raises(CardDeclined):
            await gateway.save_card(MERCHANT, customer_id="51", card=a_card(), gateway_key="k")


# --- Duplicates whose id is not in the answer ------------------------------------------------

NO_ID = messages("Error", "E00039", "A duplicate record already exists.")


def a_profile(card_id: str, last4: str, expires: str, postal_code: str) -> Field:
    card = [("cardNumber", f"XXXX{last4}"), ("expirationDate", expires)]
    shown: list[Field] = [
        ("billTo", [("zip", postal_code)]),
        ("customerPaymentProfileId", card_id),
        ("payment", [("creditCard", card)]),
    ]
    return ("paymentProfiles", shown)


OURS = a_profile("52", "1111", "2060-12", "12345")


@pytest.mark.parametrize(
    "profiles",
    [
        [OURS],
        [a_profile("53", "2222", "2060-12", "12345"), OURS],
        [a_profile("53", "1111", "2060-12", ""), OURS],
        [a_profile("53", "1111", "2060-12", "99999"), OURS],
        [a_profile("53", "1111", "2061-12", "12345"), OURS],
        [a_profile("52", "1111", "2050-01", "12345")],
        [a_profile("52", "1111", "XXXX", "12345")],
        [a_profile("52", "1111", "XXXX", "")],
    ],
)
async def test_a_card_that_exists_is_found_by_what_the_profile_shows(profiles: list[Any]) -> None:
    async with answering_duplicates(profiles) as (gateway, sent):
        card = await gateway.save_card(MERCHANT, customer_id="51", card=a_card(), gateway_key="k")
    assert card == SavedCard("52", "visa", "1111", 12, 2060)
    assert sent == [
        "createCustomerPaymentProfileRequest",
        "getCustomerProfileRequest",
        "updateCustomerPaymentProfileRequest",
    ]


@pytest.mark.parametrize(
    ("profiles", "error"),
    [
        ([], GatewayUnknown),
        ([a_profile("53", "2222", "2060-12", "12345")], GatewayUnknown),
        ([OURS, OURS], GatewayRefused),
        (
            [a_profile("53", "1111", "XXXX", ""), a_profile("54", "1111", "XXXX", "")],
            GatewayRefused,
        ),
    ],
)
async def test_a_card_that_is_not_found_for_certain_is_not_changed(
    profiles: list[Any], error: type[GatewayError]
) -> None:
    async with answering_duplicates(profiles) as (gateway, sent):
        with pytest.raises(error):
            await gateway.save_card(MERCHANT, customer_id="51", card=a_card(), gateway_key="k")
    assert "updateCustomerPaymentProfileRequest" not in sent


async def test_a_customer_that_exists_is_found_by_our_users_id() -> None:
    async with answering_duplicates([OURS]) as (gateway, sent):
        assert await gateway.create_customer(MERCHANT, **JANE, gateway_key="k") == "51"
        saved = await gateway.create_customer_with_card(MERCHANT, **JANE, card=a_card())
    assert saved == ("51", SavedCard("52", "visa", "1111", 12, 2060))
    assert sent.count("getCustomerProfileRequest") == 3


@asynccontextmanager
async def answering_duplicates(
    profiles: list[Any],
) -> AsyncIterator[tuple[AuthorizeGateway, list[str]]]:
    """A gateway whose account has the customer 51 and says so without ids; the requests to it."""
    sent: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        body = await request.text()
        sent.append(name := body.split("<")[2].split(" ")[0])
        match name:
            case "getCustomerProfileRequest":
                by_user = f"<merchantCustomerId>{JANE['user_id'][-20:]}</merchantCustomerId>"
                assert by_user in body or "<customerProfileId>51</customerProfileId>" in body
                profile = [("customerProfileId", "51"), *profiles]
                return xml("getCustomerProfileResponse", [OK, ("profile", profile)])
            case "updateCustomerPaymentProfileRequest":
                return xml("updateCustomerPaymentProfileResponse", [OK])
            case _:
                return xml(name.replace("Request", "Response"), [NO_ID])

    async with serving(answer) as url, authorize_at(url) as gateway:
        yield gateway, sent


@pytest.mark.parametrize(("unknown", "found"), [(0, True), (2, True), (9, False)])
async def test_the_card_of_a_nonce_is_read_again_while_its_new_profile_is_unknown(
    unknown: int, found: bool
) -> None:
    pauses: list[float] = []
    reads = 0

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async def answer(request: web.Request) -> web.Response:
        nonlocal reads
        if "createCustomerProfileRequest" in await request.text():
            ids = ("customerPaymentProfileIdList", [("numericString", "52")])
            return xml("createCustomerProfileResponse", [OK, ("customerProfileId", "51"), ids])
        reads += 1
        if reads <= unknown:
            missing = messages("Error", "E00040", "The record cannot be found.")
            return xml("getCustomerPaymentProfileResponse", [missing])
        shown = ("paymentProfile", OURS[1])
        return xml("getCustomerPaymentProfileResponse", [OK, shown])

    nonce = CardNonce("COMMON.ACCEPT.INAPP.PAYMENT", Secret("nonce"))
    async with serving(answer) as url, authorize_at(url, pause=pause) as gateway:
        made = gateway.create_customer_with_nonce(MERCHANT, **JANE, nonce=nonce)
        if found:
            assert await made == ("51", SavedCard("52", "unknown", "1111", 12, 2060))
        else:
            with pytest.raises(GatewayUnknown):
                await made
    assert pauses == list(READ_PAUSES[:unknown])


async def test_a_card_that_is_deleted_during_the_call_is_unknown() -> None:
    missing = messages("Error", "E00040", "The record cannot be found.")

    async def answer(request: web.Request) -> web.Response:
        if "updateCustomerPaymentProfileRequest" in await request.text():
            return xml("updateCustomerPaymentProfileResponse", [missing])
        duplicate = [NO_ID, ("customerPaymentProfileId", "52")]
        return xml("createCustomerPaymentProfileResponse", duplicate)

    async with serving(answer) as url, authorize_at(url) as gateway:
        with pytest.raises(GatewayUnknown):
            await gateway.save_card(MERCHANT, customer_id="51", card=a_card(), gateway_key="k")
