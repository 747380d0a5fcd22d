"""The core as a server: health, reflection, its database, start and stop."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from core.database.migrations import upgrade
from core.database.transactions import Database, DatabaseUnavailableError
from core.server import health
from core.server.health import HealthServicer
from nivisco.payments.v1 import users_pb2
from rpc.client import CoreClient
from tests.core.running import (
    Business,
    create_user,
    register,
    running_core,
    settings_for,
)


async def check(client: CoreClient, service: str) -> int:
    call = client._channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    return int((await call(health_pb2.HealthCheckRequest(service=service))).status)


async def test_the_process_and_its_database_report_serving(core: CoreClient) -> None:
    assert await check(core, "") == health_pb2.HealthCheckResponse.SERVING
    assert await check(core, "nivisco.database") == health_pb2.HealthCheckResponse.SERVING
    assert await core.is_ready(timeout_seconds=5)


async def test_concurrent_readiness_checks_share_a_ping_until_it_expires(
    core: CoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pings = 0
    ping = Database.ping

    async def counted(database: Database) -> None:
        nonlocal pings
        pings += 1
        await ping(database)

    monkeypatch.setattr(Database, "ping", counted)
    monkeypatch.setattr(health, "PING_VALID_SECONDS", 3600.0)
    assert all(await asyncio.gather(*(core.is_ready(timeout_seconds=5) for _ in range(50))))
    assert pings == 1
    monkeypatch.setattr(health, "PING_VALID_SECONDS", 0.0)
    assert await core.is_ready(timeout_seconds=5)
    assert pings == 2


async def test_readiness_follows_the_database(
    core: CoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_database: Database) -> None:
        raise DatabaseUnavailableError("the database does not answer")

    monkeypatch.setattr(health, "PING_VALID_SECONDS", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(Database, "ping", away)
        assert not await core.is_ready(timeout_seconds=5)
    assert await core.is_ready(timeout_seconds=5)


async def test_a_stop_waits_for_a_running_ping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, end = asyncio.Event(), asyncio.Event()
    ended: list[str] = []

    async def slow(_database: Database) -> None:
        begun.set()
        await end.wait()
        ended.append("ping")

    async def stop(servicer: HealthServicer) -> None:
        servicer.drain()
        await servicer.end()
        ended.append("stop")

    monkeypatch.setattr(Database, "ping", slow)
    servicer = HealthServicer(Database(f"sqlite:///{tmp_path / 'n.db'}"))
    servicer.serve()
    request = health_pb2.HealthCheckRequest(service="nivisco.database")
    asking = asyncio.ensure_future(servicer.Check(request, None))
    await begun.wait()
    asking.cancel()  # does not cancel the ping
    stopping = asyncio.ensure_future(stop(servicer))
    asyncio.get_running_loop().call_soon(end.set)
    await stopping
    assert ended == ["ping", "stop"]


async def test_a_client_can_call_by_reflection(
    business: Business,
) -> None:
    """As grpcurl does: list services, fetch the descriptors, build the messages, call."""
    ask_stub: Any = reflection_pb2_grpc
    stub = ask_stub.ServerReflectionStub(business.client._channel)

    async def ask(**query: Any) -> reflection_pb2.ServerReflectionResponse:
        answers = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**query)]))
        async for answer in answers:
            return cast(reflection_pb2.ServerReflectionResponse, answer)
        raise AssertionError("reflection answers")

    services = {s.name for s in (await ask(list_services="")).list_services_response.service}
    assert "nivisco.payments.v1.UsersService" in services
    answer = await ask(file_containing_symbol="nivisco.payments.v1.UsersService")
    pool = descriptor_pool.DescriptorPool()
    files = {}
    for raw in answer.file_descriptor_response.file_descriptor_proto:
        file = descriptor_pb2.FileDescriptorProto.FromString(raw)
        files[file.name] = file
    added: set[str] = set()

    def add(name: str) -> None:
        if name in added:
            return
        for dependency in files[name].dependency:
            add(dependency)
        pool.Add(files[name])
        added.add(name)

    for name in files:
        add(name)
    method = pool.FindMethodByName("nivisco.payments.v1.UsersService.CreateUser")
    request: Any = message_factory.GetMessageClass(method.input_type)()
    request.user.name = "Alicia"
    request.user.email = "alicia@example.com"
    created: Any = await business.client.call(
        method, request, business.credentials, timeout_seconds=5
    )
    assert created.user.user_id.startswith("USR-")


async def test_a_second_core_on_the_same_file_is_refused(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    async with running_core(settings):
        second = Database(settings.database_url, busy_seconds=0.05)
        with pytest.raises(DatabaseUnavailableError, match="another process"):
            await upgrade.check_schema(second)
        await second.close()


async def test_a_second_core_on_the_same_port_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with running_core(settings_for(tmp_path / "a")) as client:
        address = client.target
        with pytest.raises(OSError, match="cannot listen"):
            async with running_core(settings_for(tmp_path / "b", listen=address)):
                pass


async def test_a_restarted_core_has_all_acknowledged_changes(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    async with running_core(settings) as client:
        business = await register(client)
        user_id = await create_user(business)
    async with running_core(settings) as client:
        answer = await Business(client, business.credentials).call(
            users_pb2.ValidateUserRequest(user_id=user_id)
        )
    assert answer.user.active


async def test_a_database_without_a_schema_is_refused(tmp_path: Path) -> None:
    new = f"sqlite:///{tmp_path / 'new.db'}"
    with pytest.raises(DatabaseUnavailableError, match="run `nivisco migrate`"):
        async with running_core(settings_for(tmp_path, migrate=False, database_url=new)):
            pass


async def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    database = Database(settings.database_url)
    await upgrade.migrate(database)
    async with database.transaction() as transaction:
        await transaction.connection.run("UPDATE alembic_version SET version_num = '9999_future'")
    await database.close()
    with pytest.raises(DatabaseUnavailableError, match="a newer version migrated it"):
        async with running_core(settings):
            pass
