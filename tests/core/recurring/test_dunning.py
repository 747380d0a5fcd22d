"""`retry_days` and `max_failed_cycles`, on each database, and the rule behind them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import given
from hypothesis import strategies as st

from core.recurring.rules import Outcome, Status, retry_at, retry_days_problem
from nivisco.payments.v1 import recurring_pb2 as pb
from rpc.errors import CoreError
from tests.core.recurring.running import (
    DECLINED,
    ON_SQLITE,
    SKIPPED,
    advance,
    create_job,
    in_days,
    job_of,
    job_request,
    logs_of,
    moment_of,
    update,
)
from tests.core.running import Business, create_user

MONTH = pb.INTERVAL_TYPE_MONTH
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
