"""Cores and adapters restart one by one under load: no request fails, no cent is lost."""

import asyncio
import json
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from tests.end_to_end.running import JsonClient, new_user
from tests.end_to_end.test_processes import RUNNING, admin_client, new_merchant
from tests.processes import Running, Start, start_up, wait_until_gone

CLIENTS = 16
FUNDS = 100_000
RENEWED = "rolling restart finished"


async def test_a_rolling_restart_of_cores_and_adapters_under_load_fails_no_request(
    start: Start, tmp_path: Path, postgresql_database: str
) -> None:
    data_dir = tmp_path / "data"
    more = ("--no-sandbox", "--workers", "2")
    quiet = {"NIVISCO_DATABASE_URL": postgresql_database}
    up = start_up(start, data_dir, *more, **quiet)
    printed = await asyncio.to_thread(up.wait_for, RUNNING)
    async with aiohttp.ClientSession() as session:
        merchant = await new_merchant(admin_client(printed, data_dir, session))
        before = workers_of(up)
        assert len(before) == 4
        renewed = asyncio.Event()
        clients = [asyncio.create_task(client(merchant, renewed)) for _ in range(CLIENTS)]
        up.signal(signal.SIGUSR2)
        async with asyncio.timeout(90):
            while not all(
                has_logged(data_dir, process, RENEWED) for process in ("core", "adapter")
            ):
                await asyncio.sleep(0.05)
        renewed.set()
        ended = await asyncio.gather(*clients)
        assert [each["failures"] for each in ended] == [[]] * CLIENTS
        for each in ended:
            assert each["charges"] > 0
            wallet = (await merchant.call("get_user_wallet", user_id=each["user_id"])).body
            assert wallet["wallet"]["balance"] == FUNDS - each["charges"] * Decimal("0.25")
            history = await merchant.call("get_wallet_history", user_id=each["user_id"], limit=1)
            assert history.body["total"] == each["charges"] + 1
    after = workers_of(up)
    assert len(after) == 4
    assert not set(before) & set(after)
    up.signal(signal.SIGTERM)
    assert await asyncio.to_thread(up.wait) == 0
    wait_until_gone(after)


async def client(merchant: JsonClient, renewed: asyncio.Event) -> dict[str, Any]:
    """Debit a wallet and read it repeatedly on kept connections until the restart is complete."""
    failures: list[str] = []
    charges = 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        client = JsonClient(merchant.url, session, merchant.business_id, merchant.api_key)
        user_id = await new_user(client)
        funded = await client.call("add_wallet_funds", user_id=user_id, amount=FUNDS)
        assert funded.status == 200
        while not renewed.is_set():
            for action, payload in (("charge_wallet", {"amount": 0.25}), ("get_user_wallet", {})):
                try:
                    response = await client.call(action, user_id=user_id, **payload)
                except aiohttp.ClientError as error:
                    failures.append(f"{action}: {error!r}")
                    continue
                if response.status != 200:
                    failures.append(f"{action}: {response.status} {response.text}")
                elif action == "charge_wallet":
                    charges += 1
    return {"user_id": user_id, "failures": failures, "charges": charges}


def workers_of(up: Running) -> list[int]:
    """Return the pids of the workers: the children of up's children."""
    return sorted(set(up.descendants()) - set(up.children()))


def has_logged(data_dir: Path, process: str, message: str) -> bool:
    lines = (data_dir / "logs" / f"{process}.log").read_text().splitlines()
    return any(json.loads(line)["message"] == message for line in lines if message in line)
