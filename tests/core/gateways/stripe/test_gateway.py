"""Proves what each outcome of a charge means, and that no order is ever charged twice."""

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
    an_order,
    charged,
    gateway_at,
    logged,
    order_with,
)
from tests.sandbox.running import Sandbox

# --- Outcomes of a charge that Stripe answers ------------------------------------------------


async def test_an_approved_charge_succeeds_with_the_intents_id_and_says_all_of_the_order(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    order = await order_with(sandbox)
    outcome = await gateway.charge(SHOP, order)
    [intent] = (await sandbox.books())["payment_intents"]
    assert outcome == Succeeded(intent["id"])
    assert intent["metadata"] == {"payment_id": order.payment_id}
    assert (intent["amount"], intent["currency"]) == (2550, "usd")
    assert intent["description"] == "Order 17"
    assert intent["customer"] == order.customer_id
    assert await charged(sandbox) == [2550]


async def test_an_order_without_a_description_is_charged(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    order = await order_with(sandbox, description=None)
    assert isinstance(await gateway.charge(SHOP, order), Succeeded)


DECLINES = [
    ("pm_card_chargeCustomerFail", "generic_decline", "Your card was declined."),
    ("pm_card_radarBlock", "fraudulent", "Your card was declined."),
]


@pytest.mark.parametrize(("card", "code", "message"), DECLINES)
async def test_a_declined_charge_tells_the_code_and_stripes_sentence_for_the_cardholder(
    sandbox: Sandbox, gateway: StripeGateway, card: str, code: str, message: str
) -> None:
    outcome = await gateway.charge(SHOP, await order_with(sandbox, card))
    [intent] = (await sandbox.books())["payment_intents"]
    assert outcome == Declined(intent["id"], code, message)
    assert await charged(sandbox) == []


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ("pm_card_visa_chargeDeclined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedLostCard", "lost_card"),
        ("pm_card_visa_chargeDeclinedStolenCard", "stolen_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error"),
    ],
)
async def test_each_decline_class_keeps_its_code(
    sandbox: Sandbox, gateway: StripeGateway, card: str, code: str
) -> None:
    """These cards cannot be attached, so an on-the-fly intent is charged with them."""
    customer_id, _ = await sandbox.customer_with_card()
    outcome = await gateway.charge(SHOP, an_order(customer_id, card))
    assert isinstance(outcome, Declined)
    assert outcome.decline_code == code
    assert outcome.message.startswith(("Your card", "An error occurred while processing"))
    assert await charged(sandbox) == []


async def test_a_card_that_needs_authentication_requires_action(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    order = await order_with(sandbox, "pm_card_authenticationRequired")
    outcome = await gateway.charge(SHOP, order)
    [intent] = (await sandbox.books())["payment_intents"]
    assert outcome == RequiresAction(intent["id"], intent["client_secret"])
    assert intent["client_secret"] not in repr(outcome)
    assert await gateway.look_up_charge(SHOP, order) == outcome
    assert await charged(sandbox) == []


REFUSALS: list[tuple[dict[str, Any], str | None, str]] = [
    ({"amount": Amount(1, "usd")}, "amount", "below what Stripe charges"),
    ({"amount": Amount(10**9, "usd")}, "amount", "above what Stripe charges"),
    ({"amount": Amount(100, "irr")}, "currency", "does not charge this currency"),
    ({"amount": Amount(1234, "lyd")}, "currency", "does not charge lyd"),
    ({"amount": Amount(150, "mga")}, "amount", "whole mga only"),
    ({"amount": Amount(12345, "kwd")}, "amount", "two decimals of kwd"),
    ({"gateway_card_id": "pm_nothing"}, None, "no such card"),
    ({"customer_id": "cus_nothing"}, None, "no such customer"),
    ({"description": "x" * 1001}, None, "parameter description"),
]


@pytest.mark.parametrize(("changes", "field", "message"), REFUSALS)
async def test_a_refused_charge_names_the_callers_field_and_leaves_nothing(
    sandbox: Sandbox,
    gateway: StripeGateway,
    changes: dict[str, Any],
    field: str | None,
    message: str,
) -> None:
    outcome = await gateway.charge(SHOP, await order_with(sandbox, **changes))
    assert isinstance(outcome, Refused)
    assert outcome.field == field
    assert message in outcome.message
    assert (await sandbox.books())["payment_intents"] == []


async def test_a_revoked_key_is_refused_with_what_to_mend_and_no_part_of_the_key(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    key = "sk_test_shop1_wxyz"
    await sandbox.control("POST", "keys", {"key": key, "account": "acct_shop1", "revoked": True})
    outcome = await gateway.charge(Account("TEST", key), await order_with(sandbox))
    assert isinstance(outcome, Refused)
    assert "stripe_secret_key" in outcome.message
    assert "wxyz" not in outcome.message
    assert await charged(sandbox) == []


async def test_an_account_that_the_key_does_not_open_is_refused(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    account = replace(SHOP, account_id="acct_another")
    outcome = await gateway.charge(account, await order_with(sandbox))
    assert isinstance(outcome, Refused)
    assert "account_id" in outcome.message
    assert "acct_another" not in outcome.message
    assert await charged(sandbox) == []


async def test_another_business_cannot_charge_the_customer(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    outcome = await gateway.charge(Account("TEST", "sk_test_shop2_a"), await order_with(sandbox))
    assert isinstance(outcome, Refused)
    assert await charged(sandbox) == []


async def test_test_and_live_never_meet(sandbox: Sandbox, gateway: StripeGateway) -> None:
    outcome = await gateway.charge(Account("LIVE", "sk_live_shop1_a"), await order_with(sandbox))
    assert isinstance(outcome, Refused)
    assert await charged(sandbox) == []


# --- Never twice -----------------------------------------------------------------------------


async def test_the_same_order_again_is_the_same_charge_also_with_the_accounts_other_key(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    order = await order_with(sandbox)
    first = await gateway.charge(SHOP, order)
    assert await gateway.charge(SHOP, order) == first
    assert await gateway.charge(Account("TEST", "sk_test_shop1_b"), order) == first
    assert await charged(sandbox) == [2550]


async def test_twenty_at_once_are_one_charge(sandbox: Sandbox, gateway: StripeGateway) -> None:
    order = await order_with(sandbox)
    outcomes = await asyncio.gather(*(gateway.charge(SHOP, order) for _ in range(20)))
    assert {type(outcome) for outcome in outcomes} == {Succeeded}
    assert await charged(sandbox) == [2550]


@dataclass(frozen=True)
class Struck:
    """Which faults the order's requests meet, what it comes to, and how many charges there are."""

    name: str
    faults: tuple[str, ...]
    outcome: type[ChargeOutcome]
    charges: int
    later: type[ChargeOutcome] = Succeeded
    """What the same order comes to afterwards, when nothing goes wrong any more."""


STRUCK = [
    Struck("reset before the effect", ("reset_before",), Succeeded, 1),
    Struck("reset before it, twice", ("reset_before",) * 2, Unknown, 0),
    Struck("reset after the effect", ("reset_after",), Succeeded, 1),
    Struck("reset after it, twice", ("reset_after",) * 2, Succeeded, 1),
    Struck("body cut", ("cut_body",), Succeeded, 1),
    Struck("body cut twice", ("cut_body",) * 2, Succeeded, 1),
    Struck("500 before the effect", ("error_500",), Unknown, 0, later=Unknown),
    Struck("500 after the effect", ("error_500_after",), Succeeded, 1),
    Struck("429", ("rate_limit",), NotSent, 0),
    Struck("429 on the resend of what was done", ("reset_after", "rate_limit"), Succeeded, 1),
    Struck("429 on the resend of what was not", ("reset_before", "rate_limit"), Unknown, 0),
]


@pytest.mark.parametrize("case", STRUCK, ids=lambda case: case.name)
async def test_a_fault_is_told_by_what_it_proves_and_never_charges_twice(
    sandbox: Sandbox, gateway: StripeGateway, case: Struck
) -> None:
    order = await order_with(sandbox)
    for kind in case.faults:
        await sandbox.schedule_fault(kind, match=INTENTS)
    assert type(await gateway.charge(SHOP, order)) is case.outcome
    assert await charged(sandbox) == [2550] * case.charges
    assert type(await gateway.charge(SHOP, order)) is case.later
    assert len(await charged(sandbox)) == (case.later is Succeeded)


FAULTS = [
    None, "reset_before", "reset_after", "cut_body", "error_500", "error_500_after", "rate_limit",
]  # fmt: skip


@pytest.mark.parametrize("card", ["pm_card_visa", "pm_card_chargeCustomerFail"])
@pytest.mark.parametrize("listing", [None, "reset_before", "error_500", "rate_limit"])
async def test_whatever_goes_wrong_the_outcome_is_never_at_odds_with_the_books(
    sandbox: Sandbox, gateway: StripeGateway, card: str, listing: str | None
) -> None:
    for first, second in itertools.product(FAULTS, FAULTS[1:]):
        await sandbox.control("POST", "reset")
        order = await order_with(sandbox, card)
        for kind in filter(None, (first, second)):
            await sandbox.schedule_fault(kind, match=INTENTS)
        if listing:
            await sandbox.schedule_fault(listing, match=LISTS, times=2)
        outcome = await gateway.charge(SHOP, order)
        taken = await charged(sandbox)
        told = f"{first}, {second}, {listing}: {outcome}, {taken}"
        assert len(taken) == 1 or not isinstance(outcome, Succeeded), told
        assert not taken or isinstance(outcome, Succeeded | Unknown), told
        assert card == "pm_card_visa" or not isinstance(outcome, Succeeded), told
        await sandbox.control("DELETE", "faults")
        await gateway.charge(SHOP, order)
        assert len(await charged(sandbox)) <= 1, told


async def test_a_charge_slower_than_the_budget_is_unknown_in_time_and_completed_later(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    order = await order_with(sandbox)
    await sandbox.schedule_fault("delay", match=INTENTS, seconds=60)
    began = asyncio.get_running_loop().time()
    async with gateway_at(sandbox.url, SHORT_SECONDS) as hurried:
        assert isinstance(await hurried.charge(SHOP, order), Unknown)
    assert asyncio.get_running_loop().time() - began < SHORT_SECONDS + 1
    await sandbox.control("DELETE", "faults")
    assert isinstance(await gateway.charge(SHOP, order), Succeeded | Unknown)
    assert isinstance(await gateway.charge(SHOP, order), Succeeded)
    assert await charged(sandbox) == [2550]


async def test_a_late_answer_is_asked_for_again_within_the_budget(sandbox: Sandbox) -> None:
    order = await order_with(sandbox)
    await sandbox.schedule_fault("delay_after", match=INTENTS, seconds=60)
    async with gateway_at(sandbox.url, SHORT_SECONDS) as hurried:
        assert isinstance(await hurried.charge(SHOP, order), Succeeded)
    await sandbox.control("DELETE", "faults")
    assert await charged(sandbox) == [2550]


async def test_an_order_that_still_runs_elsewhere_is_unknown_here(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    order = await order_with(sandbox)
    await sandbox.schedule_fault("delay", match=INTENTS, seconds=60)
    elsewhere = asyncio.create_task(gateway.charge(SHOP, order))
    await sandbox.wait_until_delayed(1)
    async with gateway_at(sandbox.url, SHORT_SECONDS) as hurried:
        assert isinstance(await hurried.charge(SHOP, order), Unknown)
    await sandbox.control("DELETE", "faults")
    assert isinstance(await elsewhere, Succeeded)
    assert await charged(sandbox) == [2550]


async def test_a_key_that_stands_for_another_amount_is_unknown_and_loud(
    sandbox: Sandbox, gateway: StripeGateway, caplog: pytest.LogCaptureFixture
) -> None:
    order = await order_with(sandbox)
    await gateway.charge(SHOP, order)
    outcome = await gateway.charge(SHOP, replace(order, amount=Amount(9900, "usd")))
    assert isinstance(outcome, Unknown)
    assert "amount" in logged(caplog, "differences")
    assert await charged(sandbox) == [2550]


async def test_a_key_that_stands_for_another_payment_is_unknown_never_refused(
    sandbox: Sandbox, gateway: StripeGateway
) -> None:
    order = await order_with(sandbox)
    await gateway.charge(SHOP, order)
    assert isinstance(await gateway.charge(SHOP, replace(order, payment_id="PAY-X")), Unknown)
    assert await charged(sandbox) == [2550]


async def test_an_account_whose_calls_hang_is_turned_away_and_others_are_charged(
    sandbox: Sandbox,
) -> None:
    other = Account("TEST", "sk_test_shop2_a")
    orders = [await order_with(sandbox) for _ in range(CALLS_PER_ACCOUNT_MAX)]
    async with gateway_at(sandbox.url, timeout_seconds=8.0) as gateway:
        customer_id = await gateway.create_customer(
            other, user_id="U", name="A", email="a@example.com", gateway_key="c"
        )
        card = await gateway.save_card(
            other, customer_id=customer_id, card="pm_card_visa", gateway_key="k"
        )
        hanging = {"match": {**INTENTS, "account": "acct_shop1"}, "seconds": 60, "times": 100}
        await sandbox.schedule_fault("delay", **hanging)
        held = [asyncio.ensure_future(gateway.charge(SHOP, order)) for order in orders]
        await sandbox.wait_until_delayed(CALLS_PER_ACCOUNT_MAX)
        one_more, others = await asyncio.gather(
            gateway.charge(SHOP, an_order()),
            gateway.charge(other, an_order(customer_id, card.gateway_card_id)),
        )
        assert isinstance(one_more, NotSent)
        assert isinstance(others, Succeeded)
        await sandbox.control("DELETE", "/_sandbox/faults")
        await asyncio.gather(*held)
