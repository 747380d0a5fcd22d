"""Proves how charges are found again, what proves that there is none, and how they are undone."""

from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from core.gateways.authorize import gateway as authorize_gateway
from core.gateways.authorize import requests
from core.gateways.authorize.gateway import AuthorizeGateway
from core.gateways.gateway import (
    ChargeOutcome,
    CustomerMissing,
    Declined,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    HeldForReview,
    Succeeded,
    Unknown,
)
from core.money import Amount
from sandbox.authorize.xml import messages
from tests.core.gateways.running import closed_port, logged, serving
from tests.core.gateways.running_authorize import (
    FAILED,
    MERCHANT,
    OK,
    REASON_BY_AMOUNT,
    VISA,
    an_order,
    authorize_at,
    books,
    charged,
    details_answer,
    order_with,
    transaction_answer,
    xml,
)
from tests.sandbox.running import Sandbox


@pytest.fixture
async def gateway(sandbox: Sandbox) -> Any:
    async with authorize_at(sandbox.url) as made:
        yield made


async def set_lag(sandbox: Sandbox, seconds: float) -> None:
    status, _ = await sandbox.control("POST", "authorize/reports", {"lag_seconds": seconds})
    assert status == 200


async def set_status(sandbox: Sandbox, transaction_id: str, status: str) -> None:
    body = {"transaction": transaction_id, "status": status}
    assert (await sandbox.control("POST", "authorize/transactions", body))[0] == 200


# --- Looking up ------------------------------------------------------------------------------


async def test_a_list_that_lags_shows_nothing_yet_and_a_duplicate_is_adopted_all_the_same(
    sandbox: Sandbox, gateway: AuthorizeGateway
) -> None:
    await set_lag(sandbox, 60)
    order = await order_with(gateway)
    first = await gateway.charge(MERCHANT, order)
    assert await gateway.look_up_charge(MERCHANT, order) is None
    assert await gateway.charge(MERCHANT, order) == first
    await set_lag(sandbox, 0)
    assert await gateway.look_up_charge(MERCHANT, order) == first
    assert await charged(sandbox) == [2550]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("capturedPendingSettlement", Succeeded),
        ("settledSuccessfully", Succeeded),
        ("voided", Declined),
        ("declined", Declined),
        ("FDSPendingReview", HeldForReview),
        ("FDSAuthorizedPendingReview", HeldForReview),
        ("generalError", Declined),
    ],
)
async def test_what_became_of_a_charge_is_told_by_its_status(
    sandbox: Sandbox, gateway: AuthorizeGateway, status: str, outcome: type[ChargeOutcome]
) -> None:
    order = await order_with(gateway)
    made = await gateway.charge(MERCHANT, order)
    assert isinstance(made, Succeeded)
    await set_status(sandbox, made.transaction_id, status)
    found = await gateway.look_up_charge(MERCHANT, order)
    assert type(found) is outcome


async def test_a_held_charge_that_the_merchant_approves_succeeds_and_one_declined_is_declined(
    sandbox: Sandbox, gateway: AuthorizeGateway
) -> None:
    for status, outcome in (
        ("capturedPendingSettlement", Succeeded),
        ("declined", Declined),
    ):
        order = await order_with(gateway, REASON_BY_AMOUNT, amount=Amount(25300, "usd"))
        held = await gateway.charge(MERCHANT, order)
        assert isinstance(held, HeldForReview)
        await set_status(sandbox, held.transaction_id, status)
        found = await gateway.look_up_charge(MERCHANT, order)
        assert type(found) is outcome
        assert await gateway.charge(MERCHANT, order) == found


async def test_a_charge_is_found_on_a_later_page_and_by_the_unsettled_list_alone(
    sandbox: Sandbox, gateway: AuthorizeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "PAGE_SIZE", 2)
    monkeypatch.setattr(authorize_gateway, "PAGE_SIZE", 2)
    order = await order_with(gateway)
    first = await gateway.charge(MERCHANT, order)
    for _ in range(5):
        later = an_order(order.customer_id, order.gateway_card_id)
        assert isinstance(await gateway.charge(MERCHANT, later), Succeeded)
    assert await gateway.look_up_charge(MERCHANT, order) == first
    gone = {"request": "getTransactionListForCustomerRequest"}
    await sandbox.schedule_fault("error_500", match=gone)
    with pytest.raises(GatewayUnknown):
        await gateway.look_up_charge(MERCHANT, order)


async def test_a_list_too_long_to_read_proves_nothing(
    gateway: AuthorizeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "PAGE_SIZE", 1)
    monkeypatch.setattr(authorize_gateway, "PAGE_SIZE", 1)
    monkeypatch.setattr(authorize_gateway, "PAGES_MAX", 2)
    order = await order_with(gateway)
    for _ in range(3):
        await gateway.charge(MERCHANT, an_order(order.customer_id, order.gateway_card_id))
    with pytest.raises(GatewayUnknown, match=order.payment_id):
        await gateway.look_up_charge(MERCHANT, order)


async def test_a_customer_that_is_gone_leaves_the_unsettled_list() -> None:
    order, asked = an_order(), []

    async def answer(request: web.Request) -> web.Response:
        body = await request.text()
        asked.append(body.split("<")[2].split(" ")[0])
        if "ForCustomer" in body:
            return xml("getTransactionListResponse", [messages("Error", "E00040", "Not found.")])
        if "getUnsettled" in body:
            shown = [("transId", "60000000001"), ("invoiceNumber", order.payment_id)]
            transactions = ("transactions", [("transaction", shown)])
            return xml("getUnsettledTransactionListResponse", [OK, transactions])
        return details_answer(order)

    async with serving(answer) as url, authorize_at(url) as gateway:
        assert await gateway.look_up_charge(MERCHANT, order) == Succeeded("60000000001")
    assert asked == [
        "getTransactionListForCustomerRequest",
        "getUnsettledTransactionListRequest",
        "getTransactionDetailsRequest",
    ]


DISAGREEING: list[tuple[str, dict[str, Any]]] = [
    ("amount", {"authAmount": "25.51", "settleAmount": "25.51"}),
    ("amount", {"authAmount": None}),
    ("amount", {"authAmount": "much"}),
    ("settled amount", {"settleAmount": "20.00"}),
    ("invoice number", {"order": [("invoiceNumber", "PAY-1")]}),
    ("customer", {"profile": [("customerProfileId", "99")]}),
    ("type", {"transactionType": "authOnlyTransaction"}),
]


@pytest.mark.parametrize(("named", "changes"), DISAGREEING)
async def test_a_duplicate_is_adopted_only_where_invoice_amount_and_customer_fit(
    named: str, changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    order = an_order()

    async def answer(request: web.Request) -> web.Response:
        if "<createTransaction" in await request.text():
            duplicate = {"responseCode": "3", "messages": None, "error": "11"}
            return transaction_answer(order, FAILED, **duplicate)
        return details_answer(order, **changes)

    async with serving(answer) as url, authorize_at(url) as gateway:
        assert isinstance(await gateway.charge(MERCHANT, order), Unknown)
    assert named in logged(caplog, "differences")


STATUSES = [
    "authorizedPendingCapture",
    "approvedReview",
    "couldNotVoid",
    "settlementError",
    "tomorrow",
]


@pytest.mark.parametrize("status", STATUSES)
async def test_a_status_that_does_not_tell_is_unknown(status: str) -> None:
    order = an_order()

    async def answer(request: web.Request) -> web.Response:
        if "<createTransaction" in await request.text():
            return transaction_answer(
                order, FAILED, responseCode="3", messages=None, error="11", transId="0",
                refTransID="60000000001",
            )  # fmt: skip
        return details_answer(order, transactionStatus=status)

    async with serving(answer) as url, authorize_at(url) as gateway:
        assert isinstance(await gateway.charge(MERCHANT, order), Unknown)


async def test_a_duplicate_that_names_no_transaction_is_found_by_its_invoice() -> None:
    order = an_order()

    async def answer(request: web.Request) -> web.Response:
        body = await request.text()
        if "<createTransaction" in body:
            return transaction_answer(
                order, FAILED, responseCode="3", messages=None, error="11", transId="0"
            )
        if "<getTransactionDetails" in body:
            return details_answer(order, profile=None)
        shown = [("transId", "60000000001"), ("invoiceNumber", order.payment_id)]
        transactions = ("transactions", [("transaction", shown)])
        return xml("getTransactionListResponse", [OK, transactions])

    async with serving(answer) as url, authorize_at(url) as gateway:
        assert await gateway.charge(MERCHANT, order) == Succeeded("60000000001")


async def test_of_two_charges_on_one_invoice_the_first_is_told_and_the_other_voided(
    caplog: pytest.LogCaptureFixture,
) -> None:
    order = an_order()
    moments = {"60000000009": "2030-01-02T03:04:05.4Z", "60000000001": "2030-01-02T03:04:05Z"}
    voided: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        body = await request.text()
        if "voidTransaction" in body:
            voided.append(body.partition("<refTransId>")[2].partition("<")[0])
            return transaction_answer(order, transId=voided[-1], profile=None)
        for identifier, moment in moments.items():
            if f"<transId>{identifier}" in body:
                return details_answer(order, transId=identifier, submitTimeUTC=moment)
        if "<transId>60000000005" in body:
            return details_answer(order, transId="60000000005", transactionType="refundTransaction")
        shown: Any = [
            ("transaction", [("transId", identifier), ("invoiceNumber", order.payment_id)])
            for identifier in (*moments, "60000000005")
        ]
        return xml("getTransactionListResponse", [OK, ("transactions", shown)])

    async with serving(answer) as url, authorize_at(url) as gateway:
        found = await gateway.charges_of(MERCHANT, order)
        assert [each.transaction.transaction_id for each in found] == [
            "60000000001",
            "60000000009",
        ]
        assert await gateway.look_up_charge(MERCHANT, order) == Succeeded("60000000001")
    assert voided == ["60000000009"]
    assert "second transaction of a payment voided" in caplog.text
    assert logged(caplog, "transaction_id") == ["60000000009"]


async def test_a_transaction_is_read_as_text_and_never_as_numbers() -> None:
    order = an_order(payment_id="00000000000000000017")

    async def answer(_request: web.Request) -> web.Response:
        return details_answer(order, transId="0012345")

    async with serving(answer) as url, authorize_at(url) as gateway:
        shown = await gateway.transaction(MERCHANT, "0012345")
    assert shown.transaction_id == "0012345"
    assert shown.invoice_number == "00000000000000000017"


async def test_a_transaction_that_is_not_there_is_missing(gateway: AuthorizeGateway) -> None:
    with pytest.raises(CustomerMissing):
        await gateway.transaction(MERCHANT, "60000000000")
    with pytest.raises(GatewayRefused):
        await gateway.transaction(MERCHANT, "pi_1")


# --- Voiding ---------------------------------------------------------------------------------


async def test_a_charge_is_voided_once_and_stays_so(
    sandbox: Sandbox, gateway: AuthorizeGateway
) -> None:
    order = await order_with(gateway)
    made = await gateway.charge(MERCHANT, order)
    assert isinstance(made, Succeeded)
    await gateway.void(MERCHANT, made.transaction_id)
    await gateway.void(MERCHANT, made.transaction_id)
    assert await charged(sandbox) == []
    found = await gateway.look_up_charge(MERCHANT, order)
    assert isinstance(found, Declined)
    assert found.decline_code == "canceled"


async def test_a_settled_charge_or_one_of_others_is_not_voided(
    sandbox: Sandbox, gateway: AuthorizeGateway
) -> None:
    made = await gateway.charge(MERCHANT, await order_with(gateway))
    assert isinstance(made, Succeeded)
    await set_status(sandbox, made.transaction_id, "settledSuccessfully")
    for identifier in (made.transaction_id, "60000000000"):
        with pytest.raises(GatewayRefused, match="refund"):
            await gateway.void(MERCHANT, identifier)
    assert (await books(sandbox))["transactions"][0]["status"] == "settledSuccessfully"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("reset_before", GatewayUnknown),
        ("reset_after", GatewayUnknown),
        ("cut_body", GatewayUnknown),
        ("error_500", GatewayUnknown),
        ("rate_limit", GatewayUnavailable),
    ],
)
async def test_a_void_without_an_answer_can_be_repeated(
    sandbox: Sandbox, gateway: AuthorizeGateway, fault: str, error: type[Exception]
) -> None:
    made = await gateway.charge(MERCHANT, await order_with(gateway))
    assert isinstance(made, Succeeded)
    await sandbox.schedule_fault(fault, match={"request": "createTransactionRequest"})
    with pytest.raises(error):
        await gateway.void(MERCHANT, made.transaction_id)
    await gateway.void(MERCHANT, made.transaction_id)
    assert await charged(sandbox) == []


async def test_an_odd_answer_to_a_void_proves_nothing() -> None:
    replies: Iterator[dict[str, Any]] = iter(
        [
            {"responseCode": "7"},
            {"responseCode": "1", "overall": FAILED},
            {"responseCode": "3", "messages": None, "error": "120"},
            {"responseCode": None},
        ]
    )

    async def answer(_request: web.Request) -> web.Response:
        return transaction_answer(an_order(), **next(replies))

    async with serving(answer) as url, authorize_at(url) as gateway:
        for _ in range(4):
            with pytest.raises(GatewayUnknown):
                await gateway.void(MERCHANT, "60000000001")


async def test_every_verb_of_a_gateway_that_is_down_says_so() -> None:
    async with authorize_at(f"http://127.0.0.1:{closed_port()}") as down:
        order = an_order()
        with pytest.raises(GatewayUnavailable):
            await down.look_up_charge(MERCHANT, order)
        with pytest.raises(GatewayUnavailable):
            await down.void(MERCHANT, "60")
        with pytest.raises(GatewayUnavailable):
            await order_with(down, VISA)
