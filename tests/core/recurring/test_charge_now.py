"""`charge_now` at create_recurring, on each database where the SQL is its own."""

from datetime import timedelta

import pytest

from nivisco.payments.v1 import recurring_pb2 as pb
from rpc.errors import CoreError
from tests.core.recurring.running import (
    DECLINED,
    ON_SQLITE,
    SUCCEEDED,
    advance,
    claim,
    claim_and_execute,
    fill_wallet,
    in_days,
    job_of,
    job_request,
    logs_of,
    moment_of,
)
from tests.core.running import Business, Gateway, ShiftedClock, create_user, save_card

MONTH = pb.INTERVAL_TYPE_MONTH
DAY = timedelta(days=1)


async def test_the_first_cycle_is_charged_now_and_the_next_one_by_the_calendar(
    shop: Business, clock: ShiftedClock, gateway: Gateway
) -> None:
    user_id = await create_user(shop)
    await save_card(shop, user_id)
    start = in_days(3)
    made = await shop.call(
        job_request(
            user_id,
            charge_now=True,
            start_at=start.isoformat(),
            interval_type=MONTH,
            source=pb.RECURRING_SOURCE_STRIPE,
            preview=1,
        )
    )
    job = made.recurring_id
    assert timedelta() <= clock.now() - moment_of(made.next_run) < timedelta(minutes=1)
    assert [moment_of(at) for at in made.upcoming] == [start]
    assert await claim_and_execute(shop) == 1
    (log,) = await logs_of(shop, job)
    assert (log.status, log.attempt, log.occurrence) == (SUCCEEDED, 1, made.next_run)
    listed = await job_of(shop, job)
    assert (listed.executed_cycles, moment_of(listed.next_run)) == (1, start)
    assert await claim(shop) == []
    await advance(shop, start)
    assert len(await gateway.charges()) == 2


@ON_SQLITE
async def test_a_declined_first_cycle_is_retried_as_every_cycle(shop: Business) -> None:
    user_id = await create_user(shop)
    made = await shop.call(job_request(user_id, charge_now=True, interval_type=MONTH))
    assert await claim_and_execute(shop) == 1
    retry_at = moment_of((await job_of(shop, made.recurring_id)).next_run)
    assert DAY <= retry_at - moment_of(made.next_run) < timedelta(days=1, minutes=1)
    await fill_wallet(shop, user_id)
    await advance(shop, retry_at)
    logs = await logs_of(shop, made.recurring_id)
    assert [log.status for log in logs] == [DECLINED, SUCCEEDED]
    assert {moment_of(log.occurrence) for log in logs} == {moment_of(made.next_run)}


@ON_SQLITE
async def test_it_counts_for_the_maximum_and_is_skipped_by_a_cancellation(shop: Business) -> None:
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id)
    made = await shop.call(job_request(user_id, charge_now=True, max_cycles=1))
    assert await claim_and_execute(shop) == 1
    listed = await job_of(shop, made.recurring_id)
    assert (listed.status, listed.executed_cycles) == (pb.RECURRING_STATUS_COMPLETED, 1)
    other = await shop.call(job_request(user_id, charge_now=True))
    await shop.call(pb.CancelRecurringRequest(recurring_id=other.recurring_id))
    assert await claim(shop) == []


@ON_SQLITE
async def test_a_key_creates_one_job_that_charges_once(shop: Business, gateway: Gateway) -> None:
    user_id = await create_user(shop)
    await save_card(shop, user_id)
    request = job_request(
        user_id, charge_now=True, idempotency_key="one", source=pb.RECURRING_SOURCE_STRIPE
    )
    made = await shop.call(request)
    assert await claim_and_execute(shop) == 1
    assert await shop.call(request) == made
    assert await claim(shop) == []
    assert len(await gateway.charges()) == 1
    listed = await job_of(shop, made.recurring_id)
    assert moment_of(listed.next_run) == moment_of(made.next_run) + DAY
    request.charge_now = False
    with pytest.raises(CoreError) as refused:
        await shop.call(request)
    assert refused.value.reason == "IDEMPOTENCY_KEY_REUSED"
