"""A PostgreSQL server that refuses connections, crashes, hangs and recovers."""

import asyncio
from pathlib import Path

import pytest
from google.protobuf.message import Message
from google.type.money_pb2 import Money
from sqlalchemy import text
from sqlalchemy.engine import make_url

from core.database.transactions import Database, DatabaseUnavailableError
from nivisco.payments.v1 import authentication_pb2, types_pb2, wallet_pb2
from rpc.errors import CoreError
from tests.core.running import Business, create_user, register, running_core, settings_for
from tests.databases import own_postgresql


def changed(url: str, **changes: str | int) -> str:
    return make_url(url).set(**changes).render_as_string(hide_password=False)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"database": "nope"}, 'database "nope" does not exist'),
        ({"username": "nobody", "password": "obviously-fake"}, 'role "nobody" does not exist'),
    ],
)
async def test_an_error_of_the_server_is_reported_without_the_password(
    postgresql: str, changes: dict[str, str | int], message: str
) -> None:
    database = Database(changed(postgresql, **changes))
    with pytest.raises(DatabaseUnavailableError, match=message) as refused:
        await database.ping()
    assert "obviously-fake" not in str(refused.value)
    await database.close()


async def test_an_unreachable_server_is_reported() -> None:
    database = Database("postgresql://u:obviously-fake@127.0.0.1:9/x")
    with pytest.raises(DatabaseUnavailableError, match="Connect call failed") as refused:
        await database.ping()
    assert "obviously-fake" not in str(refused.value)
    await database.close()


async def test_a_wrong_password_is_reported_without_it(tmp_path: Path) -> None:
    with own_postgresql() as server:
        await server.ask_for_passwords("keeper", "obviously-fake")
        for password, message in (
            ("obviously-wrong", 'password authentication failed for user "keeper"'),
            (None, "password"),
        ):
            url = make_url(server.url).set(username="keeper", password=password)
            settings = settings_for(
                tmp_path, database_url=url.render_as_string(hide_password=False)
            )
            with pytest.raises(DatabaseUnavailableError, match=message) as refused:
                async with running_core(settings):
                    pass
            assert "obviously" not in str(refused.value)
        database = Database(changed(server.url, username="keeper", password="obviously-fake"))
        await database.ping()
        await database.close()


async def test_a_crashed_database_is_503_until_it_is_restarted(tmp_path: Path) -> None:
    with own_postgresql() as server:
        settings = settings_for(tmp_path, database_url=server.url)
        async with running_core(settings) as client:
            business = await register(client)
            validate = authentication_pb2.ValidateBusinessRequest()
            await business.call(validate)
            server.kill()
            for _ in range(3):
                await assert_unavailable(business, validate)
            server.start()
            await business.call(validate)


async def test_a_restart_of_the_server_between_calls_fails_none(tmp_path: Path) -> None:
    with own_postgresql() as server:
        settings = settings_for(tmp_path, database_url=server.url)
        async with running_core(settings) as client:
            business = await register(client)
            validate = authentication_pb2.ValidateBusinessRequest()
            await asyncio.gather(*(business.call(validate) for _ in range(10)))
            server.kill()
            server.start()
            await asyncio.gather(*(business.call(validate) for _ in range(10)))


async def test_a_server_that_hangs_is_503_until_it_resumes(
    tmp_path: Path,
) -> None:
    with own_postgresql() as server:
        settings = settings_for(tmp_path, database_url=server.url)
        async with running_core(settings) as client:
            business = await register(client)
            validate = authentication_pb2.ValidateBusinessRequest()
            await asyncio.gather(*(business.call(validate) for _ in range(10)))
            for _ in range(2):  # with connections that were open, and with none
                with server.frozen():
                    await asyncio.gather(
                        *(assert_unavailable(business, validate) for _ in range(50))
                    )
            await business.call(validate)


async def test_a_transaction_on_a_server_that_hangs_times_out() -> None:
    with own_postgresql() as server:
        database = Database(server.url)

        async def hang_within() -> None:
            async with database.transaction() as transaction:
                server.freeze()
                await transaction.connection.execute(text("SELECT 1"))

        try:
            async with asyncio.timeout(30):
                with pytest.raises(DatabaseUnavailableError, match="timed out"):
                    await hang_within()
        finally:
            server.thaw()
        await database.ping()
        await database.close()


async def test_a_database_closes_while_its_server_hangs() -> None:
    with own_postgresql() as server:
        database = Database(server.url)
        await asyncio.gather(*(database.ping() for _ in range(5)))
        with server.frozen():
            async with asyncio.timeout(30):
                await database.close()


async def test_durability_and_isolation_do_not_depend_on_the_database_s_defaults(
    postgresql_database: str,
) -> None:
    database = Database(postgresql_database)
    async with database.transaction() as transaction:
        for setting in (
            "synchronous_commit = off",
            "default_transaction_isolation = 'repeatable read'",
        ):
            name = make_url(postgresql_database).database
            await transaction.connection.execute(text(f"ALTER DATABASE {name} SET {setting}"))
    await database.close()
    async with database.transaction() as transaction:
        found = [
            await transaction.connection.scalar(text(f"SHOW {setting}"))
            for setting in ("synchronous_commit", "transaction_isolation")
        ]
    await database.close()
    assert found == ["on", "read committed"]


async def test_calls_behind_a_held_lock_are_503_until_it_is_released(
    tmp_path: Path, postgresql_database: str
) -> None:
    settings = settings_for(tmp_path, database_url=postgresql_database, database_pool=2)
    async with running_core(settings) as client:
        business = await register(client)
        user_id = await create_user(business)
        add = wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=Money(units=5))
        await business.call(add)
        other = Database(postgresql_database)
        async with other.transaction() as stuck:
            await stuck.connection.execute(text("SELECT 1 FROM wallets FOR UPDATE"))
            await asyncio.gather(*(assert_unavailable(business, add) for _ in range(6)))
        await other.close()
        await business.call(add)


async def test_a_locked_wallet_fails_only_the_calls_that_need_it(
    tmp_path: Path, postgresql_database: str
) -> None:
    settings = settings_for(tmp_path, database_url=postgresql_database)
    async with running_core(settings) as client:
        business = await register(client)
        users = [await create_user(business) for _ in range(10)]
        locked, *free = (
            wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=Money(units=5))
            for user_id in users
        )
        await asyncio.gather(*(business.call(add) for add in (locked, *free)))
        other = Database(postgresql_database)
        async with other.transaction() as stuck:
            await stuck.connection.execute(
                text("SELECT 1 FROM wallets WHERE user_id = :user FOR UPDATE"), {"user": users[0]}
            )
            for _ in range(2):
                failing = asyncio.create_task(assert_unavailable(business, locked))
                await asyncio.gather(*(business.call(add) for add in free))
                await asyncio.gather(*(business.call(add) for add in free))
                await failing
            waiting = asyncio.create_task(business.call(locked))
            # Sent after it on the same connection, so it has arrived once these are answered.
            await asyncio.gather(*(business.call(add) for add in free))
        await other.close()
        assert (await waiting).new_balance.units == 10
        assert (await business.call(free[0])).new_balance.units == 35


async def test_a_lock_that_delays_a_new_wallet_fails_only_its_own_call(
    tmp_path: Path, postgresql_database: str
) -> None:
    settings = settings_for(tmp_path, database_url=postgresql_database)
    async with running_core(settings) as client:
        business = await register(client)
        users = [await create_user(business) for _ in range(5)]
        adds = [
            wallet_pb2.AddWalletFundsRequest(
                user_id=user_id, amount=Money(units=5), env=types_pb2.ENV_LIVE
            )
            for user_id in users
        ]
        other = Database(postgresql_database)
        async with other.transaction() as stuck:
            await stuck.connection.execute(
                text("SELECT 1 FROM users WHERE user_id = :user FOR UPDATE"), {"user": users[0]}
            )
            ends = await asyncio.gather(*map(business.call, adds), return_exceptions=True)
        await other.close()
    reasons = [end.reason if isinstance(end, CoreError) else "" for end in ends]
    assert reasons == ["SERVICE_UNAVAILABLE", *[""] * 4]


async def assert_unavailable(business: Business, request: Message) -> None:
    """Assert that a call fails within 5 seconds with an error that asks for a retry."""
    with pytest.raises(CoreError) as away:
        await business.call(request, timeout_seconds=5)
    assert (away.value.reason, away.value.retry_after_seconds) == ("SERVICE_UNAVAILABLE", 1)
