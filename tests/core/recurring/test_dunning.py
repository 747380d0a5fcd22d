"""`retry_days` and `max_failed_cycles`, on each database, and the rule behind them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import given
from hypothesis import strategies as st

from core.dunning import DEFAULT, Dunning, retry_days_problem, stored_days
from core.recurring.rules import Outcome, Status, retry_at
from nivisco.payments.v1 import authentication_pb2, business_pb2
from nivisco.payments.v1 import recurring_pb2 as pb
from rpc.errors import CoreError
from tests.core.database.recording import recorded
from tests.core.recurring.running import (
    DECLINED,
    ON_SQLITE,
    SKIPPED,
    advance,
    claim,
    create_job,
    execute,
    fill_wallet,
    in_days,
    job_of,
    job_request,
    logs_of,
    moment_of,
    update,
)
from tests.core.running import Business, create_user

MONTH = pb.INTERVAL_TYPE_MONTH
PAUSED = pb.RECURRING_STATUS_PAUSED
DAY = timedelta(days=1)
TOO_LOW = Outcome(Status.DECLINED, "The wallet's balance is too low")
RETRIES = st.lists(st.integers(1, 365), max_size=10, unique=True).map(sorted)


async def tries(shop: Business, job: str, first: datetime) -> list[int]:
    """Return the days after `first` on which the job was tried."""
    logs = [log for log in await logs_of(shop, job) if log.status == DECLINED]
    return [(moment_of(log.attempted_at) - first).days for log in logs]


def dunning(job: Any) -> tuple[list[int], int]:
    """Return what a job says of its dunning."""
    return list(job.retry_days), job.max_failed_cycles


async def test_a_job_retries_on_its_own_days_and_pauses_after_its_own_number(
    shop: Business,
) -> None:
    first = in_days(1)
    job = await create_job(
        shop,
        await create_user(shop),
        start_at=first.isoformat(),
        interval_type=MONTH,
        retry_days=[2, 5],
        max_failed_cycles=1,
    )
    assert dunning(await job_of(shop, job)) == ([2, 5], 1)
    await advance(shop, first + 40 * DAY)
    assert await tries(shop, job, first) == [0, 2, 5]
    assert (await job_of(shop, job)).paused_reason == pb.PAUSED_REASON_FAILED_CYCLES
    assert SKIPPED not in [log.status for log in await logs_of(shop, job)]


async def test_an_update_changes_and_restores_the_dunning(shop: Business) -> None:
    first = in_days(1)
    job = await create_job(
        shop, await create_user(shop), start_at=first.isoformat(), interval_type=MONTH
    )
    assert dunning(await job_of(shop, job)) == ([1, 3, 7], 3)
    assert dunning(await update(shop, job, retry_days=[4])) == ([4], 3)
    assert dunning(await update(shop, job, max_failed_cycles=9)) == ([4], 9)
    await advance(shop, first + 20 * DAY)
    assert await tries(shop, job, first) == [0, 4]
    await advance(shop, first + 100 * DAY)
    assert (await job_of(shop, job)).status == pb.RECURRING_STATUS_ACTIVE
    both = FieldMask(paths=["retry_days", "max_failed_cycles"])
    assert dunning(await update(shop, job, update_mask=both)) == ([1, 3, 7], 3)


async def modify(shop: Business, *mask: str, **fields: Any) -> Any:
    """Change what the business says of its dunning; fields that only `mask` names are cleared."""
    request = business_pb2.ModifyBusinessRequest(
        updates=business_pb2.ModifyBusinessRequest.Updates(**fields),
        update_mask=FieldMask(paths=mask),
    )
    return (await shop.call(request)).business


async def test_jobs_leave_what_they_do_not_say_to_their_business(shop: Business) -> None:
    first = in_days(1)
    when = {"start_at": first.isoformat(), "interval_type": MONTH}
    user_id = await create_user(shop)
    open_job = await create_job(shop, user_id, **when)
    own_days = await create_job(shop, user_id, retry_days=[4], **when)
    own_number = await create_job(shop, user_id, max_failed_cycles=2, **when)
    changed = await modify(shop, retry_days=[2, 5], max_failed_cycles=1)
    assert dunning(changed) == ([2, 5], 1)
    assert [dunning(await job_of(shop, job)) for job in (open_job, own_days, own_number)] == [
        ([2, 5], 1), ([4], 1), ([2, 5], 2),
    ]  # fmt: skip
    got = await shop.call(pb.GetRecurringRequest(recurring_id=own_days))
    assert dunning(got.recurring) == ([4], 1)
    await advance(shop, first + 20 * DAY)
    for job, days in ((open_job, [0, 2, 5]), (own_days, [0, 4]), (own_number, [0, 2, 5])):
        assert await tries(shop, job, first) == days
    statuses = [(await job_of(shop, job)).status for job in (open_job, own_days, own_number)]
    assert statuses == [PAUSED, PAUSED, pb.RECURRING_STATUS_ACTIVE]


async def test_a_business_that_changes_its_mind_changes_its_jobs(shop: Business) -> None:
    first = in_days(1)
    user_id = await create_user(shop)
    job = await create_job(shop, user_id, start_at=first.isoformat(), interval_type=MONTH)
    await modify(shop, retry_days=[2, 6])
    await advance(shop, first + DAY)
    await modify(shop, retry_days=[1, 9], max_failed_cycles=7)
    await advance(shop, first + 20 * DAY)
    assert await tries(shop, job, first) == [0, 2, 9], "the second day was scheduled already"
    both = ("retry_days", "max_failed_cycles")
    assert dunning(await modify(shop, *both)) == ([1, 3, 7], 3)
    assert dunning(await job_of(shop, job)) == ([1, 3, 7], 3)


@ON_SQLITE
async def test_a_cycle_that_is_charged_does_not_look_its_business_up(shop: Business) -> None:
    rich, poor = await create_user(shop), await create_user(shop)
    await fill_wallet(shop, rich)
    for user_id, own, looked_up in (
        (rich, {}, 0),
        (poor, {"retry_days": [4], "max_failed_cycles": 2}, 0),
        (poor, {}, 1),
    ):
        await create_job(shop, user_id, charge_now=True, **own)
        (lease,) = await claim(shop)
        with recorded() as statements:
            await execute(shop, lease)
        asked = [text for text, *_ in statements if "businesses.retry_days" in text]
        assert len(asked) == looked_up


SENSELESS: list[dict[str, Any]] = [
    {"retry_days": [0]},
    {"retry_days": [366]},
    {"retry_days": [3, 1]},
    {"retry_days": [1, 1]},
    {"retry_days": [*range(1, 12)]},
    {"max_failed_cycles": 0},
    {"max_failed_cycles": 1001},
]


@ON_SQLITE
async def test_a_dunning_that_makes_no_sense_is_refused(shop: Business) -> None:
    user_id = await create_user(shop)
    job = await create_job(shop, user_id)
    for fields in SENSELESS:
        for request in (
            job_request(user_id, **fields),
            pb.UpdateRecurringRequest(recurring_id=job, **fields),
        ):
            with pytest.raises(CoreError) as refused:
                await shop.call(request)
            assert refused.value.reason == "INVALID_FIELDS"
            assert [problem.field for problem in refused.value.fields] == [*fields]
        with pytest.raises(CoreError) as refused:
            await modify(shop, **fields)
        assert refused.value.reason == "INVALID_FIELDS"
        assert [problem.field for problem in refused.value.fields] == [
            f"updates.{name}" for name in fields
        ]
    info = await shop.call(authentication_pb2.GetBusinessInfoRequest())
    assert dunning(info.business) == ([1, 3, 7], 3)


@given(*[st.none() | RETRIES] * 2, *[st.none() | st.integers(1, 1000)] * 2)
def test_what_a_job_says_goes_before_what_its_business_says(
    of_job: list[int] | None, of_business: list[int] | None, own: int | None, general: int | None
) -> None:
    business = DEFAULT.changed_by(stored_days(of_business or []), general)
    assert business.changed_by(stored_days(of_job or []), own) == Dunning(
        tuple(of_job or of_business or (1, 3, 7)), own or general or 3
    )


@given(RETRIES)
def test_a_cycle_is_tried_on_exactly_its_days(days: list[int]) -> None:
    assert retry_days_problem(days) is None
    first = now = datetime(2026, 1, 31, 9, tzinfo=UTC)
    tried = []
    attempt = 1
    while True:
        at = retry_at(
            TOO_LOW,
            attempt=attempt,
            first_attempt_at=first,
            now=now,
            next_cycle_at=None,
            retry_days=days,
        )
        if at is None:
            break
        tried.append((at - first).days)
        now, attempt = at, attempt + 1
    assert tried == days
