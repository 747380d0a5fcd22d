"""Changes of a job's schedule, on each database: each month is charged once."""

from datetime import timedelta
from typing import Any

import pytest

from nivisco.payments.v1 import recurring_pb2 as pb
from rpc.errors import CoreError
from tests.core.recurring.running import (
    at,
    claim,
    claim_and_execute,
    cycles_of,
    execute,
    job_of,
    moment_of,
    monthly_job,
    set_time,
    update,
)
from tests.core.running import Business, ShiftedClock

WEEK = pb.INTERVAL_TYPE_WEEK
TWO_CHARGES = [("2024-01-28 16:00", "charged"), ("2024-02-28 16:00", "charged")]


async def test_a_change_of_the_time_zone_charges_each_month_once(
    shop: Business, clock: ShiftedClock
) -> None:
    job = await monthly_job(shop, clock)
    changed = await update(shop, job, timezone="Pacific/Honolulu")
    assert moment_of(changed.next_run) == at("2024-03-28T20:00")
    set_time(clock, "2024-02-28T20:00:30")
    assert await claim_and_execute(shop) == 0
    set_time(clock, "2024-03-28T05:00")  # the 28th, 10:00 in Tokyo, was at 01:00
    changed = await update(shop, job, timezone="Asia/Tokyo")
    assert moment_of(changed.next_run) - at("2024-03-28T05:00") < timedelta(minutes=1)
    set_time(clock, "2024-03-28T05:01")
    assert await claim_and_execute(shop) == 1
    assert moment_of((await job_of(shop, job)).next_run) == at("2024-04-28T01:00")
    logs = await cycles_of(shop, job)
    assert logs == [*TWO_CHARGES, ("2024-03-28 05:00", "charged")]


@pytest.mark.parametrize(
    ("now", "fields", "next_run"),
    [
        # Not again in February, whether the new start is past or still to come.
        ("2024-02-28T17:00", {"start_at": "2024-01-28T08:00"}, "2024-03-28T13:00"),
        ("2024-02-28T17:00", {"start_at": "2024-02-28T12:00"}, "2024-03-28T17:00"),
        # Within March: on the new day, and at once if that has passed.
        ("2024-03-10T12:00", {"start_at": "2024-01-15T10:00"}, "2024-03-15T15:00"),
        ("2024-03-20T12:00", {"start_at": "2024-01-15T10:00"}, "2024-03-20T12:00"),
        ("2024-03-01T12:00", {"start_at": "2024-03-05T10:00"}, "2024-03-05T16:00"),
        ("2024-03-01T12:00", {"start_at": "2024-07-05T10:00"}, "2024-07-05T15:00"),
        # The first date of the new interval after now, but not in the week of 28 February.
        ("2024-03-01T12:00", {"interval_type": WEEK}, "2024-03-10T15:00"),
        ("2024-03-01T12:00", {"interval_value": 2}, "2024-03-28T15:00"),
        ("2024-03-01T12:00", {"interval_value": 3}, "2024-04-28T15:00"),
        (
            "2024-03-01T12:00",
            {"interval_type": WEEK, "start_at": "2024-03-09T10:00", "timezone": "Asia/Tokyo"},
            "2024-03-09T01:00",
        ),
    ],
)
async def test_the_response_has_the_next_date_of_the_changed_schedule(
    shop: Business, clock: ShiftedClock, now: str, fields: dict[str, Any], next_run: str
) -> None:
    job = await monthly_job(shop, clock)
    set_time(clock, now)
    changed = await update(shop, job, **fields)
    assert timedelta() <= moment_of(changed.next_run) - at(next_run) < timedelta(minutes=1)
    clock.ahead += timedelta(minutes=1)
    assert await claim_and_execute(shop) == (now[:10] == next_run[:10])
    set_time(clock, next_run)
    clock.ahead += timedelta(minutes=1)
    assert await claim_and_execute(shop) == (now[:10] != next_run[:10])
    assert [word for _, word in await cycles_of(shop, job)] == ["charged"] * 3


async def test_what_is_due_when_the_schedule_changes_is_charged_as_it_was(
    shop: Business, clock: ShiftedClock
) -> None:
    job = await monthly_job(shop, clock, catch_up=pb.CATCH_UP_LATEST)
    set_time(clock, "2024-04-29T12:00")  # two months missed
    changed = await update(shop, job, interval_type=WEEK, timezone="UTC")
    assert moment_of(changed.next_run) == at("2024-04-28T15:00")
    assert await claim_and_execute(shop) == 1
    assert moment_of((await job_of(shop, job)).next_run) == at("2024-05-05T10:00")
    logs = await cycles_of(shop, job)
    assert logs == [
        *TWO_CHARGES,
        ("2024-03-28 15:00", "skipped"),
        ("2024-04-28 15:00", "charged"),
    ]


async def test_a_schedule_with_several_charges_due_is_not_changed(
    shop: Business, clock: ShiftedClock
) -> None:
    job = await monthly_job(shop, clock, catch_up=pb.CATCH_UP_ALL)
    set_time(clock, "2024-04-29T12:00")
    with pytest.raises(CoreError, match="More than one charge") as refused:
        await update(shop, job, timezone="UTC")
    assert refused.value.reason == "RECURRING_STATE"
    assert await claim_and_execute(shop) == 2
    changed = await update(shop, job, timezone="UTC")
    assert moment_of(changed.next_run) == at("2024-05-28T10:00")


async def test_the_zone_of_a_claimed_or_paused_job_keeps_its_cycles(
    shop: Business, clock: ShiftedClock
) -> None:
    claimed = await monthly_job(shop, clock)
    paused = await monthly_job(shop, clock)
    await shop.call(pb.PauseRecurringRequest(recurring_id=paused))
    set_time(clock, "2024-03-28T15:00:30")
    (lease,) = await claim(shop)
    for job in (claimed, paused):
        await update(shop, job, timezone="Pacific/Honolulu")
    await execute(shop, lease)
    resumed = await shop.call(pb.ResumeRecurringRequest(recurring_id=paused))
    assert moment_of(resumed.recurring.next_run) == at("2024-04-28T20:00")
    assert moment_of((await job_of(shop, claimed)).next_run) == at("2024-04-28T20:00")
    set_time(clock, "2024-03-28T20:00:30")
    assert await claim_and_execute(shop) == 0
