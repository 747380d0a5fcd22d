"""Charges, duplicates, voids and reports of Authorize.Net's stand-in."""

import asyncio
import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sandbox.authorize.api import execute
from sandbox.authorize.calls import Call, get_account
from sandbox.authorize.cards import charge_card, get_result
from sandbox.authorize.xml import read
from sandbox.books import Books, PageQuery, Scope
from tests.sandbox.authorize.running import (
    LOGIN,
    REASON_BY_AMOUNT,
    books,
    build_request,
    card_xml,
    charge,
    charge_xml,
    customer_with_card,
    send,
)
from tests.sandbox.running import Sandbox, running_sandbox

RESPONSE = "transactionResponse"
REASONS = [
    # Amount, response code, status of the transaction.
    ("1.00", "1", "capturedPendingSettlement"),
    ("1.50", "1", "capturedPendingSettlement"),
    ("2.00", "2", "declined"),
    ("27.00", "2", "declined"),
    ("44.00", "2", "declined"),
    ("251.00", "2", "declined"),
    ("252.00", "4", "FDSPendingReview"),
    ("253.00", "4", "FDSAuthorizedPendingReview"),
    ("8.00", "3", None),
    ("19.00", "3", None),
    ("999.00", "1", "capturedPendingSettlement"),
]


@pytest.mark.parametrize(("amount", "response_code", "status"), REASONS)
async def test_the_amount_selects_the_reason_code_for_the_aim_card(
    sandbox: Sandbox, amount: str, response_code: str, status: str | None
) -> None:
    ids = await customer_with_card(sandbox, REASON_BY_AMOUNT)
    reply = await charge(sandbox, *ids, amount=amount, reference="R")
    assert reply.text(f"{RESPONSE}/responseCode") == response_code
    reason = reply.texts("errorCode") or reply.texts("code")[-1:]
    expected = amount.removesuffix(".00") if response_code != "1" else "1"
    assert reason == [expected]
    statuses = [each["status"] for each in (await books(sandbox))["transactions"]]
    assert statuses == ([status] if status else [])
    assert (reply.text(f"{RESPONSE}/transId") == "0") == (status is None)
    assert reply.text("messages/resultCode") == ("Error" if response_code == "3" else "Ok")
    assert reply.text("refId") == "R"


async def test_zero_and_fractional_cents_are_refused(sandbox: Sandbox) -> None:
    ids = await customer_with_card(sandbox)
    for amount in ("0", "1.005"):
        assert (await charge(sandbox, *ids, amount=amount)).texts("errorCode") == ["5"]


# --- Duplicates ------------------------------------------------------------------------------

ORIGINAL: dict[str, Any] = {"amount": "25.50", "invoice": "PAY-1", "window": "28800"}
CHANGES: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"amount": "25.5"}, True),
    ({"reference": "R"}, True),
    ({"amount": "25.51"}, False),
    ({"invoice": "PAY-2"}, False),
    ({"window": "60"}, False),
    ({"window": "0"}, False),
    ({"window": None}, False),
    ({"window": "99999"}, True),
]


@pytest.mark.parametrize(("changes", "is_duplicate"), CHANGES)
async def test_duplicates_are_detected_by_the_compared_fields(
    sandbox: Sandbox, changes: dict[str, Any], is_duplicate: bool
) -> None:
    ids = await customer_with_card(sandbox)
    first = await charge(sandbox, *ids, **ORIGINAL)
    second = await charge(sandbox, *ids, **{**ORIGINAL, **changes})
    assert (second.texts("errorCode") == ["11"]) == is_duplicate
    if is_duplicate:
        assert second.text(f"{RESPONSE}/transId") == first.text(f"{RESPONSE}/transId")
        assert second.text("messages/message/code") == "E00027"
    assert len((await books(sandbox))["transactions"]) == 2 - is_duplicate


async def test_without_a_window_a_duplicate_has_no_transaction_id(sandbox: Sandbox) -> None:
    ids = await customer_with_card(sandbox)
    await charge(sandbox, *ids, window=None)
    second = await charge(sandbox, *ids, window=None)
    assert second.texts("errorCode") == ["11"]
    assert second.text(f"{RESPONSE}/transId") == "0"


async def test_another_card_or_customer_is_no_duplicate(sandbox: Sandbox) -> None:
    ids = await customer_with_card(sandbox)
    others = await customer_with_card(sandbox, "5424000000000015")
    await charge(sandbox, *ids)
    assert (await charge(sandbox, *others)).texts("errorCode") == []


async def test_a_renewed_card_is_no_duplicate(sandbox: Sandbox) -> None:
    customer, card = await customer_with_card(sandbox)
    await charge(sandbox, customer, card)
    inner = (
        f"<customerProfileId>{customer}</customerProfileId><paymentProfile>"
        f"{card_xml(expires='2061-01')}<customerPaymentProfileId>{card}</customerPaymentProfileId>"
        "</paymentProfile><validationMode>liveMode</validationMode>"
    )
    assert (await send(sandbox, "updateCustomerPaymentProfileRequest", inner)).code == "I00001"
    assert (await charge(sandbox, customer, card)).texts("errorCode") == []


async def test_a_declined_charge_has_duplicates(sandbox: Sandbox) -> None:
    ids = await customer_with_card(sandbox, REASON_BY_AMOUNT)
    first = await charge(sandbox, *ids, amount="2.00")
    second = await charge(sandbox, *ids, amount="2.00")
    assert second.texts("errorCode") == ["11"]
    assert second.text(f"{RESPONSE}/transId") == first.text(f"{RESPONSE}/transId")


def test_duplicates_are_accepted_after_the_window(tmp_path: Path) -> None:
    moments = iter([0.0, 119.0, 121.0, 240.0])
    store = Books(tmp_path / "b.db")
    scope = Scope(get_account(LOGIN), livemode=False)
    customer, card = customer_with_card_in(store, scope)
    codes = []
    for moment in moments:
        body = build_request("createTransactionRequest", charge_xml(customer, card, window="120"))
        call = Call(store, scope, read(body.encode(), ["createTransactionRequest"]), moment)
        codes.append(b"<errorCode>11<" in execute(call))
    assert codes == [False, True, False, True]
    store.close()


def customer_with_card_in(store: Books, scope: Scope) -> tuple[str, str]:
    inner = f"<profile><email>a@example.com</email><paymentProfiles>{card_xml()}</paymentProfiles>"
    body = build_request("createCustomerProfileRequest", f"{inner}</profile>")
    request = read(body.encode(), ["createCustomerProfileRequest"])
    execute(Call(store, scope, request, 0.0))
    customers, cards = (
        store.list_page(scope, kind, PageQuery())[0]
        for kind in ("authorize_customer", "authorize_card")
    )
    return customers[0].id, cards[0].id


async def test_concurrent_duplicates_make_one_transaction(sandbox: Sandbox) -> None:
    ids = await customer_with_card(sandbox)
    replies = await asyncio.gather(*(charge(sandbox, *ids) for _ in range(20)))
    assert len({reply.text(f"{RESPONSE}/transId") for reply in replies}) == 1
    assert len((await books(sandbox))["transactions"]) == 1


# --- Voids -----------------------------------------------------------------------------------


async def void(sandbox: Sandbox, transaction_id: str) -> Any:
    inner = (
        "<transactionRequest><transactionType>voidTransaction</transactionType>"
        f"<refTransId>{transaction_id}</refTransId></transactionRequest>"
    )
    return await send(sandbox, "createTransactionRequest", inner)


async def test_an_unsettled_charge_can_be_voided(sandbox: Sandbox) -> None:
    charged = await charge(sandbox, *await customer_with_card(sandbox))
    identifier = charged.text(f"{RESPONSE}/transId") or ""
    first, again = await void(sandbox, identifier), await void(sandbox, identifier)
    assert first.text(f"{RESPONSE}/refTransID") == identifier
    assert [each.text(f"{RESPONSE}/responseCode") for each in (first, again)] == ["1", "1"]
    assert again.text(f"{RESPONSE}/messages/message/code") == "310"
    assert (await books(sandbox))["taken"] == {}
    await sandbox.control(
        "POST",
        "authorize/transactions",
        {"transaction": identifier, "status": "settledSuccessfully"},
    )
    for unknown in (identifier, "1"):
        assert (await void(sandbox, unknown)).texts("errorCode") == ["16"]


async def test_unsupported_transaction_types_are_refused(sandbox: Sandbox) -> None:
    customer, card = await customer_with_card(sandbox)
    inner = charge_xml(customer, card).replace("authCapture", "captureOnly")
    assert (await send(sandbox, "createTransactionRequest", inner)).code == "E00004"


# --- Reports ---------------------------------------------------------------------------------

CUSTOMERS = "getTransactionListForCustomerRequest"
UNSETTLED = "getUnsettledTransactionListRequest"
DETAILS = "getTransactionDetailsRequest"


def paging(limit: int, offset: int, *, descending: bool = True) -> str:
    order = str(descending).lower()
    return (
        f"<sorting><orderBy>submitTimeUTC</orderBy><orderDescending>{order}</orderDescending>"
        f"</sorting><paging><limit>{limit}</limit><offset>{offset}</offset></paging>"
    )


async def test_lists_are_paged_from_one_newest_first(sandbox: Sandbox) -> None:
    customer, card = await customer_with_card(sandbox)
    for number in range(5):
        await charge(sandbox, customer, card, invoice=f"PAY-{number}")
    of_customer = f"<customerProfileId>{customer}</customerProfileId>"
    pages = [
        (await send(sandbox, CUSTOMERS, of_customer + paging(2, page))).texts("invoiceNumber")
        for page in (1, 2, 3, 4)
    ]
    assert pages == [["PAY-4", "PAY-3"], ["PAY-2", "PAY-1"], ["PAY-0"], []]
    reply = await send(sandbox, UNSETTLED, paging(3, 1, descending=False))
    assert reply.texts("invoiceNumber") == ["PAY-0", "PAY-1", "PAY-2"]
    assert reply.text("totalNumInResultSet") == "5"


async def test_lists_lag_and_details_do_not(sandbox: Sandbox) -> None:
    customer, card = await customer_with_card(sandbox)
    charged = await charge(sandbox, customer, card)
    await sandbox.control("POST", "authorize/reports", {"lag_seconds": 60})
    of_customer = f"<customerProfileId>{customer}</customerProfileId>"
    for name, inner in ((CUSTOMERS, of_customer), (UNSETTLED, "")):
        reply = await send(sandbox, name, inner)
        assert (reply.code, reply.texts("transId")) == ("I00004", [])
    identifier = charged.text(f"{RESPONSE}/transId")
    shown = await send(sandbox, DETAILS, f"<transId>{identifier}</transId>")
    assert shown.text("transaction/order/invoiceNumber") == "PAY-1"
    await sandbox.control("POST", "authorize/reports", {"lag_seconds": 0})
    assert (await send(sandbox, UNSETTLED)).texts("transId") == [identifier]


async def test_settled_transactions_are_only_in_the_customers_list(sandbox: Sandbox) -> None:
    customer, card = await customer_with_card(sandbox)
    charged = await charge(sandbox, customer, card)
    identifier = charged.text(f"{RESPONSE}/transId")
    settled = {"transaction": identifier, "status": "settledSuccessfully"}
    await sandbox.control("POST", "authorize/transactions", settled)
    assert (await send(sandbox, UNSETTLED)).texts("transId") == []
    of_customer = f"<customerProfileId>{customer}</customerProfileId>"
    assert (await send(sandbox, CUSTOMERS, of_customer)).texts("transId") == [identifier]
    assert (await send(sandbox, CUSTOMERS, "<customerProfileId>1</customerProfileId>")).code == (
        "E00040"
    )


async def test_details_show_amounts_status_and_customer(sandbox: Sandbox) -> None:
    customer, card = await customer_with_card(sandbox, REASON_BY_AMOUNT)
    for amount, status, settling in (
        ("25.50", "capturedPendingSettlement", "25.50"),
        ("2.00", "declined", "0.00"),
        ("253.00", "FDSAuthorizedPendingReview", "253.00"),
    ):
        charged = await charge(sandbox, customer, card, amount=amount)
        identifier = charged.text(f"{RESPONSE}/transId")
        shown = await send(sandbox, DETAILS, f"<transId>{identifier}</transId>")
        details = {
            path: shown.text(f"transaction/{path}")
            for path in ("transactionStatus", "authAmount", "settleAmount", "transactionType")
        }
        assert list(details.values()) == [status, amount, settling, "authCaptureTransaction"]
        assert shown.text("transaction/profile/customerProfileId") == customer
        moment = datetime.datetime.fromisoformat(shown.text("transaction/submitTimeUTC") or "")
        assert moment.tzinfo is not None


async def test_data_survives_a_restart_without_card_numbers_or_keys(tmp_path: Path) -> None:
    async with running_sandbox(tmp_path) as first:
        ids = await customer_with_card(first)
        charged = await charge(first, *ids)
    async with running_sandbox(tmp_path) as second:
        again = await charge(second, *ids)
        assert again.texts("errorCode") == ["11"]
        assert again.text(f"{RESPONSE}/transId") == charged.text(f"{RESPONSE}/transId")
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"4111111111111111" not in stored
    assert b"346HZ32z3fP4hTG2" not in stored


def test_every_reason_code_has_a_result() -> None:
    codes = {get_result(reason).response_code for reason in range(1, 352)}
    assert codes == {"1", "2", "3", "4"}
    assert charge_card("unknown", "46282", Decimal(1)).response_code == "2"
