"""What a pause, a cancellation or too many failures skip is logged, on each database."""

from datetime import timedelta

from nivisco.payments.v1 import recurring_pb2 as pb
from tests.core.recurring.running import (
    DECLINED,
    SKIPPED,
    advance,
    at,
    claim_and_execute,
    create_job,
    cycles_of,
    fill_wallet,
    in_days,
    job_of,
    logs_of,
    moment_of,
    monthly_job,
    set_time,
    update,
)
from tests.core.running import Business, ShiftedClock, create_user


async def test_what_is_due_when_a_job_is_stopped_is_logged_as_skipped(
    shop: Business, clock: ShiftedClock
) -> None:
    paused, cancelled = await monthly_job(shop, clock), await monthly_job(shop, clock)
    set_time(clock, "2024-04-29T12:00")
    await shop.call(pb.PauseRecurringRequest(recurring_id=paused))
    await update(shop, cancelled, status=pb.RECURRING_STATUS_CANCELLED)
    for job, word in ((paused, "paused"), (cancelled, "cancelled")):
        logs = await logs_of(shop, job)
        skipped = [log for log in logs if log.status == SKIPPED]
        assert {log.message for log in skipped} == {f"The job was {word} before this was charged"}
        times = [f"{moment_of(log.occurrence):%m-%d %H:%M}" for log in skipped]
        assert sorted(times) == ["03-28 15:00", "04-28 15:00"]
    set_time(clock, "2024-06-29T12:00")
    resumed = await shop.call(pb.ResumeRecurringRequest(recurring_id=paused))
    assert moment_of(resumed.recurring.next_run) == at("2024-07-28T15:00")
    assert len(await logs_of(shop, paused)) == 4


async def test_a_job_paused_during_a_retry_logs_the_cycle_as_skipped(shop: Business) -> None:
    user_id = await create_user(shop)
    job = await create_job(
        shop, user_id, interval_type=pb.INTERVAL_TYPE_MONTH, start_at=in_days(1).isoformat()
    )
    await advance(shop, in_days(1.5))
    await shop.call(pb.PauseRecurringRequest(recurring_id=job))
    await fill_wallet(shop, user_id)
    logs = await logs_of(shop, job)
    assert [(log.status, log.attempt) for log in logs] == [(DECLINED, 1), (SKIPPED, 2)]
    assert logs[0].occurrence == logs[1].occurrence
    assert logs[1].message == "The job was paused before this was charged"
    await advance(shop, in_days(20))
    assert len(await logs_of(shop, job)) == 2


async def test_a_backlog_that_pauses_its_job_is_logged(shop: Business, clock: ShiftedClock) -> None:
    user_id = await create_user(shop)
    job = await create_job(shop, user_id, catch_up=pb.CATCH_UP_ALL)
    clock.ahead = timedelta(days=5, minutes=1)
    assert await claim_and_execute(shop) == 3
    assert (await job_of(shop, job)).status == pb.RECURRING_STATUS_PAUSED
    assert [word for _, word in await cycles_of(shop, job)] == ["declined"] * 3 + ["skipped"] * 2
