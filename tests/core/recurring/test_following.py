"""A cycle is what its payment becomes, also after its attempt ended."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from core.payments import store as payments_store
from core.server.settings import CoreSettings
from nivisco.internal.v1 import webhooks_pb2
from nivisco.payments.v1 import cards_pb2, credentials_pb2, types_pb2
from nivisco.payments.v1 import recurring_pb2 as pb
from rpc.metadata import Credentials
from tests.core.recurring.running import (
    DECLINED,
    REQUIRES_ACTION,
    SKIPPED,
    SUCCEEDED,
    TOKENS,
    advance,
    advance_once,
    create_job,
    job_of,
    logs_of,
    moment_of,
    now,
    usd,
)
from tests.core.running import (
    WEBHOOKS_TOKEN,
    Business,
    Gateway,
    ShiftedClock,
    authorize_card,
    call,
    create_user,
    register,
    running_core,
    save_card,
    with_authorize,
    with_stripe,
)
from tests.end_to_end.signing import (
    SIGNATURE_KEY,
    STRIPE_SECRET,
    Delivery,
    authorize_event,
    stripe_event,
)

MONTH = pb.INTERVAL_TYPE_MONTH
MONTHLY: dict[str, Any] = {"source": pb.RECURRING_SOURCE_STRIPE, "interval_type": MONTH}
HELD_BY_AMOUNT = "4222222222222"
"""A card whose charge of 252 dollars is held for review."""
AUTHENTICATES = "pm_card_authenticationRequired"


@dataclass
class Hooked:
    """A business with a monthly job, whose gateways' events a test delivers."""

    shop: Business
    gateway: Gateway
    start: datetime
    user_id: str = ""
    job_id: str = ""
    sent: list[str] = field(default_factory=list)

    async def begin(self, token: str, *, is_waited_for: bool = True, **changes: Any) -> None:
        """Create a job on a card, and execute its first cycle, once if that is not waited for."""
        self.user_id = await create_user(self.shop)
        await save_card(self.shop, self.user_id, token)
        fields = MONTHLY | {"start_at": self.start.isoformat()} | changes
        self.job_id = await create_job(self.shop, self.user_id, **fields)
        if is_waited_for:
            await self.until(hours=1)
        else:
            await advance_once(self.shop, self.start + timedelta(hours=1))

    async def until(self, **passed: float) -> None:
        """Advance the test clock to a time after the first cycle."""
        await advance(self.shop, self.start + timedelta(**passed))

    async def statuses(self) -> list[int]:
        return [log.status for log in await logs_of(self.shop, self.job_id)]

    async def until_decided(self) -> None:
        """Wait until the core's look at the gateway has ended the cycle."""
        async with asyncio.timeout(30):
            while await self.statuses() == [REQUIRES_ACTION]:
                pass

    async def replace_card(self, token: str = "pm_card_visa") -> None:
        """Save another card, by default one that is charged, as the primary one."""
        await self.shop.call(
            cards_pb2.CreateStripeCustomerRequest(
                user_id=self.user_id, payment_method_token=token, set_as_primary=True
            )
        )

    async def job(self) -> Any:
        return await job_of(self.shop, self.job_id)

    async def intents(self) -> list[dict[str, Any]]:
        """Return the payment intents of the gateway's books, oldest first."""
        (books,) = await self.gateway.books()
        return sorted(books["payment_intents"], key=lambda each: (each["created"], each["id"]))

    async def last_intent(self) -> str:
        return str((await logs_of(self.shop, self.job_id))[-1].transaction_id)

    async def deliver(self, delivery: Delivery) -> None:
        headers = delivery.headers()
        gateway = types_pb2.Gateway.Value(f"GATEWAY_{delivery.gateway.upper()}")
        await call(
            self.shop.client,
            Credentials(service_token=WEBHOOKS_TOKEN),
            webhooks_pb2.ReceiveWebhookRequest(
                business_id=self.shop.credentials.business_id,
                gateway=gateway,
                body=delivery.body,
                signature=next(iter(headers.values())),
            ),
        )

    async def tell(self, intent: str, kind: str, **more: Any) -> None:
        """Deliver an event about a payment intent."""
        self.sent.append(kind)
        body = {"id": intent, "amount_received": 100, "currency": "usd"} | more
        created = int(time.time()) - 100 + len(self.sent)
        name = f"evt_{len(self.sent)}"
        await self.deliver(stripe_event(name, f"payment_intent.{kind}", created, **body))


@pytest.fixture
def gateway_settings(settings: CoreSettings) -> CoreSettings:
    """Settings of a core that takes webhooks too."""
    return replace(
        settings,
        service_tokens=TOKENS | {WEBHOOKS_TOKEN: "webhooks"},
        authorize_urls=settings.stripe_urls,
    )


@pytest.fixture
async def hooked(
    gateway_settings: CoreSettings, clock: ShiftedClock, gateway: Gateway
) -> AsyncIterator[Hooked]:
    async with running_core(gateway_settings, clock) as client:
        shop = await with_stripe(await register(client))
        await shop.call(
            credentials_pb2.ModifyStripeCredentialsRequest(
                credentials=credentials_pb2.ModifyStripeCredentialsRequest.Credentials(
                    env=types_pb2.ENV_TEST, stripe_webhook_secret=STRIPE_SECRET
                )
            )
        )
        yield Hooked(shop, gateway, now() + timedelta(days=1))


async def test_cycles_that_the_customer_authenticates_count_and_complete_the_job(
    hooked: Hooked,
) -> None:
    await hooked.begin(AUTHENTICATES, max_cycles=2)
    assert await hooked.statuses() == [REQUIRES_ACTION]
    assert (await hooked.job()).executed_cycles == 0
    await hooked.tell(await hooked.last_intent(), "succeeded")
    assert await hooked.statuses() == [SUCCEEDED]
    assert (await hooked.job()).executed_cycles == 1
    await hooked.until(days=32)
    await hooked.tell(await hooked.last_intent(), "succeeded")
    await hooked.tell(await hooked.last_intent(), "succeeded")
    job = await hooked.job()
    assert (job.status, job.executed_cycles) == (pb.RECURRING_STATUS_COMPLETED, 2)
    await hooked.until(days=100)
    assert await hooked.statuses() == [SUCCEEDED, SUCCEEDED]
    assert len(await hooked.intents()) == 2


async def test_cycles_that_nobody_authenticates_fail_when_the_next_is_due(
    hooked: Hooked,
) -> None:
    await hooked.begin(AUTHENTICATES)
    assert (await hooked.job()).status == pb.RECURRING_STATUS_ACTIVE
    await hooked.until(days=95)
    assert await hooked.statuses() == [REQUIRES_ACTION] * 3 + [SKIPPED]
    job = await hooked.job()
    assert (job.status, job.executed_cycles) == (pb.RECURRING_STATUS_PAUSED, 0)


async def test_a_late_authentication_resets_the_failures(hooked: Hooked) -> None:
    await hooked.begin(AUTHENTICATES)
    first = await hooked.last_intent()
    await hooked.until(days=62)
    await hooked.tell(first, "succeeded")
    assert await hooked.statuses() == [SUCCEEDED, REQUIRES_ACTION, REQUIRES_ACTION]
    assert (await hooked.job()).executed_cycles == 1
    await hooked.until(days=122)
    assert (await hooked.job()).status == pb.RECURRING_STATUS_ACTIVE


async def test_an_authentication_that_fails_is_a_decline_and_retried_as_one(
    hooked: Hooked,
) -> None:
    await hooked.begin(AUTHENTICATES)
    error = {"decline_code": "insufficient_funds", "message": "Too little money."}
    await hooked.tell(await hooked.last_intent(), "payment_failed", last_payment_error=error)
    (log,) = await logs_of(hooked.shop, hooked.job_id)
    assert log.status == DECLINED
    assert log.message.startswith("Too little money. It is tried again at")
    retry_at = moment_of((await hooked.job()).next_run)
    assert timedelta(days=1) <= retry_at - hooked.start < timedelta(days=2)


async def test_a_late_success_ends_the_cycle_and_drops_the_retry(hooked: Hooked) -> None:
    await hooked.begin("pm_card_chargeCustomerFail")
    assert await hooked.statuses() == [DECLINED]
    await hooked.tell(await hooked.last_intent(), "succeeded")
    assert await hooked.statuses() == [SUCCEEDED]
    assert (await hooked.job()).executed_cycles == 1
    await hooked.replace_card()
    await hooked.until(days=20)
    assert await hooked.statuses() == [SUCCEEDED]
    assert len(await hooked.intents()) == 1
    await hooked.until(days=32)
    assert await hooked.statuses() == [SUCCEEDED, SUCCEEDED]


async def test_before_a_retry_the_declined_payment_is_canceled(hooked: Hooked) -> None:
    await hooked.begin("pm_card_chargeCustomerFail")
    await hooked.replace_card()
    await hooked.until(days=2)
    assert await hooked.statuses() == [DECLINED, SUCCEEDED]
    declined, charged = [log.transaction_id for log in await logs_of(hooked.shop, hooked.job_id)]
    statuses = {each["id"]: each["status"] for each in await hooked.intents()}
    assert statuses == {declined: "canceled", charged: "succeeded"}


async def test_a_retry_waits_while_the_declined_payment_cannot_be_canceled(
    hooked: Hooked,
) -> None:
    await hooked.begin("pm_card_chargeCustomerFail")
    await hooked.replace_card()
    await hooked.gateway.fault("reset_before", "/v1/payment_intents/", times=2)
    await hooked.until(days=2)
    assert await hooked.statuses() in ([DECLINED], [DECLINED, SUCCEEDED])
    await hooked.gateway.clear()
    await hooked.until(days=3)
    assert await hooked.statuses() == [DECLINED, SUCCEEDED]
    assert len(await hooked.gateway.charges()) == 1


async def test_cancelling_a_job_cancels_its_open_authentication(hooked: Hooked) -> None:
    await hooked.begin(AUTHENTICATES)
    await hooked.shop.call(pb.CancelRecurringRequest(recurring_id=hooked.job_id))
    await hooked.until_decided()
    assert await hooked.statuses() == [DECLINED]
    assert [each["status"] for each in await hooked.intents()] == ["canceled"]
    job = await hooked.job()
    assert (job.status, job.executed_cycles) == (pb.RECURRING_STATUS_CANCELLED, 0)


async def test_a_customer_who_was_faster_than_the_cancellation_of_the_job_is_counted(
    hooked: Hooked,
) -> None:
    await hooked.begin(AUTHENTICATES)
    intent = await hooked.last_intent()
    await hooked.gateway.control("authentications", payment_intent=intent)
    await hooked.shop.call(pb.CancelRecurringRequest(recurring_id=hooked.job_id))
    await hooked.until_decided()
    assert await hooked.statuses() == [SUCCEEDED]
    job = await hooked.job()
    assert (job.status, job.executed_cycles) == (pb.RECURRING_STATUS_CANCELLED, 1)


async def test_a_job_never_has_more_charges_than_its_maximum(hooked: Hooked) -> None:
    await hooked.begin(AUTHENTICATES, max_cycles=1, interval_type=pb.INTERVAL_TYPE_DAY)
    first = await hooked.last_intent()
    await hooked.gateway.control("authentications", payment_intent=first)
    await hooked.until(days=1, hours=1)  # the next cycle is due, and nobody told of the success
    async with asyncio.timeout(30):
        while REQUIRES_ACTION in await hooked.statuses():
            pass
    job = await hooked.job()
    assert (job.status, job.executed_cycles) == (pb.RECURRING_STATUS_COMPLETED, 1)
    assert (await hooked.statuses())[0] == SUCCEEDED
    assert len(await hooked.gateway.charges()) == 1
    others = [each for each in await hooked.intents() if each["id"] != first]
    assert {each["status"] for each in others} <= {"canceled"}


async def test_an_authentication_that_its_cycle_left_open_is_canceled_if_cycles_are_limited(
    hooked: Hooked,
) -> None:
    await hooked.begin(AUTHENTICATES, max_cycles=3, interval_type=pb.INTERVAL_TYPE_DAY)
    first = await hooked.last_intent()
    await hooked.until(days=1, hours=1)
    async with asyncio.timeout(30):
        while (await hooked.statuses())[0] == REQUIRES_ACTION:
            pass
    intents = {each["id"]: each["status"] for each in await hooked.intents()}
    assert intents.pop(first) == "canceled"
    assert set(intents.values()) == {"requires_payment_method"}


async def test_an_authentication_that_a_cancelled_job_asks_for_late_is_canceled(
    hooked: Hooked, clock: ShiftedClock
) -> None:
    await hooked.gateway.fault("reset_after", "/v1/payment_intents", times=50, method=None)
    await hooked.begin(AUTHENTICATES, is_waited_for=False)
    stopped = await hooked.shop.call(pb.CancelRecurringRequest(recurring_id=hooked.job_id))
    assert ("submitted" in stopped.message, await hooked.statuses()) == (True, [])
    await hooked.gateway.clear()
    async with asyncio.timeout(20):
        for awaited in ([[REQUIRES_ACTION], [DECLINED]], [[DECLINED]]):
            clock.ahead += timedelta(minutes=5)
            while await hooked.statuses() not in awaited:
                pass
    assert [each["status"] for each in await hooked.intents()] == ["canceled"]


async def test_a_retry_leaves_the_authentications_of_other_cycles_open(hooked: Hooked) -> None:
    await hooked.begin(AUTHENTICATES, interval_type=pb.INTERVAL_TYPE_WEEK)
    first = await hooked.last_intent()
    await hooked.replace_card("pm_card_chargeCustomerFail")
    await hooked.until(days=7, hours=1)
    await hooked.replace_card()
    await hooked.until(days=9)
    assert await hooked.statuses() == [REQUIRES_ACTION, DECLINED, SUCCEEDED]
    statuses = {each["id"]: each["status"] for each in await hooked.intents()}
    assert (statuses.pop(first), sorted(statuses.values())) == (
        "requires_payment_method",
        ["canceled", "succeeded"],
    )


async def test_a_job_that_comes_to_its_end_date_still_collects_its_cycles(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    canceled: list[str] = []

    async def cancel(_: object, __: str, payment_ids: list[str]) -> None:
        canceled.extend(payment_ids)

    monkeypatch.setattr(payments_store, "cancel_payments", cancel)
    await hooked.begin(AUTHENTICATES, end_at=(hooked.start + timedelta(days=40)).isoformat())
    first = await hooked.last_intent()
    await hooked.replace_card()
    await hooked.until(days=32)
    assert (await hooked.job()).status == pb.RECURRING_STATUS_COMPLETED
    await hooked.tell(first, "succeeded")
    assert await hooked.statuses() == [SUCCEEDED, SUCCEEDED]
    assert ((await hooked.job()).executed_cycles, canceled) == (2, [])


async def test_an_open_authentication_does_not_delay_a_cycle_that_is_moved_before_its_look(
    hooked: Hooked,
) -> None:
    hooked.start = hooked.start.replace(hour=12)
    await hooked.begin(AUTHENTICATES, catch_up=pb.CATCH_UP_SKIP)
    await hooked.shop.call(
        pb.UpdateRecurringRequest(
            recurring_id=hooked.job_id,
            interval_type=pb.INTERVAL_TYPE_DAY,
            start_at=(hooked.start + timedelta(hours=13)).isoformat(),
        )
    )
    await hooked.until(hours=26)
    assert await hooked.statuses() == [REQUIRES_ACTION, REQUIRES_ACTION]


@pytest.mark.parametrize(
    ("kind", "code", "status", "executed"),
    [("fraud.approved", "1", SUCCEEDED, 1), ("fraud.declined", "3", DECLINED, 0)],
)
async def test_a_held_cycle_is_what_its_review_decides(
    hooked: Hooked, kind: str, code: str, status: int, executed: int
) -> None:
    shop = hooked.shop = await with_authorize(hooked.shop)
    await shop.call(
        credentials_pb2.ModifyAuthorizeCredentialsRequest(
            credentials=credentials_pb2.ModifyAuthorizeCredentialsRequest.Credentials(
                env=types_pb2.ENV_TEST, signature_key=SIGNATURE_KEY
            )
        )
    )
    user_id = await create_user(shop)
    await shop.call(authorize_card(user_id, HELD_BY_AMOUNT))
    hooked.job_id = await create_job(
        shop,
        user_id,
        amount=usd(252),
        source=pb.RECURRING_SOURCE_AUTHORIZE,
        interval_type=MONTH,
        start_at=hooked.start.isoformat(),
    )
    await hooked.until(hours=1)
    (log,) = await logs_of(shop, hooked.job_id)
    assert (log.status, "review" in log.message) == (REQUIRES_ACTION, True)
    await hooked.deliver(
        authorize_event(
            "n1",
            kind,
            1,
            log.transaction_id,
            authAmount=252.0,
            responseCode=int(code),
            invoiceNumber=(await payment_ids(hooked))[0],
        )
    )
    assert await hooked.statuses() == [status]
    job = await hooked.job()
    assert (job.executed_cycles, job.status) == (executed, pb.RECURRING_STATUS_ACTIVE)


async def payment_ids(hooked: Hooked) -> list[str]:
    return [log.payment_id for log in await logs_of(hooked.shop, hooked.job_id)]
