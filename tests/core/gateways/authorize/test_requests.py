"""Authorize.Net: requests fit the schema and the charge, and show no secret."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import pyxb.binding.content
from aiohttp import web
from authorizenet import apicontractsv1 as contract
from lxml import etree

from core.gateways.authorize import requests
from core.gateways.authorize.requests import NAMESPACE, Request
from core.gateways.authorize.transport import PATH
from core.gateways.gateway import (
    Account,
    CardNonce,
    GatewayRefund,
    GatewayRefused,
    Refused,
)
from core.money import Amount
from core.security.secrets import Secret
from tests.core.gateways.running import closed_port, serving
from tests.core.gateways.running_authorize import (
    KEY,
    LOGIN,
    MERCHANT,
    VISA,
    a_card,
    a_charge,
    authorize_at,
    transaction_answer,
)

pyxb.binding.content.AutomatonConfiguration.PermittedNondeterminism = 1000


# --- Requests --------------------------------------------------------------------------------

ODD = "Ünïcode <&> \N{PILE OF POO} \x00\x07\ud800 and the rest" + "x" * 300
ORDER = a_charge("12345678901", "23456789012", payment_id="PAY-0123456789ABCDEF")
REFUND = GatewayRefund(
    refund_id="REF-0123456789ABCDEF",
    gateway_key="B/REF-0123456789ABCDEF",
    payment_id=ORDER.payment_id,
    transaction_id="60",
    customer_id=ORDER.customer_id,
    amount=Amount(1050, "usd"),
    is_whole=False,
    reason="duplicate",
    created_at=datetime(2026, 1, 31, tzinfo=UTC),
    may_have_been_sent=False,
)
REQUESTS: list[tuple[str, Request]] = [
    (
        "customer with a card",
        requests.create_customer(
            MERCHANT, user_id="U" * 64, name=ODD, email="ä@example.com", card=a_card()
        ),
    ),
    (
        "customer without",
        requests.create_customer(MERCHANT, user_id="U", name="J", email="j@example.com", card=None),
    ),
    ("card", requests.create_card(MERCHANT, customer_id="51", card=a_card())),
    (
        "card of a nonce",
        requests.create_card(
            MERCHANT,
            customer_id="51",
            card=CardNonce("COMMON.ACCEPT.INAPP.PAYMENT", Secret("a+/="), "77001"),
        ),
    ),
    (
        "card and nothing else",
        requests.create_card(MERCHANT, customer_id="51", card=a_card(cvv=None, postal_code=None)),
    ),
    (
        "changed card",
        requests.update_card(MERCHANT, customer_id="51", gateway_card_id="52", card=a_card()),
    ),
    ("charge", requests.charge(MERCHANT, ORDER)),
    (
        "odd charge",
        requests.charge(
            MERCHANT, replace(ORDER, amount=Amount(10**14 - 1, "eur"), description=ODD)
        ),
    ),
    (
        "charge with metadata",
        requests.charge(MERCHANT, replace(ORDER, metadata={"<&> a.b": ODD, "order": "6735"})),
    ),
    (
        "refund with metadata",
        requests.refund(MERCHANT, replace(REFUND, metadata={"order": "6735"}), "XXXX1111"),
    ),
    ("authorization", requests.charge(MERCHANT, replace(ORDER, is_captured=False))),
    ("capture", requests.capture(MERCHANT, "60", Amount(1050, "usd"))),
    ("bare charge", requests.charge(MERCHANT, replace(ORDER, description=None))),
    ("void", requests.void(MERCHANT, "60")),
    ("refund", requests.refund(MERCHANT, REFUND, "XXXX1111")),
    ("customer's list", requests.transactions_of_customer(MERCHANT, "51", 2)),
    ("unsettled list", requests.unsettled_transactions(MERCHANT, 1)),
    ("details", requests.transaction_details(MERCHANT, "60")),
    ("user's customer", requests.customer_of_user(MERCHANT, "U" * 64)),
    ("customer's cards", requests.cards_of_customer(MERCHANT, "51")),
    ("one card", requests.read_card(MERCHANT, customer_id="51", gateway_card_id="52")),
    (
        "card changed by its masked number",
        requests.change_card(
            MERCHANT,
            customer_id="51",
            gateway_card_id="52",
            card_number="XXXX1111",
            expiration_date="2060-12",
            bill_to={"firstName": "Ä", "address": "1 Main St", "zip": "77001", "country": "US"},
            settings={"customerType": "individual", "defaultPaymentProfile": "true"},
        ),
    ),
    (
        "card changed and nothing else",
        requests.change_card(
            MERCHANT,
            customer_id="51",
            gateway_card_id="52",
            card_number="XXXX1111",
            expiration_date="2060-12",
            bill_to={},
            settings={},
        ),
    ),
    ("removed card", requests.delete_card(MERCHANT, customer_id="51", gateway_card_id="52")),
    ("verified keys", requests.authenticate(MERCHANT)),
]


@pytest.mark.parametrize(
    "request_", [case[1] for case in REQUESTS], ids=[case[0] for case in REQUESTS]
)
def test_the_package_parses_every_request(request_: Request) -> None:
    parsed = contract.CreateFromDocument(request_.body)
    name = etree.fromstring(request_.body).tag
    theirs = etree.fromstring(parsed.toxml("utf-8"))
    assert theirs.tag == name == f"{{{NAMESPACE}}}{parsed._element().name().localName()}"
    assert elements_of(theirs) == elements_of(etree.fromstring(request_.body))


@pytest.mark.parametrize(
    "request_", [case[1] for case in REQUESTS], ids=[case[0] for case in REQUESTS]
)
def test_elements_are_in_the_order_of_the_schema(request_: Request) -> None:
    """The package's parser accepts any order, but its classes know the schema's lines."""
    parsed = contract.CreateFromDocument(request_.body)
    check_order(etree.fromstring(request_.body), type(parsed))


def check_order(parent: Any, kind: Any) -> None:
    inherited = set(getattr(kind.__mro__[1], "_ElementMap", {}))
    declared = {
        name.localName(): (
            name not in inherited,
            rest.elementBinding().xsdLocation().lineNumber,
            rest,
        )
        for name, rest in kind._ElementMap.items()
    }
    names = [etree.QName(child).localname for child in parent]
    places = [declared[name][:2] for name in names]  # a base type's elements come first
    assert places == sorted(places), names
    for child, name in zip(parent, names, strict=True):
        inner = declared[name][2].elementBinding().typeDefinition()
        if len(child):
            check_order(child, inner)


def elements_of(root: Any) -> list[tuple[str, str | None]]:
    return [(element.tag, element.text) for element in root.iter()]


def test_every_kind_of_request_is_in_the_table() -> None:
    built = {etree.QName(etree.fromstring(request.body)).localname for _, request in REQUESTS}
    assert len(built) == 11
    builders = {
        name
        for name, value in vars(requests).items()
        if callable(value) and getattr(value, "__annotations__", {}).get("return") is Request
    }
    assert builders - {"_authenticated"} == {
        "create_customer",
        "create_card",
        "update_card",
        "charge",
        "capture",
        "void",
        "refund",
        "transactions_of_customer",
        "unsettled_transactions",
        "transaction_details",
        "customer_of_user",
        "cards_of_customer",
        "read_card",
        "delete_card",
        "change_card",
        "authenticate",
    }


def test_metadata_is_user_fields_in_one_order_that_can_be_printed() -> None:
    pairs = {"b": "2", "a": "x" * 300, "c": "\x07\n", "d": "5 \x07<&>"}
    body = requests.charge(MERCHANT, replace(ORDER, metadata=pairs)).body
    turned = dict(reversed(pairs.items()))
    assert requests.charge(MERCHANT, replace(ORDER, metadata=turned)).body == body
    root = etree.fromstring(body)
    fields = [[part.text for part in each] for each in root.iter(f"{{{NAMESPACE}}}userField")]
    assert fields == [["a", "x" * 255], ["b", "2"], ["d", "5 <&>"]]


def test_a_charge_has_all_fields_and_always_the_same_bytes() -> None:
    body = requests.charge(MERCHANT, ORDER).body
    assert requests.charge(MERCHANT, replace(ORDER, gateway_key="other")).body == body
    root = etree.fromstring(body)
    texts = [element.text for element in root.iter() if element.text]
    assert texts == [
        LOGIN, KEY, ORDER.payment_id, "authCaptureTransaction", "25.5", "USD", ORDER.customer_id,
        ORDER.gateway_card_id, ORDER.payment_id, "Order 17", "allowPartialAuth", "false",
        "duplicateWindow", "28800",
    ]  # fmt: skip


@pytest.mark.parametrize("minor", [1, 10, 99, 100, 123456789, 10**14 - 1])
def test_amounts_are_exact(minor: int) -> None:
    charge = replace(ORDER, amount=Amount(minor, "usd"))
    root = etree.fromstring(requests.charge(MERCHANT, charge).body)
    amount = root.findtext(f".//{{{NAMESPACE}}}amount")
    assert amount is not None
    assert Decimal(amount) * 100 == minor
    assert "E" not in amount.upper()


UNSENDABLE: list[tuple[str, Account, Any]] = [
    ("transaction key", replace(MERCHANT, secret_key=KEY + "7"), ORDER),
    ("login id", replace(MERCHANT, login_id="x" * 26), ORDER),
    ("login id with NUL", replace(MERCHANT, login_id="a\x00"), ORDER),
    ("payment id", MERCHANT, replace(ORDER, payment_id="P" * 21)),
    ("customer id", MERCHANT, replace(ORDER, customer_id="cus_1")),
]


@pytest.mark.parametrize(
    ("account", "charge"), [case[1:] for case in UNSENDABLE], ids=[case[0] for case in UNSENDABLE]
)
async def test_a_value_outside_the_schema_is_refused_and_not_quoted(
    account: Account, charge: Any
) -> None:
    async with authorize_at(f"http://127.0.0.1:{closed_port()}") as gateway:
        outcome = await gateway.charge(account, charge)
        assert isinstance(outcome, Refused)
        assert KEY not in outcome.message


async def test_an_invalid_card_number_is_refused_and_not_quoted() -> None:
    card = a_card("1" * 19)
    async with authorize_at(f"http://127.0.0.1:{closed_port()}") as gateway:
        with pytest.raises(GatewayRefused) as refused:
            await gateway.save_card(MERCHANT, customer_id="51", card=card, gateway_key="k")
    seen: BaseException | None = refused.value
    while seen is not None:
        assert "1" * 16 not in repr(seen)
        seen = seen.__cause__ or seen.__context__


def test_no_secret_shows_in_a_repr() -> None:
    request = requests.create_card(MERCHANT, customer_id="51", card=a_card())
    shown = f"{MERCHANT} {MERCHANT!r} {a_card()} {a_card()!r} {Secret(VISA)} {request!r}"
    assert KEY not in shown
    assert LOGIN not in shown
    assert VISA not in shown
    assert "cvv=Secret()" in shown


async def test_requests_of_two_merchants_share_nothing() -> None:
    seen: list[tuple[str, str, dict[str, str]]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.method, request.path, dict(request.headers)))
        response = transaction_answer(ORDER)
        response.set_cookie("merchant", "one")
        return response

    async with serving(answer) as url, authorize_at(url) as gateway:
        await gateway.charge(MERCHANT, ORDER)
        await gateway.charge(replace(MERCHANT, login_id="another"), ORDER)
    assert [(method, path) for method, path, _ in seen] == [("POST", PATH)] * 2
    assert seen[0][2]["Content-Type"] == "text/xml; charset=utf-8"
    assert "Cookie" not in seen[1][2]
