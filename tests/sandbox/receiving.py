"""Receives the sandbox's webhooks, and verifies their signatures."""

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import stripe
from aiohttp import web

from tests.sandbox.running import KEY, Sandbox

SECRET = "whsec_test"
SIGNATURE_KEY = "0123ABCD"


@dataclass
class Receiver:
    """An endpoint of a merchant: its URL, the events in order of arrival, its next statuses."""

    url: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    released: asyncio.Event | None = None
    """While it is not set, requests hang."""
    waiting: int = 0
    most_waiting: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        """Verify an event's signature and store the event, unless another status is to be sent."""
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        if self.released is not None:
            await self.released.wait()
        self.waiting -= 1
        body = await request.read()
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            self.events.append(_verify(body, request.headers))
        return web.Response(status=status)

    @property
    def types(self) -> list[str]:
        """The types of the events so far."""
        return [str(event.get("type") or event.get("eventType")) for event in self.events]

    def objects(self, kind: str) -> list[Any]:
        """Return the objects of the events of a type."""
        return [event["data"]["object"] for event in self.events if event["type"] == kind]


def _verify(body: bytes, headers: Any) -> dict[str, Any]:
    if "Stripe-Signature" in headers:
        stripe.WebhookSignature.verify_header(body.decode(), headers["Stripe-Signature"], SECRET)
    else:
        digest = hmac.new(SIGNATURE_KEY.encode(), body, hashlib.sha512).hexdigest().upper()
        assert headers["X-ANET-Signature"] == f"sha512={digest}"
    event: dict[str, Any] = json.loads(body)
    return event


@contextlib.asynccontextmanager
async def receiving(sandbox: Sandbox, **account: Any) -> AsyncIterator[Receiver]:
    """Receive the events of an account, by default of the tests' key, until the block ends."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        secret = SIGNATURE_KEY if "api_login_id" in account else SECRET
        order = {"url": receiver.url, "secret": secret, **(account or {"key": KEY})}
        status, body = await sandbox.control("POST", "webhooks", order)
        assert status == 201, body
        yield receiver
    finally:
        if receiver.released is not None:
            receiver.released.set()
        await runner.cleanup()


async def shown(sandbox: Sandbox) -> Any:
    """Return the state of the webhooks once nothing is under way."""
    async with asyncio.timeout(10):
        while True:
            _, state = await sandbox.control("GET", "webhooks")
            if not state["under_way"]:
                return state
