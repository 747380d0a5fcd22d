"""Runs a sandbox on a real socket, with clients for the tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import stripe

from sandbox.server import serve

KEY = "sk_test_shop1_a"
ACCOUNT = "acct_shop1"


@dataclass
class Sandbox:
    """A running sandbox: its base URL, and an HTTP session."""

    url: str
    session: aiohttp.ClientSession

    def stripe(self, key: str = KEY) -> stripe.StripeClient:
        """Return a client of Stripe's SDK for the sandbox."""
        return stripe.StripeClient(
            key,
            base_addresses={"api": self.url},
            http_client=stripe.AIOHTTPClient(session=self.session),
            max_network_retries=0,
        )

    async def call(
        self,
        method: str,
        path: str,
        data: dict[str, str] | str | bytes | None = None,
        *,
        key: str | None = KEY,
        **headers: str,
    ) -> tuple[int, Any]:
        """Send a request; return status and JSON."""
        status, _, body = await self.call_with_headers(method, path, data, key=key, **headers)
        return status, body

    async def call_with_headers(
        self,
        method: str,
        path: str,
        data: dict[str, str] | str | bytes | None = None,
        *,
        key: str | None = KEY,
        **headers: str,
    ) -> tuple[int, dict[str, str], Any]:
        """Send a request; return status, headers and JSON."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            named["Authorization"] = f"Bearer {key}"
        if isinstance(data, str | bytes):
            named.setdefault("Content-Type", "application/x-www-form-urlencoded")
        async with self.session.request(
            method, self.url + path, data=data, headers=named
        ) as response:
            return response.status, dict(response.headers), await response.json()

    async def control(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send a request to a control endpoint; return status and JSON."""
        async with self.session.request(
            method, f"{self.url}/_sandbox/{path}", json=body
        ) as response:
            return response.status, await response.json()

    async def schedule_fault(self, kind: str, **rest: Any) -> None:
        """Schedule a fault for the next matching requests."""
        status, body = await self.control("POST", "faults", {"kind": kind, **rest})
        assert status == 201, body

    async def wait_until_delayed(self, requests: int) -> None:
        """Wait until this many requests are delayed by a fault."""
        async with asyncio.timeout(30):
            while (await self.control("GET", "faults"))[1]["holding"] < requests:
                pass

    async def books(self, key: str = KEY) -> Any:
        """Return the books of the key's account and mode."""
        async with self.session.get(
            f"{self.url}/_sandbox/books", headers={"Authorization": f"Bearer {key}"}
        ) as response:
            shown = (await response.json())["books"]
        return shown[0] if shown else {"charges": [], "payment_intents": [], "customers": []}

    async def customer_with_card(self, card: str = "pm_card_visa") -> tuple[str, str]:
        """Create a customer with a card; return the ids of both."""
        client = self.stripe()
        customer = await client.v1.customers.create_async()
        method = await client.v1.payment_methods.attach_async(card, {"customer": customer.id})
        return customer.id, method.id


@contextlib.asynccontextmanager
async def running_sandbox(data_dir: Path) -> AsyncIterator[Sandbox]:
    """Serve until the block ends."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serve("127.0.0.1", 0, data_dir, ready.set_result))
    try:
        either: list[asyncio.Future[Any]] = [ready, server]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if server.done():
            await server
        async with aiohttp.ClientSession() as session:
            yield Sandbox(ready.result(), session)
    finally:
        server.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await server


def charge_form(customer: str, method: str, **rest: str) -> dict[str, str]:
    """Return the form of a charge as the core sends it."""
    return {
        "amount": "2500",
        "currency": "usd",
        "customer": customer,
        "payment_method": method,
        "allowed_payment_method_types[]": "card",
        "confirm": "true",
        "off_session": "true",
        **rest,
    }


def assert_fields(body: dict[str, Any], resource: type, absent: set[str]) -> None:
    """Assert that the body has exactly the fields of the SDK's type, but for the absent ones."""
    assert set(body) == set(resource.__annotations__) - {"OBJECT_NAME", "deleted"} - absent


async def charge_card(sandbox: Sandbox, card: str = "pm_card_visa", **rest: str) -> Any:
    """Charge 25 dollars to a new customer's card; return the payment intent."""
    form = charge_form(*await sandbox.customer_with_card(card), **rest)
    _, intent = await sandbox.call("POST", "/v1/payment_intents", form)
    return intent
