"""Operators resolve refunds that no gateway decides, and have gateways asked again."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from core.database.transactions import Database
from core.due_work.store import all_set_aside
from core.errors import InvalidFields, Reason, Refusal
from core.idempotency.call import Replay
from core.payments.decision_rules import Action, Decision, Resolution
from core.payments.decisions import Operator, Request
from core.refunds.attempts import StartedRefund
from core.refunds.decisions import Decided
from core.refunds.store import Refund
from nivisco.payments.v1 import refunds_pb2
from tests.core.payments.running_service import LOGIN, RunningService, running_service
from tests.core.refunds.test_outcomes import (
    REFUND,
    lose_answer,
    reason_of,
    refund,
    refunds_of,
    request_of,
    settle,
    state,
    transactions,
)
from tests.core.running import Gateway, ShiftedClock
from tests.core.webhooks.receiving import Hooks

ANA, BO = Operator("ana", "the interface does not show it"), Operator("bo", "made by hand")
FAILED, SUCCEEDED = Request(Resolution.FAILED), Request(Resolution.SUCCEEDED)
REFUNDED, GIVEN_BACK = ("partially_refunded", 2000, 3000), ("succeeded", 0, 5000)
KEYS = {"api_login_id": LOGIN, "transaction_key": "346HZ32z3fP4hTG2"}


@pytest.fixture
async def shop(database_url: str, gateway: Gateway) -> AsyncIterator[RunningService]:
    """A funding of 50 USD at Authorize.Net, on both databases."""
    clock = ShiftedClock()
    database = Database(database_url, clock)
    async with running_service(database, clock, gateway, "authorize") as running:
        await running.fund()
        yield running


async def lose(running: RunningService, kind: str = "reset_before", key: str | None = "k") -> None:
    """Lose a refund of 20 USD on its way to Authorize.Net, or its answer."""
    await settle(running)
    await running.gateway.authorize_fault(kind)
    assert await reason_of(refund(running, 20, key)) == "OUTCOME_UNKNOWN"


async def set_aside(running: RunningService) -> list[str]:
    async with running.database.transaction() as transaction:
        return [each.id for each in await all_set_aside(transaction, 10)]


async def lose_for_good(running: RunningService) -> None:
    """Have a refund of 20 USD set aside that never reached Authorize.Net."""
    await lose(running)
    await running.later(hours=9)
    assert await set_aside(running) == [(await only(running)).refund_id]


async def only(running: RunningService) -> Refund:
    (only_one,) = await refunds_of(running)
    return only_one


async def resolve(running: RunningService, request: Request, by: Operator = ANA) -> Decided:
    oldest = (await refunds_of(running))[-1]
    return await running.refund_decisions.resolve(oldest.refund_id, None, by, request)


async def retry(running: RunningService) -> Decided:
    return await running.refund_decisions.retry((await only(running)).refund_id, None, BO)


async def refused(running: RunningService, request: Request) -> str:
    """Return why a decision is refused; it changes nothing."""
    before = await refunds_of(running), await state(running)
    with pytest.raises(Refusal) as refusal:
        await resolve(running, request)
    assert refusal.value.reason == Reason.ERROR_REASON_PAYMENT_STATE
    assert (await refunds_of(running), await state(running)) == before
    assert await recorded(running) == []
    return refusal.value.message


async def recorded(running: RunningService) -> list[Decision]:
    oldest = (await refunds_of(running))[-1]
    async with running.database.read() as transaction:
        return await running.refund_decisions.history(transaction, oldest)


async def by_hand(running: RunningService, amount: str, invoice: str = "") -> str:
    """Refund the payment in the merchant interface, and return the transaction's id."""
    charge = (await running.payment()).transaction_id
    assert charge is not None
    await running.gateway.authorize(
        "refunds", transaction=charge, amount=amount, invoice_number=invoice
    )
    books = await running.gateway.authorize_books(LOGIN)
    return str(next(each["id"] for each in books["transactions"] if each["type"] == REFUND))


def as_made(transaction_id: str | None = None, *, force: bool = False) -> Request:
    return Request(Resolution.SUCCEEDED, transaction_id, force)


async def test_a_refund_resolved_as_failed_gives_the_money_back_and_frees_its_key(
    shop: RunningService,
) -> None:
    await lose_for_good(shop)
    lost = await only(shop)
    decided = await resolve(shop, FAILED)
    assert (decided.refund.status, decided.refund.failure_code) == ("failed", "not_made")
    assert await state(shop) == GIVEN_BACK
    assert await set_aside(shop) == []
    (decision,) = await recorded(shop)
    assert decision == decided.decision
    assert (decision.action, decision.resolution) == (Action.RESOLVE, Resolution.FAILED)
    assert (decision.decided_by, decision.reason) == (ANA.name, ANA.reason)
    assert (decision.previous_status, decision.is_forced) == ("pending", False)
    assert [each.answer for each in decision.findings] == [
        "The gateway shows no refund with our id."
    ]
    again = await refund(shop, 20, "k")
    assert (again.status, again.refund_id != lost.refund_id) == ("succeeded", True)
    assert await state(shop) == REFUNDED
    assert len(await transactions(shop)) == 2


async def test_a_success_without_proof_must_be_forced_and_then_counts_for_good(
    authorize: RunningService,
) -> None:
    await lose_for_good(authorize)
    assert "does not show the refund" in await refused(authorize, SUCCEEDED)
    decided = await resolve(authorize, as_made(force=True))
    assert (decided.refund.status, decided.decision.is_forced) == ("succeeded", True)
    with pytest.raises(Replay) as replay:
        await refund(authorize, 20, "k")
    answer = replay.value.answer.message(refunds_pb2.RefundPaymentResponse)
    assert answer.refund.refund_id == decided.refund.refund_id
    await authorize.later(days=4)
    assert await state(authorize) == REFUNDED
    assert await reason_of(refund(authorize, 31, "l")) == "REFUND_TOO_HIGH"


async def test_of_two_operators_at_once_one_decides(shop: RunningService) -> None:
    await lose_for_good(shop)
    made = await asyncio.gather(
        resolve(shop, FAILED),
        resolve(shop, FAILED, BO),
        resolve(shop, as_made(force=True), BO),
        return_exceptions=True,
    )
    decided = {each.decision.decision_id for each in made if isinstance(each, Decided)}
    (decision,) = await recorded(shop)
    assert decided == {decision.decision_id}
    assert all(isinstance(each, Decided | Refusal) for each in made)
    is_failed = decision.resolution is Resolution.FAILED
    assert await state(shop) == (GIVEN_BACK if is_failed else REFUNDED)


async def test_a_refund_by_hand_is_this_one_and_counts_once(authorize: RunningService) -> None:
    await lose_for_good(authorize)
    made = await by_hand(authorize, "20.00")
    decided = await resolve(authorize, as_made(made))
    assert (decided.refund.status, decided.refund.gateway_refund_id) == ("succeeded", made)
    assert not decided.decision.is_forced
    assert await state(authorize) == REFUNDED
    await authorize.gateway.authorize("transactions", transaction=made, status="generalError")
    await authorize.later(days=3, minutes=1)  # the gateway has the last word
    assert ((await only(authorize)).status, await state(authorize)) == ("failed", GIVEN_BACK)


async def test_a_decision_is_made_once(authorize: RunningService) -> None:
    await lose_for_good(authorize)
    first, again = await resolve(authorize, FAILED), await resolve(authorize, FAILED, BO)
    assert (first.is_repeated, again.is_repeated) == (False, True)
    assert first.decision == again.decision
    with pytest.raises(Refusal, match=r"nothing to decide.*failed by ana"):
        await resolve(authorize, as_made(force=True))


async def test_the_gateway_wins_over_a_forced_failure_and_both_sides_are_logged(
    authorize: RunningService, caplog: pytest.LogCaptureFixture
) -> None:
    await lose(authorize, "reset_after")
    assert "shows that the money was given back" in await refused(authorize, FAILED)
    decided = await resolve(authorize, Request(Resolution.FAILED, force=True))
    assert decided.decision.is_forced
    assert await state(authorize) == GIVEN_BACK
    retried = await retry(authorize)
    assert (retried.refund.status, await state(authorize)) == ("succeeded", REFUNDED)
    (both,) = (each.__dict__ for each in caplog.records if each.levelno == logging.ERROR)
    assert both["msg"] == "gateway contradicts an operator's decision about a refund, and counts"
    assert (both["resolution"], both["status"]) == ("failed", "succeeded")
    assert both["gateway_refund_id"] == retried.refund.gateway_refund_id
    with pytest.raises(Replay):
        await refund(authorize, 20, "k")


async def test_an_event_about_a_refund_that_was_resolved_as_failed_counts(
    hooks: Hooks, stripe: RunningService, gateway: Gateway
) -> None:
    await lose_answer(gateway, "reset_after", refund(stripe, 20, "k"))
    await resolve(stripe, Request(Resolution.FAILED, force=True))
    assert await state(stripe) == GIVEN_BACK
    (books,) = await gateway.books()
    (shown,) = books["refunds"]
    thing = {name: shown[name] for name in ("id", "amount", "status", "metadata")}
    await hooks.send("evt_1", "refund.created", 999, **thing)
    assert ((await only(stripe)).status, await state(stripe)) == ("succeeded", REFUNDED)


async def test_a_refund_in_stripes_dashboard_that_was_counted_beside_it_counts_once(
    hooks: Hooks, stripe: RunningService, gateway: Gateway
) -> None:
    await lose_answer(gateway, "reset_before", refund(stripe, 20, "k"))
    made = await gateway.control("stripe/refunds", payment_intent=hooks.intent, amount=2000)
    dashboard = {"id": made["id"], "amount": 2000, "status": "succeeded"}
    await hooks.send("evt_1", "refund.created", 999, **dashboard)
    assert await state(stripe) == ("partially_refunded", 4000, 1000)
    await resolve(stripe, as_made(made["id"]))
    assert await state(stripe) == REFUNDED


async def test_a_failure_waits_until_the_lists_show_the_refund(authorize: RunningService) -> None:
    await lose(authorize)
    assert "sent less than 180 seconds ago" in await refused(authorize, FAILED)
    authorize.clock.ahead += timedelta(seconds=181)
    assert (await resolve(authorize, FAILED)).refund.status == "failed"


async def test_nothing_is_decided_while_a_core_makes_the_refund(authorize: RunningService) -> None:
    request = request_of(authorize, (await authorize.payment()).payment_id, 20, "k")
    async with authorize.database.transaction() as transaction:
        started = await authorize.refunds._beginning._begin(transaction, authorize.caller, request)
    assert isinstance(started, StartedRefund)
    assert "Repeat the command" in await refused(authorize, as_made(force=True))
    with pytest.raises(Refusal, match="Repeat the command"):
        await retry(authorize)


async def test_what_is_another_transaction_is_not_counted_as_the_refund(
    authorize: RunningService,
) -> None:
    await lose_for_good(authorize)
    charge = (await authorize.payment()).transaction_id
    other = (await refund(authorize, 20, "l")).gateway_refund_id
    less = await by_hand(authorize, "10.00")
    for named, problem in (
        (charge, "is the payment itself"),
        (other, "is the refund REF-"),
        (less, "with 1000 usd, the refund has 2000 usd"),
    ):
        assert problem in await refused(authorize, as_made(named, force=True))
    for named in ("12345", "re_1"):
        assert f"shows no refund {named}" in await refused(authorize, as_made(named))


async def test_a_refund_that_waits_for_settlement_can_be_cancelled(
    authorize: RunningService,
) -> None:
    await refund(authorize, 20)
    decided = await resolve(authorize, FAILED)
    assert (decided.refund.status, await state(authorize)) == ("failed", GIVEN_BACK)
    await settle(authorize)
    await authorize.later(hours=2)
    assert len(await transactions(authorize)) == 1


async def test_a_refund_with_revoked_keys_can_be_resolved(authorize: RunningService) -> None:
    await lose(authorize)
    await authorize.gateway.authorize("keys", **KEYS, revoked=True)
    authorize.clock.ahead += timedelta(hours=1)
    assert "does not show the refund" in await refused(authorize, as_made("60000000001"))
    decided = await resolve(authorize, FAILED)
    assert [each.is_answered for each in decided.decision.findings] == [False]
    assert await state(authorize) == GIVEN_BACK


async def test_a_lost_void_proves_the_refund(authorize: RunningService, gateway: Gateway) -> None:
    await gateway.authorize_fault("reset_after")
    assert await reason_of(refund(authorize, None, "k")) == "OUTCOME_UNKNOWN"
    assert (await resolve(authorize, SUCCEEDED)).refund.status == "succeeded"
    assert await state(authorize) == ("voided", 0, 0)


async def test_a_refund_that_was_set_aside_is_looked_at_again(authorize: RunningService) -> None:
    await lose_for_good(authorize)
    assert (await retry(authorize)).refund.status == "pending"
    assert await set_aside(authorize) == []
    await authorize.later(seconds=1)
    lost = await only(authorize)
    assert await set_aside(authorize) == [lost.refund_id]
    made = await by_hand(authorize, "20.00", lost.refund_id)
    await retry(authorize)
    await authorize.later(seconds=1)
    assert ((await only(authorize)).gateway_refund_id, await state(authorize)) == (made, REFUNDED)
    assert [each.action for each in await recorded(authorize)] == [Action.RETRY, Action.RETRY]
    assert len(await transactions(authorize)) == 2


async def test_a_void_in_the_interface_is_not_taken_for_a_refund_that_was_refused(
    authorize: RunningService,
) -> None:
    charge = (await authorize.payment()).transaction_id
    await authorize.gateway.authorize("transactions", transaction=charge, status="voided")
    assert await reason_of(refund(authorize, None, "k")) == "REFUND_REFUSED"
    retried = await retry(authorize)
    assert (retried.refund.status, retried.refund.failure_code) == ("failed", "voided")


async def test_a_refund_that_was_not_made_does_not_adopt_the_void_of_another(
    authorize: RunningService, gateway: Gateway
) -> None:
    await gateway.authorize_fault("reset_before")
    assert await reason_of(refund(authorize, None, "k")) == "OUTCOME_UNKNOWN"
    await authorize.later(seconds=1)
    lost = (await resolve(authorize, Request(Resolution.FAILED, force=True))).refund
    made = await refund(authorize, None, "other")
    assert (lost.status, made.status) == ("failed", "succeeded")
    again = await authorize.refund_decisions.retry(lost.refund_id, None, BO)
    assert (again.refund.status, again.refund.gateway_refund_id) == ("failed", None)
    assert await state(authorize) == ("voided", 0, 0)


async def test_what_names_no_refund_is_refused_by_field(authorize: RunningService) -> None:
    refund_id, decisions = (await refund(authorize, 20)).refund_id, authorize.refund_decisions
    named = Request(Resolution.FAILED, "60000000001")
    for of, business, request, field in (
        ("REF-NONE", None, FAILED, "refund_id"),
        (refund_id, "another-business", FAILED, "refund_id"),
        (refund_id, None, named, "transaction_id"),
    ):
        with pytest.raises(InvalidFields) as refusal:
            await decisions.resolve(of, business, ANA, request)
        assert [each.field for each in refusal.value.problems] == [field]
