"""Charges at Authorize.Net with an unknown outcome are looked up, and resent only when safe."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import update

from core.database.schema import payments
from core.database.transactions import Database
from core.errors import Refusal
from core.idempotency.call import IdempotentCall, Replay
from nivisco.payments.v1 import payments_pb2
from tests.core.gateways.running import logged
from tests.core.payments.running_service import LOGIN, RunningService, running_service
from tests.core.running import Gateway, ShiftedClock

SETTLED = 181.0
"""Seconds after sending, just past the settle time."""
LISTS = ("getTransactionListForCustomer", "getUnsettledTransactionList")


@pytest.fixture
async def shop(database_url: str, gateway: Gateway) -> AsyncIterator[RunningService]:
    clock = ShiftedClock()
    database = Database(database_url, clock)
    async with running_service(database, clock, gateway, "authorize") as running:
        yield running


async def lose(
    shop: RunningService,
    kind: str,
    call: IdempotentCall | None = None,
    times: int = 1,
    seconds: float = 0,
) -> None:
    """Fund without a clear response from the gateway."""
    await shop.gateway.authorize_fault(kind, times=times, seconds=seconds)
    with pytest.raises(Refusal, match="not known yet"):
        await shop.fund(call)


async def state(shop: RunningService) -> tuple[str, int, int]:
    """The payment's status, the number of charges that will settle, and the wallet's balance."""
    charges = await shop.gateway.authorize_charges(LOGIN)
    return (await shop.payment()).status, len(charges), await shop.balance()


async def test_a_made_charge_is_adopted_before_a_resend_is_allowed(
    shop: RunningService,
) -> None:
    await lose(shop, "reset_after", shop.call("one"))
    await shop.later(seconds=6)
    assert await state(shop) == ("succeeded", 1, 5000)
    with pytest.raises(Replay) as replay:
        await shop.fund(shop.call("one"))
    response = payments_pb2.FundCustomerResponse.FromString(replay.value.answer.payload)
    (charge,) = await shop.gateway.authorize_charges(LOGIN)
    assert response.transaction_id == charge["id"]


async def test_a_charge_that_was_not_made_is_resent_only_after_the_settle_time(
    shop: RunningService,
) -> None:
    await lose(shop, "reset_before")
    for seconds in (6, 16, 61):
        await shop.later(seconds=seconds)
        assert await state(shop) == ("pending", 0, 0)
    with pytest.raises(Refusal, match="not known yet"):
        await shop.fund()
    await shop.later(seconds=100)  # 183 seconds after sending, before the sweep's next check
    assert await state(shop) == ("pending", 0, 0)
    await shop.fund()
    assert await state(shop) == ("succeeded", 1, 5000)
    assert (await shop.payment()).sent_at is not None


async def test_the_settle_time_counts_from_the_last_send(shop: RunningService) -> None:
    await lose(shop, "reset_before", times=2)
    shop.clock.ahead += timedelta(seconds=SETTLED)
    with pytest.raises(Refusal, match="not known yet"):
        await shop.fund()  # resent, and lost again
    assert await shop.gateway.struck() == 2
    shop.clock.ahead += timedelta(seconds=SETTLED - 2)
    with pytest.raises(Refusal, match="not known yet"):
        await shop.fund()
    assert await state(shop) == ("pending", 0, 0)
    shop.clock.ahead += timedelta(seconds=2)
    await shop.fund()
    assert await state(shop) == ("succeeded", 1, 5000)


async def test_an_unsent_charge_is_sent_at_once_and_its_settle_time_starts_then(
    shop: RunningService,
) -> None:
    await shop.gateway.authorize_fault("rate_limit")
    with pytest.raises(Refusal, match="nothing was charged"):
        await shop.fund()
    shop.clock.ahead += timedelta(seconds=SETTLED - 10)
    await lose(shop, "reset_before")
    shop.clock.ahead += timedelta(seconds=20)
    with pytest.raises(Refusal, match="not known yet"):
        await shop.fund()
    assert await state(shop) == ("pending", 0, 0)


async def test_a_duplicate_that_no_list_shows_yet_is_adopted(shop: RunningService) -> None:
    await shop.gateway.authorize("reports", lag_seconds=600)
    await lose(shop, "reset_after")
    await shop.later(seconds=6)
    assert await state(shop) == ("pending", 1, 0)
    shop.clock.ahead += timedelta(seconds=SETTLED)
    await shop.fund()
    assert await state(shop) == ("succeeded", 1, 5000)


async def test_of_two_transactions_on_one_invoice_the_first_is_adopted_and_the_second_voided(
    shop: RunningService, caplog: pytest.LogCaptureFixture
) -> None:
    # Both safeguards fail: the lists lag longer than the settle time, duplicates are not refused.
    await shop.gateway.authorize("reports", lag_seconds=600)
    await shop.gateway.authorize("duplicates", known=False)
    await lose(shop, "reset_after", times=2)
    shop.clock.ahead += timedelta(seconds=SETTLED)
    with pytest.raises(Refusal, match="not known yet"):
        await shop.fund()
    assert await state(shop) == ("pending", 2, 0)
    second, first = await shop.gateway.authorize_charges(LOGIN)
    await shop.gateway.authorize("reports", lag_seconds=0)
    await shop.gateway.authorize_fault("rate_limit")  # the void is throttled, to be repeated
    await shop.later(seconds=16)
    assert await state(shop) == ("pending", 2, 0)
    await shop.later(seconds=61)
    assert await state(shop) == ("succeeded", 1, 5000)
    assert (await shop.payment()).transaction_id == first["id"]
    assert "second transaction of a payment voided" in caplog.text
    assert second["id"] in logged(caplog, "transaction_id")


async def test_a_settled_second_transaction_is_logged_for_a_refund(
    shop: RunningService, caplog: pytest.LogCaptureFixture
) -> None:
    await shop.gateway.authorize("duplicates", known=False)
    await shop.gateway.authorize("reports", lag_seconds=600)
    await lose(shop, "reset_after", times=2)
    shop.clock.ahead += timedelta(seconds=SETTLED)
    with pytest.raises(Refusal, match="not known yet"):
        await shop.fund()
    for charge in await shop.gateway.authorize_charges(LOGIN):
        await shop.gateway.authorize(
            "transactions", transaction=charge["id"], status="settledSuccessfully"
        )
    await shop.gateway.authorize("reports", lag_seconds=0)
    await shop.later(seconds=16)
    assert await state(shop) == ("succeeded", 2, 5000)
    assert "cannot be voided: refund it" in caplog.text


@pytest.mark.parametrize("key", [None, "one"])
async def test_a_charge_that_nothing_shows_needs_review_after_8_hours_and_is_not_sent(
    shop: RunningService, key: str | None
) -> None:
    await lose(shop, "reset_before", shop.call(key) if key else None, times=1000)
    await shop.later(seconds=7 * 3600)
    assert await shop.gateway.struck() == 2  # resent for the last time
    await shop.later(seconds=58 * 60)
    assert await shop.gateway.struck() == 2
    assert await state(shop) == ("pending", 0, 0)
    await shop.later(seconds=2 * 3600)
    assert await state(shop) == ("needs_review", 0, 0)
    assert await shop.gateway.struck() == 2
    if key:
        with pytest.raises(Refusal, match="never told the outcome"):
            await shop.fund(shop.call(key))
        assert await shop.gateway.struck() == 2


async def test_a_payment_does_not_need_review_while_the_gateway_is_unreachable(
    shop: RunningService,
) -> None:
    await lose(shop, "reset_after")
    for each in LISTS:
        await shop.gateway.authorize_fault("reset_before", each, times=1000)
    await shop.later(seconds=9 * 3600)
    assert await state(shop) == ("pending", 1, 0)
    await shop.gateway.clear()
    await shop.later(seconds=3600)
    assert await state(shop) == ("succeeded", 1, 5000)


async def test_an_attempt_that_lost_its_lease_during_the_look_up_does_not_resend(
    shop: RunningService,
) -> None:
    await lose(shop, "reset_before")
    shop.clock.ahead += timedelta(seconds=SETTLED)
    await shop.gateway.authorize_fault("delay", LISTS[0], seconds=60)
    late = asyncio.ensure_future(shop.fund())
    await shop.gateway.wait_until_holding(1)
    async with shop.database.transaction() as transaction:
        await transaction.connection.execute(update(payments).values(lease_owner="other"))
    await shop.gateway.clear()
    with pytest.raises(Refusal, match="not known yet"):
        await late
    assert (await shop.payment()).attempt == "running"
    assert await shop.gateway.authorize_charges(LOGIN) == []


async def test_a_charge_that_is_made_late_is_adopted(
    shop: RunningService,
) -> None:
    await lose(shop, "late_landing", seconds=60)
    await shop.gateway.clear()
    async with asyncio.timeout(20):
        while not await shop.gateway.authorize_charges(LOGIN):
            await asyncio.sleep(0.01)
    await shop.fund()
    assert await state(shop) == ("succeeded", 1, 5000)


async def test_a_request_that_is_delivered_twice_is_one_charge(shop: RunningService) -> None:
    await shop.gateway.authorize_fault("duplicate")
    await shop.fund()
    assert await state(shop) == ("succeeded", 1, 5000)
