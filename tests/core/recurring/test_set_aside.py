"""A job whose calendar cannot be read is set aside and all others are charged, on each database."""

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from core.recurring import calendar
from nivisco.internal.v1 import operator_pb2
from nivisco.payments.v1 import recurring_pb2 as pb
from rpc.errors import CoreError
from tests.core.recurring.running import (
    OPERATOR,
    advance,
    claim_and_execute,
    create_job,
    cycles_of,
    fill_wallet,
    in_days,
    logs_of,
    moment_of,
    update,
)
from tests.core.running import Business, ShiftedClock, call, create_user

DAY = timedelta(days=1)


async def test_a_job_with_an_unknown_zone_is_set_aside_and_all_others_are_charged(
    shop: Business, clock: ShiftedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id)
    jobs = [
        await create_job(shop, user_id, timezone=zone)
        for zone in ("UTC", "Asia/Tokyo", "America/Chicago")
    ]
    known = calendar._names()
    monkeypatch.setattr(calendar, "_names", lambda: known - {"Asia/Tokyo"})
    clock.ahead = DAY + timedelta(minutes=1)
    assert await claim_and_execute(shop) == 2
    assert [len(await logs_of(shop, job)) for job in jobs] == [1, 0, 1]
    examination = await call(shop.client, OPERATOR, operator_pb2.ExamineRequest())
    (check,) = [each for each in examination.checks if each.name == "set_aside"]
    assert check.verdict == operator_pb2.CHECK_VERDICT_WARNING
    (row,) = [{column.name: column.value for column in row.columns} for row in check.rows]
    assert row["recurring_id"] == jobs[1]
    assert row["set_aside_error"].startswith("timezone Asia/Tokyo")
    listed = await shop.call(pb.ListRecurringRequest(preview=2))
    assert [len(each.upcoming) for each in listed.recurring] == [2, 0, 2]
    clock.ahead += DAY
    assert await claim_and_execute(shop) == 2
    with pytest.raises(CoreError):
        await update(shop, jobs[1], description="Tea")

    monkeypatch.setattr(calendar, "_names", lambda: known)
    changed = await update(
        shop, jobs[1], update_mask=FieldMask(paths=["timezone"]), timezone="Asia/Tokyo"
    )
    assert moment_of(changed.next_run) < datetime.now(UTC) + clock.ahead
    assert await claim_and_execute(shop) == 1
    assert [word for _, word in await cycles_of(shop, jobs[1])] == ["skipped", "charged"]


async def test_a_job_with_an_unknown_zone_can_be_moved_to_another_paused_and_cancelled(
    shop: Business, clock: ShiftedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id)
    moved, stopped = [await create_job(shop, user_id, timezone="Asia/Tokyo") for _ in range(2)]
    known = calendar._names()
    monkeypatch.setattr(calendar, "_names", lambda: known - {"Asia/Tokyo"})
    clock.ahead = DAY + timedelta(minutes=1)
    assert await claim_and_execute(shop) == 0
    await update(shop, moved, timezone="Asia/Seoul")
    assert await claim_and_execute(shop) == 1
    await shop.call(pb.PauseRecurringRequest(recurring_id=stopped))
    with pytest.raises(CoreError) as refused:
        await shop.call(pb.ResumeRecurringRequest(recurring_id=stopped))
    assert refused.value.reason == "RECURRING_STATE"
    assert "Asia/Tokyo" in refused.value.message
    await shop.call(pb.CancelRecurringRequest(recurring_id=stopped))
    assert [word for _, word in await cycles_of(shop, moved)] == ["charged"]


async def test_a_test_clock_passes_over_a_job_that_is_set_aside(
    shop: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id)
    jobs = [await create_job(shop, user_id, timezone=zone) for zone in ("Asia/Tokyo", "UTC")]
    known = calendar._names()
    monkeypatch.setattr(calendar, "_names", lambda: known - {"Asia/Tokyo"})
    assert await advance(shop, in_days(2.5)) == 2
    assert [len(await logs_of(shop, job)) for job in jobs] == [0, 2]
