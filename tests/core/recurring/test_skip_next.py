"""`skip_next` on each database."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from nivisco.payments.v1 import recurring_pb2 as pb
from rpc.errors import CoreError
from tests.core.recurring.running import (
    DECLINED,
    ON_SQLITE,
    SKIPPED,
    SUCCEEDED,
    advance,
    claim,
    claim_and_execute,
    create_job,
    execute,
    fill_wallet,
    in_days,
    job_of,
    logs_of,
    moment_of,
)
from tests.core.running import Business, ShiftedClock, create_user

DAY = timedelta(days=1)


async def skip(shop: Business, job: str, key: str | None = None) -> Any:
    """Return the response of skip_next."""
    return await shop.call(pb.SkipNextRequest(recurring_id=job, idempotency_key=key))


async def state_problem(shop: Business, job: str) -> str:
    """Return the message of a skip_next that the job's state forbids."""
    with pytest.raises(CoreError) as refused:
        await skip(shop, job)
    assert refused.value.reason == "RECURRING_STATE"
    return str(refused.value.message)


async def daily_job(shop: Business, **changes: Any) -> tuple[str, datetime]:
    """Create a daily job on a filled wallet, and return it with its first date."""
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id)
    first = in_days(1)
    return await create_job(shop, user_id, start_at=first.isoformat(), **changes), first


async def outcomes(shop: Business, job: str) -> list[tuple[datetime, int]]:
    """Return date and status of all log entries, by date."""
    return sorted((moment_of(log.occurrence), log.status) for log in await logs_of(shop, job))


async def test_the_next_date_is_logged_and_not_charged(shop: Business) -> None:
    job, first = await daily_job(shop)
    done = await skip(shop, job)
    assert moment_of(done.skipped) == first
    assert done.recurring == await job_of(shop, job)
    assert moment_of(done.recurring.next_run) == first + DAY
    (log,) = await logs_of(shop, job)
    assert (log.status, log.message, log.attempt) == (SKIPPED, "Skipped by skip_next", 1)
    await advance(shop, first + DAY)
    assert await outcomes(shop, job) == [(first, SKIPPED), (first + DAY, SUCCEEDED)]


@ON_SQLITE
async def test_a_key_skips_one_date_and_every_other_call_one_more(shop: Business) -> None:
    job, first = await daily_job(shop)
    done = await skip(shop, job, "one")
    assert moment_of((await skip(shop, job)).skipped) == first + DAY
    assert await skip(shop, job, "one") == done
    await shop.call(pb.PauseRecurringRequest(recurring_id=job))
    resumed = await shop.call(pb.ResumeRecurringRequest(recurring_id=job))
    assert moment_of(resumed.recurring.next_run) == first + 2 * DAY


@ON_SQLITE
async def test_a_date_that_is_due_but_has_not_begun_is_skipped(
    shop: Business, clock: ShiftedClock
) -> None:
    job, first = await daily_job(shop)
    clock.ahead += timedelta(days=1, minutes=1)
    assert moment_of((await skip(shop, job)).skipped) == first
    assert await claim(shop) == []


@ON_SQLITE
async def test_a_cycle_that_has_begun_goes_on(shop: Business, clock: ShiftedClock) -> None:
    job, first = await daily_job(shop)
    clock.ahead += timedelta(days=1, minutes=1)
    (lease,) = await claim(shop)
    assert moment_of((await skip(shop, job)).skipped) == first + DAY
    assert (await execute(shop, lease)).status == SUCCEEDED
    assert moment_of((await job_of(shop, job)).next_run) == first + 2 * DAY


@ON_SQLITE
async def test_a_cycle_is_retried_until_the_date_after_the_skipped_one(shop: Business) -> None:
    first = in_days(1)
    job = await create_job(
        shop,
        await create_user(shop),
        start_at=first.isoformat(),
        interval_type=pb.INTERVAL_TYPE_WEEK,
    )
    await advance(shop, first)
    retry_at = (await job_of(shop, job)).next_run
    done = await skip(shop, job)
    assert (moment_of(done.skipped), done.recurring.next_run) == (first + 7 * DAY, retry_at)
    await advance(shop, first + 13 * DAY)
    declined = [(first, DECLINED)] * 4
    assert await outcomes(shop, job) == [*declined, (first + 7 * DAY, SKIPPED)]
    assert moment_of((await job_of(shop, job)).next_run) == first + 14 * DAY


@ON_SQLITE
async def test_the_last_date_completes_the_job(shop: Business) -> None:
    job, _ = await daily_job(shop, end_at=in_days(1.5).isoformat())
    assert (await skip(shop, job)).recurring.status == pb.RECURRING_STATUS_COMPLETED
    assert "completed" in await state_problem(shop, job)
    await advance(shop, in_days(9))
    assert len(await logs_of(shop, job)) == 1


@ON_SQLITE
async def test_a_job_that_is_not_active_has_no_next_date(shop: Business) -> None:
    job, _ = await daily_job(shop)
    for stop in (pb.PauseRecurringRequest, pb.CancelRecurringRequest):
        await shop.call(stop(recurring_id=job))
        assert "nothing was skipped" in await state_problem(shop, job)
    assert await logs_of(shop, job) == []


async def test_a_date_is_skipped_or_charged_beside_schedulers(
    shop: Business, clock: ShiftedClock
) -> None:
    jobs = [await daily_job(shop) for _ in range(10)]
    clock.ahead += timedelta(days=1, minutes=1)
    skips = [skip(shop, job) for job, _ in jobs]
    *answers, _, _ = await asyncio.gather(*skips, claim_and_execute(shop), claim_and_execute(shop))
    for (job, first), answer in zip(jobs, answers, strict=True):
        skipped = moment_of(answer.skipped)
        charged = [] if skipped == first else [(first, SUCCEEDED)]
        assert await outcomes(shop, job) == [*charged, (skipped, SKIPPED)]
        assert moment_of((await job_of(shop, job)).next_run) == skipped + DAY
