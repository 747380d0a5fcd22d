"""The same cases for every gateway."""

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
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
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

SHORT_SECONDS = 2.0
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Contract:
    """A gateway, and how to set up the cases for it."""

    name: str
    at: Callable[..., AbstractAsyncContextManager[Any]]
    account: Account
    wrong_account: Account
    charges: dict[str, str]
    """What a fault of charges matches."""
    charge: Callable[[Sandbox, Any, str], Awaitable[GatewayCharge]]
    """Returns a charge whose result is `approve`, a decline code, or another outcome by name."""
    charged: Callable[[Sandbox], Awaitable[list[int]]]
    answers_another_amount: Callable[[GatewayCharge], Callable[[web.Request], web.Response]]


# --- Stripe ----------------------------------------------------------------------------------

STRIPE_CARDS = {
    "approve": "pm_card_visa",
    "generic_decline": "pm_card_visa_chargeDeclined",
    "expired_card": "pm_card_chargeDeclinedExpiredCard",
    "incorrect_cvc": "pm_card_chargeDeclinedIncorrectCvc",
    "processing_error": "pm_card_chargeDeclinedProcessingError",
    "fraudulent": "pm_card_radarBlock",
    "requires_action": "pm_card_authenticationRequired",
}


async def stripe_charge(sandbox: Sandbox, _gateway: Any, result: str) -> GatewayCharge:
    if result in ("approve", "requires_action"):
        return await stripe.charge_with(sandbox, STRIPE_CARDS[result])
    customer_id, _ = await sandbox.customer_with_card()  # such cards cannot be attached
    return stripe.a_charge(customer_id, STRIPE_CARDS[result])


def stripe_answers_another_amount(charge: GatewayCharge) -> Callable[[web.Request], web.Response]:
    def answer(_request: web.Request) -> web.Response:
        return web.json_response(
            {
                "id": "pi_1",
                "object": "payment_intent",
                "amount": charge.amount.minor + 1,
                "currency": charge.amount.currency,
                "customer": charge.customer_id,
                "status": "succeeded",
                "metadata": {"payment_id": charge.payment_id},
            }
        )

    return answer


STRIPE = Contract(
    "stripe",
    stripe.gateway_at,
    stripe.SHOP,
    Account("TEST", stripe.REVOKED_KEY),
    stripe.INTENTS,
    stripe_charge,
    stripe.charged,
    stripe_answers_another_amount,
)

# --- Authorize.Net ---------------------------------------------------------------------------

REASONS = {
    "generic_decline": 2,
    "expired_card": 8,
    "incorrect_cvc": 65,
    "processing_error": 19,
    "fraudulent": 251,
    "held_for_review": 253,
}


async def authorize_charge(_sandbox: Sandbox, gateway: Any, result: str) -> GatewayCharge:
    if result == "approve":
        return await authorize.charge_with(gateway)
    amount = Amount(REASONS[result] * 100, "usd")
    return await authorize.charge_with(gateway, authorize.REASON_BY_AMOUNT, amount=amount)


def authorize_answers_another_amount(
    charge: GatewayCharge,
) -> Callable[[web.Request], web.Response]:
    """The response to a charge has no amount, but the transaction of a duplicate has."""

    def answer(request: web.Request) -> web.Response:
        if b"<createTransactionRequest" in request["body"]:
            return authorize.transaction_answer(
                charge, authorize.FAILED, responseCode="3", messages=None, error="11"
            )
        return authorize.details_answer(charge, authAmount="25.51", settleAmount="25.51")

    return answer


AUTHORIZE = Contract(
    "authorize",
    authorize.authorize_at,
    authorize.MERCHANT,
    replace(authorize.MERCHANT, secret_key=authorize.REVOKED_KEY),
    authorize.CHARGES,
    authorize_charge,
    authorize.charged,
    authorize_answers_another_amount,
)

CONTRACTS = [STRIPE, AUTHORIZE]


@pytest.fixture(params=CONTRACTS, ids=lambda contract: contract.name)
def contract(request: pytest.FixtureRequest) -> Contract:
    made: Contract = request.param
    return made


@pytest.fixture
async def running(contract: Contract, sandbox: Sandbox) -> AsyncIterator[Gateway]:
    async with contract.at(sandbox.url) as gateway:
        yield gateway


# --- The cases -------------------------------------------------------------------------------


async def test_an_approved_charge_succeeds_and_is_found(
    sandbox: Sandbox, contract: Contract, running: Gateway
) -> None:
    charge = await contract.charge(sandbox, running, "approve")
    outcome = await running.charge(contract.account, charge)
    assert isinstance(outcome, Succeeded)
    assert await running.look_up_charge(contract.account, charge) == outcome
    assert await contract.charged(sandbox) == [2550]


async def test_a_charge_that_was_not_made_is_not_found(
    sandbox: Sandbox, contract: Contract, running: Gateway
) -> None:
    charge = await contract.charge(sandbox, running, "approve")
    assert await running.look_up_charge(contract.account, charge) is None


@pytest.mark.parametrize(
    "code",
    ["generic_decline", "expired_card", "incorrect_cvc", "processing_error", "fraudulent"],
)
async def test_declines_have_the_same_codes_at_all_gateways(
    sandbox: Sandbox, contract: Contract, running: Gateway, code: str
) -> None:
    outcome = await running.charge(contract.account, await contract.charge(sandbox, running, code))
    assert isinstance(outcome, Declined)
    assert outcome.decline_code == code
    assert outcome.message.endswith(".")
    assert await contract.charged(sandbox) == []


@pytest.mark.parametrize(
    ("which", "result", "outcome"),
    [
        (STRIPE, "requires_action", RequiresAction),
        (AUTHORIZE, "held_for_review", HeldForReview),
    ],
    ids=["stripe", "authorize"],
)
async def test_an_undecided_charge_stays_undecided(
    sandbox: Sandbox, which: Contract, result: str, outcome: type[ChargeOutcome]
) -> None:
    async with which.at(sandbox.url) as gateway:
        charge = await which.charge(sandbox, gateway, result)
        first = await gateway.charge(which.account, charge)
        assert isinstance(first, outcome)
        assert await gateway.charge(which.account, charge) == first
        assert await gateway.look_up_charge(which.account, charge) == first
    assert await which.charged(sandbox) == []


async def test_a_resend_is_the_same_charge(
    sandbox: Sandbox, contract: Contract, running: Gateway
) -> None:
    charge = await contract.charge(sandbox, running, "approve")
    first = await running.charge(contract.account, charge)
    assert await running.charge(contract.account, charge) == first
    assert await contract.charged(sandbox) == [2550]


async def test_ten_sends_at_once_are_one_charge(
    sandbox: Sandbox, contract: Contract, running: Gateway
) -> None:
    charge = await contract.charge(sandbox, running, "approve")
    outcomes = await asyncio.gather(*(running.charge(contract.account, charge) for _ in range(10)))
    assert len(set(outcomes)) == 1
    assert isinstance(outcomes[0], Succeeded)
    assert await contract.charged(sandbox) == [2550]


@dataclass(frozen=True)
class FaultCase:
    """A fault of a charge, and its outcome for a gateway that resends and for one that does not."""

    name: str
    fault: str
    resent: type[ChargeOutcome]
    sent_once: type[ChargeOutcome]
    charges_if_sent_once: int


FAULT_CASES = [
    FaultCase("reset before the effect", "reset_before", Succeeded, Unknown, 0),
    FaultCase("reset after the effect", "reset_after", Succeeded, Unknown, 1),
    FaultCase("answer cut", "cut_body", Succeeded, Unknown, 1),
    FaultCase("500 before the effect", "error_500", Unknown, Unknown, 0),
    FaultCase("500 after the effect", "error_500_after", Succeeded, Unknown, 1),
    FaultCase("429", "rate_limit", NotSent, NotSent, 0),
]


@pytest.mark.parametrize("case", FAULT_CASES, ids=lambda case: case.name)
async def test_a_charge_with_a_fault_is_found_if_it_was_made(
    sandbox: Sandbox, contract: Contract, running: Gateway, case: FaultCase
) -> None:
    charge = await contract.charge(sandbox, running, "approve")
    await sandbox.schedule_fault(case.fault, match=contract.charges)
    outcome = await running.charge(contract.account, charge)
    charges = await contract.charged(sandbox)
    if contract is STRIPE:
        assert type(outcome) is case.resent
    else:
        assert type(outcome) is case.sent_once
        assert len(charges) == case.charges_if_sent_once
    found = await running.look_up_charge(contract.account, charge)
    assert isinstance(found, Succeeded) == bool(charges)


async def test_a_timeout_before_the_charge_is_unknown_and_charges_once(
    sandbox: Sandbox, contract: Contract, running: Gateway
) -> None:
    charge = await contract.charge(sandbox, running, "approve")
    await sandbox.schedule_fault("delay", match=contract.charges, seconds=60)
    async with contract.at(sandbox.url, SHORT_SECONDS) as hurried:
        assert isinstance(await hurried.charge(contract.account, charge), Unknown)
    assert await contract.charged(sandbox) == []
    await sandbox.control("DELETE", "faults")
    await until_charged(sandbox, contract)
    assert isinstance(await running.look_up_charge(contract.account, charge), Succeeded)
    assert isinstance(await running.charge(contract.account, charge), Succeeded)
    assert await contract.charged(sandbox) == [2550]


async def test_a_timeout_after_the_charge_is_never_a_failure(
    sandbox: Sandbox, contract: Contract, running: Gateway
) -> None:
    charge = await contract.charge(sandbox, running, "approve")
    await sandbox.schedule_fault("delay_after", match=contract.charges, seconds=60)
    async with contract.at(sandbox.url, SHORT_SECONDS) as hurried:
        outcome = await hurried.charge(contract.account, charge)
    assert isinstance(outcome, Succeeded if contract is STRIPE else Unknown)
    assert isinstance(await running.look_up_charge(contract.account, charge), Succeeded)
    assert await contract.charged(sandbox) == [2550]


async def until_charged(sandbox: Sandbox, contract: Contract) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await contract.charged(sandbox):
            pass


async def test_an_html_response_is_unknown(contract: Contract) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="<html>Request unsuccessful.</html>", content_type="text/html")

    assert isinstance(await charged_at(contract, answer, a_charge(contract)), Unknown)


async def test_a_response_with_another_amount_is_unknown_and_logged(
    contract: Contract, caplog: pytest.LogCaptureFixture
) -> None:
    charge = a_charge(contract)
    reply = contract.answers_another_amount(charge)

    async def answer(request: web.Request) -> web.Response:
        request["body"] = await request.read()
        return reply(request)

    assert isinstance(await charged_at(contract, answer, charge), Unknown)
    assert "amount" in stripe.logged(caplog, "differences")


def a_charge(contract: Contract) -> GatewayCharge:
    return stripe.a_charge() if contract is STRIPE else authorize.a_charge()


async def charged_at(
    contract: Contract, answer: stripe.Answering, charge: GatewayCharge
) -> ChargeOutcome:
    async with stripe.serving(answer) as url, contract.at(url) as gateway:
        outcome: ChargeOutcome = await gateway.charge(contract.account, charge)
        return outcome


async def test_wrong_credentials_are_refused(
    sandbox: Sandbox, contract: Contract, running: Gateway
) -> None:
    account = contract.wrong_account
    await sandbox.control("POST", "keys", {"key": STRIPE.wrong_account.secret_key, "revoked": True})
    keys = {"api_login_id": account.login_id, "transaction_key": account.secret_key}
    await sandbox.control("POST", "authorize/keys", keys)
    outcome = await running.charge(account, await contract.charge(sandbox, running, "approve"))
    assert isinstance(outcome, Refused)
    assert "key" in outcome.message
    assert account.secret_key not in outcome.message
    assert await contract.charged(sandbox) == []


async def test_an_account_is_checked_by_its_keys(
    sandbox: Sandbox, contract: Contract, running: Gateway
) -> None:
    account = contract.wrong_account
    await sandbox.control("POST", "keys", {"key": STRIPE.wrong_account.secret_key, "revoked": True})
    keys = {"api_login_id": account.login_id, "transaction_key": account.secret_key}
    await sandbox.control("POST", "authorize/keys", keys)
    await running.check_account(contract.account)
    with pytest.raises(GatewayRefused) as refused:
        await running.check_account(account)
    assert account.secret_key not in refused.value.message


async def test_an_account_is_not_checked_where_nobody_is(contract: Contract) -> None:
    async with contract.at(f"http://127.0.0.1:{stripe.closed_port()}") as down:
        with pytest.raises(GatewayUnavailable):
            await down.check_account(contract.account)


async def test_an_account_is_not_checked_by_a_page(contract: Contract) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="<html>Welcome.</html>", content_type="text/html")

    async with stripe.serving(answer) as url, contract.at(url) as gateway:
        with pytest.raises(GatewayUnknown):
            await gateway.check_account(contract.account)


async def test_another_business_cannot_charge_the_customer(
    sandbox: Sandbox, contract: Contract, running: Gateway
) -> None:
    other = replace(contract.account, secret_key="sk_test_shop2_a", login_id="another")
    if contract is AUTHORIZE:
        other = replace(other, secret_key=authorize.KEY)
    outcome = await running.charge(other, await contract.charge(sandbox, running, "approve"))
    assert isinstance(outcome, Refused)
    assert await contract.charged(sandbox) == []


async def test_a_charge_at_a_gateway_that_is_down_is_not_sent(contract: Contract) -> None:
    async with contract.at(f"http://127.0.0.1:{stripe.closed_port()}") as down:
        assert isinstance(await down.charge(contract.account, a_charge(contract)), NotSent)
    async with contract.at(f"https://127.0.0.1:{stripe.closed_port()}") as down:
        assert isinstance(await down.charge(contract.account, a_charge(contract)), NotSent)


async def test_an_unsupported_currency_is_refused_unsent(
    contract: Contract,
) -> None:
    charge = replace(a_charge(contract), amount=Amount(1, "lyd"))  # three decimals
    async with contract.at(f"http://127.0.0.1:{stripe.closed_port()}") as gateway:
        outcome = await gateway.charge(contract.account, charge)
    assert isinstance(outcome, Refused)
    assert outcome.field == "currency"
