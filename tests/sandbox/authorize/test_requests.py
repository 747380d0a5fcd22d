"""Requests to Authorize.Net's stand-in: schema, authentication, accounts, faults."""

import re

import aiohttp
import pytest

from sandbox.authorize.xml import NAMESPACE
from tests.sandbox.authorize.running import (
    KEY,
    LOGIN,
    PATH,
    VISA,
    books,
    build_request,
    card_xml,
    charge,
    charge_xml,
    customer_with_card,
    post,
    send,
)
from tests.sandbox.running import Sandbox

UNSETTLED = "getUnsettledTransactionListRequest"
NO_PAGE = "<paging><limit>0</limit><offset>1</offset></paging>"
PAGE = "<paging><limit>5</limit><offset>1</offset></paging>"
SORTING = "<sorting><orderBy>id</orderBy><orderDescending>true</orderDescending></sorting>"
MISPLACED = "<duplicateWindow>1</duplicateWindow><profile>"
WRONG: list[tuple[str, str, str]] = [
    ("nothing", "", "E00003"),
    ("no XML", "{}", "E00003"),
    ("cut", build_request(UNSETTLED)[:-5], "E00003"),
    ("a DTD", f"<!DOCTYPE x>{build_request(UNSETTLED).partition('?>')[2]}", "E00003"),
    ("no namespace", f"<{UNSETTLED}/>", "E00045"),
    ("an unknown request", build_request("mergeCustomersRequest"), "E00004"),
    ("no keys", f'<{UNSETTLED} xmlns="{NAMESPACE}"/>', "E00003"),
    (
        "another order",
        build_request(UNSETTLED, "<paging><offset>1</offset><limit>5</limit></paging>"),
        "E00003",
    ),
    ("an unknown element", build_request(UNSETTLED, "<colour>red</colour>"), "E00003"),
    ("a page of none", build_request(UNSETTLED, NO_PAGE), "E00003"),
    ("a page before its order", build_request(UNSETTLED, PAGE + SORTING), "E00003"),
    ("two pages", build_request(UNSETTLED, PAGE + PAGE), "E00003"),
    (
        "an invoice number too long",
        build_request("createTransactionRequest", charge_xml("1", "2", invoice="P" * 21)),
        "E00003",
    ),
    (
        "an amount that is none",
        build_request("createTransactionRequest", charge_xml("1", "2", amount="much")),
        "E00003",
    ),
    (
        "duplicateWindow where it is not",
        build_request(
            "createTransactionRequest",
            charge_xml("1", "2").replace("<profile>", MISPLACED),
        ),
        "E00003",
    ),
]


@pytest.mark.parametrize(
    ("body", "code"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG]
)
async def test_requests_that_violate_the_schema_are_refused(
    sandbox: Sandbox, body: str, code: str
) -> None:
    reply = await post(sandbox, body)
    assert (reply.status, reply.code) == (200, code)
    assert reply.text("messages/resultCode") == "Error"
    assert reply.root.tag == f"{{{NAMESPACE}}}ErrorResponse"


async def test_errors_quote_neither_key_nor_card(sandbox: Sandbox) -> None:
    inner = f"<customerProfileId>1</customerProfileId><paymentProfile>{card_xml(VISA * 2)}"
    inner += "</paymentProfile>"
    reply = await send(sandbox, "createCustomerPaymentProfileRequest", inner)
    assert reply.code == "E00003"
    assert VISA.encode() not in reply.body
    assert KEY.encode() not in reply.body


@pytest.mark.parametrize("key", ["", "short", "with spaces in it", "seventeen17171717"])
async def test_malformed_keys_are_refused(sandbox: Sandbox, key: str) -> None:
    reply = await send(sandbox, UNSETTLED, key=key)
    assert reply.code in ("E00007", "E00003")


async def test_any_key_is_accepted_until_revoked(sandbox: Sandbox) -> None:
    customer_id, card_id = await customer_with_card(sandbox)
    body = {"api_login_id": LOGIN, "transaction_key": KEY}
    assert (await sandbox.control("POST", "authorize/keys", body))[0] == 201
    for request in (UNSETTLED, "authenticateTestRequest"):
        assert (await send(sandbox, request)).code == "E00007"
    inner = charge_xml(customer_id, card_id)
    again = await send(sandbox, "createTransactionRequest", inner, key="AnotherKey123456")
    assert again.code == "I00001"
    await sandbox.control("POST", "authorize/keys", {**body, "revoked": False})
    for request in (UNSETTLED, "authenticateTestRequest"):
        assert (await send(sandbox, request)).code == "I00001"


async def test_accounts_are_isolated(sandbox: Sandbox) -> None:
    customer_id, card_id = await customer_with_card(sandbox)
    inner = charge_xml(customer_id, card_id)
    other = await send(sandbox, "createTransactionRequest", inner, login="another")
    assert other.code == "E00040"
    assert (await charge(sandbox, customer_id, card_id)).code == "I00001"
    assert (await send(sandbox, UNSETTLED, login="another")).code == "I00004"


async def test_the_reference_is_echoed(sandbox: Sandbox) -> None:
    reply = await send(sandbox, UNSETTLED, "<refId>012345</refId>")
    assert reply.text("refId") == "012345"
    refused = await send(
        sandbox, "getTransactionDetailsRequest", "<refId>7</refId><transId>1</transId>"
    )
    assert (refused.text("refId"), refused.code) == ("7", "E00040")


async def test_other_methods_get_an_html_405(sandbox: Sandbox) -> None:
    async with sandbox.session.get(sandbox.url + PATH) as response:
        assert (response.status, response.content_type) == (405, "text/html")


async def test_oversized_requests_are_refused(sandbox: Sandbox) -> None:
    inner = f"<refId>{'x' * 2_000_000}</refId>"
    assert (await send(sandbox, UNSETTLED, inner)).code == "E00003"


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("reset_before", 0),
        ("reset_after", 1),
        ("cut_body", 1),
        ("error_500", 0),
        ("error_500_after", 1),
        ("rate_limit", 0),
    ],
)
async def test_faults_apply_and_can_match_a_request(sandbox: Sandbox, kind: str, made: int) -> None:
    customer_id, card_id = await customer_with_card(sandbox)
    match = {"path": PATH, "request": "createTransactionRequest", "account": f"authorize:{LOGIN}"}
    await sandbox.schedule_fault(kind, match=match)
    assert (await send(sandbox, UNSETTLED)).code == "I00004"
    body = build_request("createTransactionRequest", charge_xml(customer_id, card_id))
    try:
        async with sandbox.session.post(sandbox.url + PATH, data=body) as response:
            assert response.status in (200, 429, 500)
            assert (response.content_type == "text/html") == (response.status != 200)
            await response.read()
    except aiohttp.ClientError:
        assert kind in ("reset_before", "reset_after", "cut_body")
    assert len((await books(sandbox))["transactions"]) == made


async def test_books_show_no_card_number_and_no_key(sandbox: Sandbox) -> None:
    customer_id, card_id = await customer_with_card(sandbox)
    await charge(sandbox, customer_id, card_id)
    _, everything = await sandbox.control("GET", "books")
    assert re.search(r"\b\d{12,16}\b", str(everything)) is None
    assert KEY not in str(everything)
    shown = await books(sandbox)
    assert (shown["cards"][0]["last4"], shown["cards"][0]["brand"]) == ("1111", "Visa")
    assert shown["taken"] == {"usd": 2550}


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("reports", {}, "lag_seconds"),
        ("reports", {"lag_seconds": -1}, "lag_seconds"),
        ("reports", {"lag": 1}, "'lag'"),
        ("keys", {}, "api_login_id"),
        ("keys", {"api_login_id": "a", "transaction_key": "b", "revoked": 1}, '"revoked"'),
        ("transactions", {"transaction": "1", "status": "gone"}, '"status"'),
        ("transactions", {"transaction": "1", "status": "voided"}, "no transaction 1"),
    ],
)
async def test_a_refusal_names_the_wrong_field(
    sandbox: Sandbox, path: str, body: object, expected: str
) -> None:
    status, answer = await sandbox.control("POST", f"authorize/{path}", body)
    assert status == 400
    assert expected in answer["error"]
