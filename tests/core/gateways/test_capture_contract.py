"""The same cases of authorizations for every gateway, of 25.50."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from core.gateways.events import EXPIRED, Fact, FactKind
from core.gateways.gateway import (
    Authorized,
    Declined,
    Gateway,
    GatewayError,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    HeldForReview,
    ObjectKind,
    RequiresAction,
)
from core.money import Amount
from tests.core.gateways import running as stripe
from tests.core.gateways import running_authorize as authorize
from tests.core.gateways.test_contract import AUTHORIZE, STRIPE, Contract
from tests.sandbox.running import Sandbox

RELEASED = {"stripe": FactKind.CANCELED, "authorize": FactKind.VOIDED}
CAPTURES = {
    "stripe": {"path": "/v1/payment_intents/*/capture", "method": "POST"},
    "authorize": authorize.CHARGES,
}


@pytest.fixture(params=[STRIPE, AUTHORIZE], ids=["stripe", "authorize"])
def contract(request: pytest.FixtureRequest) -> Contract:
    """Each gateway."""
    value: Contract = request.param
    return value


@pytest.fixture
async def running(contract: Contract, sandbox: Sandbox) -> AsyncIterator[Gateway]:
    """A gateway."""
    async with contract.at(sandbox.url) as gateway:
        yield gateway


async def authorized(sandbox: Sandbox, contract: Contract, gateway: Gateway) -> str:
    """Authorize 25.50 and return the gateway's id."""
    charge = replace(await contract.charge(sandbox, gateway, "approve"), is_captured=False)
    outcome = await gateway.charge(contract.account, charge)
    assert isinstance(outcome, Authorized)
    assert await gateway.look_up_charge(contract.account, charge) == outcome
    return outcome.transaction_id


async def taken(sandbox: Sandbox) -> int:
    """Return what the gateways took by their books, in cents."""
    _, body = await sandbox.control("GET", "books")
    return sum(each["taken"].get("usd", 0) for each in body["books"])


def capture(contract: Contract, gateway: Gateway, identifier: str, minor: int = 2550) -> Any:
    return gateway.capture_payment(
        contract.account,
        transaction_id=identifier,
        amount=Amount(minor, "usd"),
        gateway_key=f"k/{minor}",
    )


async def state(contract: Contract, gateway: Gateway, identifier: str) -> tuple[Any, ...]:
    """Return kind, amount and decline code of the payment's state."""
    fact = await gateway.read_state(contract.account, ObjectKind.PAYMENT, identifier)
    assert fact is not None
    return fact.kind, fact.amount_minor, fact.decline_code


async def test_an_authorization_takes_nothing_until_it_is_captured(
    sandbox: Sandbox, contract: Contract, running: Gateway
) -> None:
    identifier = await authorized(sandbox, contract, running)
    assert await taken(sandbox) == 0
    assert await state(contract, running, identifier) == (FactKind.AUTHORIZED, 2550, None)


@pytest.mark.parametrize("minor", [2550, 1])
async def test_a_capture_takes_its_amount_once(
    sandbox: Sandbox, contract: Contract, running: Gateway, minor: int
) -> None:
    identifier = await authorized(sandbox, contract, running)
    calls = [capture(contract, running, identifier, minor) for _ in range(5)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    facts = [each for each in outcomes if isinstance(each, Fact)]
    assert {(each.kind, each.amount_minor) for each in facts} == {(FactKind.SUCCEEDED, minor)}
    assert all(isinstance(each, Fact | GatewayRefused) for each in outcomes)
    assert await state(contract, running, identifier) == (FactKind.SUCCEEDED, minor, None)
    assert await taken(sandbox) == minor


async def test_a_second_capture_of_another_amount_takes_nothing(
    sandbox: Sandbox, contract: Contract, running: Gateway
) -> None:
    identifier = await authorized(sandbox, contract, running)
    await capture(contract, running, identifier, 1000)
    for minor in (1000, 1550, 500):
        with pytest.raises(GatewayRefused):
            await running.capture_payment(
                contract.account,
                transaction_id=identifier,
                amount=Amount(minor, "usd"),
                gateway_key=f"again/{minor}",
            )
    assert await state(contract, running, identifier) == (FactKind.SUCCEEDED, 1000, None)
    assert await taken(sandbox) == 1000


async def test_more_than_is_authorized_is_not_captured(
    sandbox: Sandbox, contract: Contract, running: Gateway
) -> None:
    identifier = await authorized(sandbox, contract, running)
    with pytest.raises(GatewayRefused):
        await capture(contract, running, identifier, 2551)
    assert await state(contract, running, identifier) == (FactKind.AUTHORIZED, 2550, None)


async def test_a_void_releases_the_amount_and_can_be_repeated(
    sandbox: Sandbox, contract: Contract, running: Gateway
) -> None:
    identifier = await authorized(sandbox, contract, running)
    for _ in range(2):
        fact = await running.cancel_payment(contract.account, identifier)
        assert fact.kind is RELEASED[contract.name]
    assert fact.decline_code != EXPIRED
    with pytest.raises(GatewayRefused):
        await capture(contract, running, identifier)
    assert await taken(sandbox) == 0


@pytest.mark.parametrize("read", [GatewayUnavailable("busy"), GatewayRefused("keys"), None])
async def test_a_void_is_unknown_if_it_was_sent_and_cannot_be_read(
    sandbox: Sandbox,
    contract: Contract,
    running: Any,
    monkeypatch: pytest.MonkeyPatch,
    read: GatewayError | None,
) -> None:
    """That the read did nothing says nothing about the void, which was made."""
    identifier = await authorized(sandbox, contract, running)
    reads: list[Fact | None]
    reads = [await running.read_state(contract.account, ObjectKind.PAYMENT, identifier)]
    if contract is STRIPE:  # it reads after the void only, if that has no clear answer
        reads = []
        await sandbox.schedule_fault(
            "reset_after", times=2, match={"path": "/v1/payment_intents/*/cancel"}
        )

    async def state(*_: Any) -> Fact | None:
        if reads:
            return reads.pop()
        if read is not None:
            raise read
        return None

    monkeypatch.setattr(running, "_read", state)
    with pytest.raises(GatewayUnknown):
        await running.cancel_payment(contract.account, identifier)
    monkeypatch.undo()
    fact = await running.cancel_payment(contract.account, identifier)
    assert fact.kind is RELEASED[contract.name]


async def test_a_void_of_a_captured_payment_tells_that_it_is_captured(
    sandbox: Sandbox, contract: Contract, running: Gateway
) -> None:
    identifier = await authorized(sandbox, contract, running)
    await capture(contract, running, identifier, 1000)
    fact = await running.cancel_payment(contract.account, identifier)
    assert (fact.kind, fact.amount_minor) == (FactKind.SUCCEEDED, 1000)
    assert await taken(sandbox) == 1000


async def test_an_expired_authorization_is_told_as_such_and_not_captured(
    sandbox: Sandbox, contract: Contract, running: Gateway
) -> None:
    identifier = await authorized(sandbox, contract, running)
    if contract is STRIPE:
        body = {"payment_intent": identifier, "reason": "expired"}
        await sandbox.control("POST", "stripe/cancellations", body)
    else:
        body = {"transaction": identifier, "status": "expired"}
        await sandbox.control("POST", "authorize/transactions", body)
    with pytest.raises(GatewayRefused):
        await capture(contract, running, identifier)
    assert await state(contract, running, identifier) == (FactKind.CANCELED, None, EXPIRED)
    assert await taken(sandbox) == 0


@pytest.mark.parametrize(
    ("fault", "stripes", "authorizes", "captured"),
    [
        ("reset_before", None, GatewayUnknown, False),
        ("reset_after", None, GatewayUnknown, True),
        ("cut_body", None, GatewayUnknown, True),
        ("rate_limit", GatewayUnavailable, GatewayUnavailable, False),
    ],
)
async def test_a_capture_with_a_fault_is_shown_by_a_read_if_it_was_made(
    sandbox: Sandbox,
    contract: Contract,
    running: Gateway,
    fault: str,
    stripes: type[GatewayError] | None,
    authorizes: type[GatewayError],
    captured: bool,
) -> None:
    """Stripe gets it again under the same key; Authorize.Net has none, and gets it once."""
    identifier = await authorized(sandbox, contract, running)
    await sandbox.schedule_fault(fault, match=CAPTURES[contract.name])
    expected = stripes if contract is STRIPE else authorizes
    if expected is None:
        assert (await capture(contract, running, identifier, 1000)).amount_minor == 1000
        assert await taken(sandbox) == 1000
        return
    with pytest.raises(expected):
        await capture(contract, running, identifier, 1000)
    assert await taken(sandbox) == (1000 if captured else 0)
    kind = FactKind.SUCCEEDED if captured else FactKind.AUTHORIZED
    assert (await state(contract, running, identifier))[0] is kind


async def test_wrong_keys_and_a_gateway_that_is_down_capture_nothing(
    sandbox: Sandbox, contract: Contract, running: Gateway
) -> None:
    identifier = await authorized(sandbox, contract, running)
    other = replace(contract.account, secret_key="sk_test_shop2_a", login_id="another")
    if contract is AUTHORIZE:
        other = replace(other, secret_key=authorize.KEY)
    with pytest.raises(GatewayRefused) as refused:
        await running.capture_payment(
            other,
            transaction_id=identifier,
            amount=Amount(1, "usd"),
            gateway_key="k",
        )
    assert identifier not in refused.value.message
    async with contract.at(f"http://127.0.0.1:{stripe.closed_port()}") as down:
        with pytest.raises(GatewayUnavailable):
            await capture(contract, down, identifier)
    assert await taken(sandbox) == 0


async def test_an_amount_that_the_gateway_cannot_take_is_the_callers_fault(
    contract: Contract, running: Gateway
) -> None:
    fils = Amount(1, "kwd")
    with pytest.raises(GatewayRefused) as refused:
        await running.capture_payment(
            contract.account, transaction_id="1", amount=fils, gateway_key="k"
        )
    assert refused.value.field in ("amount", "currency")


@pytest.mark.parametrize(
    ("which", "result", "expected"),
    [
        (STRIPE, "generic_decline", Declined),
        (STRIPE, "requires_action", RequiresAction),
        (AUTHORIZE, "generic_decline", Declined),
        (AUTHORIZE, "held_for_review", HeldForReview),
    ],
)
async def test_an_authorization_can_end_as_a_charge_can(
    sandbox: Sandbox, which: Contract, result: str, expected: type
) -> None:
    async with which.at(sandbox.url) as gateway:
        charge = replace(await which.charge(sandbox, gateway, result), is_captured=False)
        assert isinstance(await gateway.charge(which.account, charge), expected)
    assert await taken(sandbox) == 0


async def test_an_authorization_that_was_captured_meanwhile_is_found_as_authorized(
    sandbox: Sandbox, contract: Contract, running: Gateway
) -> None:
    """Its first answer was lost; what was captured is read like any later change."""
    charge = replace(await contract.charge(sandbox, running, "approve"), is_captured=False)
    outcome = await running.charge(contract.account, charge)
    assert isinstance(outcome, Authorized)
    await capture(contract, running, outcome.transaction_id, 1000)
    assert await running.look_up_charge(contract.account, charge) == outcome
