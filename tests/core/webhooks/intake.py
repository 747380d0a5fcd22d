"""A business with webhook secrets, whose webhooks a service receives, for one test."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from sqlalchemy import select, update

from core.business.known_callers import KnownCallers
from core.business.service import BusinessService
from core.caller import Caller
from core.credentials.service import CredentialsService
from core.database.migrations.upgrade import migrate
from core.database.schema import stripe_credentials, webhook_events
from core.database.transactions import Database, Transaction
from core.errors import InvalidFields, Reason, Refusal
from core.payments.transitions import Transitions
from core.security.keyring import Keyring
from core.webhooks.service import WebhooksService
from tests.core.running import keyring
from tests.end_to_end.signing import SIGNATURE_KEY, STRIPE_SECRET, stripe_signature

EVENT = {"id": "evt_1", "type": "invoice.paid", "livemode": False, "data": {"object": {}}}
BODY = json.dumps(EVENT).encode()
LIVE_BODY = json.dumps(EVENT | {"livemode": True}).encode()
FORGED = "t=1,v1=" + "0" * 64


class StoppedClock:
    """A time that only a test advances."""

    def __init__(self) -> None:
        """Begin at a whole second."""
        self.ahead = timedelta()

    def now(self) -> datetime:
        """Return the time."""
        return datetime(2026, 1, 1, tzinfo=UTC) + self.ahead


class CountingDatabase(Database):
    """A database that counts the transactions that it opens."""

    opened = 0

    @asynccontextmanager
    async def transaction(self, name: str = "") -> AsyncIterator[Transaction]:
        """Open and count a transaction."""
        self.opened += 1
        async with super().transaction(name) as transaction:
            yield transaction

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """Open and count a transaction that only reads."""
        self.opened += 1
        async with super().read() as transaction:
            yield transaction


@dataclass
class Intake:
    """A business with webhook secrets, and the use case that receives its webhooks."""

    database: CountingDatabase
    clock: StoppedClock
    ring: Keyring
    credentials: CredentialsService
    webhooks: WebhooksService
    caller: Caller

    async def store(self, env: str, secret: str, via: CredentialsService | None = None) -> None:
        """Store Stripe keys with this webhook secret."""
        word = env.lower()
        keys = {"stripe_secret_key": f"sk_{word}_a", "stripe_public_key": f"pk_{word}_a"}
        keys["stripe_webhook_secret"] = secret
        await (via or self.credentials).add(self.caller, "stripe", env, keys)

    async def store_signature_key(self) -> None:
        """Store Authorize.Net keys with a signature key."""
        keys = {"api_login_id": "a", "transaction_key": "b", "signature_key": SIGNATURE_KEY}
        await self.credentials.add(self.caller, "authorize", "TEST", keys)

    async def receive(
        self, body: bytes, signature: str, business_id: str | None = None, gateway: str = "stripe"
    ) -> bool:
        """Deliver a body."""
        return await self.webhooks.receive(
            business_id=business_id or self.caller.business_id,
            gateway=gateway,
            body=body,
            signature=signature,
        )

    async def deliver(
        self, body: bytes = BODY, secret: str = STRIPE_SECRET, age_seconds: float = 0
    ) -> bool:
        """Deliver a body that is signed so long ago."""
        signed_at = self.clock.now().timestamp() - age_seconds
        return await self.receive(body, stripe_signature(body, signed_at, secret))

    async def outcome(self, body: bytes = BODY, secret: str = STRIPE_SECRET) -> str:
        """Return whether a delivery is accepted, or the reason why not."""
        try:
            await self.deliver(body, secret)
        except Refusal as refusal:
            return Reason.Name(refusal.reason).removeprefix("ERROR_REASON_")
        return "accepted"

    async def forge(self, business_id: str | None = None) -> None:
        """Deliver a forged event, which is refused."""
        with pytest.raises(InvalidFields, match="signature"):
            await self.receive(BODY, FORGED, business_id)

    async def damage(self, env: str) -> None:
        """Make the stored secret of an environment one that does not open."""
        async with self.database.transaction() as transaction:
            await transaction.connection.execute(
                update(stripe_credentials)
                .where(stripe_credentials.c.env == env)
                .values(sealed_webhook_secret="v2:k1:AAAA")
            )

    async def stored_events(self) -> list[tuple[str, str]]:
        """Return environment and id of the stored events."""
        columns = (webhook_events.c.env, webhook_events.c.event_id)
        async with self.database.transaction() as transaction:
            rows = await transaction.connection.execute(select(*columns).order_by(*columns))
            return [(row.env, row.event_id) for row in rows]


@asynccontextmanager
async def running_intake(database_url: str) -> AsyncIterator[Intake]:
    """Receive webhooks for a business with a TEST secret of Stripe."""
    clock, ring = StoppedClock(), keyring()
    database = CountingDatabase(database_url, clock)
    await migrate(database)
    known_callers = KnownCallers(database)
    issued = await BusinessService(database, known_callers).create_admin(rotate=False)
    caller = Caller(issued.business_id, "TEST", "")
    credentials = CredentialsService(database, ring, known_callers)
    # No payment exists here, so nothing is applied or looked up.
    transitions = Transitions(cast(Any, None), [])
    webhooks = WebhooksService(database, credentials, transitions, {}, cast(Any, None))
    intake = Intake(database, clock, ring, credentials, webhooks, caller)
    await intake.store("TEST", STRIPE_SECRET)
    yield intake
    await database.close()
