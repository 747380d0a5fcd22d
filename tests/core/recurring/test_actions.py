"""The seven actions, on each database: what they answer, and what they refuse."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.type.money_pb2 import Money

from nivisco.payments.v1 import recurring_pb2 as pb
from nivisco.payments.v1 import types_pb2
from rpc.errors import CoreError
from tests.core.recurring.running import (
    FAILED,
    SKIPPED,
    SUCCEEDED,
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
    renew,
    usd,
)
from tests.core.running import Business, ShiftedClock, create_user

MARCH = datetime(2024, 3, 10, tzinfo=UTC)
REFERENCE: dict[str, Any] = {
    "amount": usd(25),
    "interval_type": pb.INTERVAL_TYPE_MONTH,
    "interval_value": 1,
    "source": pb.RECURRING_SOURCE_STRIPE,
    "description": "Monthly latte",
    "start_at": "2024-03-01T08:00:00",
    "timezone": "America/Chicago",
}


async def refused(business: Business, request: Any) -> CoreError:
    """Return how a call is refused."""
    with pytest.raises(CoreError) as refusal:
        await business.call(request)
    return refusal.value


async def test_the_reference_example_charges_next_on_the_first_of_april(
    shop: Business, clock: ShiftedClock
) -> None:
    clock.ahead = MARCH - datetime.now(UTC)
    user_id = await create_user(shop)
    made = await shop.call(job_request(user_id, **REFERENCE, preview=2))
    assert made.message == "Recurring job created successfully"
    assert moment_of(made.next_run) == datetime(2024, 4, 1, 13, tzinfo=UTC)
    assert made.timezone == "America/Chicago"
    assert [moment_of(at).isoformat() for at in made.upcoming] == [
        "2024-04-01T13:00:00+00:00",
        "2024-05-01T13:00:00+00:00",
    ]
    listed = await job_of(shop, made.recurring_id)
    assert (listed.status, listed.executed_cycles) == (pb.RECURRING_STATUS_ACTIVE, 0)
    assert not listed.HasField("last_run")
    for request, message in (
        (pb.UpdateRecurringRequest(amount=usd(27), status=pb.RECURRING_STATUS_ACTIVE), "updated"),
        (pb.PauseRecurringRequest(), "set to paused"),
        (pb.PauseRecurringRequest(), "set to paused"),
        (pb.ResumeRecurringRequest(), "set to active"),
        (pb.ResumeRecurringRequest(), "set to active"),
        (pb.CancelRecurringRequest(), "set to cancelled"),
        (pb.CancelRecurringRequest(), "set to cancelled"),
    ):
        request.recurring_id = made.recurring_id
        assert (await shop.call(request)).message == f"Recurring job {message}"
    for request in (
        pb.UpdateRecurringRequest(amount=usd(1)),
        pb.PauseRecurringRequest(),
        pb.ResumeRecurringRequest(),
    ):
        request.recurring_id = made.recurring_id
        assert (await refused(shop, request)).reason == "RECURRING_STATE"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"timezone": "America/Nowhere"}, "timezone"),
    ({"start_at": "tomorrow"}, "start_at"),
    ({"end_at": "2024-13-01"}, "end_at"),
    ({"end_at": "2020-01-01"}, "end_at"),
    ({"amount": Money(currency_code="EUR", units=1)}, "amount.currency_code"),
]


async def test_what_cannot_be_is_refused_by_field_or_reason(shop: Business) -> None:
    user_id = await create_user(shop)
    for changes, field in REFUSED:
        error = await refused(shop, job_request(user_id, **changes))
        assert [each.field for each in error.fields] == [field], changes
    job = await create_job(shop, user_id)
    for fields, field in (
        ({}, "recurring_id"),
        ({"end_at": "2020-01-01"}, "end_at"),
        ({"timezone": "Nowhere"}, "timezone"),
        ({"status": pb.RECURRING_STATUS_COMPLETED}, "status"),
    ):
        request = pb.UpdateRecurringRequest(recurring_id=job, **fields)
        assert [each.field for each in (await refused(shop, request)).fields] == [field], fields
    assert (await refused(shop, job_request("USR-0"))).reason == "USER_NOT_FOUND"
    for unknown in (
        pb.CancelRecurringRequest(recurring_id="REC-0"),
        pb.UpdateRecurringRequest(recurring_id="REC-0", amount=usd(1)),
        pb.GetRecurringLogsRequest(recurring_id="REC-0"),
    ):
        assert (await refused(shop, unknown)).reason == "RECURRING_NOT_FOUND"


async def test_lists_filter_and_count(shop: Business) -> None:
    users = [await create_user(shop), await create_user(shop)]
    jobs = [await create_job(shop, user_id) for user_id in (*users, users[0])]
    await shop.call(pb.CancelRecurringRequest(recurring_id=jobs[2]))
    for fields, expected in (
        ({}, jobs[::-1]),
        ({"user_id": users[0]}, [jobs[2], jobs[0]]),
        ({"status": pb.RECURRING_STATUS_CANCELLED}, [jobs[2]]),
        ({"env": types_pb2.ENV_LIVE}, []),
    ):
        answer = await shop.call(pb.ListRecurringRequest(**fields))
        assert [job.recurring_id for job in answer.recurring] == expected
        assert (answer.count, answer.total) == (len(expected), len(expected))
    previewed = await shop.call(pb.ListRecurringRequest(preview=3, limit=1, page=2))
    assert [len(job.upcoming) for job in previewed.recurring] == [3]
    await fill_wallet(shop, users[0])
    await advance(shop, in_days(2.5))
    logs = await shop.call(pb.GetRecurringLogsRequest(user_id=users[0], status=SUCCEEDED))
    assert (logs.total, {log.recurring_id for log in logs.logs}) == (2, {jobs[0]})
    assert (await shop.call(pb.GetRecurringLogsRequest(status=FAILED))).total == 0


async def test_an_update_counts_for_cycles_that_are_not_claimed(
    shop: Business, clock: ShiftedClock
) -> None:
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id, 100)
    job = await create_job(shop, user_id)
    clock.ahead = timedelta(days=1, minutes=1)
    (lease,) = await claim(shop)
    await shop.call(
        pb.UpdateRecurringRequest(
            recurring_id=job, amount=usd(50), interval_type=pb.INTERVAL_TYPE_WEEK
        )
    )
    assert (await execute(shop, lease)).status == SUCCEEDED
    listed = await job_of(shop, job)
    assert listed.amount.units == 50
    assert moment_of(listed.next_run) - moment_of(lease.occurrence_at) == timedelta(days=6)
    clock.ahead = timedelta(days=7, minutes=1)
    (second,) = await claim(shop)
    assert (await execute(shop, second)).status == SUCCEEDED
    clock.ahead = timedelta(days=14, minutes=1)
    (third,) = await claim(shop)
    assert [log.status for log in await logs_of(shop, job)] == [SUCCEEDED] * 2
    assert (await execute(shop, third)).status != SUCCEEDED  # 100 = 1 + 50, and 49 are left


async def test_pause_and_cancel_end_what_was_claimed_and_not_begun(
    shop: Business, clock: ShiftedClock
) -> None:
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id, 100)
    paused, cancelled = await create_job(shop, user_id), await create_job(shop, user_id)
    clock.ahead = timedelta(days=1, minutes=1)
    leases = await claim(shop)
    await shop.call(pb.PauseRecurringRequest(recurring_id=paused))
    await shop.call(
        pb.UpdateRecurringRequest(recurring_id=cancelled, status=pb.RECURRING_STATUS_CANCELLED)
    )
    for lease in leases:
        with pytest.raises(CoreError) as lost:
            await execute(shop, lease)
        assert lost.value.reason == "RECURRING_STATE"
        assert await renew(shop, lease) == []
    for job in (paused, cancelled):
        assert [log.status for log in await logs_of(shop, job)] == [SKIPPED]
    await shop.call(pb.ResumeRecurringRequest(recurring_id=paused))
    listed = await job_of(shop, paused)
    assert moment_of(listed.next_run) - moment_of(leases[0].occurrence_at) >= timedelta(hours=23)
    assert await claim(shop) == []


async def test_an_idempotency_key_makes_one_job(shop: Business) -> None:
    user_id = await create_user(shop)
    request = job_request(user_id, idempotency_key="once")
    assert await shop.call(request) == await shop.call(request)
    assert (await shop.call(pb.ListRecurringRequest())).total == 1
