"""The test clock: ten years of jobs in order, and its errors.

RECURRING_WHOLE=1 runs the daily and the weekly job for all ten years too.
"""

import os
from calendar import isleap, monthrange
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from nivisco.payments.v1 import recurring_pb2 as pb
from nivisco.payments.v1 import types_pb2
from rpc.errors import CoreError
from tests.core.recurring.running import (
    SUCCEEDED,
    TOKENS,
    advance,
    advance_once,
    claim,
    create_job,
    fill_wallet,
    in_days,
    logs_of,
    moment_of,
    usd,
)
from tests.core.running import (
    Business,
    create_user,
    register,
    running_core,
    settings_for,
)

WHOLE = os.environ.get("RECURRING_WHOLE") == "1"
ZONE = "America/New_York"
END = datetime(2038, 1, 1, 5, tzinfo=UTC)
START = {
    pb.INTERVAL_TYPE_DAY: "2028-01-01T08:30:00",
    pb.INTERVAL_TYPE_WEEK: "2028-01-05T08:30:00",
    pb.INTERVAL_TYPE_MONTH: "2028-01-31T08:30:00",
    pb.INTERVAL_TYPE_YEAR: "2028-02-29T08:30:00",
}


async def test_years_of_daily_weekly_month_end_and_leap_day_jobs(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, service_tokens=TOKENS, test_clock=True)
    days, weeks = (3653, 522) if WHOLE else (366, 53)
    async with running_core(settings) as client:
        shop = await register(client)
        user_id = await create_user(shop)
        await fill_wallet(shop, user_id)
        jobs = {
            unit: await create_job(
                shop,
                user_id,
                interval_type=unit,
                start_at=start,
                timezone=ZONE,
                max_cycles={pb.INTERVAL_TYPE_DAY: days, pb.INTERVAL_TYPE_WEEK: weeks}.get(unit),
            )
            for unit, start in START.items()
        }
        assert await advance(shop, END) == days + weeks + 120 + 10
        dates = {}
        for unit, job in jobs.items():
            logs = await logs_of(shop, job)
            assert {log.status for log in logs} == {SUCCEEDED}
            for log in logs:
                late = moment_of(log.attempted_at) - moment_of(log.occurrence)
                assert timedelta() <= late < timedelta(hours=1)
            local = [moment_of(log.occurrence).astimezone(ZoneInfo(ZONE)) for log in logs]
            assert {(at.hour, at.minute, at.second) for at in local} == {(8, 30, 0)}
            dates[unit] = [at.date() for at in local]
    first = datetime(2028, 1, 1, tzinfo=UTC).date()
    assert dates[pb.INTERVAL_TYPE_DAY] == [first + timedelta(days=n) for n in range(days)]
    assert dates[pb.INTERVAL_TYPE_WEEK] == [first + timedelta(days=4 + 7 * n) for n in range(weeks)]
    assert [(at.year, at.month, at.day) for at in dates[pb.INTERVAL_TYPE_MONTH]] == [
        (year, month, monthrange(year, month)[1])
        for year in range(2028, 2038)
        for month in range(1, 13)
    ]
    assert [(at.year, at.month, at.day) for at in dates[pb.INTERVAL_TYPE_YEAR]] == [
        (year, 2, 29 if isleap(year) else 28) for year in range(2028, 2038)
    ]


async def test_live_and_a_past_time_are_refused(shop: Business) -> None:
    await advance(shop, in_days(10))
    for to, env, field in (
        (in_days(9), types_pb2.ENV_UNSPECIFIED, "advance_to"),
        (in_days(11), types_pb2.ENV_LIVE, "env"),
    ):
        with pytest.raises(CoreError) as refused:
            await advance_once(shop, to, env=env)
        assert [each.field for each in refused.value.fields] == [field]


async def test_a_core_without_a_test_clock_refuses_to_advance(tmp_path: Path) -> None:
    async with running_core(settings_for(tmp_path, service_tokens=TOKENS)) as client:
        with pytest.raises(CoreError) as refused:
            await advance_once(await register(client), in_days(1))
    assert refused.value.reason == "TEST_CLOCK_OFF"


async def test_a_test_clock_applies_to_the_test_jobs_of_its_business_only(
    shop: Business,
) -> None:
    user_id = await create_user(shop)
    live = await create_job(shop, user_id, env=types_pb2.ENV_LIVE)
    assert await advance(shop, in_days(2)) == 0
    assert await logs_of(shop, live) == []
    await fill_wallet(shop, user_id, 5)
    await advance(shop, in_days(10))
    late = await create_job(shop, user_id, amount=usd(1), start_at=in_days(10.0001).isoformat())
    await advance(shop, in_days(10.00005))
    assert await logs_of(shop, late) == []
    assert await claim(shop) == []
    other = await register(shop.client, "other")
    await advance(other, in_days(30))
    assert await claim(shop) == []


async def test_a_scheduler_that_has_the_job_is_waited_for(shop: Business) -> None:
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id)
    job = await create_job(shop, user_id, catch_up=pb.CATCH_UP_ALL)
    await advance(shop, in_days(0.99))
    await create_job(shop, await create_user(shop), start_at=in_days(1.5).isoformat())
    reached = await advance_once(shop, in_days(1.2))
    assert (reached.attempt_count, reached.done) == (1, True)
    assert await claim(shop) == []
    assert [log.status for log in await logs_of(shop, job)] == [SUCCEEDED]
