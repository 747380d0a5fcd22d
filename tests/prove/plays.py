"""Short plays, each of what once went wrong after a charge, which a mutant brings back.

Any scenario may have one; its end is the gateways' truth like that of all others.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from google.type.money_pb2 import Money

from core.gateways.stripe.responses import PAYMENT_ID_KEY
from core.refunds.rules import UNSETTLED_PAUSE
from nivisco.internal.v1.operator_pb2 import ListSetAsideRequest
from nivisco.payments.v1 import recurring_pb2
from tests.prove.clients import SETTLED, Clients
from tests.prove.environment import Environment
from tests.prove.gateway_faults import (
    DELAY_REFUND,
    LAND_LATE_AT_AUTHORIZE,
    LOSE_AUTHORIZE,
)
from tests.prove.gateway_side import GatewaySide
from tests.prove.kills import Kills
from tests.prove.operations import Operation
from tests.prove.operator import GIVEN_UP_AFTER, OPERATOR
from tests.prove.scenario import Mode
from tests.prove.scheduler import Scheduler
from tests.prove.triggers import LEASE_OVER_SECONDS, POISON_CLAIM, POISON_PAYMENT

DAY_SECONDS: Final = 86_400.0
KILL_SECONDS: Final = 10.0
_HOURS_LATER: Final = 6 * 3600.0

Row = dict[str, Any]


class Stage:
    """What the plays act with."""

    def __init__(
        self,
        environment: Environment,
        clients: Clients,
        kills: Kills,
        gateway_side: GatewaySide,
        scheduler: Scheduler,
    ) -> None:
        self.environment = environment
        self.clients = clients
        self.kills = kills
        self.gateway_side = gateway_side
        self.scheduler = scheduler

    async def intent_of(self, operation: Operation) -> Row:
        """Return the payment intent of an operation's last charge."""
        stripe, _ = await self.gateway_side.books()
        intents: list[Row] = stripe["payment_intents"]
        return next(each for each in intents if each["description"] == operation.description)

    async def order(self, path: str, **body: Any) -> Row:
        """Have something happen at a gateway, and wait until its events are delivered."""
        answer: Row = await self.environment.call_sandbox("POST", path, body)
        self.environment.note(f"{path}: {answer.get('status')}", who="gateway")
        await self.gateway_side.wait_until_delivered()
        return answer

    async def until_set_aside(self, count: int) -> None:
        """Wait until the cores have set so many of the shop's rows aside."""
        shop = self.clients.merchants.shop.business_id
        async with asyncio.timeout(KILL_SECONDS):
            while True:
                listed = await self.environment.call(OPERATOR, ListSetAsideRequest(limit=1000))
                if sum(row.business_id == shop for row in listed.rows) >= count:
                    return
                await asyncio.sleep(0.05)

    async def weekly_job(self, user_id: str = "") -> Operation:
        """Create a job whose first cycle is due now, and wait until it was executed."""
        operation = self.clients.new("job", user_id=user_id, is_keyed=True)
        operation.request.interval_type = recurring_pb2.INTERVAL_TYPE_WEEK
        operation.request.timezone = "America/Chicago"
        operation.request.ClearField("max_cycles")
        await self.clients.run(operation)
        await self.scheduler.until_idle()
        return operation

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and wait until what became due was executed."""
        self.environment.note(f"{seconds / DAY_SECONDS:.2f} days pass")
        self.environment.clock.advance(seconds)
        await self.scheduler.until_idle()


async def failed_refund(stage: Stage) -> None:
    """A refund fails after it took the money back."""
    funded = await stage.clients.complete("fund")
    intent = await stage.intent_of(funded)
    refund = await stage.order("stripe/refunds", payment_intent=intent["id"], status="pending")
    stage.environment.clock.advance(2.0)
    await stage.order(f"stripe/refunds/{refund['id']}", status="failed")


async def killed_receiver(stage: Stage) -> None:
    """The core dies before it has stored the event of a refund."""
    environment = stage.environment
    funded = await stage.clients.complete("fund")
    intent = await stage.intent_of(funded)
    await stage.gateway_side.wait_until_delivered()
    await stage.kills.arm(("webhooks.receive.before", 1))
    await environment.call_sandbox("POST", "stripe/refunds", {"payment_intent": intent["id"]})
    async with asyncio.timeout(KILL_SECONDS):
        await environment.core_ended()
    environment.clock.advance(LEASE_OVER_SECONDS)
    await environment.start_core()
    await stage.gateway_side.wait_until_delivered()


async def late_success(stage: Stage) -> None:
    """A declined cycle is paid at the gateway, before its retry is due."""
    user_id = await stage.clients.create_user("pm_card_chargeCustomerFail")
    job = await stage.weekly_job(user_id)
    intent = await stage.intent_of(job)
    form = {"payment_method": "pm_card_visa", "return_url": "https://shop.example.com"}
    await stage.gateway_side.call_stripe(f"payment_intents/{intent['id']}/confirm", form)
    await stage.gateway_side.wait_until_delivered()
    saved = stage.clients.new("save_card", user_id=user_id, is_keyed=True)
    saved.request.set_as_primary = True
    await stage.clients.run(saved)
    await stage.pass_time(1.1 * DAY_SECONDS)


async def foreign_metadata(stage: Stage) -> None:
    """A refund has the id of another payment in the merchant's metadata."""
    funded, other = [await stage.clients.complete("fund") for _ in range(2)]
    intent, of_other = await stage.intent_of(funded), await stage.intent_of(other)
    payment_id = of_other["metadata"][PAYMENT_ID_KEY]
    await stage.order(
        "stripe/refunds",
        payment_intent=intent["id"],
        amount=500,
        metadata={PAYMENT_ID_KEY: payment_id, "payment_id": payment_id},
    )


async def changed_zone(stage: Stage) -> None:
    """A job moves west after its cycle, where the same time of the day has not come yet."""
    job = await stage.weekly_job()
    request = recurring_pb2.UpdateRecurringRequest(
        recurring_id=job.response().recurring_id, timezone="Pacific/Honolulu"
    )
    await stage.environment.call(job.caller.credentials, request)
    await stage.pass_time(_HOURS_LATER)


async def poison(stage: Stage) -> None:
    """Another business's rows cannot be carried out, when a job and an event are due."""
    poisoned = stage.clients.merchants.poison
    assert poisoned is not None, "the mode has poison"
    await poisoned.spread(POISON_CLAIM)
    await poisoned.spread(POISON_PAYMENT)
    await stage.weekly_job()


async def false_event(stage: Stage) -> None:
    """A signed event contradicts its payment, and a forged one is not signed."""
    funded = await stage.clients.complete("fund")
    intent = await stage.intent_of(funded)
    charge = {
        "id": intent["latest_charge"],
        "object": "charge",
        "payment_intent": intent["id"],
        "amount_refunded": 300,
    }
    await stage.gateway_side.deliver("charge.refunded", charge | {"currency": "eur"})
    await stage.gateway_side.deliver(
        "charge.refunded", charge | {"currency": "usd"}, secret="whsec_of_somebody_else"
    )


async def give_back_in_flight(stage: Stage) -> None:
    """The wallet is to be spent while the refund of its funding is at the gateway."""
    user_id = await stage.clients.create_user("pm_card_visa")
    funded = await stage.clients.fund_to_refund("fund", user_id)
    accounts = stage.clients.merchants.accounts
    await stage.environment.call_sandbox("POST", "faults", DELAY_REFUND.as_json(accounts))
    refund = stage.clients.new("give_back", user_id=user_id, is_keyed=True)
    refund.request.amount.CopyFrom(funded.request.amount)
    refund.request.allow_receivable = False
    refunding = asyncio.ensure_future(stage.clients.run(refund))
    async with asyncio.timeout(KILL_SECONDS):
        while not (await stage.environment.call_sandbox("GET", "faults"))["holding"]:
            await asyncio.sleep(0.02)
    spent = stage.clients.new("debit", user_id=user_id, is_keyed=True)
    spent.request.amount.CopyFrom(funded.request.amount)
    await stage.clients.run(spent)
    await refunding
    if spent.was_executed and refund.was_executed:
        stage.clients.violations.append("lost: a wallet's money was refunded and spent")


async def give_back_before_settlement(stage: Stage) -> None:
    """A part of a charge at Authorize.Net is refunded before it settles."""
    if not stage.clients.has_authorize:
        return
    funded = await stage.clients.fund_to_refund("fund_authorize")
    await stage.clients.complete("give_back_authorize")
    transaction_id = funded.response().transaction_id
    await stage.order("authorize/transactions", transaction=transaction_id, status=SETTLED)
    stage.environment.clock.advance(UNSETTLED_PAUSE.total_seconds())


async def give_back_lost(stage: Stage) -> None:
    """Two refunds are set aside, of which one arrives at Authorize.Net afterwards, and one never.

    The operator decides them as that shows: see `tests.prove.operator`.
    """
    if not stage.clients.has_authorize:
        return
    environment, accounts = stage.environment, stage.clients.merchants.accounts
    for loss in (LOSE_AUTHORIZE, LAND_LATE_AT_AUTHORIZE):
        funded = await stage.clients.fund_to_refund("fund_authorize")
        transaction_id = funded.response().transaction_id
        await stage.order("authorize/transactions", transaction=transaction_id, status=SETTLED)
        await environment.call_sandbox("POST", "faults", loss.as_json(accounts))
        refund = stage.clients.new("give_back_authorize", is_keyed=True, gives_up=True)
        await stage.clients.run(refund)
    environment.clock.advance(GIVEN_UP_AFTER.total_seconds() + LEASE_OVER_SECONDS)
    await stage.until_set_aside(2)
    await environment.call_sandbox("DELETE", "faults")
    await environment.wait_until_landed()


async def hold_and_spend(stage: Stage) -> None:
    """Money is spent while it is held, and then captured."""
    clients = stage.clients
    user_id = await clients.create_user(None)
    credit = clients.new("credit", user_id=user_id, is_keyed=True)
    await clients.run(credit)
    hold = clients.new("hold", user_id=user_id, is_keyed=True)
    hold.request.amount.CopyFrom(credit.request.amount)
    await clients.run(hold)
    spent = clients.new("debit", user_id=user_id, is_keyed=True)
    await clients.run(spent)
    if hold.was_executed and spent.was_executed:
        clients.violations.append("lost: a wallet's money was held and spent")


async def capture_again(stage: Stage) -> None:
    """A part of a hold is captured, and then another part of it, beside another hold."""
    clients = stage.clients
    await clients.complete("credit")
    holds = [await clients.complete("hold") for _ in range(2)]
    hold_id = holds[0].response().hold_id
    first, second = [clients.new("capture_hold", is_keyed=True, other_id=hold_id) for _ in range(2)]
    for each in (first, second):
        each.request.amount.CopyFrom(Money(units=1))
        await clients.run(each)
    if first.was_executed and second.was_executed:
        clients.violations.append("double charge: a hold was captured twice")


async def capture_payment_again(stage: Stage) -> None:
    """A part of an authorized payment is captured, and then another part of it."""
    clients = stage.clients
    payment_id = (await clients.complete("reserve")).response().payment_id
    for units in (1, 2):
        capture = clients.new("capture", is_keyed=True, payment_id=payment_id)
        capture.request.amount.CopyFrom(Money(units=units))
        await clients.run(capture)


async def expiry_after_capture(stage: Stage) -> None:
    """A signed event says that an authorization expired, which was captured before."""
    clients = stage.clients
    reserved = await clients.complete("reserve")
    payment_id = reserved.response().payment_id
    await clients.run(clients.new("capture", is_keyed=True, payment_id=payment_id))
    stage.environment.clock.advance(2.0)
    expired = {"status": "canceled", "cancellation_reason": "automatic"}
    intent = await stage.intent_of(reserved)
    await stage.gateway_side.deliver("payment_intent.canceled", intent | expired)


async def capture_lands_late(stage: Stage) -> None:
    """A capture arrives at Authorize.Net after its client gave up, and nobody sent it again."""
    clients, environment = stage.clients, stage.environment
    if not clients.has_authorize:
        return
    payment_id = (await clients.complete("reserve_authorize")).response().payment_id
    fault = LAND_LATE_AT_AUTHORIZE.as_json(clients.merchants.accounts)
    await environment.call_sandbox("POST", "faults", fault)
    capture = clients.new("capture_authorize", is_keyed=True, gives_up=True, payment_id=payment_id)
    await clients.run(capture)
    await environment.call_sandbox("DELETE", "faults")
    await environment.wait_until_landed()


PLAYS: Final[dict[str, tuple[Callable[[Stage], Awaitable[None]], Mode]]] = {
    "failed_refund": (failed_refund, Mode(has_webhooks=True)),
    "killed_receiver": (killed_receiver, Mode(has_webhooks=True)),
    "late_success": (late_success, Mode(has_webhooks=True, has_jobs=True)),
    "foreign_metadata": (foreign_metadata, Mode(has_webhooks=True)),
    "changed_zone": (changed_zone, Mode(has_jobs=True)),
    "poison": (poison, Mode(has_jobs=True, has_poison=True)),
    "false_event": (false_event, Mode(has_webhooks=True)),
    "give_back_in_flight": (give_back_in_flight, Mode()),
    "give_back_before_settlement": (give_back_before_settlement, Mode()),
    "give_back_lost": (give_back_lost, Mode()),
    "hold_and_spend": (hold_and_spend, Mode()),
    "capture_again": (capture_again, Mode()),
    "capture_payment_again": (capture_payment_again, Mode()),
    "expiry_after_capture": (expiry_after_capture, Mode(has_webhooks=True)),
    "capture_lands_late": (capture_lands_late, Mode()),
}
"""Each play, and what it needs besides charges."""
