"""Charges over a database that is unavailable or does not confirm a commit."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.caller import Presence, set_presence
from core.database.schema import payments, wallet_transactions
from core.database.transactions import (
    CommitUnknownError,
    Database,
    DatabaseUnavailableError,
    Transaction,
)
from core.errors import Refusal
from core.payments.in_flight import ChargeResult
from core.payments.messages import fund_response
from tests.core.payments.charging import INTENTS
from tests.core.payments.running_service import RunningService, running_service
from tests.core.running import Gateway, ShiftedClock
from tests.core.webhooks.receiving import Hooks
from tests.databases import fresh_sqlite


def funded_minor(charged: ChargeResult) -> int:
    """Return the balance of the wallet just after the credit."""
    assert charged.wallet is not None
    return charged.wallet.balance_minor


class LosingDatabase(Database):
    """A database that commits, but raises CommitUnknownError for the next `losses` commits."""

    losses = 0
    on_loss: Callable[[], None] | None = None

    @asynccontextmanager
    async def transaction(self, name: str = "") -> AsyncIterator[Transaction]:
        """Open a transaction that commits even if it raises."""
        async with super().transaction(name) as transaction:
            yield transaction
        if self.losses:
            self.losses -= 1
            if self.on_loss:
                self.on_loss()
            raise CommitUnknownError


class ForgettingDatabase(Database):
    """A database that is away for the next `failures` records of a delivery."""

    failures = 0

    @asynccontextmanager
    async def transaction(self, name: str = "") -> AsyncIterator[Transaction]:
        """Open a transaction, unless the database is away."""
        if name == "payments.record_delivery" and self.failures:
            self.failures -= 1
            raise DatabaseUnavailableError("away")
        async with super().transaction(name) as transaction:
            yield transaction


@asynccontextmanager
async def running_over_losing_database(
    path: Path, gateway: Gateway
) -> AsyncIterator[tuple[LosingDatabase, RunningService]]:
    database = LosingDatabase(fresh_sqlite(path / "n.db"), pool_wait_seconds=0.05)
    async with running_service(database, ShiftedClock(), gateway) as running:
        yield database, running


async def test_an_outcome_is_written_once_the_database_is_back(
    tmp_path: Path, gateway: Gateway
) -> None:
    async with running_over_losing_database(tmp_path, gateway) as (database, shop):
        await gateway.fault("delay_after", INTENTS, seconds=60)
        charge = asyncio.ensure_future(shop.service.charge(shop.caller, shop.funding()))
        await gateway.wait_until_holding(1)
        async with database.transaction():
            await gateway.clear()
            await asyncio.wait([charge], timeout=0.3)  # its commit is refused
            assert not charge.done()
        assert funded_minor(await charge) == 5000
    assert len(await gateway.charges()) == 1


async def test_an_outcome_whose_commit_is_unconfirmed_is_written_once(
    tmp_path: Path, gateway: Gateway
) -> None:
    async with running_over_losing_database(tmp_path, gateway) as (database, shop):
        await gateway.fault("delay_after", INTENTS, seconds=60)
        charge = asyncio.ensure_future(shop.service.charge(shop.caller, shop.funding()))
        await gateway.wait_until_holding(1)
        database.losses = 1
        await gateway.clear()
        assert funded_minor(await charge) == 5000
        async with database.transaction() as transaction:
            rows = await transaction.connection.execute(wallet_transactions.select())
            assert len(rows.all()) == 1
    assert len(await gateway.charges()) == 1


async def test_a_payment_whose_commit_is_unconfirmed_is_resumed(
    tmp_path: Path, gateway: Gateway
) -> None:
    async with running_over_losing_database(tmp_path, gateway) as (database, shop):
        database.losses = 1
        with pytest.raises(CommitUnknownError):
            await shop.service.charge(shop.caller, shop.funding())
        assert await gateway.charges() == []
        charged = await shop.service.charge(shop.caller, shop.funding())
        assert funded_minor(charged) == 5000
        async with database.transaction() as transaction:
            rows = await transaction.connection.execute(payments.select())
            assert len(rows.all()) == 1
    assert len(await gateway.charges()) == 1


def request(shop: RunningService, presence: Presence) -> "asyncio.Task[Any]":
    """Request the funding as a caller that may leave; the task returns the response."""

    async def respond() -> Any:
        return fund_response(await shop.service.charge(shop.caller, shop.funding()))

    set_presence(presence)
    return asyncio.ensure_future(respond())


async def test_a_caller_that_left_during_an_unconfirmed_commit_gets_the_response_by_a_retry(
    tmp_path: Path, gateway: Gateway
) -> None:
    async with running_over_losing_database(tmp_path, gateway) as (database, shop):
        await gateway.fault("delay_after", INTENTS, seconds=60)
        leaving = Presence()
        database.on_loss = lambda: setattr(leaving, "left", True)
        first = request(shop, leaving)
        await gateway.wait_until_holding(1)
        database.losses = 1
        await gateway.clear()
        first_response = await first
        assert leaving.left
        assert await request(shop, Presence()) == first_response
    assert len(await gateway.charges()) == 1


async def test_a_joined_caller_that_got_an_error_does_not_count_as_waiting(
    tmp_path: Path, gateway: Gateway
) -> None:
    async with running_over_losing_database(tmp_path, gateway) as (database, shop):
        await gateway.fault("delay_after", INTENTS, seconds=60)
        leaving = Presence()
        first = request(shop, leaving)
        await gateway.wait_until_holding(1)
        leaving.left = True
        database.losses = 1
        with pytest.raises(CommitUnknownError):
            await request(shop, Presence())
        third = request(shop, Presence())
        async with database.transaction():
            pass  # waits for the third one's
        await gateway.clear()
        assert await third == await first
    assert len(await gateway.charges()) == 1


async def test_a_retry_whose_caller_left_again_does_not_count_as_answered(
    tmp_path: Path, gateway: Gateway
) -> None:
    async with running_over_losing_database(tmp_path, gateway) as (_, shop):
        gone = Presence(left=True)
        first = await request(shop, gone)
        assert await request(shop, gone) == first
        there = Presence()
        assert await request(shop, there) == first
        assert len(await gateway.charges()) == 1
        there.end()
        assert await request(shop, Presence()) != first
    assert len(await gateway.charges()) == 2


async def test_a_delivery_is_recorded_once_the_database_is_back(
    tmp_path: Path, gateway: Gateway
) -> None:
    database = ForgettingDatabase(fresh_sqlite(tmp_path / "n.db"))
    async with running_service(database, ShiftedClock(), gateway) as shop:
        database.failures = 3
        there = Presence()
        first = await request(shop, there)
        there.end()
        await shop.service.drain(10)
        assert await request(shop, Presence()) != first
    assert len(await gateway.charges()) == 2


async def test_a_success_that_nobody_received_is_returned_for_30_minutes(
    tmp_path: Path, gateway: Gateway
) -> None:
    clock = ShiftedClock()
    database = Database(fresh_sqlite(tmp_path / "n.db"), clock)
    async with running_service(database, clock, gateway) as shop:
        gone = Presence(left=True)
        first = await request(shop, gone)
        await shop.service.drain(10)
        clock.ahead += timedelta(minutes=29)
        assert await request(shop, gone) == first  # which does not prolong the 30 minutes
        await shop.service.drain(10)
        clock.ahead += timedelta(minutes=2)
        assert await request(shop, Presence()) != first
    assert len(await gateway.charges()) == 2


async def test_later_events_do_not_prolong_the_30_minutes_of_a_success(
    database_url: str, gateway: Gateway
) -> None:
    clock = ShiftedClock()
    async with running_service(Database(database_url, clock), clock, gateway) as shop:
        first = await request(shop, Presence(left=True))
        await shop.service.drain(10)
        transaction_id = (await shop.payment()).transaction_id
        assert transaction_id is not None
        hooks = Hooks(shop, transaction_id)
        clock.ahead += timedelta(minutes=28)
        for second, status in enumerate(("succeeded", "failed")):
            await hooks.send(
                f"evt_{status}", "refund.updated", second, id="re_1", object="refund",
                amount=5000, status=status,
            )  # fmt: skip
        assert (await shop.payment()).status == "succeeded"
        clock.ahead += timedelta(minutes=1)
        assert await request(shop, Presence(left=True)) == first
        await shop.service.drain(10)
        clock.ahead += timedelta(minutes=2)
        assert await request(shop, Presence()) != first
    assert len(await gateway.charges()) == 2


async def test_the_30_minutes_begin_when_the_core_learns_of_the_success(
    database_url: str, gateway: Gateway
) -> None:
    clock = ShiftedClock()
    async with running_service(Database(database_url, clock), clock, gateway) as shop:
        await gateway.fault("reset_after", INTENTS, times=20, method=None)
        with pytest.raises(Refusal, match="not known yet"):
            await request(shop, Presence())
        await gateway.clear()
        await shop.later(hours=3)
        clock.ahead += timedelta(minutes=29)
        assert (await request(shop, Presence())).wallet.balance.units == 50
    assert len(await gateway.charges()) == 1


async def with_late_success(
    shop: RunningService, kind: str, *, is_captured: bool = True, **meanwhile: Any
) -> ChargeResult:
    """Charge while another core writes the columns `meanwhile`, and return what the caller gets."""
    await shop.gateway.fault("delay_after", INTENTS, seconds=60)
    request = replace(shop.funding(), kind=kind, is_captured=is_captured)
    charge = asyncio.ensure_future(shop.service.charge(shop.caller, request))
    await shop.gateway.wait_until_holding(1)
    ended = {"attempt": None, "lease_owner": None, "leased_until": None, **meanwhile}
    async with shop.database.transaction() as transaction:
        await transaction.connection.execute(payments.update().values(ended))
    await shop.gateway.clear()
    return await charge


async def test_a_late_success_is_written_over_a_decline(tmp_path: Path, gateway: Gateway) -> None:
    database = Database(fresh_sqlite(tmp_path / "n.db"))
    async with running_service(database, ShiftedClock(), gateway) as shop:
        declined: dict[str, Any] = {"status": "declined", "decline_code": "generic_decline"}
        assert funded_minor(await with_late_success(shop, "fund", **declined)) == 5000
        payment = await shop.payment()
        assert (payment.status, payment.decline_code) == ("succeeded", None)
        assert await shop.balance() == 5000


@pytest.mark.parametrize("is_captured", [True, False])
async def test_a_late_success_is_not_written_over_what_followed_it(
    database_url: str, gateway: Gateway, *, is_captured: bool
) -> None:
    """It was known before: charged or authorized, voided, and read as not charged since."""
    clock = ShiftedClock()
    known = {"succeeded_at": clock.now()} if is_captured else {"first_outcome": "authorized"}
    async with running_service(Database(database_url, clock), clock, gateway) as shop:
        followed: dict[str, Any] = {"status": "declined", "transaction_id": "pi_1", **known}
        result = await with_late_success(shop, "charge", is_captured=is_captured, **followed)
        assert result.payment.status == (await shop.payment()).status == "declined"
