"""The process: start, stop and kill lose no response that was sent."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from sandbox.books import Books, PageQuery, Scope
from sandbox.server import BOOKS_FILE, serve
from tests.sandbox.running import KEY, Sandbox, charge_form, running_sandbox

SERVE = """
import asyncio, pathlib, sys
from sandbox.server import serve
asyncio.run(serve("127.0.0.1", 0, pathlib.Path(sys.argv[1]), lambda url: print(url, flush=True)))
"""


def ignore(_url: str) -> None:
    """Ignore the base URL."""


class TestStarting:
    async def test_a_port_in_use_is_a_clear_error(self, sandbox: Sandbox, tmp_path: Path) -> None:
        port = int(sandbox.url.rpartition(":")[2])
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {port}: .*in use"):
            await serve("127.0.0.1", port, tmp_path / "other", ignore)

    async def test_two_sandboxes_cannot_share_a_store(
        self, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        assert sandbox.url
        with pytest.raises(OSError, match=r"cannot use the sandbox's books .* locked"):
            await serve("127.0.0.1", 0, tmp_path, ignore)


class TestStopping:
    async def test_data_survives_a_restart(self, tmp_path: Path) -> None:
        async with running_sandbox(tmp_path) as first:
            customer, card = await first.customer_with_card()
            form = charge_form(customer, card)
            paid = await first.call("POST", "/v1/payment_intents", form, Idempotency_Key="k")
        async with running_sandbox(tmp_path) as second:
            again = await second.call("POST", "/v1/payment_intents", form, Idempotency_Key="k")
            assert again == paid
            status, _ = await second.call(
                "POST", "/v1/payment_intents", charge_form(customer, card)
            )
            assert status == 200
            assert len((await second.books())["charges"]) == 2

    async def test_an_idle_connection_does_not_delay_the_stop(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sandbox.server.SHUTDOWN_SECONDS", 3600)
        async with (
            asyncio.timeout(60),
            aiohttp.ClientSession() as caller,
            running_sandbox(tmp_path) as running,
            caller.get(f"{running.url}/healthz") as answer,
        ):
            assert answer.status == 200

    async def test_a_request_in_flight_is_answered_before_the_stop(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sandbox.server.SHUTDOWN_SECONDS", 60)
        async with running_sandbox(tmp_path) as running:
            await running.schedule_fault("delay", seconds=1)
            caller = aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"})
            late = asyncio.create_task(caller.post(f"{running.url}/v1/customers"))
            await running.wait_until_delayed(1)
        async with caller, await late as answer:
            assert answer.status == 200
        books = Books(tmp_path / BOOKS_FILE)
        made, _ = books.list_page(Scope("acct_shop1", livemode=False), "customer", PageQuery())
        books.close()
        assert len(made) == 1


async def test_a_kill_keeps_effect_and_response_or_neither(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    answered: set[str] = set()
    async with aiohttp.ClientSession() as session:
        sandbox = Sandbox(url, session)
        customer, card = await sandbox.customer_with_card()

        async def charge_until_dead(worker: int) -> None:
            for number in range(10_000):
                name = f"{worker}-{number}"
                form = charge_form(customer, card, **{"metadata[name]": name})
                try:
                    status, _ = await sandbox.call(
                        "POST", "/v1/payment_intents", form, Idempotency_Key=name
                    )
                except aiohttp.ClientError:
                    return
                assert status == 200
                answered.add(name)
                if len(answered) == 40:
                    os.kill(process.pid, signal.SIGKILL)

        await asyncio.gather(*(charge_until_dead(worker) for worker in range(8)))
    await process.wait()
    books = Books(tmp_path / BOOKS_FILE)
    scope = Scope("acct_shop1", livemode=False)
    charges, _ = books.list_page(scope, "charge", PageQuery(limit=1000))
    seen = books.list_idempotency_keys(scope, 1000)
    keys = {record["key"] for record in seen if record["path"] == "/v1/payment_intents"}
    books.close()
    charged = [charge.body["metadata"]["name"] for charge in charges]
    assert len(set(charged)) == len(charged)
    assert set(charged) == keys
    assert answered <= keys
