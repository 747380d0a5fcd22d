"""Claims, on each database: one owner at a time, fairness, fencing, and the catch-up rule."""

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest

from nivisco.internal.v1 import occurrences_pb2
from nivisco.payments.v1 import recurring_pb2 as pb
from rpc.errors import CoreError
from tests.core.recurring.running import (
    SKIPPED,
    SUCCEEDED,
    claim,
    create_job,
    execute,
    fill_wallet,
    job_of,
    logs_of,
    moment_of,
    renew,
)
from tests.core.running import Business, ShiftedClock, create_user, register


async def test_an_expired_lease_is_claimed_again_and_the_late_owner_is_fenced(
    shop: Business, clock: ShiftedClock
) -> None:
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id)
    job = await create_job(shop, user_id)
    clock.ahead = timedelta(days=1, seconds=5)
    (first,) = await claim(shop, lease_seconds=30)
    clock.ahead += timedelta(seconds=20)
    (renewed,) = await renew(shop, first, lease_seconds=30)
    assert moment_of(renewed.expires_at) > moment_of(first.expires_at)
    clock.ahead += timedelta(seconds=20)
    assert await claim(shop) == []
    clock.ahead += timedelta(seconds=20)
    (second,) = await claim(shop)
    assert second.fencing_token > first.fencing_token
    assert second.occurrence_at == first.occurrence_at
    assert await renew(shop, first) == []
    results = await asyncio.gather(
        *(execute(shop, lease) for lease in (first, second, second)), return_exceptions=True
    )
    done = [each for each in results if not isinstance(each, BaseException)]
    assert [each.status for each in done] == [SUCCEEDED]
    assert {each.reason for each in results if isinstance(each, CoreError)} == {"RECURRING_STATE"}
    assert [log.status for log in await logs_of(shop, job)] == [SUCCEEDED]


async def test_a_backlog_of_one_business_does_not_delay_another(
    shop: Business, clock: ShiftedClock
) -> None:
    big = await create_user(shop)
    for _ in range(12):
        await create_job(shop, big)
    small = await register(shop.client, "small")
    small_job = await create_job(small, await create_user(small))
    clock.ahead = timedelta(days=1, minutes=1)
    first = await claim(shop, limit=2)
    assert small_job in [lease.recurring_id for lease in first]
    excluded = [occurrences_pb2.ExcludedBusiness(business_id=shop.credentials.business_id)]
    assert await claim(shop, excluded_businesses=excluded) == []
    assert len(await claim(shop, limit_per_business=3)) == 3
    several = await asyncio.gather(*(claim(shop, limit=4) for _ in range(4)))
    claimed = [lease.recurring_id for leases in several for lease in leases]
    assert len(claimed) == len(set(claimed)) == 8


@pytest.mark.parametrize(
    ("catch_up", "hours_late", "expected"),
    [
        (pb.CATCH_UP_LATEST, 60, [SKIPPED, SKIPPED, SUCCEEDED]),
        (pb.CATCH_UP_ALL, 60, [SUCCEEDED] * 3),
        (pb.CATCH_UP_SKIP, 60, [SKIPPED] * 3),
        (pb.CATCH_UP_SKIP, 48.5, [SKIPPED, SKIPPED, SUCCEEDED]),
    ],
)
async def test_catch_up_decides_which_missed_occurrences_are_charged(
    shop: Business, clock: ShiftedClock, catch_up: int, hours_late: float, expected: list[int]
) -> None:
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id)
    job = await create_job(shop, user_id, catch_up=catch_up)
    clock.ahead = timedelta(days=1, hours=hours_late)
    while leases := await claim(shop):
        await execute(shop, leases[0])
    logs = await logs_of(shop, job)
    assert sorted(log.status for log in logs) == sorted(expected)
    moments = sorted(moment_of(log.occurrence) for log in logs)
    assert [after - before for before, after in pairwise(moments)] == [timedelta(days=1)] * 2
    listed = await job_of(shop, job)
    assert moment_of(listed.next_run) - moments[-1] == timedelta(days=1)
