"""Proves that every gateway keeps one contract: the same cases, each gateway's own way to them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aiohttp import web

from core.gateways.gateway import (
    Account,
    ChargeOutcome,
    Declined,
    Gateway,
    GatewayCharge,
    HeldForReview,
    NotSent,
    Refused,
    RequiresAction,
    Succeeded,
    Unknown,
)
from core.money import Amount
from tests.core.gateways import running as stripe
from tests.core.gateways import running_authorize as authorize
from tests.sandbox.running import Sandbox

SHORT_SECONDS = 0.5
PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class Contract:
    """A gateway, and how the suite brings about what every gateway must answer for."""

    name: str
    at: Callable[..., AbstractAsyncContextManager[Any]]
    account: Account
    wrong_account: Account
    charges: dict[str, str]
    """What a fault on charges matches."""
    order: Callable[[Sandbox, Any, str], Awaitable[GatewayCharge]]
    """Makes an order that comes to `approve`, to a decline code, or to another class by name."""
    charged: Callable[[Sandbox], Awaitable[list[int]]]
    answers_another_amount: Callable[[GatewayCharge], Callable[[web.Request], web.Response]]


# --- Stripe's way ----------------------------------------------------------------------------

STRIPE_CARDS = {
    "approve": "pm_card_visa",
    "generic_decline": "pm_card_visa_chargeDeclined",
    "expired_card": "pm_card_chargeDeclinedExpiredCard",
    "incorrect_cvc": "pm_card_chargeDeclinedIncorrectCvc",
    "processing_error": "pm_card_chargeDeclinedProcessingError",
    "fraudulent": "pm_card_radarBlock",
    "requires_action": "pm_card_authenticationRequired",
}


async def stripe_order(sandbox: Sandbox, _gateway: Any, comes_to: str) -> GatewayCharge:
    if comes_to in ("approve", "requires_action"):
        return await stripe.order_with(sandbox, STRIPE_CARDS[comes_to])
    customer_id, _ = await sandbox.customer_with_card()  # such cards cannot be attached
    return stripe.an_order(customer_id, STRIPE_CARDS[comes_to])


def stripe_answers_another_amount(order: GatewayCharge) -> Callable[[web.Request], web.Response]:
    def answer(_request: web.Request) -> web.Response:
        return web.json_response(
            {
                "id": "pi_1",
                "object": "payment_intent",
                "amount": order.amount.minor + 1,
                "currency": order.amount.currency,
                "customer": order.customer_id,
                "status": "succeeded",
                "metadata": {"payment_id": order.payment_id},
            }
        )

    return answer


STRIPE = Contract(
    "stripe",
    stripe.gateway_at,
    stripe.SHOP,
    Account("TEST", stripe.REVOKED_KEY),
    stripe.INTENTS,
    stripe_order,
    stripe.charged,
    stripe_answers_another_amount,
)

# --- Authorize.Net's way ---------------------------------------------------------------------

REASONS = {
    "generic_decline": 2,
    "expired_card": 8,
    "incorrect_cvc": 65,
    "processing_error": 19,
    "fraudulent": 251,
    "held_for_review": 253,
}


async def authorize_order(_sandbox: Sandbox, gateway: Any, comes_to: str) -> GatewayCharge:
    if comes_to == "approve":
        return await authorize.order_with(gateway)
    amount = Amount(REASONS[comes_to] * 100, "usd")
    return await authorize.order_with(gateway, authorize.REASON_BY_AMOUNT, amount=amount)


def authorize_answers_another_amount(order: GatewayCharge) -> Callable[[web.Request], web.Response]:
    """A charge's answer names no amount; the first transaction of a duplicate does."""

    def answer(request: web.Request) -> web.Response:
        if b"<createTransactionRequest" in request["body"]:
            return authorize.transaction_answer(
                order, authorize.FAILED, responseCode="3", messages=None, error="11"
            )
        return authorize.details_answer(order, authAmount="25.51", settleAmount="25.51")

    return answer


AUTHORIZE = Contract(
    "authorize",
    authorize.authorize_at,
    authorize.MERCHANT,
    replace(authorize.MERCHANT, secret_key=authorize.REVOKED_KEY),
    authorize.CHARGES,
    authorize_order,
    authorize.charged,
    authorize_answers_another_amount,
)

CONTRACTS = [STRIPE, AUTHORIZE]


@pytest.fixture(params=CONTRACTS, ids=lambda contract: contract.name)
def contract(request: pytest.FixtureRequest) -> Contract:
    made: Contract = request.param
    return made


@pytest.fixture
async def met(contract: Contract, sandbox: Sandbox) -> AsyncIterator[Gateway]:
    async with contract.at(sandbox.url) as gateway:
        yield gateway


# --- The cases -------------------------------------------------------------------------------


async def test_an_approved_charge_succeeds_once_and_is_found_again(
    sandbox: Sandbox, contract: Contract, met: Gateway
) -> None:
    order = await contract.order(sandbox, met, "approve")
    outcome = await met.charge(contract.account, order)
    assert isinstance(outcome, Succeeded)
    assert await met.look_up_charge(contract.account, order) == outcome
    assert await contract.charged(sandbox) == [2550]


async def test_a_charge_that_was_never_made_is_not_found(
    sandbox: Sandbox, contract: Contract, met: Gateway
) -> None:
    order = await contract.order(sandbox, met, "approve")
    assert await met.look_up_charge(contract.account, order) is None


@pytest.mark.parametrize(
    "code",
    ["generic_decline", "expired_card", "incorrect_cvc", "processing_error", "fraudulent"],
)
async def test_each_class_of_decline_has_one_code_at_all_gateways(
    sandbox: Sandbox, contract: Contract, met: Gateway, code: str
) -> None:
    outcome = await met.charge(contract.account, await contract.order(sandbox, met, code))
    assert isinstance(outcome, Declined)
    assert outcome.decline_code == code
    assert outcome.message.endswith(".")
    assert await contract.charged(sandbox) == []


@pytest.mark.parametrize(
    ("which", "comes_to", "outcome"),
    [
        (STRIPE, "requires_action", RequiresAction),
        (AUTHORIZE, "held_for_review", HeldForReview),
    ],
    ids=["stripe", "authorize"],
)
async def test_what_is_neither_success_nor_failure_is_told_so_and_stays_so(
    sandbox: Sandbox, which: Contract, comes_to: str, outcome: type[ChargeOutcome]
) -> None:
    async with which.at(sandbox.url) as gateway:
        order = await which.order(sandbox, gateway, comes_to)
        first = await gateway.charge(which.account, order)
        assert isinstance(first, outcome)
        assert await gateway.charge(which.account, order) == first
        assert await gateway.look_up_charge(which.account, order) == first
    assert await which.charged(sandbox) == []


async def test_the_same_order_again_is_the_same_charge(
    sandbox: Sandbox, contract: Contract, met: Gateway
) -> None:
    order = await contract.order(sandbox, met, "approve")
    first = await met.charge(contract.account, order)
    assert await met.charge(contract.account, order) == first
    assert await contract.charged(sandbox) == [2550]


async def test_ten_at_once_are_one_charge(
    sandbox: Sandbox, contract: Contract, met: Gateway
) -> None:
    order = await contract.order(sandbox, met, "approve")
    outcomes = await asyncio.gather(*(met.charge(contract.account, order) for _ in range(10)))
    assert len(set(outcomes)) == 1
    assert isinstance(outcomes[0], Succeeded)
    assert await contract.charged(sandbox) == [2550]


@dataclass(frozen=True)
class Struck:
    """A fault on the charge; what it comes to where it is resent at once, and where never."""

    name: str
    fault: str
    resent: type[ChargeOutcome]
    sent_once: type[ChargeOutcome]
    charges_if_sent_once: int


STRUCK = [
    Struck("reset before the effect", "reset_before", Succeeded, Unknown, 0),
    Struck("reset after the effect", "reset_after", Succeeded, Unknown, 1),
    Struck("answer cut", "cut_body", Succeeded, Unknown, 1),
    Struck("500 before the effect", "error_500", Unknown, Unknown, 0),
    Struck("500 after the effect", "error_500_after", Succeeded, Unknown, 1),
    Struck("429", "rate_limit", NotSent, NotSent, 0),
]


@pytest.mark.parametrize("case", STRUCK, ids=lambda case: case.name)
async def test_a_fault_is_told_by_what_it_proves_and_found_out_later(
    sandbox: Sandbox, contract: Contract, met: Gateway, case: Struck
) -> None:
    order = await contract.order(sandbox, met, "approve")
    await sandbox.schedule_fault(case.fault, match=contract.charges)
    outcome = await met.charge(contract.account, order)
    charges = await contract.charged(sandbox)
    if contract is STRIPE:
        assert type(outcome) is case.resent
    else:
        assert type(outcome) is case.sent_once
        assert len(charges) == case.charges_if_sent_once
    found = await met.look_up_charge(contract.account, order)
    assert isinstance(found, Succeeded) == bool(charges)


async def test_a_timeout_before_the_effect_is_unknown_and_never_charged_twice(
    sandbox: Sandbox, contract: Contract, met: Gateway
) -> None:
    order = await contract.order(sandbox, met, "approve")
    await sandbox.schedule_fault("delay", match=contract.charges, seconds=60)
    async with contract.at(sandbox.url, SHORT_SECONDS) as hurried:
        assert isinstance(await hurried.charge(contract.account, order), Unknown)
    assert await contract.charged(sandbox) == []
    await sandbox.control("DELETE", "faults")
    await until_charged(sandbox, contract)
    assert isinstance(await met.look_up_charge(contract.account, order), Succeeded)
    assert isinstance(await met.charge(contract.account, order), Succeeded)
    assert await contract.charged(sandbox) == [2550]


async def test_a_timeout_after_the_effect_never_reads_as_a_failure(
    sandbox: Sandbox, contract: Contract, met: Gateway
) -> None:
    order = await contract.order(sandbox, met, "approve")
    await sandbox.schedule_fault("delay_after", match=contract.charges, seconds=60)
    async with contract.at(sandbox.url, SHORT_SECONDS) as hurried:
        outcome = await hurried.charge(contract.account, order)
    assert isinstance(outcome, Succeeded if contract is STRIPE else Unknown)
    assert isinstance(await met.look_up_charge(contract.account, order), Succeeded)
    assert await contract.charged(sandbox) == [2550]


async def until_charged(sandbox: Sandbox, contract: Contract) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await contract.charged(sandbox):
            pass


async def test_html_instead_of_an_answer_is_unknown(contract: Contract) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="<html>Request unsuccessful.</html>", content_type="text/html")

    assert isinstance(await charged_at(contract, answer, an_order(contract)), Unknown)


async def test_an_answer_about_another_amount_is_unknown_and_loud(
    contract: Contract, caplog: pytest.LogCaptureFixture
) -> None:
    order = an_order(contract)
    reply = contract.answers_another_amount(order)

    async def answer(request: web.Request) -> web.Response:
        request["body"] = await request.read()
        return reply(request)

    assert isinstance(await charged_at(contract, answer, order), Unknown)
    assert "amount" in stripe.logged(caplog, "differences")


def an_order(contract: Contract) -> GatewayCharge:
    return stripe.an_order() if contract is STRIPE else authorize.an_order()


async def charged_at(
    contract: Contract, answer: stripe.Answering, order: GatewayCharge
) -> ChargeOutcome:
    async with stripe.serving(answer) as url, contract.at(url) as gateway:
        outcome: ChargeOutcome = await gateway.charge(contract.account, order)
        return outcome


async def test_wrong_credentials_are_refused_with_what_to_mend(
    sandbox: Sandbox, contract: Contract, met: Gateway
) -> None:
    account = contract.wrong_account
    await sandbox.control("POST", "keys", {"key": STRIPE.wrong_account.secret_key, "revoked": True})
    keys = {"api_login_id": account.login_id, "transaction_key": account.secret_key}
    await sandbox.control("POST", "authorize/keys", keys)
    outcome = await met.charge(account, await contract.order(sandbox, met, "approve"))
    assert isinstance(outcome, Refused)
    assert "key" in outcome.message
    assert account.secret_key not in outcome.message
    assert await contract.charged(sandbox) == []


async def test_another_business_cannot_charge_the_customer(
    sandbox: Sandbox, contract: Contract, met: Gateway
) -> None:
    other = replace(contract.account, secret_key="sk_test_shop2_a", login_id="another")
    if contract is AUTHORIZE:
        other = replace(other, secret_key=authorize.KEY)
    outcome = await met.charge(other, await contract.order(sandbox, met, "approve"))
    assert isinstance(outcome, Refused)
    assert await contract.charged(sandbox) == []


async def test_a_gateway_that_is_down_was_certainly_not_reached(contract: Contract) -> None:
    async with contract.at(f"http://127.0.0.1:{stripe.closed_port()}") as down:
        assert isinstance(await down.charge(contract.account, an_order(contract)), NotSent)
    async with contract.at(f"https://127.0.0.1:{stripe.closed_port()}") as down:
        assert isinstance(await down.charge(contract.account, an_order(contract)), NotSent)


async def test_a_currency_that_the_gateway_does_not_take_is_refused_unsent(
    contract: Contract,
) -> None:
    order = replace(an_order(contract), amount=Amount(1, "lyd"))  # three decimals
    async with contract.at(f"http://127.0.0.1:{stripe.closed_port()}") as gateway:
        outcome = await gateway.charge(contract.account, order)
    assert isinstance(outcome, Refused)
    assert outcome.field == "currency"
