"""Authorize.Net: charges are looked up, adopted and voided."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from core.gateways.authorize import gateway as authorize_gateway
from core.gateways.authorize import requests
from core.gateways.authorize.gateway import AuthorizeGateway
from core.gateways.gateway import (
    CardDeclined,
    ChargeOutcome,
    CustomerMissing,
    Declined,
    GatewayError,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    HeldForReview,
    ListTooLong,
    Succeeded,
    Unknown,
)
from core.money import Amount
from sandbox.authorize.xml import messages
from tests.core.gateways.running import SHORT_SECONDS, closed_port, logged, serving
from tests.core.gateways.running_authorize import (
    FAILED,
    MERCHANT,
    OK,
    REASON_BY_AMOUNT,
    VISA,
    a_charge,
    authorize_at,
    books,
    charge_with,
    charged,
    details_answer,
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


async def test_a_duplicate_is_adopted_before_the_lists_show_it(
    sandbox: Sandbox, gateway: AuthorizeGateway
) -> None:
    await set_lag(sandbox, 60)
    charge = await charge_with(gateway)
    first = await gateway.charge(MERCHANT, charge)
    assert await gateway.look_up_charge(MERCHANT, charge) is None
    assert await gateway.charge(MERCHANT, charge) == first
    await set_lag(sandbox, 0)
    assert await gateway.look_up_charge(MERCHANT, charge) == first
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
async def test_the_status_decides_the_outcome(
    sandbox: Sandbox, gateway: AuthorizeGateway, status: str, outcome: type[ChargeOutcome]
) -> None:
    charge = await charge_with(gateway)
    made = await gateway.charge(MERCHANT, charge)
    assert isinstance(made, Succeeded)
    await set_status(sandbox, made.transaction_id, status)
    found = await gateway.look_up_charge(MERCHANT, charge)
    assert type(found) is outcome


async def test_a_held_charge_has_the_outcome_of_its_review(
    sandbox: Sandbox, gateway: AuthorizeGateway
) -> None:
    for status, outcome in (
        ("capturedPendingSettlement", Succeeded),
        ("declined", Declined),
    ):
        charge = await charge_with(gateway, REASON_BY_AMOUNT, amount=Amount(25300, "usd"))
        held = await gateway.charge(MERCHANT, charge)
        assert isinstance(held, HeldForReview)
        await set_status(sandbox, held.transaction_id, status)
        found = await gateway.look_up_charge(MERCHANT, charge)
        assert type(found) is outcome
        assert await gateway.charge(MERCHANT, charge) == found


async def test_a_charge_is_found_on_a_later_page_and_in_the_unsettled_list(
    sandbox: Sandbox, gateway: AuthorizeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "PAGE_SIZE", 2)
    monkeypatch.setattr(authorize_gateway, "PAGE_SIZE", 2)
    charge = await charge_with(gateway)
    first = await gateway.charge(MERCHANT, charge)
    for _ in range(5):
        later = a_charge(charge.customer_id, charge.gateway_card_id)
        assert isinstance(await gateway.charge(MERCHANT, later), Succeeded)
    assert await gateway.look_up_charge(MERCHANT, charge) == first
    gone = {"request": "getTransactionListForCustomerRequest"}
    await sandbox.schedule_fault("error_500", match=gone)
    with pytest.raises(GatewayUnknown):
        await gateway.look_up_charge(MERCHANT, charge)


async def test_a_list_too_long_to_read_proves_nothing(
    gateway: AuthorizeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "PAGE_SIZE", 1)
    monkeypatch.setattr(authorize_gateway, "PAGE_SIZE", 1)
    monkeypatch.setattr(authorize_gateway, "PAGES_MAX", 2)
    charge = await charge_with(gateway)
    for _ in range(3):
        await gateway.charge(MERCHANT, a_charge(charge.customer_id, charge.gateway_card_id))
    with pytest.raises(ListTooLong, match=charge.payment_id) as too_long:
        await gateway.look_up_charge(MERCHANT, charge)
    assert too_long.value.is_permanent


NOW = datetime(2030, 1, 2, 14, tzinfo=UTC)
TWO_HOURS_AGO = datetime(2030, 1, 2, 12, tzinfo=UTC)


def a_list(*submitted_at: str | None, invoice: str = "other") -> list[Any]:
    """Return the content of a list of transactions; only the last one is on the invoice."""
    entries = [
        ("transaction", [("transId", f"6000{number}"), ("submitTimeUTC", time)])
        for number, time in enumerate(submitted_at)
    ]
    entries[-1][1].append(("invoiceNumber", invoice))
    return [OK, ("transactions", entries)]


@pytest.mark.parametrize(
    ("times", "created_at", "pages"),
    [
        # The list's newest transaction less the payment's age of two hours, less one hour.
        (("2030-01-02T14:00:00Z", "2030-01-02T10:59:59Z"), TWO_HOURS_AGO, 1),
        (("2030-01-02T14:00:00Z", "2030-01-02T11:00:00Z"), TWO_HOURS_AGO, 2),
        (("2030-01-01T14:00:00Z", "2030-01-01T11:00:00Z"), TWO_HOURS_AGO, 2),  # its clock is slow
        (("2030-01-01T10:00:00Z", "2030-01-02T14:00:00Z"), TWO_HOURS_AGO, 2),  # oldest first
        (
            ("2030-01-02T12:00:00Z", "2030-01-02T14:00:00Z", "2030-01-02T08:00:00Z"),
            TWO_HOURS_AGO,
            2,  # in no order
        ),
        (("2030-01-02T14:00:00Z", None), TWO_HOURS_AGO, 2),
        (("2030-01-02T14:00:00Z", "2029-01-02T14:00:00Z"), None, 2),
        (("2030-01-02T14:00:00Z", "2029-01-02T14:00:00Z"), NOW + timedelta(seconds=1), 2),
    ],
)
async def test_a_list_is_read_until_it_is_older_than_the_payment(
    monkeypatch: pytest.MonkeyPatch,
    times: tuple[str | None, ...],
    created_at: datetime | None,
    pages: int,
) -> None:
    monkeypatch.setattr(authorize_gateway, "PAGE_SIZE", len(times))
    charge, read = a_charge(created_at=created_at), []

    async def answer(request: web.Request) -> web.Response:
        read.append(await request.text())
        of_customer = "ForCustomer" in read[-1]
        shown = a_list(*times) if len(read) % pages == 1 % pages else [OK]
        name = "getTransactionList" if of_customer else "getUnsettledTransactionList"
        return xml(f"{name}Response", shown)

    async with serving(answer) as url, authorize_at(url, now=lambda: NOW) as gateway:
        assert await gateway.look_up_charge(MERCHANT, charge) is None
    assert len(read) == 2 * pages


async def test_a_transaction_on_the_last_page_that_is_read_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(authorize_gateway, "PAGE_SIZE", 2)
    charge = a_charge(created_at=TWO_HOURS_AGO)

    async def answer(request: web.Request) -> web.Response:
        if "getTransactionDetails" in await request.text():
            return details_answer(charge)
        old = ("2030-01-02T09:00:00Z", "2029-01-02T08:00:00Z")
        return xml("getTransactionListResponse", a_list(*old, invoice=charge.payment_id))

    async with serving(answer) as url, authorize_at(url, now=lambda: NOW) as gateway:
        assert await gateway.look_up_charge(MERCHANT, charge) == Succeeded("60000000001")


@pytest.mark.parametrize(("pages_in_time", "error"), [(1, ListTooLong), (5, GatewayUnknown)])
async def test_a_list_that_takes_too_much_time_is_too_long_and_not_slow(
    monkeypatch: pytest.MonkeyPatch, pages_in_time: int, error: type[GatewayError]
) -> None:
    monkeypatch.setattr(authorize_gateway, "PAGE_SIZE", 1)
    monkeypatch.setattr(authorize_gateway, "PAGES_IN_TIME", pages_in_time)
    read = []

    async def answer(request: web.Request) -> web.Response:
        read.append(await request.text())
        if len(read) > 3:
            await asyncio.Event().wait()
        return xml("getTransactionListResponse", a_list("2030-01-02T09:00:00Z"))

    async with serving(answer) as url, authorize_at(url, SHORT_SECONDS) as gateway:
        with pytest.raises(GatewayUnknown) as raised:
            await gateway.look_up_charge(MERCHANT, a_charge())
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("error", "is_permanent"),
    [
        (GatewayUnavailable("x"), False),
        (GatewayUnknown("x"), False),
        (ListTooLong("x"), True),
        (GatewayRefused("x"), True),
        (CustomerMissing("x"), True),
        (CardDeclined("x", "lost_card"), True),
    ],
)
def test_an_error_says_whether_to_repeat_the_call(error: GatewayError, is_permanent: bool) -> None:
    assert error.is_permanent is is_permanent


async def test_a_charge_of_a_deleted_customer_is_found_in_the_unsettled_list() -> None:
    charge, asked = a_charge(), []

    async def answer(request: web.Request) -> web.Response:
        body = await request.text()
        asked.append(body.split("<")[2].split(" ")[0])
        if "ForCustomer" in body:
            return xml("getTransactionListResponse", [messages("Error", "E00040", "Not found.")])
        if "getUnsettled" in body:
            shown = [("transId", "60000000001"), ("invoiceNumber", charge.payment_id)]
            transactions = ("transactions", [("transaction", shown)])
            return xml("getUnsettledTransactionListResponse", [OK, transactions])
        return details_answer(charge)

    async with serving(answer) as url, authorize_at(url) as gateway:
        assert await gateway.look_up_charge(MERCHANT, charge) == Succeeded("60000000001")
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
async def test_a_duplicate_that_differs_from_the_charge_is_unknown(
    named: str, changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    charge = a_charge()

    async def answer(request: web.Request) -> web.Response:
        if "<createTransaction" in await request.text():
            duplicate = {"responseCode": "3", "messages": None, "error": "11"}
            return transaction_answer(charge, FAILED, **duplicate)
        return details_answer(charge, **changes)

    async with serving(answer) as url, authorize_at(url) as gateway:
        assert isinstance(await gateway.charge(MERCHANT, charge), Unknown)
    assert named in logged(caplog, "differences")


STATUSES = [
    "authorizedPendingCapture",
    "approvedReview",
    "couldNotVoid",
    "settlementError",
    "tomorrow",
]


@pytest.mark.parametrize("status", STATUSES)
async def test_an_undecided_status_is_unknown(status: str) -> None:
    charge = a_charge()

    async def answer(request: web.Request) -> web.Response:
        if "<createTransaction" in await request.text():
            return transaction_answer(
                charge, FAILED, responseCode="3", messages=None, error="11", transId="0",
                refTransID="60000000001",
            )  # fmt: skip
        return details_answer(charge, transactionStatus=status)

    async with serving(answer) as url, authorize_at(url) as gateway:
        assert isinstance(await gateway.charge(MERCHANT, charge), Unknown)


async def test_a_duplicate_without_an_id_is_found_by_its_invoice() -> None:
    charge = a_charge()

    async def answer(request: web.Request) -> web.Response:
        body = await request.text()
        if "<createTransaction" in body:
            return transaction_answer(
                charge, FAILED, responseCode="3", messages=None, error="11", transId="0"
            )
        if "<getTransactionDetails" in body:
            return details_answer(charge, profile=None)
        shown = [("transId", "60000000001"), ("invoiceNumber", charge.payment_id)]
        transactions = ("transactions", [("transaction", shown)])
        return xml("getTransactionListResponse", [OK, transactions])

    async with serving(answer) as url, authorize_at(url) as gateway:
        assert await gateway.charge(MERCHANT, charge) == Succeeded("60000000001")


async def test_of_two_charges_on_one_invoice_the_second_is_voided(
    caplog: pytest.LogCaptureFixture,
) -> None:
    charge = a_charge()
    moments = {"60000000009": "2030-01-02T03:04:05.4Z", "60000000001": "2030-01-02T03:04:05Z"}
    voided: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        body = await request.text()
        if "voidTransaction" in body:
            voided.append(body.partition("<refTransId>")[2].partition("<")[0])
            return transaction_answer(charge, transId=voided[-1], profile=None)
        for identifier, moment in moments.items():
            if f"<transId>{identifier}" in body:
                return details_answer(charge, transId=identifier, submitTimeUTC=moment)
        if "<transId>60000000005" in body:
            return details_answer(
                charge, transId="60000000005", transactionType="refundTransaction"
            )
        shown: Any = [
            ("transaction", [("transId", identifier), ("invoiceNumber", charge.payment_id)])
            for identifier in (*moments, "60000000005")
        ]
        return xml("getTransactionListResponse", [OK, ("transactions", shown)])

    async with serving(answer) as url, authorize_at(url) as gateway:
        found = await gateway.charges_of(MERCHANT, charge)
        assert [each.transaction.transaction_id for each in found] == [
            "60000000001",
            "60000000009",
        ]
        assert await gateway.look_up_charge(MERCHANT, charge) == Succeeded("60000000001")
    assert voided == ["60000000009"]
    assert "second transaction of a payment voided" in caplog.text
    assert logged(caplog, "transaction_id") == ["60000000009"]


async def test_values_stay_text() -> None:
    charge = a_charge(payment_id="00000000000000000017")

    async def answer(_request: web.Request) -> web.Response:
        return details_answer(charge, transId="0012345")

    async with serving(answer) as url, authorize_at(url) as gateway:
        shown = await gateway.transaction(MERCHANT, "0012345")
    assert shown.transaction_id == "0012345"
    assert shown.invoice_number == "00000000000000000017"


async def test_a_missing_transaction_raises(gateway: AuthorizeGateway) -> None:
    with pytest.raises(CustomerMissing):
        await gateway.transaction(MERCHANT, "60000000000")
    with pytest.raises(GatewayRefused):
        await gateway.transaction(MERCHANT, "pi_1")


# --- Voids -----------------------------------------------------------------------------------


async def test_a_repeated_void_does_nothing(sandbox: Sandbox, gateway: AuthorizeGateway) -> None:
    charge = await charge_with(gateway)
    made = await gateway.charge(MERCHANT, charge)
    assert isinstance(made, Succeeded)
    await gateway.void(MERCHANT, made.transaction_id)
    await gateway.void(MERCHANT, made.transaction_id)
    assert await charged(sandbox) == []
    found = await gateway.look_up_charge(MERCHANT, charge)
    assert isinstance(found, Declined)
    assert found.decline_code == "canceled"


async def test_a_settled_or_foreign_charge_cannot_be_voided(
    sandbox: Sandbox, gateway: AuthorizeGateway
) -> None:
    made = await gateway.charge(MERCHANT, await charge_with(gateway))
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
async def test_a_void_with_a_lost_answer_can_be_repeated(
    sandbox: Sandbox, gateway: AuthorizeGateway, fault: str, error: type[Exception]
) -> None:
    made = await gateway.charge(MERCHANT, await charge_with(gateway))
    assert isinstance(made, Succeeded)
    await sandbox.schedule_fault(fault, match={"request": "createTransactionRequest"})
    with pytest.raises(error):
        await gateway.void(MERCHANT, made.transaction_id)
    await gateway.void(MERCHANT, made.transaction_id)
    assert await charged(sandbox) == []


async def test_an_unexpected_answer_to_a_void_is_unknown() -> None:
    replies: Iterator[dict[str, Any]] = iter(
        [
            {"responseCode": "7"},
            {"responseCode": "1", "overall": FAILED},
            {"responseCode": "3", "messages": None, "error": "120"},
            {"responseCode": None},
        ]
    )

    async def answer(_request: web.Request) -> web.Response:
        return transaction_answer(a_charge(), **next(replies))

    async with serving(answer) as url, authorize_at(url) as gateway:
        for _ in range(4):
            with pytest.raises(GatewayUnknown):
                await gateway.void(MERCHANT, "60000000001")


async def test_every_call_to_a_gateway_that_is_down_is_unavailable() -> None:
    async with authorize_at(f"http://127.0.0.1:{closed_port()}") as down:
        charge = a_charge()
        with pytest.raises(GatewayUnavailable):
            await down.look_up_charge(MERCHANT, charge)
        with pytest.raises(GatewayUnavailable):
            await down.void(MERCHANT, "60")
        with pytest.raises(GatewayUnavailable):
            await charge_with(down, VISA)
