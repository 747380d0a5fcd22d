"""Delivers signed Stripe events to a service, for a funding of 50 USD."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select

from core.database.schema import postings
from core.payments.store import Payment
from tests.core.payments.running_service import RunningService
from tests.end_to_end.signing import stripe_event, stripe_signature

AMOUNT = 5000


@dataclass(frozen=True, slots=True)
class Hooks:
    """Events about the only payment of a service."""

    running: RunningService
    intent: str
    begun_at: int = field(default_factory=lambda: int(time.time()))
    """Times of events count from it, however long it takes to send them."""

    async def send(self, event_id: str, kind: str, second: int, **thing: Any) -> bool:
        """Deliver an event about an object of the payment's intent."""
        subject = {"payment_intent": self.intent, "currency": "usd"} | thing
        created = self.begun_at - 1000 + second
        return await self.send_body(stripe_event(event_id, kind, created, **subject).body)

    async def send_event(self, **event: Any) -> bool:
        """Deliver an event as given."""
        return await self.send_body(json.dumps(event).encode())

    async def send_body(self, body: bytes) -> bool:
        """Deliver a body with a correct signature."""
        now = time.time() + self.running.clock.ahead.total_seconds()
        return await self.running.webhooks.receive(
            business_id=self.running.caller.business_id,
            gateway="stripe",
            body=body,
            signature=stripe_signature(body, now),
        )

    async def state(self) -> tuple[str, int, int]:
        """Return the payment's status, its refunded amount and the wallet's balance."""
        payment: Payment = await self.running.payment()
        return payment.status, payment.amount_refunded_minor, await self.running.balance()

    async def receivable(self) -> int:
        """Return what users owe the business."""
        async with self.running.database.transaction() as transaction:
            total = await transaction.connection.scalar(
                select(func.coalesce(func.sum(postings.c.amount_minor), 0)).where(
                    postings.c.account == "receivables:TEST:usd"
                )
            )
            return -int(total or 0)


async def hooks_of(running: RunningService) -> Hooks:
    """Fund the wallet and return the hooks of the payment."""
    await running.fund()
    payment = await running.payment()
    assert payment.transaction_id is not None
    return Hooks(running, payment.transaction_id)
