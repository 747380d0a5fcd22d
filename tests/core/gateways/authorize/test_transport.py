"""Authorize.Net: connection errors and unexpected answers."""

import asyncio
import gzip
import itertools
import logging
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pyxb.binding.content
from aiohttp import web

from core.gateways.authorize import requests
from core.gateways.authorize import transport as transport
from core.gateways.authorize.requests import NAMESPACE
from core.gateways.authorize.responses import outcome_of_charge
from core.gateways.authorize.transport import CALLS_PER_ACCOUNT_MAX, PATH
from core.gateways.authorize.xml import parse_answer
from core.gateways.gateway import (
    CardDeclined,
    ChargeOutcome,
    Declined,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    HeldForReview,
    NotSent,
    Refused,
    Succeeded,
    Unknown,
)
from tests.certificates import Authority
from tests.core.gateways.running import serving
from tests.core.gateways.running_authorize import (
    CHARGES,
    FAILED,
    KEY,
    LOGIN,
    MERCHANT,
    a_charge,
    authorize_at,
    charge_with,
    charged,
    transaction_answer,
    xml,
)
from tests.sandbox.running import Sandbox

pyxb.binding.content.AutomatonConfiguration.PermittedNondeterminism = 1000


ORDER = a_charge("12345678901", "23456789012", payment_id="PAY-0123456789ABCDEF")

# --- Connections -----------------------------------------------------------------------------


async def test_nothing_is_sent_to_a_server_with_an_untrusted_certificate(tmp_path: Path) -> None:
    issued = Authority(tmp_path).issue("server")
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(issued.certificate_file, issued.key_file)
    reached: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        reached.append(request.path)
        return transaction_answer(ORDER)

    async with serving(answer, server_side) as url, authorize_at(url) as gateway:
        assert isinstance(await gateway.charge(MERCHANT, ORDER), NotSent)
    assert reached == []


async def test_a_redirect_is_not_followed_and_is_unknown() -> None:
    reached: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        reached.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with serving(answer) as url, authorize_at(url) as gateway:
        assert isinstance(await gateway.charge(MERCHANT, ORDER), Unknown)
    assert reached == [PATH]


@pytest.mark.parametrize("compressed", [False, True])
async def test_an_endless_answer_is_read_up_to_the_limit(
    monkeypatch: pytest.MonkeyPatch, *, compressed: bool
) -> None:
    monkeypatch.setattr(transport, "ANSWER_BYTES_MAX", 50_000)
    good = transaction_answer(ORDER).body
    assert isinstance(good, bytes)
    padded = good.replace(b"</createT", b" " * 100_000 + b"</createT")

    async def answer(_request: web.Request) -> web.Response:
        if compressed:
            headers = {"Content-Encoding": "gzip"}
            return web.Response(body=gzip.compress(padded), headers=headers)
        return web.Response(body=padded)

    async with serving(answer) as url, authorize_at(url) as gateway:
        assert isinstance(await gateway.charge(MERCHANT, ORDER), Unknown)


async def test_each_charge_is_sent_once_despite_faults(sandbox: Sandbox) -> None:
    async with authorize_at(sandbox.url) as gateway:
        for kind in ("reset_before", "reset_after", "cut_body", "error_500", "error_500_after"):
            charge = await charge_with(gateway)
            await sandbox.schedule_fault(kind, match=CHARGES)
            struck = (await sandbox.control("GET", "faults"))[1]["struck"]
            assert isinstance(await gateway.charge(MERCHANT, charge), Unknown)
            assert (await sandbox.control("GET", "faults"))[1]["struck"] == struck + 1
    assert await charged(sandbox) == [2550] * 3


@pytest.mark.parametrize("listing", [None, "reset_before", "cut_body", "error_500", "rate_limit"])
async def test_random_faults_never_contradict_the_sandboxs_books(
    sandbox: Sandbox, listing: str | None
) -> None:
    kinds = (None, "reset_before", "reset_after", "cut_body", "error_500_after", "rate_limit")
    lookups = ("getTransactionDetailsRequest", "getTransactionListForCustomerRequest")
    async with authorize_at(sandbox.url) as gateway:
        for first, second in itertools.product(kinds, kinds):
            await sandbox.control("POST", "reset")
            charge = await charge_with(gateway)
            for kind in filter(None, (first, second)):
                await sandbox.schedule_fault(kind, match=CHARGES)
            if listing is not None:
                for each in lookups:
                    await sandbox.schedule_fault(listing, match={"request": each})
            outcomes = [await gateway.charge(MERCHANT, charge) for _ in range(2)]
            taken = await charged(sandbox)
            told = f"{first}, {second}, {listing}: {outcomes}, {taken}"
            assert len(taken) <= 1, told
            assert taken or not any(isinstance(each, Succeeded) for each in outcomes), told
            assert all(isinstance(each, Succeeded | Unknown | NotSent) for each in outcomes), told


async def test_an_account_with_hanging_calls_is_throttled_and_others_are_not(
    sandbox: Sandbox,
) -> None:
    other = replace(MERCHANT, login_id="another")
    async with authorize_at(sandbox.url, timeout_seconds=8.0) as gateway:
        customer = await charge_with(gateway)
        ids = customer.customer_id, customer.gateway_card_id
        charges = [a_charge(*ids) for _ in range(CALLS_PER_ACCOUNT_MAX)]
        others_order = await charge_with(gateway, account=other)
        match = {**CHARGES, "account": f"authorize:{LOGIN}"}
        await sandbox.schedule_fault("delay", match=match, seconds=60, times=200)
        held = [asyncio.ensure_future(gateway.charge(MERCHANT, charge)) for charge in charges]
        await sandbox.wait_until_delayed(CALLS_PER_ACCOUNT_MAX)
        one_more, others = await asyncio.gather(
            gateway.charge(MERCHANT, a_charge()), gateway.charge(other, others_order)
        )
        assert isinstance(one_more, NotSent)
        assert isinstance(others, Succeeded)
        await sandbox.control("DELETE", "faults")
        await asyncio.gather(*held)


async def test_a_closed_gateway_can_connect_again(sandbox: Sandbox) -> None:
    async with authorize_at(sandbox.url) as gateway:
        await charge_with(gateway)
        await gateway.close()
        assert isinstance(await gateway.charge(MERCHANT, await charge_with(gateway)), Succeeded)
        await gateway.close()


# --- Answers ---------------------------------------------------------------------------------

REPLIES: list[tuple[str, Any, ChargeOutcome | type[ChargeOutcome]]] = [
    ("approved", {}, Succeeded("60000000001")),
    ("an id with leading zeros", {"transId": "0012345"}, Succeeded("0012345")),
    ("no profile shown", {"profile": None}, Succeeded("60000000001")),
    ("held", {"responseCode": "4"}, HeldForReview("60000000001")),
    ("partly approved", {"responseCode": "4", "messages": None, "error": "295"}, Unknown),
    ("declined", {"responseCode": "2", "messages": None, "error": "2"}, Declined),
    ("declined, no reason", {"responseCode": "2", "messages": None}, Declined),
    ("an error of tomorrow", {"responseCode": "3", "messages": None, "error": "9999"}, Refused),
    ("a failed system void", {"responseCode": "3", "messages": None, "error": "120"}, Unknown),
    ("maintenance", {"responseCode": "3", "messages": None, "error": "901"}, NotSent),
    ("a response code of tomorrow", {"responseCode": "7"}, Unknown),
    ("approved and no id", {"transId": "0"}, Unknown),
    ("approved and an odd id", {"transId": "abc"}, Unknown),
    ("approved in test mode", {"transId": "0", "testRequest": "1"}, Refused),
    ("approved in test mode, and stored", {"testRequest": "1"}, Unknown),
    ("neither in test mode nor not", {"testRequest": "?"}, Unknown),
    ("approved but the call failed", {"overall": FAILED}, Unknown),
    ("another reference", {"reference": "PAY-1"}, Unknown),
    ("no reference", {"reference": ""}, Unknown),
    ("another customer", {"profile": [("customerProfileId", "99")]}, Unknown),
    (
        "another card",
        {"profile": [("customerPaymentProfileId", "99")]},
        Unknown,
    ),
    ("a part of the amount", {"prePaidCard": [("approvedAmount", "20.00")]}, Unknown),
    ("all of the amount", {"prePaidCard": [("approvedAmount", "25.50")]}, Succeeded),
    ("no response code", {"responseCode": None}, Unknown),
]


@pytest.mark.parametrize(
    ("changes", "outcome"), [case[1:] for case in REPLIES], ids=[case[0] for case in REPLIES]
)
async def test_only_an_answer_that_matches_the_charge_counts(
    changes: Any, outcome: ChargeOutcome | type[ChargeOutcome]
) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return transaction_answer(ORDER, **changes)

    async with serving(answer) as url, authorize_at(url) as gateway:
        told = await gateway.charge(MERCHANT, ORDER)
    assert told == outcome or type(told) is outcome


API_ERRORS: list[tuple[str, type[ChargeOutcome], str]] = [
    ("E00001", Unknown, ""),
    ("E00003", Refused, "E00003"),
    ("E00007", Refused, "transaction_key"),
    ("E00008", Refused, "transaction_key"),
    ("E00009", Refused, "Test Mode"),
    ("E00011", Refused, "Transaction Details API"),
    ("E00027", Declined, "declined"),
    ("E00040", Refused, "no such card"),
    ("E00049", Unknown, ""),
    ("E00053", NotSent, ""),
    ("E00104", NotSent, ""),
    ("E99999", Unknown, ""),
    ("<script>", Unknown, ""),
    ("", Unknown, ""),
]


@pytest.mark.parametrize("element", ["createTransactionResponse", "ErrorResponse"])
@pytest.mark.parametrize(("code", "outcome", "message"), API_ERRORS)
async def test_the_code_of_a_refused_call_decides_the_outcome(
    element: str, code: str, outcome: type[ChargeOutcome], message: str
) -> None:
    async def answer(_request: web.Request) -> web.Response:
        text = ("text", f"The key {KEY} is wrong.")
        said = ("message", [("code", code), text])
        return xml(element, [("messages", [("resultCode", "Error"), said])])

    async with serving(answer) as url, authorize_at(url) as gateway:
        told = await gateway.charge(MERCHANT, ORDER)
        assert type(told) is outcome
        assert message in getattr(told, "message", "")
        assert KEY not in repr(told)
        with pytest.raises(
            (GatewayRefused, GatewayUnknown, GatewayUnavailable, CardDeclined)
        ) as raised:
            await gateway.transaction(MERCHANT, "60")
    assert KEY not in str(raised.value)
    assert raised.value.__cause__ is raised.value.__context__ is None


GOOD = b'<createTransactionResponse xmlns="%s">%%s</createTransactionResponse>' % NAMESPACE.encode()
ODD_BODIES: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("a byte charge mark", b"\xef\xbb\xbf"),
    ("JSON", b'{"messages": {"resultCode": "Ok"}}'),
    ("HTML", b"<!DOCTYPE html><html><body>Error</body></html>"),
    ("another namespace", b"<createTransactionResponse/>"),
    ("another answer", b'<getTransactionListResponse xmlns="%s"/>' % NAMESPACE.encode()),
    ("another encoding", b"\xff\xfe" + "<createTransactionResponse/>".encode("utf-16-le")),
    ("only Ok", GOOD % b"<messages><resultCode>Ok</resultCode></messages>"),
    ("bytes that are no UTF-8", GOOD % b"<refId>\xff</refId>"),
    ("too deep", GOOD % (b"<a>" * 5000 + b"</a>" * 5000)),
    (
        "an entity that grows",
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>' + GOOD % b"<refId>&b;</refId>",
    ),
]


@pytest.mark.parametrize(
    "body", [case[1] for case in ODD_BODIES], ids=[case[0] for case in ODD_BODIES]
)
async def test_a_body_that_is_not_an_answer_is_unknown(body: bytes) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/xml")

    async with serving(answer) as url, authorize_at(url) as gateway:
        assert isinstance(await gateway.charge(MERCHANT, ORDER), Unknown)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["without", "with"])
async def test_answers_are_parsed_with_and_without_a_byte_order_mark(mark: bytes) -> None:
    body = transaction_answer(ORDER).body
    assert isinstance(body, bytes)

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=mark + body.removeprefix(b"\xef\xbb\xbf"))

    async with serving(answer) as url, authorize_at(url) as gateway:
        assert await gateway.charge(MERCHANT, ORDER) == Succeeded("60000000001")


def test_a_truncated_or_damaged_answer_never_gives_another_outcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The XML shows a truncation that the connection does not."""
    body = transaction_answer(ORDER).body
    assert isinstance(body, bytes)
    request = requests.charge(MERCHANT, ORDER)
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)  # most log an error

    def outcome_of(answer: bytes) -> Any:
        return outcome_of_charge(parse_answer(answer, request), MERCHANT, ORDER)

    assert outcome_of(body) == Succeeded("60000000001")
    for length in range(len(body)):
        assert isinstance(outcome_of(body[:length]), Unknown), body[:length]
        damaged = body[:length] + b"#" + body[length + 1 :]
        outcome = outcome_of(damaged)
        assert isinstance(outcome, Succeeded | Unknown), damaged
        if isinstance(outcome, Succeeded):
            assert outcome.transaction_id == "60000000001"
