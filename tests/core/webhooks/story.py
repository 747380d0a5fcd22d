"""A month of a merchant at both gateways, whose events are caught for later.

Charges, refunds that fail, disputes both ways, reviews, voids, authentications and renewals happen
at the sandbox. Wallets are spent meanwhile, so that some do not cover what is taken back.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from aiohttp import web
from google.type import money_pb2

from nivisco.internal.v1 import webhooks_pb2
from nivisco.payments.v1 import payments_pb2, refunds_pb2, types_pb2, wallet_pb2
from nivisco.payments.v1 import recurring_pb2 as pb
from rpc.errors import CoreError
from rpc.metadata import Credentials
from sandbox.authorize.calls import IN_REVIEW
from tests.core.recurring.running import advance, create_job, now
from tests.core.running import (
    WEBHOOKS_TOKEN,
    Business,
    Gateway,
    authorize_card,
    call,
    create_user,
    save_card,
)
from tests.end_to_end.signing import Delivery
from tests.prove.gateway_truth import Truth, authorize_truths, stripe_truths
from tests.prove.requests import CARD_OF_REVIEW

REPEAT = 4
"""How often each event is delivered."""
STRIPE_CARDS = ("pm_card_visa", "pm_card_authenticationRequired", "pm_card_chargeCustomerFail")
AUTHORIZE_CARDS = ("4111111111111111", CARD_OF_REVIEW)
CHARGES_PER_USER = 4
DOLLARS = 50
MONTHS = 3

Row = dict[str, Any]
Step = tuple[str, Row]
"""A control endpoint of the sandbox, and what to post there."""


@dataclass
class Story:
    """A business, the books of its gateways, and the events that were caught."""

    shop: Business
    gateway: Gateway
    dice: random.Random
    users: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    caught: list[Delivery] = field(default_factory=list)

    async def books(self) -> tuple[Row, Row]:
        """Return the books of Stripe and of Authorize.Net."""
        authorize = dict(await self.gateway.authorize_books(self.shop.login_id))
        (stripe,) = [each for each in await self.gateway.books() if "payment_intents" in each]
        return stripe, authorize

    async def truths(self) -> list[Truth]:
        """Return what the gateways' books say of each payment."""
        stripe, authorize = await self.books()
        return [*stripe_truths(stripe), *authorize_truths(authorize)]

    async def begin(self) -> None:
        """Charge cards, fund and spend wallets, and renew jobs for some months."""
        start = now() + timedelta(days=1)
        for token in STRIPE_CARDS * 2:
            user_id = await create_user(self.shop)
            await save_card(self.shop, user_id, token)
            self.users.append(user_id)
            self.jobs.append(
                await create_job(
                    self.shop,
                    user_id,
                    source=pb.RECURRING_SOURCE_STRIPE,
                    interval_type=pb.INTERVAL_TYPE_MONTH,
                    start_at=start.isoformat(),
                )
            )
        for card_number in AUTHORIZE_CARDS * 2:
            self.users.append(await create_user(self.shop))
            await self.shop.call(authorize_card(self.users[-1], card_number))
        for month in range(MONTHS):
            await advance(self.shop, start + timedelta(days=31 * month, hours=2))
        kinds = (payments_pb2.ChargeCustomerRequest, payments_pb2.FundCustomerRequest)
        for number in range(len(self.users) * CHARGES_PER_USER):
            user_id = self.users[number % len(self.users)]
            await self._try(self.dice.choice(kinds)(user_id=user_id, amount=_usd(DOLLARS)), number)

    async def spend(self) -> None:
        """Charge wallets with a part of what they hold."""
        for number, user_id in enumerate(self.users):
            amount = _usd(self.dice.randrange(1, DOLLARS))
            request = wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=amount)
            await self._try(request, 1000 + number)

    async def give_back(self) -> None:
        """Refund a dollar of each payment that can be refunded."""
        records = await self.shop.call(payments_pb2.GetPaymentRecordsRequest(limit=100))
        for number, payment in enumerate(records.payments):
            payment_id = payment.payment_id
            request = refunds_pb2.RefundPaymentRequest(payment_id=payment_id, amount=_usd(1))
            await self._try(request, 2000 + number)

    async def overdraw(self) -> None:
        """Refund a wallet's funding at the gateway once the wallet covers only a part of it."""
        user_id = await create_user(self.shop)
        await save_card(self.shop, user_id, STRIPE_CARDS[0])
        fund = payments_pb2.FundCustomerRequest(user_id=user_id, amount=_usd(DOLLARS))
        funded = await self.shop.call(fund)
        spend = wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=_usd(DOLLARS - 10))
        await self.shop.call(spend)
        ids = {"payment_intent": funded.transaction_id}
        await self.gateway.control("stripe/refunds", **ids, amount=3000)

    async def live(self, events: int) -> None:
        """Have things happen at the gateways until there are so many events."""
        while len(self.caught) < events:
            stripe, authorize = await self.books()
            intents = self.dice.sample(stripe["payment_intents"], 15)
            steps = [self.dice.choice(_at_stripe(self.dice, each, stripe)) for each in intents]
            transactions = authorize["transactions"]
            some = self.dice.sample(transactions, min(8, len(transactions)))
            steps += [self.dice.choice(_at_authorize(self.dice, each)) for each in some]
            for name, body in steps:
                with suppress(AssertionError):  # the gateway refuses what is not possible now
                    await self.gateway.control(name, **body)

    async def deliver(self) -> None:
        """Deliver what was caught, shuffled, repeated and signed anew, several at a time."""
        deliveries = self.caught * REPEAT
        self.dice.shuffle(deliveries)
        slots = asyncio.Semaphore(16)

        async def one(delivery: Delivery) -> None:
            async with slots:
                while not await self._is_received(delivery):
                    await asyncio.sleep(0.1)  # a gateway repeats what is not received

        await asyncio.gather(*(one(each) for each in deliveries))

    async def _is_received(self, delivery: Delivery) -> bool:
        request = webhooks_pb2.ReceiveWebhookRequest(
            business_id=self.shop.credentials.business_id,
            gateway=types_pb2.Gateway.Value(f"GATEWAY_{delivery.gateway.upper()}"),
            body=delivery.body,
            signature=next(iter(delivery.headers(time.time()).values())),
        )
        try:
            await call(self.shop.client, Credentials(service_token=WEBHOOKS_TOKEN), request)
        except CoreError as error:
            if error.reason != "SERVICE_UNAVAILABLE":
                raise
            return False
        return True

    async def _try(self, request: Any, number: int) -> None:
        request.idempotency_key = f"k{number}"
        with suppress(CoreError):  # declined, held, to be authenticated, or the wallet is too low
            await self.shop.call(request)


@asynccontextmanager
async def catching(story: Story) -> AsyncIterator[str]:
    """Receive the gateways' events at a URL and its gateway's name, and keep them for later."""

    async def keep(request: web.Request) -> web.Response:
        body = await request.read()
        story.caught.append(Delivery(request.match_info["gateway"], body))
        return web.Response()

    app = web.Application()
    app.router.add_post("/{gateway}", keep)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _usd(dollars: int) -> money_pb2.Money:
    return money_pb2.Money(units=dollars)


def _at_stripe(dice: random.Random, intent: Row, books: Row) -> Sequence[Step]:
    """Return what may happen to an intent now."""
    ids = {"payment_intent": intent["id"]}
    if intent["status"] != "succeeded":
        return [
            ("authentications", ids),
            ("authentications", ids | {"succeeds": False}),
            ("stripe/cancellations", ids),
        ]
    amount = dice.randrange(1, 3) * 1000
    metadata = {"metadata": {"payment_id": "ORDER-991"}}
    found: list[Step] = [
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


def _at_authorize(dice: random.Random, transaction: Row) -> Sequence[Step]:
    """Return what may happen to a transaction now, as far as an event tells of it."""
    ids = {"transaction": transaction["id"]}
    status = transaction["status"]
    if status in IN_REVIEW:
        decisions = ("approve", "approve", "decline")
        return [("authorize/reviews", ids | {"decision": each}) for each in decisions]
    settled = {
        "capturedPendingSettlement": ("settledSuccessfully", "settledSuccessfully", "voided"),
        "refundPendingSettlement": ("refundSettledSuccessfully", "voided"),
    }
    if status in settled:
        return [("authorize/transactions", ids | {"status": each}) for each in settled[status]]
    cents = Decimal(dice.randrange(1, 100 * DOLLARS)) / 100
    return [("authorize/refunds", ids | {"amount": str(cents)})]
