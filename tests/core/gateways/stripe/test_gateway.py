"""Stripe: the outcome of each charge, and no charge made twice."""

import asyncio
import itertools
from dataclasses import dataclass, replace
from typing import Any

import pytest

from core.gateways.gateway import (
    Account,
    ChargeOutcome,
    Declined,
    NotSent,
    Refused,
    RequiresAction,
    Succeeded,
    Unknown,
)
from core.gateways.stripe.gateway import CALLS_PER_ACCOUNT_MAX, StripeGateway
from core.money import Amount
from tests.core.gateways.running import (
    INTENTS,
    LISTS,
    SHOP,
    SHORT_SECONDS,
    a_charge,
    charge_with,
    charged,
    gateway_at,
    logged,
)
from tests.sandbox.running import Sandbox

# --- Outcomes --------------------------------------------------------------------------------


async def test_an_approved_charge_succeeds_and_has_all_fields_at_stripe(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    charge = await charge_with(sandbox)
    outcome = await gateway.charge(SHOP, charge)
    [intent] = (await sandbox.books())["payment_intents"]
    assert outcome == Succeeded(intent["id"])
    assert intent["metadata"]["nivisco_payment_id"] == charge.payment_id
    assert (intent["amount"], intent["currency"]) == (2550, "usd")
    assert intent["description"] == "Order 17"
    assert intent["customer"] == charge.customer_id
    assert await charged(sandbox) == [2550]


async def test_a_charge_needs_no_description(sandbox: Sandbox, gateway: StripeGateway) -> None:
    charge = await charge_with(sandbox, description=None)
    assert isinstance(await gateway.charge(SHOP, charge), Succeeded)


DECLINES = [
    ("pm_card_chargeCustomerFail", "generic_decline", "Your card was declined."),
    ("pm_card_radarBlock", "fraudulent", "Your card was declined."),
]


@pytest.mark.parametrize(("card", "code", "message"), DECLINES)
async def test_a_declined_charge_has_stripes_code_and_message(
    sandbox: Sandbox, gateway: StripeGateway, card: str, code: str, message: str
) -> None:
    outcome = await gateway.charge(SHOP, await charge_with(sandbox, card))
    [intent] = (await sandbox.books())["payment_intents"]
    assert outcome == Declined(intent["id"], code, message)
    assert await charged(sandbox) == []


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedLostCard", "lost_card"),
        ("pm_card_visa_chargeDeclinedStolenCard", "stolen_card"),
    ],
)
async def test_specific_declines_have_their_codes(
    sandbox: Sandbox, gateway: StripeGateway, card: str, code: str
) -> None:
    """These cards cannot be attached, only charged."""
    customer_id, _ = await sandbox.customer_with_card()
    outcome = await gateway.charge(SHOP, a_charge(customer_id, card))
    assert isinstance(outcome, Declined)
    assert outcome.decline_code == code
    assert outcome.message.startswith("Your card")
    assert await charged(sandbox) == []


async def test_a_card_that_needs_authentication_requires_action(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    charge = await charge_with(sandbox, "pm_card_authenticationRequired")
    outcome = await gateway.charge(SHOP, charge)
    [intent] = (await sandbox.books())["payment_intents"]
    assert outcome == RequiresAction(intent["id"], intent["client_secret"])
    assert intent["client_secret"] not in repr(outcome)
    assert await gateway.look_up_charge(SHOP, charge) == outcome
    assert await charged(sandbox) == []


REFUSALS: list[tuple[dict[str, Any], str | None, str]] = [
    ({"amount": Amount(1, "usd")}, "amount", "below what Stripe charges"),
    ({"amount": Amount(10**12, "usd")}, "amount", "above what Stripe charges"),
    ({"amount": Amount(100, "irr")}, "currency", "does not charge this currency"),
    ({"amount": Amount(1234, "lyd")}, "currency", "does not charge lyd"),
    ({"amount": Amount(150, "mga")}, "amount", "whole mga only"),
    ({"amount": Amount(12345, "kwd")}, "amount", "two decimals of kwd"),
    ({"gateway_card_id": "pm_nothing"}, None, "no such card"),
    ({"customer_id": "cus_nothing"}, None, "no such customer"),
    ({"description": "x" * 1001}, None, "parameter description"),
]


@pytest.mark.parametrize(("changes", "field", "message"), REFUSALS)
async def test_a_refusal_names_the_callers_field(
    sandbox: Sandbox,
    gateway: StripeGateway,
    changes: dict[str, Any],
    field: str | None,
    message: str,
) -> None:
    outcome = await gateway.charge(SHOP, await charge_with(sandbox, **changes))
    assert isinstance(outcome, Refused)
    assert outcome.field == field
    assert message in outcome.message
    assert (await sandbox.books())["payment_intents"] == []


async def test_a_refused_key_is_named_but_not_shown(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    key = "sk_test_shop1_wxyz"
    await sandbox.control("POST", "keys", {"key": key, "account": "acct_shop1", "revoked": True})
    outcome = await gateway.charge(Account("TEST", key), await charge_with(sandbox))
    assert isinstance(outcome, Refused)
    assert "stripe_secret_key" in outcome.message
    assert "wxyz" not in outcome.message
    assert await charged(sandbox) == []


async def test_an_account_without_access_is_refused(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    account = replace(SHOP, account_id="acct_another")
    outcome = await gateway.charge(account, await charge_with(sandbox))
    assert isinstance(outcome, Refused)
    assert "account_id" in outcome.message
    assert "acct_another" not in outcome.message
    assert await charged(sandbox) == []


async def test_a_live_key_cannot_charge_a_test_customer(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    outcome = await gateway.charge(Account("LIVE", "sk_live_shop1_a"), await charge_with(sandbox))
    assert isinstance(outcome, Refused)
    assert await charged(sandbox) == []


# --- Faults ----------------------------------------------------------------------------------


async def test_a_resend_with_another_key_of_the_account_is_the_same_charge(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    charge = await charge_with(sandbox)
    first = await gateway.charge(SHOP, charge)
    assert await gateway.charge(SHOP, charge) == first
    assert await gateway.charge(Account("TEST", "sk_test_shop1_b"), charge) == first
    assert await charged(sandbox) == [2550]


@dataclass(frozen=True)
class FaultCase:
    """Faults of a charge's requests, its outcome, and the number of charges made."""

    name: str
    faults: tuple[str, ...]
    outcome: type[ChargeOutcome]
    charges: int
    later: type[ChargeOutcome] = Succeeded
    """The outcome of the same charge afterwards, without faults."""


FAULT_CASES = [
    FaultCase("reset before the effect", ("reset_before",), Succeeded, 1),
    FaultCase("reset before it, twice", ("reset_before",) * 2, Unknown, 0),
    FaultCase("reset after the effect", ("reset_after",), Succeeded, 1),
    FaultCase("reset after it, twice", ("reset_after",) * 2, Succeeded, 1),
    FaultCase("body cut", ("cut_body",), Succeeded, 1),
    FaultCase("body cut twice", ("cut_body",) * 2, Succeeded, 1),
    FaultCase("500 before the effect", ("error_500",), Unknown, 0, later=Unknown),
    FaultCase("500 after the effect", ("error_500_after",), Succeeded, 1),
    FaultCase("429", ("rate_limit",), NotSent, 0),
    FaultCase("429 on the resend of what was done", ("reset_after", "rate_limit"), Succeeded, 1),
    FaultCase("429 on the resend of what was not", ("reset_before", "rate_limit"), Unknown, 0),
]


@pytest.mark.parametrize("case", FAULT_CASES, ids=lambda case: case.name)
async def test_a_fault_never_charges_twice(
    sandbox: Sandbox, gateway: StripeGateway, case: FaultCase
) -> None:
    charge = await charge_with(sandbox)
    for kind in case.faults:
        await sandbox.schedule_fault(kind, match=INTENTS)
    assert type(await gateway.charge(SHOP, charge)) is case.outcome
    assert await charged(sandbox) == [2550] * case.charges
    assert type(await gateway.charge(SHOP, charge)) is case.later
    assert len(await charged(sandbox)) == (case.later is Succeeded)


FAULTS = [
    None, "reset_before", "reset_after", "cut_body", "error_500", "error_500_after", "rate_limit",
]  # fmt: skip


@pytest.mark.parametrize("card", ["pm_card_visa", "pm_card_chargeCustomerFail"])
@pytest.mark.parametrize("listing", [None, "reset_before", "error_500", "rate_limit"])
async def test_random_faults_never_contradict_the_sandboxs_books(
    sandbox: Sandbox, gateway: StripeGateway, card: str, listing: str | None
) -> None:
    for first, second in itertools.product(FAULTS, FAULTS[1:]):
        await sandbox.control("POST", "reset")
        charge = await charge_with(sandbox, card)
        for kind in filter(None, (first, second)):
            await sandbox.schedule_fault(kind, match=INTENTS)
        if listing:
            await sandbox.schedule_fault(listing, match=LISTS, times=2)
        outcome = await gateway.charge(SHOP, charge)
        taken = await charged(sandbox)
        told = f"{first}, {second}, {listing}: {outcome}, {taken}"
        assert len(taken) == 1 or not isinstance(outcome, Succeeded), told
        assert not taken or isinstance(outcome, Succeeded | Unknown), told
        assert card == "pm_card_visa" or not isinstance(outcome, Succeeded), told
        await sandbox.control("DELETE", "faults")
        await gateway.charge(SHOP, charge)
        assert len(await charged(sandbox)) <= 1, told


async def test_a_charge_slower_than_the_timeout_is_unknown(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    charge = await charge_with(sandbox)
    await sandbox.schedule_fault("delay", match=INTENTS, seconds=60)
    began = asyncio.get_running_loop().time()
    async with gateway_at(sandbox.url, SHORT_SECONDS) as hurried:
        assert isinstance(await hurried.charge(SHOP, charge), Unknown)
    assert asyncio.get_running_loop().time() - began < 2 * SHORT_SECONDS
    await sandbox.control("DELETE", "faults")
    assert isinstance(await gateway.charge(SHOP, charge), Succeeded | Unknown)
    assert isinstance(await gateway.charge(SHOP, charge), Succeeded)
    assert await charged(sandbox) == [2550]


async def test_a_charge_in_flight_elsewhere_is_unknown(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    charge = await charge_with(sandbox)
    await sandbox.schedule_fault("delay", match=INTENTS, seconds=60)
    elsewhere = asyncio.create_task(gateway.charge(SHOP, charge))
    await sandbox.wait_until_delayed(1)
    async with gateway_at(sandbox.url, SHORT_SECONDS) as hurried:
        assert isinstance(await hurried.charge(SHOP, charge), Unknown)
    await sandbox.control("DELETE", "faults")
    assert isinstance(await elsewhere, Succeeded)
    assert await charged(sandbox) == [2550]


async def test_a_key_used_for_another_amount_is_unknown_and_logged(
    sandbox: Sandbox, gateway: StripeGateway, caplog: pytest.LogCaptureFixture
) -> None:
    charge = await charge_with(sandbox)
    await gateway.charge(SHOP, charge)
    outcome = await gateway.charge(SHOP, replace(charge, amount=Amount(9900, "usd")))
    assert isinstance(outcome, Unknown)
    assert "amount" in logged(caplog, "differences")
    assert await charged(sandbox) == [2550]


async def test_a_key_used_for_another_payment_is_unknown(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    charge = await charge_with(sandbox)
    await gateway.charge(SHOP, charge)
    assert isinstance(await gateway.charge(SHOP, replace(charge, payment_id="PAY-X")), Unknown)
    assert await charged(sandbox) == [2550]


async def test_an_account_with_hanging_calls_is_throttled_and_others_are_not(
    sandbox: Sandbox,
) -> None:
    other = Account("TEST", "sk_test_shop2_a")
    charges = [await charge_with(sandbox) for _ in range(CALLS_PER_ACCOUNT_MAX)]
    async with gateway_at(sandbox.url, timeout_seconds=8.0) as gateway:
        customer_id = await gateway.create_customer(
            other, user_id="U", name="A", email="a@example.com", gateway_key="c"
        )
        card = await gateway.save_card(
            other, customer_id=customer_id, card="pm_card_visa", gateway_key="k"
        )
        hanging = {"match": {**INTENTS, "account": "acct_shop1"}, "seconds": 60, "times": 100}
        await sandbox.schedule_fault("delay", **hanging)
        held = [asyncio.ensure_future(gateway.charge(SHOP, charge)) for charge in charges]
        await sandbox.wait_until_delayed(CALLS_PER_ACCOUNT_MAX)
        one_more, others = await asyncio.gather(
            gateway.charge(SHOP, a_charge()),
            gateway.charge(other, a_charge(customer_id, card.gateway_card_id)),
        )
        assert isinstance(one_more, NotSent)
        assert isinstance(others, Succeeded)
        await sandbox.control("DELETE", "/_sandbox/faults")
        await asyncio.gather(*held)
