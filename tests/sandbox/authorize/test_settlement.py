"""Reviews, settlement and refunds, as the dashboard, the processor and time decide them."""

from typing import Any

import pytest

from tests.sandbox.authorize.running import (
    LOGIN,
    REASON_BY_AMOUNT,
    VISA,
    books,
    charge,
    customer_with_card,
    send,
)
from tests.sandbox.receiving import Receiver, receiving, shown
from tests.sandbox.running import Sandbox

DETAILS = "getTransactionDetailsRequest"
PREFIX = "net.authorize.payment."
CAPTURED = "capturedPendingSettlement"
SETTLED = "settledSuccessfully"


async def order(sandbox: Sandbox, path: str, expected: int = 200, **body: Any) -> Any:
    status, answer = await sandbox.control("POST", f"authorize/{path}", body)
    assert status == expected, answer
    return answer


async def charge_id(sandbox: Sandbox, amount: str = "25.50", number: str = REASON_BY_AMOUNT) -> str:
    """Charge a new customer's card; return the transaction's id."""
    ids = await customer_with_card(sandbox, number)
    return (await charge(sandbox, *ids, amount=amount)).text("transactionResponse/transId") or ""


async def settled_charge(sandbox: Sandbox) -> str:
    identifier = await charge_id(sandbox)
    await order(sandbox, "transactions", transaction=identifier, status=SETTLED)
    return identifier


async def details(sandbox: Sandbox, identifier: str) -> tuple[str | None, ...]:
    """Return a transaction's status, amount that settles, and codes."""
    shown_details = await send(sandbox, DETAILS, f"<transId>{identifier}</transId>")
    names = ("transactionStatus", "settleAmount", "responseCode", "responseReasonCode")
    return tuple(shown_details.text(f"transaction/{name}") for name in names)


def names_of(receiver: Receiver) -> list[str]:
    return [kind.removeprefix(PREFIX) for kind in receiver.types]


class TestReviews:
    @pytest.mark.parametrize("amount", ["252.00", "253.00", "193.00"])
    @pytest.mark.parametrize(
        ("decision", "status", "codes", "event"),
        [
            ("approve", CAPTURED, ("1", "1"), ["fraud.approved"]),
            ("decline", "declined", ("2", "254"), ["fraud.declined"]),
            ("expire", "expired", ("4", None), []),
        ],
    )
    async def test_a_held_charge_ends_as_decided(
        self,
        sandbox: Sandbox,
        amount: str,
        decision: str,
        status: str,
        codes: tuple[str, str | None],
        event: list[str],
    ) -> None:
        async with receiving(sandbox, api_login_id=LOGIN) as receiver:
            identifier = await charge_id(sandbox, amount)
            await shown(sandbox)
            await order(sandbox, "reviews", transaction=identifier, decision=decision)
            await shown(sandbox)
        assert names_of(receiver) == ["fraud.held", *event]
        expected = amount if status == CAPTURED else "0.00"
        code, reason = codes
        assert await details(sandbox, identifier) == (
            status,
            expected,
            code,
            reason or amount.removesuffix(".00"),
        )
        if event:
            payload = receiver.events[-1]["payload"]
            assert (payload["id"], payload["responseCode"]) == (identifier, int(code))
            assert payload["invoiceNumber"] == "PAY-1"
        again = {"transaction": identifier, "decision": "approve"}
        assert "not held for review" in (await order(sandbox, "reviews", 400, **again))["error"]
        pending = await send(
            sandbox, "getUnsettledTransactionListRequest", "<status>pendingApproval</status>"
        )
        assert pending.texts("transId") == []

    async def test_a_held_charge_can_be_voided(self, sandbox: Sandbox) -> None:
        async with receiving(sandbox, api_login_id=LOGIN) as receiver:
            identifier = await charge_id(sandbox, "253.00")
            await shown(sandbox)
            await order(sandbox, "transactions", transaction=identifier, status="voided")
            await shown(sandbox)
        assert names_of(receiver) == ["fraud.held", "void.created"]


class TestRefunds:
    @pytest.mark.parametrize(
        ("statuses", "settling", "left", "events"),
        [
            ([], "4.00", 2150, []),
            (["refundSettledSuccessfully"], "4.00", 2150, []),
            (["settlementError"], "0.00", 2550, []),
            (["settlementError", "refundSettledSuccessfully"], "4.00", 2150, []),
            (["communicationError"], "0.00", 2550, []),
            (["generalError"], "0.00", 2550, []),
            (["declined"], "0.00", 2550, []),
            (["voided"], "0.00", 2550, ["void.created"]),
        ],
    )
    async def test_a_refund_settles_fails_or_is_voided(
        self, sandbox: Sandbox, statuses: list[str], settling: str, left: int, events: list[str]
    ) -> None:
        async with receiving(sandbox, api_login_id=LOGIN) as receiver:
            charged = await settled_charge(sandbox)
            await shown(sandbox)
            refund = await order(sandbox, "refunds", 201, transaction=charged, amount="4.00")
            await shown(sandbox)
            for status in statuses:
                await order(sandbox, "transactions", transaction=refund["id"], status=status)
            await shown(sandbox)
        assert names_of(receiver) == ["authcapture.created", "refund.created", *events]
        for event in receiver.events[1:]:
            assert event["payload"]["id"] == refund["id"]
            assert event["payload"]["authAmount"] == 4.0
        status = statuses[-1] if statuses else "refundPendingSettlement"
        assert (await details(sandbox, refund["id"]))[:2] == (status, settling)
        assert (await details(sandbox, charged))[:2] == (SETTLED, "25.50")
        assert (await books(sandbox))["taken"] == {"usd": left}

    async def test_details_of_a_refund_name_its_charge(self, sandbox: Sandbox) -> None:
        charged = await settled_charge(sandbox)
        refund = await order(
            sandbox, "refunds", 201, transaction=charged, amount="4.00", invoice_number="PAY-1"
        )
        shown_details = await send(sandbox, DETAILS, f"<transId>{refund['id']}</transId>")
        read = {
            name: shown_details.text(f"transaction/{name}")
            for name in ("refTransId", "transactionType", "order/invoiceNumber", "authAmount")
        }
        assert list(read.values()) == [charged, "refundTransaction", "PAY-1", "4.00"]

    async def test_refunds_never_exceed_the_charge(self, sandbox: Sandbox) -> None:
        charged = await settled_charge(sandbox)
        first = await order(sandbox, "refunds", 201, transaction=charged, amount="20.00")
        too_much = await order(sandbox, "refunds", 400, transaction=charged, amount="5.51")
        assert "at most 5.50" in too_much["error"]
        await order(sandbox, "refunds", 201, transaction=charged, amount=1.25)
        rest = await order(sandbox, "refunds", 201, transaction=charged)
        assert rest["amount"] == "4.25"
        assert (await books(sandbox))["taken"] == {"usd": 0}
        await order(sandbox, "transactions", transaction=first["id"], status="generalError")
        assert (await order(sandbox, "refunds", 201, transaction=charged))["amount"] == "20.00"

    async def test_the_api_voids_a_refund_that_is_not_settled(self, sandbox: Sandbox) -> None:
        charged = await settled_charge(sandbox)
        refund = await order(sandbox, "refunds", 201, transaction=charged)
        inner = (
            "<transactionRequest><transactionType>voidTransaction</transactionType>"
            f"<refTransId>{refund['id']}</refTransId></transactionRequest>"
        )
        answer = await send(sandbox, "createTransactionRequest", inner)
        assert answer.text("transactionResponse/responseCode") == "1"
        assert (await books(sandbox))["taken"] == {"usd": 2550}

    @pytest.mark.parametrize(
        ("path", "body", "part"),
        [
            ("refunds", {}, '"transaction"'),
            ("refunds", {"transaction": "1"}, "no transaction 1"),
            ("refunds", {"transaction": "UNSETTLED"}, "only one that is settledSuccessfully"),
            ("refunds", {"transaction": "SETTLED", "amount": "1.001"}, '"amount"'),
            ("refunds", {"transaction": "SETTLED", "amount": "NaN"}, '"amount"'),
            ("refunds", {"transaction": "SETTLED", "amount": 0}, '"amount"'),
            ("refunds", {"transaction": "SETTLED", "invoice_number": 1}, '"invoice_number"'),
            ("reviews", {"transaction": "SETTLED", "decision": "maybe"}, '"decision"'),
            ("reviews", {"transaction": "SETTLED", "decision": "approve"}, "not held for review"),
            (
                "transactions",
                {"transaction": "REFUND", "status": CAPTURED},
                '"status" as one of refundSettledSuccessfully, voided',
            ),
            ("transactions", {"transaction": "VOIDED", "status": "voided"}, "which is final"),
            (
                "transactions",
                {"transaction": "SETTLED", "status": "refundSettledSuccessfully"},
                '"status" as one of capturedPendingSettlement',
            ),
        ],
    )
    async def test_a_refusal_says_what_to_send(
        self, sandbox: Sandbox, path: str, body: dict[str, Any], part: str
    ) -> None:
        settled = await settled_charge(sandbox)
        refunds = [
            await order(sandbox, "refunds", 201, transaction=settled, amount="1.00")
            for _ in range(2)
        ]
        await order(sandbox, "transactions", transaction=refunds[1]["id"], status="voided")
        names = {
            "SETTLED": settled,
            "UNSETTLED": await charge_id(sandbox, number=VISA),
            "REFUND": refunds[0]["id"],
            "VOIDED": refunds[1]["id"],
        }
        if "transaction" in body:
            body = body | {"transaction": names.get(body["transaction"], body["transaction"])}
        assert part in (await order(sandbox, path, 400, **body))["error"]
