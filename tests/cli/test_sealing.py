"""`nivisco secrets rotate` against running cores."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from google.type.money_pb2 import Money

from cli import sealing
from cli.main import main
from core.sealing import service
from core.server.settings import CoreSettings
from nivisco.payments.v1.wallet_pb2 import AddWalletFundsRequest
from rpc.client import CoreClient
from tests.core.running import (
    OPERATOR_TOKEN,
    Business,
    ShiftedClock,
    create_user,
    register,
    running_core,
    settings_for,
    with_stripe,
)
from tests.core.sealing.sealed import ring


async def rotate(*cores: CoreClient | str, options: tuple[str, ...] = ()) -> Result:
    targets = [each if isinstance(each, str) else each.target for each in cores]
    arguments = ["secrets", "rotate", "--core", ",".join(targets), *options]
    environment = {"NIVISCO_SERVICE_TOKEN": OPERATOR_TOKEN}
    return await asyncio.to_thread(CliRunner().invoke, main, arguments, env=environment)


def credit(user_id: str, key: str) -> Any:
    return AddWalletFundsRequest(user_id=user_id, amount=Money(units=1), idempotency_key=key)


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> CoreSettings:
    return settings_for(tmp_path, database_url=database_url, keyring=ring("a1"))


@asynccontextmanager
async def restarted(settings: CoreSettings, *ids: str) -> AsyncIterator[CoreClient]:
    async with running_core(replace(settings, keyring=ring(*ids))) as client:
        yield client


async def test_under_load_no_request_fails_and_replays_are_byte_equal(
    settings: CoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PAGE_ROWS", 10)
    monkeypatch.setattr(service, "BATCH_ROWS", 4)
    async with running_core(settings) as core:
        shop = await with_stripe(await register(core))
        user_id = await create_user(shop)
        requests = [credit(user_id, f"order-{number}") for number in range(30)]
        before = await asyncio.gather(*map(shop.call, requests))
    async with restarted(settings, "b2", "a1") as core:
        shop = replace(shop, client=core)
        rotating = asyncio.ensure_future(rotate(core))
        rounds = 0
        while not rotating.done() or not rounds:
            new = [credit(user_id, f"new-{rounds}-{number}") for number in range(5)]
            answers = await asyncio.gather(*map(shop.call, [*requests, *new]))
            assert answers[: len(before)] == before
            rounds += 1
        result = await rotating
        assert result.exit_code == 0, result.output
        assert "Key b2 is the newest" in result.stdout
        assert "Key a1 is still needed.\n  30 idempotency keys have a fingerprint" in result.stdout
        checked = await rotate(core, options=("--check", "--json"))
        assert checked.exit_code == 1
        keys = {each["key_id"]: each for each in json.loads(checked.stdout)["keys"]}
        assert (keys["a1"]["sealed_rows"], keys["a1"]["is_needed"]) == ({}, True)
        assert keys["b2"]["sealed_rows"]["stripe_credentials"] == 1


async def test_a_retired_key_may_be_removed(settings: CoreSettings) -> None:
    async with running_core(settings) as core:
        shop = await with_stripe(await register(core))
    async with restarted(settings, "b2", "a1") as core:
        assert "Key a1 is still needed" in (await rotate(core, options=("--check",))).stdout
        result = await rotate(core)
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith("3 rows were sealed again with key b2.")
        assert "Key a1 is retired: nothing needs it. Remove it" in result.stdout
        assert (await rotate(core, options=("--check",))).exit_code == 0
    async with restarted(settings, "b2") as core:
        assert "a1" not in (await rotate(core)).stdout
        assert await create_user(replace(shop, client=core))


async def test_cores_that_have_not_got_the_newest_key_are_named(
    tmp_path: Path, postgresql_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ShiftedClock()

    def core(*ids: str) -> AbstractAsyncContextManager[CoreClient]:
        settings = settings_for(tmp_path, database_url=postgresql_database, keyring=ring(*ids))
        return running_core(settings, clock)

    async with core("a1") as old, core("b2", "a1") as new, core("a1", "b2") as later:
        shop = await register(new)
        disagreeing = await rotate(new, later)
        assert disagreeing.exit_code == 1
        assert f"{later.target} with a1. Restart them" in disagreeing.stderr

        # The same, if they share a name.
        async def addresses(name: str) -> list[str]:
            assert name == "dns:///core.internal:50051"
            return [f"ipv4:{each.target}" for each in (new, later)]

        monkeypatch.setattr(sealing, "single_targets", addresses)
        named = await rotate("dns:///core.internal:50051")
        assert (named.exit_code, named.stderr) == (1, disagreeing.stderr)
        lacking = await rotate(old)
        assert lacking.exit_code == 1
        assert "other cores seal with 'b2'" in lacking.stderr
        # A core that the command does not know of goes on to seal with the older key.
        rotate_page, written = service.SealingService.rotate, Business(old, shop.credentials)

        async def beside_the_old_core(*arguments: Any, **options: Any) -> Any:
            clock.ahead += timedelta(seconds=5)
            await create_user(written)
            await written.call(credit(await create_user(written), f"order-{clock.ahead}"))
            return await rotate_page(*arguments, **options)

        monkeypatch.setattr(service.SealingService, "rotate", beside_the_old_core)
        noticed = await rotate(new)
        assert noticed.exit_code == 1, noticed.output
        assert "A core still uses key a1, last at" in noticed.stdout
        assert "restart it with key b2 first in NIVISCO_SECRET_KEYS" in noticed.stdout
