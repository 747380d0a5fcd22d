"""PostgreSQL, cores and adapters are killed under load: nothing is lost or done twice."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.databases import OwnPostgresql, own_postgresql
from tests.end_to_end.running import JsonClient, new_user
from tests.end_to_end.test_processes import RUNNING, admin_client, new_merchant
from tests.end_to_end.test_rolling_restart import workers_of
from tests.processes import Running, Start, shown, start_up

CLIENTS = 32
OPERATIONS = 10
PATIENCE_SECONDS = 120.0
STRIPE = {
    "env": "TEST",
    "stripe_secret_key": "sk_test_obviously_fake_killed",
    "stripe_public_key": "pk_test_obviously_fake",
}
AMOUNTS = {"add_wallet_funds": 7, "charge_wallet": -3, "fund_customer": 5, "charge_customer": 0}
"""Change of the wallet's balance by each action."""
ACTIONS = list(AMOUNTS)


@pytest.fixture
def server() -> Iterator[OwnPostgresql]:
    with own_postgresql() as running:
        yield running


@dataclass
class Client:
    """A client that repeats each operation under its own key until it succeeds."""

    merchant: JsonClient
    number: int
    user_id: str = ""
    succeeded: Counter[str] = field(default_factory=Counter)
    transactions: set[str] = field(default_factory=set)
    tries: int = 0

    async def run(self) -> None:
        for operation in range(OPERATIONS):
            action = ACTIONS[(self.number + operation) % len(ACTIONS)]
            key = f"{self.number}-{operation}"
            body = await self.until_answered(action, key)
            self.succeeded[action] += 1
            self.transactions.add(str(body["transaction_id"]))

    async def until_answered(self, action: str, key: str) -> dict[str, Any]:
        amount = abs(AMOUNTS[action]) or 2
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                self.tries += 1
                try:
                    response = await self.merchant.call(
                        action, user_id=self.user_id, amount=amount, idempotency_key=key
                    )
                except aiohttp.ClientError:
                    continue  # an adapter died: the outcome is unknown
                if response.status < 500:
                    assert response.status == 200, response.text
                    return response.body
                await asyncio.sleep(0.05)

    async def prepare(self) -> "Client":
        self.user_id = await new_user(self.merchant)
        saved = await self.merchant.call(
            "create_stripe_customer", user_id=self.user_id, payment_method_token="pm_card_visa"
        )
        assert saved.status == 200, saved.text
        await self.merchant.call("add_wallet_funds", user_id=self.user_id, amount=100)
        return self

    async def check(self) -> None:
        """Compare this client's responses with the records."""
        wallet = await self.merchant.call("get_user_wallet", user_id=self.user_id)
        moved = sum(AMOUNTS[action] * count for action, count in self.succeeded.items())
        assert wallet.body["wallet"]["balance"] == Decimal(100 + moved)
        history = await self.merchant.call("get_wallet_history", user_id=self.user_id, limit=1)
        in_wallet = sum(self.succeeded.values()) - self.succeeded["charge_customer"]
        assert history.body["total"] == in_wallet + 1
        assert len(self.transactions) == OPERATIONS
        payments = await self.merchant.call("get_payment_records", user_id=self.user_id, limit=100)
        statuses = Counter(payment["status"] for payment in payments.body["payments"])
        assert statuses == {
            "succeeded": self.succeeded["charge_customer"] + self.succeeded["fund_customer"]
        }


async def gateway_charges(url: str) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/_sandbox/books") as response,
    ):
        books = (await response.json())["books"]
    return sum(
        charge["status"] == "succeeded" for account in books for charge in account["charges"]
    )


async def kill_one_after_the_other(
    up: Running, server: OwnPostgresql, clients: list[Client], running: "asyncio.Future[Any]"
) -> Counter[str]:
    """Kill a worker of core or adapter, or PostgreSQL, after every few operations."""
    killed: Counter[str] = Counter()
    victims = ["worker", "server", "worker", "worker", "server", "worker"]
    for round_, victim in enumerate(victims, start=1):
        enough = round_ * CLIENTS * OPERATIONS // (len(victims) + 2)
        while sum(client.succeeded.total() for client in clients) < enough and not running.done():
            await asyncio.sleep(0.01)
        if running.done():
            break
        if victim == "server":
            await asyncio.to_thread(server.kill_at_once)
            await asyncio.to_thread(server.start)
        else:
            workers = workers_of(up)
            os.kill(workers[round_ % len(workers)], signal.SIGKILL)
        killed[victim] += 1
    return killed


async def test_kills_under_load_of_32_clients_lose_and_repeat_nothing(
    start: Start, tmp_path: Path, server: OwnPostgresql
) -> None:
    data_dir = tmp_path / "data"
    variables = {"NIVISCO_DATABASE_URL": server.url}
    up = start_up(start, data_dir, "--workers", "2", **variables)
    printed = await asyncio.to_thread(up.wait_for, RUNNING)
    connector = aiohttp.TCPConnector(limit=CLIENTS)
    async with aiohttp.ClientSession(connector=connector) as session:
        merchant = await new_merchant(admin_client(printed, data_dir, session))
        assert (await merchant.call("add_stripe_credentials", credentials=STRIPE)).status == 200
        clients = [Client(merchant, number) for number in range(CLIENTS)]
        await asyncio.gather(*(client.prepare() for client in clients))
        running = asyncio.gather(*(client.run() for client in clients))
        killed = await kill_one_after_the_other(up, server, clients, running)
        await running
        assert killed == {"worker": 4, "server": 2}
        assert sum(client.tries for client in clients) > CLIENTS * OPERATIONS
        for client in clients:
            await client.check()
        by_card = sum(
            client.succeeded["charge_customer"] + client.succeeded["fund_customer"]
            for client in clients
        )
        assert await gateway_charges(shown(printed, "TEST payments")) == by_card
    cores = shown(printed, "gRPC")
    doctor = start("-P", "-m", "cli", "doctor", "--data-dir", str(data_dir), "--core", cores)
    assert await asyncio.to_thread(doctor.wait) == 0, doctor.printed
    up.signal(signal.SIGTERM)
    assert await asyncio.to_thread(up.wait) == 0
