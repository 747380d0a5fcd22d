"""The note that a caller without a key received a success: deferred, one for many at once."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from google.type.money_pb2 import Money
from sqlalchemy import select

from core.caller import Presence, set_presence
from core.database.schema import payments
from core.database.transactions import Database, Transaction
from core.payments.in_flight import ChargeResult
from tests.core.payments.charging import until_logged
from tests.core.payments.running_service import RunningService, running_service
from tests.core.running import Gateway, ShiftedClock

NOTE = "payments.record_delivery"


class WatchedDatabase(Database):
    """A database that counts its transactions, and can hold notes after their commit."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.begun: Counter[str] = Counter()
        self.noted = asyncio.Event()
        self.released = asyncio.Event()
        self.released.set()

    @asynccontextmanager
    async def transaction(self, name: str = "") -> AsyncIterator[Transaction]:
        """Open a transaction; after the commit of a note wait until notes are released."""
        self.begun[name] += 1
        async with super().transaction(name) as transaction:
            yield transaction
        if name == NOTE:
            self.noted.set()
            await self.released.wait()


@asynccontextmanager
async def watched(
    database_url: str, gateway: Gateway
) -> AsyncIterator[tuple[WatchedDatabase, RunningService]]:
    database = WatchedDatabase(database_url)
    async with running_service(database, ShiftedClock(), gateway) as shop:
        yield database, shop


async def charge(shop: RunningService, presence: Presence, units: int = 50) -> ChargeResult:
    set_presence(presence)
    request = replace(shop.funding(), money=Money(units=units))
    return await asyncio.create_task(shop.service.charge(shop.caller, request))


async def answered(database: Database) -> dict[str, bool]:
    """Return by payment id whether a payment counts as answered."""
    async with database.read() as transaction:
        rows = await transaction.connection.execute(
            select(payments.c.payment_id, payments.c.answered)
        )
        return {row.payment_id: row.answered for row in rows}


async def test_deliveries_that_gather_are_recorded_in_one_transaction(
    database_url: str, gateway: Gateway
) -> None:
    async with watched(database_url, gateway) as (database, shop):
        callers = [Presence() for _ in range(8)]
        await asyncio.gather(*(charge(shop, caller, 1 + n) for n, caller in enumerate(callers)))
        assert set((await answered(database)).values()) == {False}
        for caller in callers[:5]:
            caller.end()
        for caller in callers[5:]:
            caller.end(left=True)
        await shop.service.drain(20)
        assert database.begun[NOTE] == 1
        assert Counter((await answered(database)).values()) == {True: 5, False: 3}


async def test_the_next_charge_of_a_client_does_not_wait_for_the_note(
    database_url: str, gateway: Gateway
) -> None:
    async with watched(database_url, gateway) as (database, shop):
        database.released.clear()
        for _ in range(3):
            caller = Presence()
            await charge(shop, caller)
            caller.end()
        assert len(await gateway.charges()) == 3
        database.released.set()


@pytest.mark.parametrize("is_received", [True, False])
async def test_an_equal_request_waits_for_what_becomes_of_a_response(
    database_url: str, gateway: Gateway, caplog: pytest.LogCaptureFixture, *, is_received: bool
) -> None:
    """A response that was written and never came: its client's retry must not charge again."""
    caplog.set_level(logging.INFO, "core")
    async with watched(database_url, gateway) as (_, shop):
        caller, retry = Presence(), Presence()
        first = await charge(shop, caller)
        second = asyncio.ensure_future(charge(shop, retry))
        await until_logged(caplog, "charge waits for an earlier one")
        caller.end(left=not is_received)
        ids = {first.payment.payment_id, (await second).payment.payment_id}
        assert len(ids) == (2 if is_received else 1)
        retry.end()
        assert (await charge(shop, Presence())).payment.payment_id not in ids
    assert len(await gateway.charges()) == (3 if is_received else 2)


async def test_a_caller_that_joins_while_a_note_is_written_counts_as_well(
    database_url: str, gateway: Gateway
) -> None:
    async with watched(database_url, gateway) as (database, shop):
        database.released.clear()
        first = await charge(shop, Presence(left=True))
        await database.noted.wait()  # that nobody received it
        retry = Presence()
        assert await charge(shop, retry) == first
        retry.end()
        database.released.set()
        await shop.service.drain(20)
        assert await answered(database) == {first.payment.payment_id: True}
        assert (await charge(shop, Presence())).payment != first.payment
    assert len(await gateway.charges()) == 2


async def test_a_payment_that_is_locked_does_not_delay_the_other_notes(
    postgresql_database: str, gateway: Gateway
) -> None:
    async with watched(postgresql_database, gateway) as (database, shop):
        callers = [Presence() for _ in range(3)]
        charged = [await charge(shop, caller, 1 + n) for n, caller in enumerate(callers)]
        ids = [each.payment.payment_id for each in charged]
        async with database.transaction() as other:
            await other.connection.execute(
                select(payments.c.payment_id)
                .where(payments.c.payment_id == ids[0])
                .with_for_update()
            )
            for caller in callers:
                caller.end()
            await database.noted.wait()
            assert await answered(database) == {ids[0]: False, ids[1]: True, ids[2]: True}
        await shop.service.drain(20)
        assert set((await answered(database)).values()) == {True}
