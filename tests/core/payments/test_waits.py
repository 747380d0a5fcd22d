"""What a charge uses that waited for another transaction of its user; on SQLite none waits."""

import asyncio

from sqlalchemy import text, update

from core.database.schema import cards
from core.database.transactions import Database
from core.payments import charge_store
from core.payments.charge_store import Chargeable
from tests.core.payments.running_service import RunningService, running_service
from tests.core.running import Gateway, ShiftedClock

_BLOCKED = text(
    "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE NOT granted AND datname = current_database()"
)
_PATIENCE_SECONDS = 60.0


async def _chargeable(shop: RunningService) -> Chargeable | None:
    async with shop.database.transaction() as transaction:
        return await charge_store.lock_chargeable(
            transaction,
            business_id=shop.caller.business_id,
            user_id=shop.user_id,
            env="TEST",
            gateway=None,
            declined_since=transaction.now,
        )


async def _until_blocked(database: Database) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        blocked = 0
        while not blocked:
            async with database.read() as transaction:
                blocked = await transaction.connection.scalar(_BLOCKED)


async def test_a_charge_that_waited_for_its_user_uses_the_card_of_after_the_wait(
    postgresql_database: str, gateway: Gateway
) -> None:
    database = Database(postgresql_database)
    async with running_service(database, ShiftedClock(), gateway, "stripe") as shop:
        async with database.transaction() as transaction:
            await charge_store.lock_chargeable(
                transaction,
                business_id=shop.caller.business_id,
                user_id=shop.user_id,
                env="TEST",
                gateway=None,
                declined_since=transaction.now,
            )
            waiting = asyncio.create_task(_chargeable(shop))
            await _until_blocked(database)
            await transaction.connection.execute(
                update(cards)
                .where(cards.c.user_id == shop.user_id)
                .values(gateway_card_id="pm_other")
            )
        found = await waiting
    assert found is not None
    assert found.card is not None
    assert found.card.gateway_card_id == "pm_other"


async def test_a_user_that_does_not_exist_is_not_found(
    postgresql_database: str, gateway: Gateway
) -> None:
    database = Database(postgresql_database)
    async with running_service(database, ShiftedClock(), gateway, "stripe") as shop:
        shop.user_id = "USR-none"
        assert await _chargeable(shop) is None
