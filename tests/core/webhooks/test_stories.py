"""A month's story, delivered shuffled and repeated, ends in exactly the gateway's truth.

Charges, refunds that fail, disputes both ways, authentications and renewals happen at the sandbox,
whose events are caught, shuffled and delivered several times. What payments, wallets and cycles
should be is computed from the sandbox's books.
"""

import asyncio
import os
import random
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from aiohttp import web
from google.type import money_pb2

from core.server.settings import CoreSettings
from nivisco.internal.v1 import operator_pb2, webhooks_pb2
from nivisco.payments.v1 import credentials_pb2, payments_pb2, types_pb2, wallet_pb2
from nivisco.payments.v1 import recurring_pb2 as pb
from rpc.errors import CoreError
from rpc.metadata import Credentials
from tests.core.recurring.running import (
    OPERATOR,
    SUCCEEDED,
    TOKENS,
    advance,
    create_job,
    job_of,
    logs_of,
    now,
)
from tests.core.running import (
    OPERATOR_TOKEN,
    WEBHOOKS_TOKEN,
    Business,
    Gateway,
    ShiftedClock,
    call,
    create_user,
    register,
    running_core,
    save_card,
    settings_for,
    with_stripe,
)
from tests.end_to_end.signing import STRIPE_SECRET, stripe_signature

DELIVERIES = int(os.environ.get("STORY_DELIVERIES", "800"))
"""Deliveries of one story: a number of events, each four times."""
REPEAT = 4
CARDS = ("pm_card_visa", "pm_card_authenticationRequired", "pm_card_chargeCustomerFail")
CENTS = 5000
MONTHS = 3
_OPEN_OR_LOST = ("needs_response", "under_review", "lost")
_APPEALS = ("appeal_needs_response", "appeal_under_review")


@dataclass
class Story:
    """A business, the books of its gateway, and the events that were caught."""

    shop: Business
    gateway: Gateway
    clock: ShiftedClock
    dice: random.Random
    users: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    caught: list[bytes] = field(default_factory=list)

    async def books(self) -> dict[str, list[dict[str, Any]]]:
        (books,) = await self.gateway.books()
        return dict(books)

    async def begin(self) -> None:
        """Charge cards, fund wallets, and renew jobs for some months."""
        start = now() + timedelta(days=1)
        for token in CARDS * 2:
            user_id = await create_user(self.shop)
            self.users.append(user_id)
            await save_card(self.shop, user_id, token)
            self.jobs.append(
                await create_job(
                    self.shop,
                    user_id,
                    source=pb.RECURRING_SOURCE_STRIPE,
                    interval_type=pb.INTERVAL_TYPE_MONTH,
                    start_at=start.isoformat(),
                )
            )
        for month in range(MONTHS):
            await advance(self.shop, start + timedelta(days=31 * month, hours=2))
        fields: dict[str, Any] = {"amount": money_pb2.Money(units=CENTS // 100)}
        for number in range(len(self.users) * 4):
            user_id = self.users[number % len(self.users)]
            kind = self.dice.choice(
                (payments_pb2.ChargeCustomerRequest, payments_pb2.FundCustomerRequest)
            )
            with suppress(CoreError):  # declined, or to be authenticated
                await self.shop.call(kind(user_id=user_id, idempotency_key=f"k{number}", **fields))

    async def live(self, events: int) -> None:
        """Have things happen at the gateway until there are so many events."""
        while len(self.caught) < events:
            books = await self.books()
            for intent in self.dice.sample(books["payment_intents"], 20):
                name, body = self.dice.choice(_possible(self.dice, intent, books))
                with suppress(AssertionError):  # the gateway refuses what is not possible now
                    await self.gateway.control(name, **body)

    async def deliver(self) -> None:
        """Deliver what was caught, shuffled, repeated and signed anew, several at a time."""
        deliveries = self.caught * REPEAT
        self.dice.shuffle(deliveries)
        slots = asyncio.Semaphore(16)

        async def one(body: bytes) -> None:
            async with slots:
                await call(
                    self.shop.client,
                    Credentials(service_token=WEBHOOKS_TOKEN),
                    webhooks_pb2.ReceiveWebhookRequest(
                        business_id=self.shop.credentials.business_id,
                        gateway=types_pb2.GATEWAY_STRIPE,
                        body=body,
                        signature=stripe_signature(body, time.time()),
                    ),
                )

        await asyncio.gather(*(one(each) for each in deliveries))

    async def payments(self) -> list[payments_pb2.Payment]:
        found: list[payments_pb2.Payment] = []
        for page in range(1, 1000):
            answer = await self.shop.call(
                payments_pb2.GetPaymentRecordsRequest(page=page, limit=100)
            )
            found += answer.payments
            if len(found) >= answer.total:
                break
        return found

    async def differences(self) -> list[str]:
        """Return where the core differs from the gateway's books."""
        books = await self.books()
        intents = {each["id"]: each for each in books["payment_intents"]}
        payments = await self.payments()
        found = [
            f"{payment.transaction_id}: {shown} instead of {expected}"
            for payment in payments
            if payment.transaction_id
            and (shown := _shown(payment)) not in (expected := _truth(payment, intents, books))
        ]
        wallets: defaultdict[str, int] = defaultdict(int)
        for payment in payments:
            if payment.kind == payments_pb2.PAYMENT_KIND_FUND and payment.transaction_id:
                wallets[payment.user_id] += _kept(payment, intents, books)
        for user_id in self.users:
            answer = await self.shop.call(wallet_pb2.GetUserWalletRequest(user_id=user_id))
            balance = answer.wallet.balance
            cents = balance.units * 100 + balance.nanos // 10**7
            if cents != wallets[user_id]:
                found.append(f"{user_id}: {cents} instead of {wallets[user_id]}")
        for job in self.jobs:
            found += await self._cycles(job, intents)
        return found

    async def _cycles(self, job: str, intents: dict[str, dict[str, Any]]) -> list[str]:
        logs = await logs_of(self.shop, job)
        charged = Counter(
            str(log.occurrence)
            for log in logs
            if log.transaction_id and intents[log.transaction_id]["status"] == "succeeded"
        )
        shown = Counter(str(log.occurrence) for log in logs if log.status == SUCCEEDED)
        executed = (await job_of(self.shop, job)).executed_cycles
        if shown == charged and executed == len(charged):
            return []
        return [f"{job}: {executed} cycles, logged {shown}, charged {charged}"]


def _possible(
    dice: random.Random, intent: dict[str, Any], books: dict[str, list[dict[str, Any]]]
) -> list[tuple[str, dict[str, Any]]]:
    """Return what may happen to an intent now, at a control endpoint of the sandbox."""
    ids = {"payment_intent": intent["id"]}
    if intent["status"] != "succeeded":
        return [
            ("authentications", ids),
            ("authentications", ids | {"succeeds": False}),
            ("stripe/cancellations", ids),
        ]
    amount = dice.randrange(1, 3) * 1000
    metadata = {"metadata": {"payment_id": "ORDER-991"}}
    found: list[tuple[str, dict[str, Any]]] = [
        ("stripe/refunds", ids | {"amount": amount, "status": "pending"} | metadata),
        ("stripe/refunds", ids | {"amount": amount}),
        ("stripe/disputes", ids | {"status": "warning_needs_response"}),
        ("stripe/disputes", ids | {"amount": 1000} | metadata),
        ("stripe/disputes", ids | {"amount": 900, "currency": "eur"}),
    ]
    for refund in books["refunds"]:
        if refund["payment_intent"] == intent["id"]:
            status = dice.choice(("succeeded", "failed", "canceled"))
            found.append((f"stripe/refunds/{refund['id']}", {"status": status}))
    for dispute in books["disputes"]:
        if dispute["payment_intent"] == intent["id"]:
            status = dice.choice(("needs_response", "under_review", "won", "lost"))
            found.append((f"stripe/disputes/{dispute['id']}", {"status": status}))
    return found


def _refunded(intent_id: str, books: dict[str, list[dict[str, Any]]]) -> int:
    return sum(
        each["amount"]
        for each in books["refunds"]
        if each["payment_intent"] == intent_id and each["status"] not in ("failed", "canceled")
    )


def _truth(
    payment: payments_pb2.Payment,
    intents: dict[str, dict[str, Any]],
    books: dict[str, list[dict[str, Any]]],
) -> list[tuple[int, int]]:
    """Return the statuses and refunded amounts that a payment may have, by the books."""
    intent = intents[payment.transaction_id]
    if intent["status"] == "canceled":
        return [(payments_pb2.PAYMENT_STATUS_DECLINED, 0)]
    if intent["status"] != "succeeded":
        error = (intent["last_payment_error"] or {}).get("code")
        waits = intent["status"] == "requires_action" or error == "authentication_required"
        status = (
            payments_pb2.PAYMENT_STATUS_REQUIRES_ACTION
            if waits
            else payments_pb2.PAYMENT_STATUS_DECLINED
        )
        return [(status, 0)]
    refunded = _refunded(intent["id"], books)
    disputed = any(
        each["payment_intent"] == intent["id"] and each["status"] in (*_OPEN_OR_LOST, *_APPEALS)
        for each in books["disputes"]
    )
    if disputed:
        return [(payments_pb2.PAYMENT_STATUS_DISPUTED, refunded)]
    if not refunded:
        return [(payments_pb2.PAYMENT_STATUS_SUCCEEDED, 0)]
    is_whole = refunded == intent["amount"]
    return [
        (
            payments_pb2.PAYMENT_STATUS_REFUNDED
            if is_whole
            else payments_pb2.PAYMENT_STATUS_PARTIALLY_REFUNDED,
            refunded,
        )
    ]


def _shown(payment: payments_pb2.Payment) -> tuple[int, int]:
    refunded = payment.amount_refunded
    return payment.status, refunded.units * 100 + refunded.nanos // 10**7


def _kept(
    payment: payments_pb2.Payment,
    intents: dict[str, dict[str, Any]],
    books: dict[str, list[dict[str, Any]]],
) -> int:
    """Return what the wallet keeps of a funding: without refunds and lost disputes."""
    intent = intents[payment.transaction_id]
    if intent["status"] != "succeeded":
        return 0
    lost = sum(
        each["amount"] if each["currency"] == "usd" else CENTS
        for each in books["disputes"]
        if each["payment_intent"] == intent["id"] and each["status"] in ("lost", *_APPEALS)
    )
    return max(0, CENTS - _refunded(intent["id"], books) - lost)


@asynccontextmanager
async def catching(story: Story) -> AsyncIterator[str]:
    """Receive the sandbox's events at a URL, and keep them for later."""

    async def keep(request: web.Request) -> web.Response:
        story.caught.append(await request.read())
        return web.Response()

    app = web.Application()
    app.router.add_post("/events", keep)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/events"
    finally:
        await runner.cleanup()


async def test_shuffled_and_repeated_deliveries_end_in_the_gateways_truth(
    tmp_path: Any,
    database_url: str,
    gateway: Gateway,
    record_property: Callable[[str, object], None],
) -> None:
    clock = ShiftedClock()
    settings: CoreSettings = settings_for(
        tmp_path,
        database_url=database_url,
        service_tokens=TOKENS | {WEBHOOKS_TOKEN: "webhooks", OPERATOR_TOKEN: "operator"},
        stripe_urls={"TEST": gateway.url, "LIVE": gateway.url},
        gateway_timeout_seconds=5.0,
        test_clock=True,
    )
    seed = int(os.environ.get("STORY_SEED", secrets.randbelow(10**6)))
    async with running_core(settings, clock) as client:
        shop = await with_stripe(await register(client))
        await shop.call(
            credentials_pb2.ModifyStripeCredentialsRequest(
                credentials=credentials_pb2.ModifyStripeCredentialsRequest.Credentials(
                    env=types_pb2.ENV_TEST, stripe_webhook_secret=STRIPE_SECRET
                )
            )
        )
        record_property("STORY_SEED", seed)
        story = Story(shop, gateway, clock, random.Random(seed))  # noqa: S311 - no secret
        async with catching(story) as url:
            await gateway.control("webhooks", key=shop.stripe_key, url=url, secret=STRIPE_SECRET)
            await story.begin()
            await story.live(max(DELIVERIES // REPEAT, len(story.caught) + 100))
            assert await story.differences() != []
            await story.deliver()
            differences = ["not compared yet"]
            with suppress(TimeoutError):
                async with asyncio.timeout(120):
                    while differences := await story.differences():
                        clock.ahead += timedelta(seconds=20)
        assert differences == [], f"STORY_SEED={seed}"
        examined = await call(client, OPERATOR, operator_pb2.ExamineRequest())
        broken = [
            check.name
            for check in examined.checks
            if check.verdict == operator_pb2.CHECK_VERDICT_BROKEN
        ]
        assert broken == []
