"""Several core processes on one PostgreSQL, and a client that balances its calls over them.

The logs show which core had a call: a core logs a call before it responds.
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
    STREAM,
    TRANSPORTS,
    Business,
    create_user,
    register,
    running_core,
    settings_for,
)
from tests.processes import Running, Start, serving_line

VALIDATE = authentication_pb2.ValidateBusinessRequest()
PATIENCE_SECONDS = 60.0


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


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

    def handled(self, call: str) -> bool:
        return f'"request_id": "{call}", "message": "call"' in self.process.read_now()


@asynccontextmanager
async def client_of(transport: str, *cores: Core) -> AsyncIterator[Business]:
    token = OPERATOR_TOKEN if transport == STREAM else ""
    client = CoreClient(",".join(core.address for core in cores), service_token=token)
    try:
        yield await register(client)
    finally:
        await client.close()


_calls = 0


async def core_of_a_call(business: Business, *cores: Core) -> Core:
    """Make one call, and return the one core that had it."""
    global _calls  # noqa: PLW0603 - one number for each call
    _calls += 1
    token = request_id.set(f"call-{_calls}")
    try:
        await business.call(VALIDATE)
    finally:
        request_id.reset(token)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:  # the line of the log may follow the response
            for core in cores:
                if core.handled(f"call-{_calls}"):
                    return core
            await asyncio.sleep(0)


async def wait_until_all_calls_go_to(core: Core, business: Business, *cores: Core) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while {await core_of_a_call(business, *cores) for _ in range(4)} != {core}:
            pass


async def wait_until_all_get_calls(business: Business, *cores: Core) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while {await core_of_a_call(business, *cores) for _ in range(4)} != set(cores):
            pass


async def test_calls_are_balanced_evenly(
    start: Start, postgresql_database: str, transport: str
) -> None:
    first, second = Core(start, postgresql_database), Core(start, postgresql_database)
    async with client_of(transport, first, second) as business:
        await wait_until_all_get_calls(business, first, second)
        had = Counter([await core_of_a_call(business, first, second) for _ in range(20)])
    assert had == {first: 10, second: 10}


async def test_a_draining_core_gets_no_new_calls_and_a_restarted_one_does(
    start: Start, postgresql_database: str, transport: str
) -> None:
    lame_duck = {"NIVISCO_LAME_DUCK_SECONDS": "3000"}
    first = Core(start, postgresql_database, **lame_duck)
    second = Core(start, postgresql_database)
    async with client_of(transport, first, second) as business:
        await wait_until_all_get_calls(business, first, second)
        first.process.signal(signal.SIGTERM)
        await wait_until_all_calls_go_to(second, business, first, second)
        had = {await core_of_a_call(business, first, second) for _ in range(20)}
        assert had == {second}
        async with client_of(
            transport, first
        ) as direct:  # it still serves clients without another core
            assert await core_of_a_call(direct, first) is first
        first.process.signal(signal.SIGKILL)
        first.process.wait()
        assert {await core_of_a_call(business, second) for _ in range(20)} == {second}
        third = Core(start, postgresql_database, first.address)
        await wait_until_all_get_calls(business, second, third)


async def debit(business: Business, user_id: str) -> str:
    """Debit 1, and return OK or the reason of the error."""
    amount = money_pb2.Money(currency_code="USD", units=1)
    try:
        await business.call(wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=amount))
    except CoreError as error:
        return error.reason
    return "OK"


async def test_a_killed_core_leaves_only_its_own_calls_unknown(
    start: Start, postgresql_database: str, transport: str
) -> None:
    first, second = Core(start, postgresql_database), Core(start, postgresql_database)
    engine = engine_for(postgresql_database)
    async with client_of(transport, first, second) as business:
        user_id = await create_user(business)
        amount = money_pb2.Money(currency_code="USD", units=1000)
        await business.call(wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=amount))
        await wait_until_all_get_calls(business, first, second)
        async with engine.begin() as connection:
            await connection.execute(text("LOCK TABLE wallets IN ACCESS EXCLUSIVE MODE"))
            calls = [asyncio.create_task(debit(business, user_id)) for _ in range(4)]
            await wait_until_blocked(connection, 2)  # each core commits in batches
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


async def test_a_unary_call_that_was_not_sent_waits_for_a_core(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "RECONNECT_SECONDS", PATIENCE_SECONDS)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    early = CoreClient(address)
    registering = asyncio.create_task(register(early))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while early._connecting is None:  # until its first attempt failed
            await asyncio.sleep(0)
    async with running_core(settings_for(tmp_path, listen=address)):
        business = await registering
        await business.call(VALIDATE)
        await early.close()


async def test_a_health_watch_reports_the_stop_and_does_not_delay_it(tmp_path: Any) -> None:
    reported: list[str] = []
    settings = settings_for(tmp_path, drain_seconds=3000.0)
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with running_core(settings) as client:
            channel = grpc.aio.insecure_channel(client.target)
            serving = asyncio.Event()

            async def watch() -> None:
                stub: Any = health_pb2_grpc.HealthStub(channel)
                async for answer in stub.Watch(health_pb2.HealthCheckRequest()):
                    reported.append(
                        health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
                    )
                    serving.set()

            watching = asyncio.create_task(watch())
            await serving.wait()
        await watching
        await channel.close(None)
    assert reported == ["SERVING", "NOT_SERVING"]


async def test_an_unknown_service_has_no_health(tmp_path: Any) -> None:
    async with running_core(settings_for(tmp_path)) as client:
        stub: Any = health_pb2_grpc.HealthStub(client._channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Check(health_pb2.HealthCheckRequest(service="nope"))
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        async for answer in stub.Watch(health_pb2.HealthCheckRequest(service="nope")):
            assert answer.status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            break
