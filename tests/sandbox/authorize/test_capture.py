"""Transactions that are authorized first: captured whole or in part, voided, reviewed, expired."""

from typing import Any

import pytest

from tests.sandbox.authorize.running import (
    LOGIN,
    REASON_BY_AMOUNT,
    Reply,
    books,
    charge_xml,
    customer_with_card,
    send,
)
from tests.sandbox.receiving import receiving, shown
from tests.sandbox.running import Sandbox

RESPONSE = "transactionResponse"
AUTHORIZED = "authorizedPendingCapture"
CAPTURED = "capturedPendingSettlement"


async def authorize(sandbox: Sandbox, amount: str = "25.50") -> Reply:
    ids = await customer_with_card(sandbox, REASON_BY_AMOUNT)
    inner = charge_xml(*ids, amount=amount).replace("authCapture", "authOnly")
    return await send(sandbox, "createTransactionRequest", inner)


async def follow_up(sandbox: Sandbox, kind: str, identifier: str, amount: str = "") -> Reply:
    """Capture or void a transaction."""
    shown_amount = f"<amount>{amount}</amount>" if amount else ""
    inner = (
        f"<transactionRequest><transactionType>{kind}Transaction</transactionType>{shown_amount}"
        f"<refTransId>{identifier}</refTransId></transactionRequest>"
    )
    return await send(sandbox, "createTransactionRequest", inner)


async def authorized_id(sandbox: Sandbox) -> str:
    return (await authorize(sandbox)).text(f"{RESPONSE}/transId") or ""


async def details(sandbox: Sandbox, identifier: str) -> tuple[str | None, ...]:
    """Return a transaction's type, status and amounts."""
    reply = await send(sandbox, "getTransactionDetailsRequest", f"<transId>{identifier}</transId>")
    names = ("transactionType", "transactionStatus", "authAmount", "settleAmount")
    return tuple(reply.text(f"transaction/{name}") for name in names)


@pytest.mark.parametrize(
    ("amount", "response_code", "status"),
    [
        ("25.50", "1", AUTHORIZED),
        ("1.00", "1", AUTHORIZED),
        ("2.00", "2", "declined"),
        ("252.00", "4", "FDSPendingReview"),
    ],
)
async def test_an_authorization_takes_nothing(
    sandbox: Sandbox, amount: str, response_code: str, status: str
) -> None:
    reply = await authorize(sandbox, amount)
    assert reply.text(f"{RESPONSE}/responseCode") == response_code
    account = await books(sandbox)
    assert [each["status"] for each in account["transactions"]] == [status]
    assert account["taken"] == {}


@pytest.mark.parametrize("amount", ["", "25.50", "10.00", "0.01"])
async def test_a_capture_keeps_the_id_and_takes_all_or_a_part(
    sandbox: Sandbox, amount: str
) -> None:
    identifier = await authorized_id(sandbox)
    reply = await follow_up(sandbox, "priorAuthCapture", identifier, amount)
    assert reply.text(f"{RESPONSE}/responseCode") == "1"
    assert reply.text(f"{RESPONSE}/transId") == identifier
    expected = amount or "25.50"
    shown_details = await details(sandbox, identifier)
    assert shown_details == ("authOnlyTransaction", CAPTURED, "25.50", expected)
    assert (await books(sandbox))["taken"] == {"usd": round(float(expected) * 100)}


@pytest.mark.parametrize(
    ("before", "amount", "codes"),
    [
        (None, "25.51", ["47"]),
        (None, "0", ["5"]),
        (None, "1.005", ["5"]),
        ("void", "", ["16"]),
        ("expired", "", ["16"]),
        ("capture", "", []),  # it says that it is captured, and takes nothing more
    ],
)
async def test_what_cannot_be_captured_changes_nothing(
    sandbox: Sandbox, before: str | None, amount: str, codes: list[str]
) -> None:
    identifier = await authorized_id(sandbox)
    if before == "expired":
        body = {"transaction": identifier, "status": before}
        await sandbox.control("POST", "authorize/transactions", body)
    elif before is not None:
        kind = {"void": "void", "capture": "priorAuthCapture"}[before]
        await follow_up(sandbox, kind, identifier, "10.00" if before == "capture" else "")
    earlier = await books(sandbox)
    reply = await follow_up(sandbox, "priorAuthCapture", identifier, amount)
    assert reply.texts("errorCode") == codes
    if before == "capture":
        assert reply.text(f"{RESPONSE}/messages/message/code") == "311"
    assert await books(sandbox) == earlier


async def test_what_settles_of_a_capture_can_be_refunded(sandbox: Sandbox) -> None:
    identifier = await authorized_id(sandbox)
    await follow_up(sandbox, "priorAuthCapture", identifier, "10.00")
    change: dict[str, Any] = {"transaction": identifier}
    settled = change | {"status": "settledSuccessfully"}
    await sandbox.control("POST", "authorize/transactions", settled)
    for amount, status in (("10.01", 400), ("4.00", 201), ("6.01", 400), ("6.00", 201)):
        answer = await sandbox.control("POST", "authorize/refunds", change | {"amount": amount})
        assert answer[0] == status, answer
    assert (await books(sandbox))["taken"] == {"usd": 0}


async def test_an_approved_authorization_waits_for_its_capture(sandbox: Sandbox) -> None:
    identifier = (await authorize(sandbox, "253.00")).text(f"{RESPONSE}/transId") or ""
    decision = {"transaction": identifier, "decision": "approve"}
    await sandbox.control("POST", "authorize/reviews", decision)
    assert (await details(sandbox, identifier))[1] == AUTHORIZED


@pytest.mark.parametrize(
    ("then", "events"),
    [
        ("priorAuthCapture", ["authorization.created", "priorAuthCapture.created"]),
        ("void", ["authorization.created", "void.created"]),
        ("expired", ["authorization.created"]),
    ],
)
async def test_each_step_but_the_expiry_is_an_event(
    sandbox: Sandbox, then: str, events: list[str]
) -> None:
    async with receiving(sandbox, api_login_id=LOGIN) as receiver:
        identifier = await authorized_id(sandbox)
        if then == "expired":
            body = {"transaction": identifier, "status": then}
            await sandbox.control("POST", "authorize/transactions", body)
        else:
            amount = "10.00" if then == "priorAuthCapture" else ""
            await follow_up(sandbox, then, identifier, amount)
        await shown(sandbox)
    assert [each.removeprefix("net.authorize.payment.") for each in receiver.types] == events
    if then == "priorAuthCapture":
        assert receiver.events[-1]["payload"]["authAmount"] == 10.0
