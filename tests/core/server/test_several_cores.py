"""Several cores on one PostgreSQL, as processes, and one client that shares its calls out to them.

Which core had a call is read from their logs: a core prints the call's line before it answers.
"""

import asyncio
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import pytest
from google.type import money_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import text

from core.database.engines import engine_for
from nivisco.payments.v1 import authentication_pb2, wallet_pb2
from rpc import client as client_module
from rpc.client import CoreClient
from rpc.errors import CoreError
from rpc.metadata import request_id
from tests.core.running import (
    OPERATOR_TOKEN,
    Business,
    create_user,
    register,
    running_core,
    settings_for,
)
from tests.processes import Running, Start, serving_line

VALIDATE = authentication_pb2.ValidateBusinessRequest()
PATIENCE_SECONDS = 20


class Core:
    """A core as a process."""

    def __init__(self, start: Start, url: str, address: str = "127.0.0.1:0", **more: str) -> None:
        self.process: Running = start(
            *("-P", "-m", "cli", "core", "--grpc", address),
            NIVISCO_DATABASE_URL=url,
            NIVISCO_SECRET_KEYS="k1:" + "A" * 43 + "=",
            NIVISCO_SERVICE_TOKENS=f"operator:{OPERATOR_TOKEN}",
            **more,
        )
        self.address = self.process.wait_for_match(serving_line("core"))[1]

    def had(self, call: str) -> bool:
        return f'"request_id": "{call}", "message": "call"' in self.process.read_now()


@asynccontextmanager
async def client_of(*cores: Core) -> AsyncIterator[Business]:
    client = CoreClient(",".join(core.address for core in cores))
    try:
        yield await register(client)
    finally:
        await client.close()


_calls = 0


async def who_answers(business: Business, *cores: Core) -> Core:
    """Make one call, and return the core that had it; there is exactly one."""
    global _calls  # noqa: PLW0603 - one number for each call
    _calls += 1
    token = request_id.set(f"call-{_calls}")
    try:
        await business.call(VALIDATE)
    finally:
        request_id.reset(token)
    [core] = [core for core in cores if core.had(f"call-{_calls}")]
    return core


async def wait_until_all_go_to(core: Core, business: Business, *cores: Core) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while {await who_answers(business, *cores) for _ in range(4)} != {core}:
            pass


async def wait_until_all_are_used(business: Business, *cores: Core) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while {await who_answers(business, *cores) for _ in range(4)} != set(cores):
            pass


async def test_calls_are_shared_out_evenly(start: Start, postgresql_database: str) -> None:
    first, second = Core(start, postgresql_database), Core(start, postgresql_database)
    async with client_of(first, second) as business:
        await wait_until_all_are_used(business, first, second)
        had = Counter([await who_answers(business, first, second) for _ in range(20)])
    assert had == {first: 10, second: 10}


async def test_a_core_that_drains_gets_no_new_calls_and_one_that_returns_does(
    start: Start, postgresql_database: str
) -> None:
    lame_duck = {"NIVISCO_LAME_DUCK_SECONDS": "3000"}
    first = Core(start, postgresql_database, **lame_duck)
    second = Core(start, postgresql_database)
    async with client_of(first, second) as business:
        await wait_until_all_are_used(business, first, second)
        first.process.signal(signal.SIGTERM)
        await wait_until_all_go_to(second, business, first, second)
        had = {await who_answers(business, first, second) for _ in range(20)}
        assert had == {second}
        async with client_of(first) as direct:  # it still serves whoever has no other
            assert await who_answers(direct, first) is first
        first.process.signal(signal.SIGKILL)
        first.process.wait()
        assert {await who_answers(business, second) for _ in range(20)} == {second}
        third = Core(start, postgresql_database, first.address)
        await wait_until_all_are_used(business, second, third)


async def debit(business: Business, user_id: str) -> str:
    """Take 1 from the wallet, and return how that ended."""
    amount = money_pb2.Money(currency_code="USD", units=1)
    try:
        await business.call(wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=amount))
    except CoreError as error:
        return error.reason
    return "OK"


async def test_a_core_that_is_killed_leaves_only_its_own_calls_unknown(
    start: Start, postgresql_database: str
) -> None:
    first, second = Core(start, postgresql_database), Core(start, postgresql_database)
    engine = engine_for(postgresql_database)
    async with client_of(first, second) as business:
        user_id = await create_user(business)
        amount = money_pb2.Money(currency_code="USD", units=1000)
        await business.call(wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=amount))
        await wait_until_all_are_used(business, first, second)
        async with engine.begin() as connection:
            await connection.execute(text("LOCK TABLE wallets IN ACCESS EXCLUSIVE MODE"))
            calls = [asyncio.create_task(debit(business, user_id)) for _ in range(4)]
            await wait_until_blocked(connection, 2)  # each core commits for many at once
            first.process.signal(signal.SIGKILL)
            first.process.wait()
        assert Counter(await asyncio.gather(*calls)) == {"OK": 2, "OUTCOME_UNKNOWN": 2}
        assert [await debit(business, user_id) for _ in range(20)] == ["OK"] * 20
        wallet: Any = await business.call(wallet_pb2.GetUserWalletRequest(user_id=user_id))
    await engine.dispose()
    assert wallet.wallet.balance.units == 1000 - 22
    assert not wallet.wallet.balance.nanos


async def wait_until_blocked(connection: Any, count: int) -> None:
    blocked = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await connection.execute(blocked)).scalar_one() < count:
            pass


async def test_a_call_that_was_not_sent_waits_for_a_core_that_comes(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "PATIENCE_SECONDS", float(PATIENCE_SECONDS))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    early = CoreClient(address)
    registering = asyncio.create_task(register(early))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while early._connecting is None:  # it has met nobody once
            await asyncio.sleep(0)
    async with running_core(settings_for(tmp_path, listen=address)):
        business = await registering
        await business.call(VALIDATE)
        await early.close()


async def test_who_watches_is_told_of_the_stop_and_does_not_hold_it(tmp_path: Any) -> None:
    told: list[str] = []
    settings = settings_for(tmp_path, drain_seconds=3000.0)
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with running_core(settings) as client:
            channel = grpc.aio.insecure_channel(client.target)
            serving = asyncio.Event()

            async def watch() -> None:
                stub: Any = health_pb2_grpc.HealthStub(channel)
                async for answer in stub.Watch(health_pb2.HealthCheckRequest()):
                    told.append(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
                    serving.set()

            watching = asyncio.create_task(watch())
            await serving.wait()
        await watching
        await channel.close(None)
    assert told == ["SERVING", "NOT_SERVING"]


async def test_of_a_service_without_health_nothing_is_said(tmp_path: Any) -> None:
    async with running_core(settings_for(tmp_path)) as client:
        stub: Any = health_pb2_grpc.HealthStub(client._channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Check(health_pb2.HealthCheckRequest(service="nope"))
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        async for answer in stub.Watch(health_pb2.HealthCheckRequest(service="nope")):
            assert answer.status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            break
