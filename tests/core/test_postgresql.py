"""What only PostgreSQL can do to a core: refuse, crash, come back, be served by another core."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

import core.database
from core.client import CoreError
from core.database import Database, DatabaseUnavailableError
from core.engines import engine_for
from nivisco.payments.v1 import authentication_pb2
from tests.core.payments.charging import until_logged
from tests.core.running import register, running_core, settings_for
from tests.databases import own_postgresql


def changed(url: str, **changes: str | int) -> str:
    return make_url(url).set(**changes).render_as_string(hide_password=False)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"database": "nope"}, 'database "nope" does not exist'),
        ({"username": "nobody", "password": "obviously-fake"}, 'role "nobody" does not exist'),
    ],
)
async def test_what_the_server_refuses_is_told_without_the_password(
    postgresql: str, changes: dict[str, str | int], told: str
) -> None:
    database = Database(changed(postgresql, **changes))
    with pytest.raises(DatabaseUnavailableError, match=told) as refused:
        await database.ping()
    assert "obviously-fake" not in str(refused.value)
    await database.close()


async def test_a_server_that_is_not_there_is_told() -> None:
    database = Database("postgresql://u:obviously-fake@127.0.0.1:9/x")
    with pytest.raises(DatabaseUnavailableError, match="Connect call failed") as refused:
        await database.ping()
    assert "obviously-fake" not in str(refused.value)
    await database.close()


async def test_a_second_core_on_the_same_database_is_refused(
    tmp_path: Path, postgresql_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core.database, "CORE_LOCK_WAIT_SECONDS", 1)
    settings = settings_for(tmp_path, database_url=postgresql_database)
    async with running_core(settings):
        with pytest.raises(DatabaseUnavailableError, match="another core serves this database"):
            async with running_core(settings):
                pass


async def test_a_database_that_crashes_is_503_and_comes_back_by_itself(tmp_path: Path) -> None:
    with own_postgresql() as server:
        settings = settings_for(tmp_path, database_url=server.url)
        async with running_core(settings) as client:
            business = await register(client)
            validate = authentication_pb2.ValidateBusinessRequest()
            await business.call(validate)
            server.kill()
            for _ in range(3):
                with pytest.raises(CoreError) as away:
                    await business.call(validate, timeout_seconds=5)
                assert away.value.reason == "SERVICE_UNAVAILABLE"
                assert away.value.retry_after_seconds == 1
            server.start()
            await business.call(validate)


async def test_the_lock_that_a_restart_of_the_server_takes_is_taken_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core.database, "CORE_LOCK_WAIT_SECONDS", 1)
    with own_postgresql() as server:
        settings = settings_for(tmp_path, database_url=server.url)
        async with running_core(settings):
            server.kill()
            server.start()
            await until_logged(caplog, "the lock of this core is taken again")
            with pytest.raises(DatabaseUnavailableError, match="another core serves"):
                async with running_core(settings):
                    pass


async def test_a_core_whose_lock_another_one_took_stops(postgresql_database: str) -> None:
    database = Database(postgresql_database)
    stopped = asyncio.Event()
    async with (
        database.held_by_this_core(lost=stopped.set),
        lock_taken_away(postgresql_database),
        asyncio.timeout(20),
    ):
        await stopped.wait()
    await database.close()


@asynccontextmanager
async def lock_taken_away(url: str) -> AsyncIterator[None]:
    """Wait in line for the core's lock, end the connection that holds it, and hold it."""
    engine = engine_for(url)
    key = {"key": core.database.CORE_LOCK}
    locks = "FROM pg_locks WHERE locktype = 'advisory' AND objid = :key AND granted"
    async with engine.connect() as taker, engine.connect() as other:
        waiting = asyncio.ensure_future(taker.execute(text("SELECT pg_advisory_lock(:key)"), key))
        in_line = text(f"SELECT count(*) {locks.replace('granted', 'NOT granted')}")
        while not await other.scalar(in_line, key):
            pass
        await other.execute(text(f"SELECT pg_terminate_backend(pid) {locks}"), key)
        await waiting
        yield
    await engine.dispose()
