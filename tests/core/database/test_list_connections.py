"""Lists have connections of their own on PostgreSQL, so that slow ones stop no charge."""

import asyncio
from pathlib import Path

import pytest
from google.type.money_pb2 import Money
from sqlalchemy import text

from core.database.transactions import Database, ListTimeoutError
from nivisco.payments.v1 import payments_pb2, recurring_pb2, wallet_pb2
from rpc.errors import CoreError
from tests.core.payments.charging import card_holder, charge_request
from tests.core.running import Gateway, register, running_core, settings_for, with_stripe
from tests.databases import until_blocked


async def test_charges_and_debits_go_through_while_all_lists_hang(
    tmp_path: Path, postgresql_database: str, gateway: Gateway
) -> None:
    settings = settings_for(
        tmp_path,
        database_url=postgresql_database,
        database_pool=1,
        database_list_pool=1,
        stripe_urls={"TEST": gateway.url, "LIVE": gateway.url},
    )
    logs = recurring_pb2.GetRecurringLogsRequest()
    async with running_core(settings) as client:
        shop = await with_stripe(await register(client))
        user_id = await card_holder(shop)
        other, watching = Database(postgresql_database), Database(postgresql_database)
        async with other.transaction() as holding:
            await holding.connection.execute(
                text("LOCK TABLE recurring_logs IN ACCESS EXCLUSIVE MODE")
            )
            lists = [asyncio.create_task(shop.call(logs, timeout_seconds=10)) for _ in range(5)]
            await until_blocked(watching)
            add = wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=Money(units=5))
            debit = wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=Money(units=2))
            charged = await shop.call(charge_request(user_id))
            await shop.call(add)
            left = (await shop.call(debit)).new_balance.units
            assert (charged.status, left) == (payments_pb2.PAYMENT_STATUS_SUCCEEDED, 3)
            failures = await asyncio.gather(*lists, return_exceptions=True)
        for failure in failures:
            assert isinstance(failure, CoreError)
            assert (failure.reason, failure.retry_after_seconds) == ("SERVICE_UNAVAILABLE", 1)
        assert any("list could not be read in time" in str(failure) for failure in failures)
        assert (await shop.call(logs)).total == 0
        await other.close()
        await watching.close()


async def test_a_list_without_a_connection_times_out(postgresql_database: str) -> None:
    database = Database(postgresql_database, list_connections=1, pool_wait_seconds=0.01)
    async with database.listing():
        with pytest.raises(ListTimeoutError, match="all connections to the database are in use"):
            async with database.listing():
                pass
        async with database.transaction():
            pass
    await database.close()


async def test_a_list_that_takes_too_long_is_cancelled(postgresql_database: str) -> None:
    database = Database(postgresql_database)

    async def read_slowly() -> None:
        async with database.listing() as transaction:
            await transaction.connection.execute(text("SET LOCAL statement_timeout = '1ms'"))
            await transaction.connection.execute(text("SELECT pg_sleep(10)"))

    with pytest.raises(ListTimeoutError, match="statement timeout"):
        await read_slowly()
    await database.close()


async def test_a_list_inside_of_a_shared_transaction_is_part_of_it(
    postgresql_database: str,
) -> None:
    database = Database(postgresql_database)
    async with database.shared_transaction("t") as shared, database.listing() as listed:
        assert listed is shared
    await database.close()


async def test_the_connections_of_lists_cannot_write(postgresql_database: str) -> None:
    database = Database(postgresql_database)
    with pytest.raises(Exception, match="read-only transaction"):
        async with database.listing() as transaction:
            await transaction.connection.execute(text("DELETE FROM users"))
    await database.close()
