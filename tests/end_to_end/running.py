"""The whole stack over sockets: sandbox, core and adapter in this process, called by JSON."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from adapter.server import serve as serve_adapter
from adapter.settings import AdapterSettings
from rpc.client import CoreClient
from tests.core.running import (
    WEBHOOKS_TOKEN,
    Gateway,
    create_admin,
    register,
    running_core,
    running_sandbox,
    settings_for,
)


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response. Decimal numbers in `body` are Decimal."""

    status: int
    body: dict[str, Any]
    text: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class JsonClient:
    """A client of the JSON endpoint, with the credentials of a business."""

    url: str
    session: aiohttp.ClientSession
    business_id: str = ""
    api_key: str = field(default="", repr=False)

    async def send(self, body: bytes | str, method: str = "POST", path: str = "/") -> Response:
        """Send a raw body."""
        async with self.session.request(method, self.url + path, data=body) as response:
            text = await response.text()
            parsed = json.loads(text, parse_float=Decimal) if text else {}
            return Response(response.status, parsed, text, response.headers)

    async def call(self, action: str, **payload: Any) -> Response:
        """Call an action with these credentials."""
        envelope = {
            "business_id": self.business_id,
            "api_key": self.api_key,
            "action": action,
        } | payload
        return await self.send(json.dumps(envelope))

    def as_business(self, business_id: str, api_key: str) -> "JsonClient":
        """Return a client with other credentials."""
        return JsonClient(self.url, self.session, business_id, api_key)


STRIPE_KEYS = {
    "env": "TEST",
    "stripe_secret_key": "sk_test_obviously_fake",
    "stripe_public_key": "pk_test_obviously_fake",
}


async def new_user(client: JsonClient) -> str:
    """Create a user and return its id."""
    user = {"name": "Alicia", "email": "alicia@example.com"}
    return str((await client.call("create_user", user=user)).body["user"]["user_id"])


async def user_with_money(client: JsonClient, amount: int = 100) -> str:
    """Create a user with this balance and return its id."""
    user_id = await new_user(client)
    await client.call("add_wallet_funds", user_id=user_id, amount=amount)
    return user_id


async def user_with_card(client: JsonClient, token: str = "pm_card_visa") -> str:
    """Store Stripe keys, create a user with a card, and return its id."""
    await client.call("add_stripe_credentials", credentials=STRIPE_KEYS)
    user_id = await new_user(client)
    await client.call("create_stripe_customer", user_id=user_id, payment_method_token=token)
    return user_id


@dataclass(frozen=True, slots=True)
class Stack:
    """What runs, with clients for the admin and for a merchant."""

    admin: JsonClient
    merchant: JsonClient
    core: CoreClient
    gateway: Gateway


@asynccontextmanager
async def running_stack(
    path: Path,
    database_url: str,
    gateway_timeout_seconds: float = 5.0,
    metrics: tuple[str, int] | None = None,
) -> AsyncIterator[Stack]:
    """Serve sandbox, core and adapter on free ports until the block ends."""
    stop = asyncio.Event()
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with running_sandbox(path) as sandbox_url:
        urls = {"TEST": sandbox_url, "LIVE": sandbox_url}
        settings = settings_for(
            path,
            database_url=database_url,
            stripe_urls=urls,
            authorize_urls=urls,
            gateway_timeout_seconds=gateway_timeout_seconds,
            test_clock=True,
            metrics=metrics,
        )
        async with running_core(settings) as core, aiohttp.ClientSession() as session:
            adapter = asyncio.ensure_future(
                serve_adapter(
                    AdapterSettings(
                        port=0,
                        core_target=core.target,
                        lame_duck_seconds=0.0,
                        webhooks_token=WEBHOOKS_TOKEN,
                        metrics=metrics,
                    ),
                    ready.set_result,
                    stop,
                )
            )
            client = JsonClient((await ready).rstrip("/"), session)
            admin = await create_admin(core)
            business = await register(core)
            admin = await create_admin(core)
            yield Stack(
                client.as_business(admin.business_id, admin.api_key),
                client.as_business(business.credentials.business_id, business.credentials.api_key),
                core,
                Gateway(sandbox_url),
            )
            stop.set()
            await adapter
