"""Operators resolve payments that no gateway decides, and have gateways asked again."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from google.type.money_pb2 import Money
from sqlalchemy import func, insert, literal, select, update

from core.caller import Presence, set_presence
from core.database.schema import businesses, decisions, payments, users
from core.database.transactions import (
    CommitUnknownError,
    Database,
    DatabaseUnavailableError,
    Transaction,
)
from core.errors import InvalidFields, Reason, Refusal
from core.idempotency.call import Replay
from core.payments.charge_request import ChargeRequest
from core.payments.decision_rules import Action, Decision, Resolution
from core.payments.decisions import Decided, Operator, Request
from nivisco.payments.v1 import payments_pb2
from tests.core.payments.charging import INTENTS
from tests.core.payments.running_service import STRIPE_KEY, RunningService, running_service
from tests.core.payments.test_sweep import leave_unknown
from tests.core.running import Gateway, ShiftedClock
from tests.core.webhooks.receiving import Hooks
from tests.end_to_end.signing import stripe_event

ANA = Operator("ana", "the bank confirms it")
FAILED = Request(Resolution.FAILED)
DECLINED = Request(Resolution.DECLINED)
NOT_THERE = "pi_obviously_not_there"


@pytest.fixture
async def shop(database_url: str, gateway: Gateway) -> AsyncIterator[RunningService]:
    clock = ShiftedClock()
    async with running_service(Database(database_url, clock), clock, gateway) as running:
        yield running


@pytest.fixture
async def waiting(database_url: str, gateway: Gateway) -> AsyncIterator[RunningService]:
    clock = ShiftedClock()
    async with running_service(
        Database(database_url, clock), clock, gateway, card="pm_card_authenticationRequired"
    ) as running:
        yield running


async def resolve(shop: RunningService, request: Request, by: Operator = ANA) -> Decided:
    return await shop.decisions.resolve((await shop.payment()).payment_id, None, by, request)


async def retry(shop: RunningService) -> Decided:
    return await shop.decisions.retry((await shop.payment()).payment_id, None, ANA)


async def refused(shop: RunningService, request: Request) -> str:
    """Return why a decision is refused."""
    before = (await shop.payment()).status, await shop.balance(), await recorded(shop)
    with pytest.raises(Refusal) as refusal:
        await resolve(shop, request)
    assert refusal.value.reason == Reason.ERROR_REASON_PAYMENT_STATE
    assert ((await shop.payment()).status, await shop.balance(), await recorded(shop)) == before
    return refusal.value.message


async def recorded(shop: RunningService) -> list[Decision]:
    payment = await shop.payment()
    async with shop.database.read() as transaction:
        return await shop.decisions.history(transaction, payment)


async def leave_needs_review(
    shop: RunningService, gateway: Gateway, key: str | None = None
) -> None:
    """Leave a payment that the gateway never shows, 27 hours later."""
    await leave_unknown(shop, gateway, shop.call(key) if key else None, kind="reset_before")
    await shop.later(hours=27)
    assert (await shop.payment()).status == "needs_review"


async def intent_of(gateway: Gateway, number: int = 0) -> str:
    return str((await gateway.charges())[number]["payment_intent"])


async def test_a_payment_that_needs_review_is_resolved_as_failed_and_its_key_is_free(
    shop: RunningService, gateway: Gateway
) -> None:
    await leave_needs_review(shop, gateway, "one")
    decided = await resolve(shop, FAILED)
    assert (decided.payment.status, decided.is_repeated) == ("failed", False)
    (decision,) = await recorded(shop)
    assert decision == decided.decision
    assert (decision.action, decision.resolution) == (Action.RESOLVE, Resolution.FAILED)
    assert (decision.decided_by, decision.reason) == ("ana", "the bank confirms it")
    assert (decision.previous_status, decision.is_forced) == ("needs_review", False)
    (finding,) = decision.findings
    assert finding.answer == "The gateway shows no charge of this payment."
    await shop.fund(shop.call("one"))  # a new charge
    assert (len(await gateway.charges()), await shop.balance()) == (1, 5000)


async def test_a_payment_resolved_as_declined_answers_its_key_with_a_decline(
    shop: RunningService, gateway: Gateway
) -> None:
    await leave_needs_review(shop, gateway, "one")
    decided = await resolve(shop, DECLINED)
    assert (decided.payment.status, decided.payment.decline_code) == (
        "declined",
        "generic_decline",
    )
    with pytest.raises(Replay) as replay:
        await shop.fund(shop.call("one"))
    assert replay.value.answer.status().message == "The card was declined."
    assert await gateway.charges() == []


async def test_a_charge_that_the_gateway_shows_is_resolved_as_succeeded(
    shop: RunningService, gateway: Gateway
) -> None:
    await leave_unknown(shop, gateway, shop.call("one"))
    intent = await intent_of(gateway)
    decided = await resolve(shop, Request(Resolution.SUCCEEDED, intent))
    assert (decided.payment.status, decided.payment.transaction_id) == ("succeeded", intent)
    assert not decided.decision.is_forced
    assert await shop.balance() == 5000
    with pytest.raises(Replay) as replay:
        await shop.fund(shop.call("one"))
    response = payments_pb2.FundCustomerResponse.FromString(replay.value.answer.payload)
    assert response.transaction_id == intent
    await shop.later(hours=30)
    assert (len(await gateway.charges()), await shop.balance()) == (1, 5000)


@pytest.mark.parametrize("request_", [FAILED, DECLINED])
async def test_nothing_is_resolved_as_uncharged_while_the_gateway_shows_the_charge(
    shop: RunningService, gateway: Gateway, request_: Request
) -> None:
    await leave_unknown(shop, gateway)
    assert await intent_of(gateway) in await refused(shop, request_)
    assert await recorded(shop) == []


async def test_a_success_needs_a_transaction_that_the_gateway_shows(
    shop: RunningService, gateway: Gateway
) -> None:
    await leave_unknown(shop, gateway)
    other = Request(Resolution.SUCCEEDED, NOT_THERE)
    assert "another transaction" in await refused(shop, other)
    with pytest.raises(InvalidFields, match="transaction_id"):
        await resolve(shop, Request(Resolution.SUCCEEDED))
    assert await shop.balance() == 0


async def test_a_transaction_of_another_amount_is_no_proof(
    shop: RunningService, gateway: Gateway
) -> None:
    set_presence(Presence())
    less = ChargeRequest("charge", shop.user_id, "TEST", Money(units=49))
    await shop.service.charge(shop.caller, less)
    other = await intent_of(gateway)
    async with shop.database.transaction() as transaction:  # as if made by somebody else
        await transaction.connection.execute(update(payments).values(transaction_id="pi_other"))
    await leave_unknown(shop, gateway, kind="reset_before")
    payment_id = await pending_id(shop)
    proof = Request(Resolution.SUCCEEDED, other)
    with pytest.raises(Refusal, match="4900 usd, the payment has 5000 usd"):
        await shop.decisions.resolve(payment_id, None, ANA, proof)
    forced = Request(Resolution.SUCCEEDED, other, force=True)
    decided = await shop.decisions.resolve(payment_id, None, ANA, forced)
    assert (decided.payment.status, decided.decision.is_forced) == ("succeeded", True)
    assert await shop.balance() == 5000


async def pending_id(shop: RunningService) -> str:
    async with shop.database.read() as transaction:
        query = select(payments.c.payment_id).where(payments.c.status == "pending")
        return str(await transaction.connection.scalar(query))


@pytest.mark.parametrize("force", [False, True])
async def test_a_transaction_counts_for_one_payment_only(
    shop: RunningService, gateway: Gateway, force: bool
) -> None:
    await shop.fund()
    intent = await intent_of(gateway)
    await leave_unknown(shop, gateway, kind="reset_before")
    again = Request(Resolution.SUCCEEDED, intent, force=force)
    with pytest.raises(Refusal, match="is the transaction of PAY-"):
        await shop.decisions.resolve(await pending_id(shop), None, ANA, again)
    assert await shop.balance() == 5000


async def test_a_forced_failure_is_recorded_and_a_proven_success_outranks_it(
    shop: RunningService, gateway: Gateway
) -> None:
    await leave_unknown(shop, gateway)
    decided = await resolve(shop, Request(Resolution.FAILED, force=True))
    assert (decided.payment.status, decided.decision.is_forced) == ("failed", True)
    assert decided.decision.findings[0].object_id == await intent_of(gateway)
    retried = await retry(shop)
    assert (retried.payment.status, await shop.balance()) == ("succeeded", 5000)
    assert [each.action for each in await recorded(shop)] == [Action.RESOLVE, Action.RETRY]


@pytest.mark.parametrize(("hours", "status"), [(1, "pending"), (30, "needs_review")])
async def test_a_payment_with_revoked_keys_can_be_resolved(
    shop: RunningService, gateway: Gateway, hours: int, status: str
) -> None:
    await leave_unknown(shop, gateway)
    await gateway.revoke(STRIPE_KEY)
    await shop.later(hours=hours)
    assert (await shop.payment()).status == status
    proof = Request(Resolution.SUCCEEDED, "pi_dashboard")
    assert "does not show the charge pi_dashboard" in await refused(shop, proof)
    shop.clock.ahead += timedelta(minutes=4)  # the last look at a young payment sends it again
    decided = await resolve(shop, FAILED)
    (finding, *_) = decided.decision.findings
    assert (decided.payment.status, finding.is_answered) == ("failed", False)
    assert "does not know the TEST secret key" in finding.answer
    await gateway.revoke(STRIPE_KEY, revoked=False)
    await shop.later(hours=30)
    assert (await shop.payment()).status == "failed"


async def test_a_charge_that_was_just_sent_is_not_resolved_as_failed(
    shop: RunningService, gateway: Gateway
) -> None:
    await leave_unknown(shop, gateway, kind="reset_before")
    assert "less than 180 seconds ago" in await refused(shop, FAILED)
    shop.clock.ahead += timedelta(seconds=181)
    assert (await resolve(shop, FAILED)).payment.status == "failed"


async def test_nothing_is_decided_while_a_core_charges(
    shop: RunningService, gateway: Gateway
) -> None:
    await gateway.fault("delay_after", INTENTS, seconds=60)
    funding = asyncio.ensure_future(shop.fund())
    await gateway.wait_until_holding(1)
    for force in (False, True):
        failed = Request(Resolution.FAILED, force=force)
        assert "A core is charging the payment" in await refused(shop, failed)
    with pytest.raises(Refusal, match="A core is charging"):
        await retry(shop)
    await gateway.clear()
    await funding
    assert (await shop.payment()).status == "succeeded"


@pytest.mark.parametrize("resolution", Resolution)
async def test_a_charged_payment_is_not_resolved(
    shop: RunningService, gateway: Gateway, resolution: Resolution
) -> None:
    await shop.fund()
    request = Request(resolution, NOT_THERE, force=True)
    assert "The payment is succeeded" in await refused(shop, request)
    assert await shop.balance() == 5000


async def test_a_decline_of_the_gateway_is_replaced_by_a_proven_success_only(
    shop: RunningService, gateway: Gateway
) -> None:
    await leave_unknown(shop, gateway)
    async with shop.database.transaction() as transaction:
        await transaction.connection.execute(
            update(payments).values(status="declined", attempt=None, look_at=None)
        )
    forced = Request(Resolution.SUCCEEDED, NOT_THERE, force=True)
    assert "another transaction" in await refused(shop, forced)
    assert "has the outcome declined" in await refused(shop, Request(Resolution.FAILED, force=True))
    proven = Request(Resolution.SUCCEEDED, await intent_of(gateway))
    assert (await resolve(shop, proven)).payment.status == "succeeded"
    assert await shop.balance() == 5000


async def ask_for_authentication(waiting: RunningService) -> Hooks:
    """Leave a payment that waits for its customer, and of which an event tells so."""
    with pytest.raises(Refusal, match="must authenticate"):
        await waiting.fund()
    intent = (await waiting.payment()).transaction_id
    assert intent is not None
    hooks = Hooks(waiting, intent)
    await tell(hooks, "evt_1", "requires_action")
    assert (await waiting.payment()).status == "requires_action"
    return hooks


async def tell(hooks: Hooks, event_id: str, status: str, **more: Any) -> None:
    """Deliver an event about the payment intent itself."""
    intent: dict[str, Any] = {
        "id": hooks.intent,
        "object": "payment_intent",
        "status": status,
        "currency": "usd",
    }
    intent |= more
    kind = f"payment_intent.{status}"
    created = int(time.time()) - 500
    amounts = {"amount": 5000, "amount_received": 5000}
    await hooks.send_body(stripe_event(event_id, kind, created, **intent, **amounts).body)


async def test_a_payment_that_waits_for_its_customer_may_still_be_charged(
    waiting: RunningService,
) -> None:
    await ask_for_authentication(waiting)
    assert "may still be charged" in await refused(waiting, DECLINED)
    assert "resolve it as declined" in await refused(waiting, FAILED)
    other = Request(Resolution.SUCCEEDED, NOT_THERE, force=True)
    assert "The payment's transaction is pi_" in await refused(waiting, other)


async def test_a_decision_outlasts_the_events_before_it_and_not_those_after_it(
    waiting: RunningService, gateway: Gateway
) -> None:
    hooks = await ask_for_authentication(waiting)
    await gateway.revoke(STRIPE_KEY)
    waiting.clock.ahead += timedelta(hours=1)
    decided = await resolve(waiting, DECLINED)
    assert (decided.payment.status, decided.payment.transaction_id) == ("declined", hooks.intent)
    assert not decided.decision.is_forced
    await gateway.revoke(STRIPE_KEY, revoked=False)
    await hooks.send(
        "evt_2", "refund.failed", 1, id="re_1", object="refund", status="failed", amount=1
    )
    await waiting.later(hours=2)
    assert (await waiting.payment()).status == "declined"
    await tell(hooks, "evt_3", "succeeded")
    await waiting.later(hours=2)
    assert ((await waiting.payment()).status, await waiting.balance()) == ("succeeded", 5000)


async def test_a_repeated_decision_is_the_first_one(shop: RunningService, gateway: Gateway) -> None:
    await leave_needs_review(shop, gateway)
    first = await resolve(shop, FAILED)
    again = await resolve(shop, FAILED, Operator("bo", "the same"))
    assert (again.is_repeated, again.decision) == (True, first.decision)
    assert "resolved as failed by ana at" in await refused(shop, DECLINED)
    assert len(await recorded(shop)) == 1


async def test_of_two_operators_at_once_one_decides(shop: RunningService, gateway: Gateway) -> None:
    await leave_needs_review(shop, gateway)
    results = await asyncio.gather(
        *(
            resolve(shop, request, Operator(request.resolution, "r"))
            for request in (FAILED, DECLINED)
        ),
        return_exceptions=True,
    )
    (decided,) = [each for each in results if isinstance(each, Decided)]
    (lost,) = [each for each in results if isinstance(each, Refusal)]
    assert f"resolved as {decided.decision.resolution}" in lost.message
    assert (await shop.payment()).status == decided.decision.resolution
    assert len(await recorded(shop)) == 1


async def test_two_equal_decisions_at_once_credit_once(
    shop: RunningService, gateway: Gateway
) -> None:
    await leave_unknown(shop, gateway)
    proof = Request(Resolution.SUCCEEDED, await intent_of(gateway))
    results = await asyncio.gather(*(resolve(shop, proof) for _ in range(4)))
    assert sorted(each.is_repeated for each in results) == [False, True, True, True]
    assert (len(await recorded(shop)), await shop.balance()) == (1, 5000)


async def test_a_retry_does_not_take_another_payments_transaction_for_its_own(
    waiting: RunningService, gateway: Gateway
) -> None:
    first = await ask_for_authentication(waiting)
    await gateway.control("authentications", payment_intent=first.intent)
    await waiting.later(hours=1)
    charged = await waiting.payment()
    assert charged.status == "succeeded"
    with pytest.raises(Refusal, match="must authenticate"):
        await waiting.fund()
    async with waiting.database.read() as transaction:
        query = select(payments.c.payment_id).where(payments.c.status == "requires_action")
        payment_id = str(await transaction.connection.scalar(query))
    metadata = {"nivisco_payment_id": payment_id}
    await tell(first, "evt_2", "payment_failed", metadata=metadata)
    decided = await waiting.decisions.retry(payment_id, None, ANA)
    assert [each.object_id for each in decided.decision.findings] != [first.intent]
    assert len(decided.decision.findings) == 1
    assert (decided.payment.status, await waiting.balance()) == ("requires_action", 5000)


class DyingDatabase(Database):
    """A database whose core dies before or after the commit of the next decision."""

    dies: str | None = None

    @asynccontextmanager
    async def transaction(self, name: str = "") -> AsyncIterator[Transaction]:
        """Open a transaction."""
        dies = self.dies if name in ("payments.resolve", "payments.retry") else None
        async with super().transaction(name) as transaction:
            yield transaction
            if dies == "before":
                self.dies = None
                raise DatabaseUnavailableError("gone")
        if dies == "after":
            self.dies = None
            raise CommitUnknownError("gone")


@pytest.mark.parametrize("dies", ["before", "after"])
async def test_a_decision_is_made_once_when_its_core_dies_and_it_is_repeated(
    database_url: str, gateway: Gateway, dies: str
) -> None:
    clock = ShiftedClock()
    database = DyingDatabase(database_url, clock)
    async with running_service(database, clock, gateway) as shop:
        await leave_unknown(shop, gateway, shop.call("one"))
        proof = Request(Resolution.SUCCEEDED, await intent_of(gateway))
        database.dies = dies
        with pytest.raises((DatabaseUnavailableError, CommitUnknownError)):
            await resolve(shop, proof)
        took_place = dies == "after"
        assert (await shop.balance(), len(await recorded(shop))) == (
            5000 * took_place,
            int(took_place),
        )
        assert (await resolve(shop, proof)).is_repeated == took_place
        assert (len(await recorded(shop)), await shop.balance()) == (1, 5000)
        with pytest.raises(Replay):
            await shop.fund(shop.call("one"))


async def test_an_open_payment_is_due_at_once_when_retried_also_if_it_was_set_aside(
    shop: RunningService, gateway: Gateway
) -> None:
    await leave_unknown(shop, gateway)
    async with shop.database.transaction() as transaction:
        await transaction.connection.execute(
            update(payments).values(set_aside_at=transaction.now, set_aside_error="damaged")
        )
    await shop.later(hours=2)
    assert (await shop.payment()).status == "pending"
    decided = await retry(shop)
    assert (decided.payment.status, decided.decision.findings) == ("pending", ())
    await shop.later()
    assert ((await shop.payment()).status, await shop.balance()) == ("succeeded", 5000)


async def test_a_retried_charge_that_was_not_sent_is_closed_and_never_sent(
    shop: RunningService, gateway: Gateway
) -> None:
    await gateway.fault("rate_limit", INTENTS)
    with pytest.raises(Refusal, match="nothing was charged"):
        await shop.fund()
    await retry(shop)
    await shop.later()
    assert (await shop.payment()).status == "failed"
    assert await gateway.charges() == []


async def test_a_retry_of_a_payment_that_needs_review_applies_what_the_gateway_shows_now(
    shop: RunningService, gateway: Gateway
) -> None:
    await leave_unknown(shop, gateway)
    async with shop.database.transaction() as transaction:
        await transaction.connection.execute(
            update(payments).values(status="needs_review", attempt=None, look_at=None)
        )
    decided = await retry(shop)
    assert (decided.payment.status, await shop.balance()) == ("succeeded", 5000)
    assert decided.decision.previous_status == "needs_review"


async def test_a_retry_changes_nothing_where_the_gateway_shows_nothing(
    shop: RunningService, gateway: Gateway
) -> None:
    await leave_needs_review(shop, gateway)
    decided = await retry(shop)
    assert decided.payment.status == "needs_review"
    assert [each.answer for each in decided.decision.findings] == [
        "The gateway shows no charge of this payment."
    ]


async def test_a_retry_of_a_charged_payment_reads_it_again(
    shop: RunningService, gateway: Gateway
) -> None:
    await shop.fund()
    decided = await retry(shop)
    assert (decided.payment.status, await shop.balance()) == ("succeeded", 5000)
    assert [each.answer for each in decided.decision.findings] == ["The card was charged."]


async def test_an_unknown_payment_is_not_found(shop: RunningService) -> None:
    for business_id in (None, shop.caller.business_id, "other"):
        with pytest.raises(Refusal) as refusal:
            await shop.decisions.find("PAY-NONE", business_id)
        assert refusal.value.reason == Reason.ERROR_REASON_PAYMENT_NOT_FOUND


async def test_the_business_is_needed_where_several_have_the_payment_id(
    shop: RunningService,
) -> None:
    await shop.fund()
    payment_id = (await shop.payment()).payment_id
    async with shop.database.transaction() as transaction:
        for table in (businesses, users, payments):
            columns = [
                literal("OTHER").label("business_id") if each.name == "business_id" else each
                for each in table.c
            ]
            await transaction.connection.execute(
                insert(table).from_select([each.name for each in table.c], select(*columns))
            )
    with pytest.raises(InvalidFields) as ambiguous:
        await shop.decisions.find(payment_id, None)
    assert [each.field for each in ambiguous.value.problems] == ["business_id"]
    for business_id in ("OTHER", shop.caller.business_id):
        found = await shop.decisions.find(payment_id, business_id)
        assert (found.business_id, found.payment_id) == (business_id, payment_id)


async def test_decisions_are_kept_with_what_the_gateway_said(
    shop: RunningService, gateway: Gateway
) -> None:
    await leave_unknown(shop, gateway)
    decided = await resolve(shop, Request(Resolution.SUCCEEDED, await intent_of(gateway)))
    (decision,) = await recorded(shop)
    assert decision.findings == tuple(decided.decision.findings)
    async with shop.database.read() as transaction:
        assert await transaction.connection.scalar(select(func.count()).select_from(decisions)) == 1
