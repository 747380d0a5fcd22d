"""Nobody is charged for the first time while suspended, whoever asks. On each database."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import update

from core.database.schema import businesses, users
from core.database.transactions import Database
from core.errors import Reason, Refusal
from core.payments.rules import ResumeStep
from tests.core.payments.charging import INTENTS
from tests.core.payments.running_service import LOGIN, RunningService, running_service
from tests.core.running import Gateway, ShiftedClock

BY_WHO = pytest.mark.parametrize("who", ["user", "business"])


@pytest.fixture(params=["stripe", "authorize"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def shop(name: str, database_url: str, gateway: Gateway) -> AsyncIterator[RunningService]:
    clock = ShiftedClock()
    database = Database(database_url, clock)
    async with running_service(database, clock, gateway, name) as running:
        yield running


async def suspend(shop: RunningService, who: str, *, is_over: bool = False) -> None:
    async with shop.database.transaction() as transaction:
        since = None if is_over else transaction.now
        table = users if who == "user" else businesses
        await transaction.connection.execute(update(table).values(suspended_at=since))


async def charges(shop: RunningService, name: str) -> int:
    read = shop.gateway.authorize_charges(LOGIN) if name == "authorize" else shop.gateway.charges()
    return len(await read)


async def lose(shop: RunningService) -> None:
    """Fund, and lose the request before it reaches the gateway."""
    await shop.gateway.fault("reset_before", INTENTS, times=20, method=None)
    await shop.gateway.authorize_fault("reset_before", times=20)
    with pytest.raises(Refusal, match="not known yet"):
        await shop.fund()
    await shop.gateway.clear()


@BY_WHO
async def test_a_call_that_was_admitted_before_begins_nothing(
    shop: RunningService, name: str, who: str
) -> None:
    await suspend(shop, who)
    with pytest.raises(Refusal) as refused:
        await shop.fund()
    assert Reason.Name(refused.value.reason) == f"ERROR_REASON_{who.upper()}_SUSPENDED"
    assert await charges(shop, name) == 0


@BY_WHO
async def test_a_charge_that_the_gateway_never_got_is_sent_after_the_suspension(
    shop: RunningService, name: str, who: str
) -> None:
    """Authorize.Net's is sent again three minutes after the first time."""
    await lose(shop)
    await suspend(shop, who)
    for seconds in (6, 190, 400):
        await shop.later(seconds=seconds)
        assert (await shop.payment()).status == "pending"
        with pytest.raises(Refusal, match="not known yet"):
            await shop.fund()
    assert await charges(shop, name) == 0
    await suspend(shop, who, is_over=True)
    await shop.later(hours=1)
    assert ((await shop.payment()).status, await charges(shop, name)) == ("succeeded", 1)


@BY_WHO
@pytest.mark.parametrize("name", ["authorize"])
async def test_a_charge_is_not_sent_again_once_its_look_up_has_begun(
    shop: RunningService, name: str, who: str
) -> None:
    await lose(shop)
    shop.clock.ahead += timedelta(seconds=200)
    payment, attempts = await shop.payment(), shop.service._attempts
    async with shop.database.transaction() as transaction:
        account = await shop.credentials.account(
            transaction, payment.business_id, payment.gateway, payment.env
        )
        started = await attempts.resume(transaction, payment, account, may_send=True)
    assert started.step is ResumeStep.LOOK_UP_AND_SEND
    await suspend(shop, who)
    with pytest.raises(Refusal, match="not known yet"):
        await attempts.run(started)
    assert await charges(shop, name) == 0
