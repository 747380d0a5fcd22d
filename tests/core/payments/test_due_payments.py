"""Payments are looked at each on its own: no gateway, business or row makes the others wait."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from core.caller import Caller
from core.database.schema import payments, stripe_credentials
from core.database.transactions import Database
from core.due_work import store as due_store
from core.due_work.rules import FAILED_LOOKS_MAX, pause_after
from core.due_work.service import WORKERS, DueWork
from core.due_work.store import PAYMENTS
from core.errors import Refusal
from core.payments import store
from core.payments.store import Lease, Payment
from core.security.keyring import SealBrokenError
from core.wallet import ledger
from tests.core.due_work.backlog import add_business
from tests.core.payments.charging import INTENTS
from tests.core.payments.running_service import RunningService, running_service
from tests.core.running import Gateway, ShiftedClock

LIST = "getTransactionListForCustomer"


@pytest.fixture
async def shop(database_url: str, gateway: Gateway) -> AsyncIterator[RunningService]:
    clock = ShiftedClock()
    async with running_service(Database(database_url, clock), clock, gateway) as running:
        yield running


async def leave_unknown(shop: RunningService) -> None:
    """Fund with a charge that succeeds and whose response is lost."""
    await shop.gateway.fault("reset_after", INTENTS, times=20, method=None)
    with pytest.raises(Refusal, match="not known yet"):
        await shop.fund()
    await shop.gateway.clear()


async def add_unknown(
    shop: RunningService, business_id: str, gateway: str, count: int, look_at: datetime
) -> None:
    """Add a business with its keys and pending payments."""
    await add_business(shop.database, business_id)
    keys = {
        "stripe": {
            "stripe_secret_key": f"sk_test_{secrets.token_hex(6)}_a",
            "stripe_public_key": "pk_test_fake",
        },
        "authorize": {
            "api_login_id": secrets.token_hex(8),
            "transaction_key": secrets.token_hex(8),
        },
    }
    await shop.credentials.add(Caller(business_id, "TEST"), gateway, "TEST", keys[gateway])
    async with shop.database.transaction() as transaction:
        for number in range(count):
            payment = unknown_payment(business_id, gateway, number, transaction.now)
            await store.insert_payment(transaction, payment)
        await transaction.connection.execute(
            update(payments)
            .where(payments.c.business_id == business_id)
            .values(attempt="unknown", look_at=look_at, lease_owner=None, leased_until=None)
        )


def unknown_payment(business_id: str, gateway: str, number: int, now: datetime) -> Payment:
    return Payment(
        business_id=business_id,
        payment_id=f"PAY-{number:05}",
        user_id="USR-1",
        env="TEST",
        gateway=gateway,
        kind="charge",
        amount_minor=100,
        currency="usd",
        description=None,
        idempotency_key=None,
        customer_id="1",
        gateway_card_id="1",
        gateway_key=f"{business_id}/{number}",
        status="pending",
        attempt="running",
        lease=Lease("core", now),
        joinable=True,
        checks=0,
        transaction_id=None,
        decline_code=None,
        answered=False,
        created_at=now,
        updated_at=now,
    )


async def count_of(shop: RunningService, **values: Any) -> int:
    """Return the number of payments with these values."""
    async with shop.database.read() as transaction:
        conditions = [payments.c[name] == value for name, value in values.items()]
        query = select(func.count()).select_from(payments).where(*conditions)
        return int(await transaction.connection.scalar(query) or 0)


async def until(shop: RunningService, count: int, **values: Any) -> None:
    """Wait until so many payments have these values."""
    async with asyncio.timeout(60):
        while await count_of(shop, **values) != count:
            pass


async def test_a_gateway_that_hangs_keeps_only_its_own_workers(
    shop: RunningService, gateway: Gateway
) -> None:
    """1,000 payments wait for Authorize.Net for longer than one at Stripe, which is resolved."""
    await leave_unknown(shop)
    async with shop.database.read() as transaction:
        long_ago = transaction.now - timedelta(hours=1)
    for number in range(10):
        await add_unknown(shop, f"B-{number}", "authorize", 100, long_ago)
    await gateway.authorize_fault("delay", LIST, times=1000, seconds=600)
    shop.clock.ahead += timedelta(seconds=6)
    due_work = shop.due_work()
    assert await due_work.poll() == WORKERS + 1
    await gateway.wait_until_holding(WORKERS)
    await until(shop, 1, gateway="stripe", status="succeeded")
    assert await due_work.poll() == 0
    assert await count_of(shop, gateway="authorize", attempt="running") == WORKERS
    assert await count_of(shop, gateway="authorize", attempt="unknown") == 1000 - WORKERS
    await gateway.clear()
    await due_work.drain()


async def test_workers_that_become_free_look_at_more_without_waiting_for_the_next_poll(
    shop: RunningService, gateway: Gateway
) -> None:
    async with shop.database.read() as transaction:
        long_ago = transaction.now - timedelta(hours=1)
    for number in range(8):
        await add_unknown(shop, f"B-{number}", "stripe", 10, long_ago)
    stop = asyncio.Event()
    due_work = DueWork(shop.database, [shop.service], poll_seconds=3600)
    running = asyncio.create_task(due_work.run(stop))
    async with asyncio.timeout(60):
        while await count_of(shop, checks=0):
            pass
    stop.set()
    await running


async def test_a_business_has_four_workers_and_others_the_rest(
    shop: RunningService, gateway: Gateway
) -> None:
    async with shop.database.read() as transaction:
        long_ago = transaction.now - timedelta(hours=1)
    await add_unknown(shop, "B-1", "authorize", 50, long_ago)
    await add_unknown(shop, "B-2", "authorize", 1, long_ago + timedelta(minutes=1))
    await gateway.authorize_fault("delay", LIST, times=1000, seconds=600)
    due_work = shop.due_work()
    assert await due_work.poll() == 5
    await gateway.wait_until_holding(5)
    await until(shop, 4, business_id="B-1", attempt="running")
    await until(shop, 1, business_id="B-2", attempt="running")
    await gateway.clear()
    await due_work.drain()


async def damage_keys(shop: RunningService, business_id: str, sealed: str) -> str:
    """Replace a business's stored secret key and return the one before."""
    is_its = stripe_credentials.c.business_id == business_id
    async with shop.database.transaction() as transaction:
        before = await transaction.connection.scalar(
            select(stripe_credentials.c.sealed_secret_key).where(is_its)
        )
        await transaction.connection.execute(
            update(stripe_credentials).where(is_its).values(sealed_secret_key=sealed)
        )
    return str(before)


async def test_a_payment_whose_secret_does_not_open_is_set_aside_and_all_others_are_resolved(
    shop: RunningService, gateway: Gateway
) -> None:
    await leave_unknown(shop)
    async with shop.database.read() as transaction:
        long_ago = transaction.now - timedelta(hours=1)
    await add_unknown(shop, "B-1", "stripe", 3, long_ago)
    business_id = shop.caller.business_id
    sealed = await damage_keys(shop, business_id, "v2:k1:AAAAAAAAAAAAAAAA")
    await shop.later(seconds=6)
    assert await count_of(shop, business_id="B-1", checks=0) == 0
    (aside,) = await set_aside(shop)
    assert (aside.kind, aside.business_id) == ("payment", business_id)
    assert aside.error == "SealBrokenError: key 'k1' does not open this secret here"
    with pytest.raises(Refusal, match="not known yet"):
        await shop.fund()
    await damage_keys(shop, business_id, sealed)
    await shop.later(hours=2)
    assert (await shop.payment()).status == "pending"  # until it is released
    async with shop.database.transaction() as transaction:
        assert await due_store.release(transaction, PAYMENTS, (business_id, aside.id))
        assert not await due_store.release(transaction, PAYMENTS, (business_id, aside.id))
    await shop.later(seconds=0)
    assert ((await shop.payment()).status, await shop.balance()) == ("succeeded", 5000)
    assert (len(await gateway.charges()), await set_aside(shop)) == (1, [])


async def set_aside(shop: RunningService) -> list[due_store.SetAside]:
    async with shop.database.read() as transaction:
        return await due_store.all_set_aside(transaction, 100)


async def test_an_unexpected_error_sets_a_payment_aside_only_if_it_repeats(
    shop: RunningService, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    await leave_unknown(shop)

    async def broken(*_arguments: object) -> None:
        raise RuntimeError("4111111111111111")

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "move", broken)
        pause = 6.0
        for looks in range(FAILED_LOOKS_MAX):
            assert await set_aside(shop) == []
            await shop.later(seconds=pause)
            pause = pause_after(looks).total_seconds() + 1
        (aside,) = await set_aside(shop)
        assert aside.error.startswith("RuntimeError at core/")
        with pytest.raises(Refusal, match="not known yet"):
            await shop.fund()
    await shop.fund()  # the caller's retry finds the charge, and nothing is left to be released
    assert ((await shop.payment()).status, await shop.balance()) == ("succeeded", 5000)
    assert (len(await gateway.charges()), await set_aside(shop)) == (1, [])


async def test_an_outage_sets_nothing_aside(shop: RunningService, gateway: Gateway) -> None:
    await leave_unknown(shop)
    await gateway.fault("reset_before", INTENTS, times=1000, method=None)
    for _ in range(3 * FAILED_LOOKS_MAX):
        await shop.later(minutes=61)
    assert (await set_aside(shop), (await shop.payment()).status) == ([], "pending")
    await gateway.clear()


async def test_the_error_of_a_secret_shows_nothing_of_it(shop: RunningService) -> None:
    await leave_unknown(shop)
    await damage_keys(shop, shop.caller.business_id, "sk_test_stored_without_a_seal")
    with pytest.raises((Refusal, SealBrokenError)):
        await shop.fund()
    for looks in range(FAILED_LOOKS_MAX):
        await shop.later(seconds=pause_after(looks).total_seconds() + 6)
    (aside,) = await set_aside(shop)
    assert "sk_test" not in aside.error
