"""The same cases of refunds for every gateway, of a settled charge of 25.50."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from core.gateways.events import Fact, FactKind
from core.gateways.gateway import (
    Gateway,
    GatewayRefund,
    GatewayRefused,
    NotSent,
    ObjectKind,
    RefundOutcome,
    RefundRefused,
    Refused,
    Succeeded,
    Unknown,
    Unsettled,
)
from core.money import Amount
from tests.core.gateways import running as stripe
from tests.core.gateways import running_authorize as authorize
from tests.core.gateways.test_contract import AUTHORIZE, STRIPE, Contract
from tests.sandbox.running import Sandbox

REFUNDS = {"stripe": {"path": "/v1/refunds", "method": "POST"}, "authorize": authorize.CHARGES}


@pytest.fixture(params=[STRIPE, AUTHORIZE], ids=["stripe", "authorize"])
def contract(request: pytest.FixtureRequest) -> Contract:
    """Each gateway."""
    value: Contract = request.param
    return value


@pytest.fixture
async def running(contract: Contract, sandbox: Sandbox) -> AsyncIterator[Gateway]:
    """A gateway with a short timeout."""
    async with contract.at(sandbox.url) as gateway:
        yield gateway


async def a_refund(
    sandbox: Sandbox, contract: Contract, gateway: Gateway, *, status: str = "settledSuccessfully"
) -> GatewayRefund:
    """Charge a card, and return the refund of 10.00 of it."""
    charge = await contract.charge(sandbox, gateway, "approve")
    charged = await gateway.charge(contract.account, charge)
    assert isinstance(charged, Succeeded)
    if contract is AUTHORIZE:
        body = {"transaction": charged.transaction_id, "status": status}
        await sandbox.control("POST", "authorize/transactions", body)
    return GatewayRefund(
        refund_id="REF-0123456789ABCDEF",
        gateway_key="B/REF-0123456789ABCDEF",
        payment_id=charge.payment_id,
        transaction_id=charged.transaction_id,
        customer_id=charge.customer_id,
        amount=Amount(1000, "usd"),
        is_whole=False,
        reason="duplicate",
        created_at=datetime.now(UTC),
        may_have_been_sent=False,
    )


async def refunded(sandbox: Sandbox, contract: Contract) -> list[int]:
    """Return the amounts of the refunds in the account's books, in cents."""
    _, body = await sandbox.control("GET", "books")
    books = body["books"]
    made: list[Any] = []
    for each in books:
        made += [refund["amount"] for refund in each.get("refunds", [])]
        made += [
            int(Decimal(transaction["amount"]) * 100)
            for transaction in each.get("transactions", [])
            if transaction["type"] == "refundTransaction"
        ]
    return made


def is_made(outcome: RefundOutcome | None) -> bool:
    return isinstance(outcome, Fact) and (outcome.kind, outcome.amount_minor) == (
        FactKind.REFUND,
        1000,
    )


async def test_a_refund_is_made_once_and_found(
    sandbox: Sandbox, contract: Contract, running: Gateway
) -> None:
    refund = await a_refund(sandbox, contract, running)
    assert await running.look_up_refund(contract.account, refund) is None
    outcomes = await asyncio.gather(*(running.refund(contract.account, refund) for _ in range(5)))
    assert all(is_made(each) for each in outcomes)
    assert len({each.object_id for each in outcomes if isinstance(each, Fact)}) == 1
    assert await running.look_up_refund(contract.account, refund) == outcomes[0]
    assert isinstance(outcomes[0], Fact)
    read = await running.read_state(contract.account, ObjectKind.REFUND, outcomes[0].object_id)
    assert is_made(read)
    assert await refunded(sandbox, contract) == [1000]


async def test_a_refund_is_found_by_the_gateways_id_if_it_is_of_the_payment(
    sandbox: Sandbox, contract: Contract, running: Gateway
) -> None:
    wanted = await a_refund(sandbox, contract, running)
    made = await running.refund(contract.account, wanted)
    assert isinstance(made, Fact)
    other = replace(wanted, refund_id="REF-OTHER", known_id=made.object_id)
    assert await running.look_up_refund(contract.account, other) == made
    for known_id in (wanted.transaction_id, "60000000001", "re_none"):
        unknown = replace(wanted, known_id=known_id)
        assert await running.look_up_refund(contract.account, unknown) is None
    charge = await contract.charge(sandbox, running, "approve")
    second = replace(charge, payment_id="PAY-2222222222222222", gateway_key="B/PAY-2")
    charged = await running.charge(contract.account, second)
    assert isinstance(charged, Succeeded)
    if contract is AUTHORIZE:
        body = {"transaction": charged.transaction_id, "status": "settledSuccessfully"}
        await sandbox.control("POST", "authorize/transactions", body)
    of_another = replace(other, transaction_id=charged.transaction_id)
    assert await running.look_up_refund(contract.account, of_another) is None


@pytest.mark.parametrize(
    ("fault", "stripes", "authorizes", "refunds"),
    [
        ("reset_before", Fact, Unknown, 0),
        ("reset_after", Fact, Unknown, 1),
        ("cut_body", Fact, Unknown, 1),
        ("error_500_after", Fact, Unknown, 1),
        ("rate_limit", NotSent, NotSent, 0),
    ],
)
async def test_a_refund_with_a_fault_is_found_if_it_was_made(
    sandbox: Sandbox,
    contract: Contract,
    running: Gateway,
    fault: str,
    stripes: type,
    authorizes: type,
    refunds: int,
) -> None:
    """Stripe gets it again, or shows it; Authorize.Net, where a charge is read first, does not."""
    refund = await a_refund(sandbox, contract, running)
    await sandbox.schedule_fault(fault, match=REFUNDS[contract.name])
    outcome = await running.refund(contract.account, refund)
    assert type(outcome) is (stripes if contract is STRIPE else authorizes)
    made = await refunded(sandbox, contract)
    if contract is AUTHORIZE:
        assert len(made) == refunds
    found = await running.look_up_refund(contract.account, refund)
    assert is_made(found) == bool(made)
    assert is_made(await running.refund(contract.account, refund))
    assert await refunded(sandbox, contract) == [1000]


async def test_a_refund_of_more_than_is_left_is_refused(
    sandbox: Sandbox, contract: Contract, running: Gateway
) -> None:
    refund = await a_refund(sandbox, contract, running)
    other = replace(refund, refund_id="REF-1", gateway_key="B/REF-1", amount=Amount(2000, "usd"))
    assert isinstance(await running.refund(contract.account, other), Fact)
    outcome = await running.refund(contract.account, refund)
    assert isinstance(outcome, RefundRefused)
    assert (outcome.code, outcome.message[-1]) == ("amount_too_large", ".")
    assert await refunded(sandbox, contract) == [2000]


async def test_other_keys_refuse_a_refund_and_decide_nothing(
    sandbox: Sandbox, contract: Contract, running: Gateway
) -> None:
    refund = await a_refund(sandbox, contract, running)
    other = replace(contract.account, secret_key="sk_test_shop2_a", login_id="another")
    if contract is AUTHORIZE:
        other = replace(other, secret_key=authorize.KEY)
    outcome = await running.refund(other, refund)
    assert isinstance(outcome, Refused)
    assert refund.transaction_id not in outcome.message
    with pytest.raises(GatewayRefused):
        await running.look_up_refund(other, refund)
    assert await refunded(sandbox, contract) == []


async def test_a_refund_at_a_gateway_that_is_down_is_not_sent(contract: Contract) -> None:
    refund = GatewayRefund(
        "REF-1", "k", "PAY-1", "601", "51", Amount(1, "usd"), False, None,
        datetime.now(UTC), False,
    )  # fmt: skip
    async with contract.at(f"http://127.0.0.1:{stripe.closed_port()}") as down:
        assert isinstance(await down.refund(contract.account, refund), NotSent)


STATES = [
    ("capturedPendingSettlement", False, False, Unsettled()),
    ("capturedPendingSettlement", True, False, Fact(FactKind.VOIDED)),
    ("settlementError", True, False, Unsettled()),
    ("voided", True, True, Fact(FactKind.VOIDED)),
    ("voided", True, False, "voided"),
    ("voided", False, True, "voided"),
    ("declined", False, False, "not_refundable"),
    ("expired", True, True, "not_refundable"),
]


@pytest.mark.parametrize(("status", "is_whole", "is_resumed", "expected"), STATES)
async def test_a_refund_at_authorize_is_what_the_charges_state_allows(
    sandbox: Sandbox, status: str, *, is_whole: bool, is_resumed: bool, expected: object
) -> None:
    async with AUTHORIZE.at(sandbox.url) as gateway:
        refund = await a_refund(sandbox, AUTHORIZE, gateway, status=status)
        refund = replace(refund, is_whole=is_whole, may_have_been_sent=is_resumed)
        outcome = await gateway.refund(AUTHORIZE.account, refund)
    shown = outcome.code if isinstance(outcome, RefundRefused) else outcome
    assert shown == expected
    assert await refunded(sandbox, AUTHORIZE) == []
