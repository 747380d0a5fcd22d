"""A Stripe gateway against the sandbox or against a server with a given response."""

import itertools
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from core.gateways.gateway import (
    Account,
    GatewayCharge,
)
from core.gateways.stripe.gateway import StripeGateway
from core.money import Amount
from tests.sandbox.running import Sandbox

SHOP = Account("TEST", "sk_test_shop1_a")
REVOKED_KEY = "sk_test_shop1_revoked"
INTENTS = {"path": "/v1/payment_intents", "method": "POST"}
LISTS = {"path": "/v1/payment_intents", "method": "GET"}
SHORT_SECONDS = 1.5
"""A timeout for cases that reach it."""

numbers = itertools.count(1)


@asynccontextmanager
async def gateway_at(url: str, timeout_seconds: float = 10.0) -> AsyncIterator[StripeGateway]:
    made = StripeGateway({"TEST": url, "LIVE": url}, timeout_seconds)
    try:
        yield made
    finally:
        await made.close()


def a_charge(customer_id: str = "cus_1", card_id: str = "pm_1", **changes: Any) -> GatewayCharge:
    number = next(numbers)
    charge = GatewayCharge(
        payment_id=f"PAY-{number}",
        gateway_key=f"key-{number}",
        amount=Amount(2550, "usd"),
        customer_id=customer_id,
        gateway_card_id=card_id,
        description="Order 17",
    )
    return replace(charge, **changes)


async def charge_with(
    sandbox: Sandbox, card: str = "pm_card_visa", **changes: Any
) -> GatewayCharge:
    return replace(a_charge(*await sandbox.customer_with_card(card)), **changes)


async def charged(sandbox: Sandbox) -> list[int]:
    """Return the charged amounts by the sandbox's books."""
    charges = (await sandbox.books())["charges"]
    return [charge["amount"] for charge in charges if charge["status"] == "succeeded"]


def logged(caplog: pytest.LogCaptureFixture, field: str) -> list[Any]:
    """Return the values of a log field, with lists joined."""
    values = [record.__dict__.get(field, []) for record in caplog.records]
    return [each for value in values for each in (value if isinstance(value, list) else [value])]


Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(answer: Answering, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "localhost", 0, ssl_context=tls).start()
        port = runner.addresses[0][1]
        yield f"https://localhost:{port}" if tls else f"http://localhost:{port}"
    finally:
        await runner.cleanup()


def closed_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


async def new_customer(gateway: StripeGateway, key: str = "k") -> str:
    return await gateway.create_customer(
        SHOP, user_id="USR-1", name="Jane Doe", email="jane@example.com", gateway_key=key
    )
