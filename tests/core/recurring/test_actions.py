"""The actions on recurring jobs, on each database: responses, effects and errors."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.type.money_pb2 import Money

from core.messages import timestamp
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
from tests.core.running import Business, ShiftedClock, create_user, save_card

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
DAY = timedelta(days=1)


async def refused(business: Business, request: Any) -> CoreError:
    """Return the error of a call."""
    with pytest.raises(CoreError) as refusal:
        await business.call(request)
    return refusal.value


def update(job: str, *mask: str, **fields: Any) -> pb.UpdateRecurringRequest:
    """Return an update of a job, with a mask if there are paths."""
    return pb.UpdateRecurringRequest(
        recurring_id=job, update_mask=FieldMask(paths=mask) if mask else None, **fields
    )


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


async def test_every_response_carries_the_complete_job(shop: Business, clock: ShiftedClock) -> None:
    clock.ahead = MARCH - datetime.now(UTC)
    user_id = await create_user(shop)
    response = await shop.call(
        job_request(
            user_id, **REFERENCE, end_at="2025-03-01", max_cycles=9, catch_up=pb.CATCH_UP_SKIP
        )
    )
    job = response.recurring
    created_at = moment_of(job.created_at)
    assert timedelta() <= created_at - MARCH < timedelta(minutes=1)
    assert job == pb.RecurringJob(
        recurring_id=response.recurring_id,
        amount=usd(25),
        interval_type=pb.INTERVAL_TYPE_MONTH,
        interval_value=1,
        status=pb.RECURRING_STATUS_ACTIVE,
        next_run=timestamp(datetime(2024, 4, 1, 13, tzinfo=UTC)),
        description="Monthly latte",
        user_id=user_id,
        source=pb.RECURRING_SOURCE_STRIPE,
        timezone="America/Chicago",
        end_at=timestamp(datetime(2025, 3, 2, 5, 59, 59, tzinfo=UTC)),
        max_cycles=9,
        catch_up=pb.CATCH_UP_SKIP,
        env=types_pb2.ENV_TEST,
        created_at=job.created_at,
        updated_at=job.created_at,
        start_at=timestamp(datetime(2024, 3, 1, 14, tzinfo=UTC)),
        retry_days=[1, 3, 7],
        max_failed_cycles=3,
    )
    assert await job_of(shop, job.recurring_id) == job
    for request, message, status in (
        (
            pb.UpdateRecurringRequest(amount=usd(27), status=pb.RECURRING_STATUS_ACTIVE),
            "updated",
            "ACTIVE",
        ),
        (pb.PauseRecurringRequest(), "set to paused", "PAUSED"),
        (pb.PauseRecurringRequest(), "set to paused", "PAUSED"),
        (pb.ResumeRecurringRequest(), "set to active", "ACTIVE"),
        (pb.ResumeRecurringRequest(), "set to active", "ACTIVE"),
        (pb.CancelRecurringRequest(), "set to cancelled", "CANCELLED"),
        (pb.CancelRecurringRequest(), "set to cancelled", "CANCELLED"),
    ):
        clock.ahead += timedelta(seconds=1)
        request.recurring_id = job.recurring_id
        response = await shop.call(request)
        changed = response.recurring
        assert response.message == f"Recurring job {message}"
        assert changed.status == pb.RecurringStatus.Value(f"RECURRING_STATUS_{status}")
        assert (changed.amount, changed.created_at) == (usd(27), job.created_at)
        assert moment_of(changed.updated_at) > created_at
        assert await job_of(shop, job.recurring_id) == changed
    for request in (
        pb.UpdateRecurringRequest(amount=usd(1)),
        pb.PauseRecurringRequest(),
        pb.ResumeRecurringRequest(),
    ):
        request.recurring_id = job.recurring_id
        assert (await refused(shop, request)).reason == "RECURRING_STATE"


@pytest.mark.parametrize("source", ["UNSPECIFIED", "STRIPE", "AUTHORIZE", "WALLET"])
async def test_the_currency_of_a_new_job_defaults_to_the_wallets(
    shop: Business, source: str
) -> None:
    user_id = await create_user(shop, "jpy")
    made = await shop.call(
        job_request(
            user_id,
            amount=Money(units=300),
            source=pb.RecurringSource.Value(f"RECURRING_SOURCE_{source}"),
        )
    )
    assert made.recurring.amount == Money(currency_code="JPY", units=300)


INVALID: list[tuple[dict[str, Any], str]] = [
    ({"timezone": "America/Nowhere"}, "timezone"),
    ({"start_at": "tomorrow"}, "start_at"),
    ({"end_at": "2024-13-01"}, "end_at"),
    ({"end_at": "2020-01-01"}, "end_at"),
    ({"amount": Money(currency_code="EUR", units=1)}, "amount.currency_code"),
]


async def test_invalid_requests_are_refused_by_field_or_reason(shop: Business) -> None:
    user_id = await create_user(shop)
    for changes, field in INVALID:
        error = await refused(shop, job_request(user_id, **changes))
        assert [each.field for each in error.fields] == [field], changes
    job = await create_job(shop, user_id)
    for request, field in (
        (update(job), "recurring_id"),
        (update(job, end_at="2020-01-01"), "end_at"),
        (update(job, timezone="Nowhere"), "timezone"),
        (update(job, status=pb.RECURRING_STATUS_COMPLETED), "status"),
        (update(job, "timezone"), "update_mask"),
        (update(job, "user_id"), "update_mask"),
    ):
        assert [each.field for each in (await refused(shop, request)).fields] == [field], request
    assert (await refused(shop, job_request("USR-0"))).reason == "USER_NOT_FOUND"
    for unknown in (
        pb.CancelRecurringRequest(recurring_id="REC-0"),
        update("REC-0", amount=usd(1)),
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
        response = await shop.call(pb.ListRecurringRequest(**fields))
        assert [job.recurring_id for job in response.recurring] == expected
        assert (response.count, response.total) == (len(expected), len(expected))
    previewed = await shop.call(pb.ListRecurringRequest(preview=3, limit=1, page=2))
    assert [len(job.upcoming) for job in previewed.recurring] == [3]
    await fill_wallet(shop, users[0])
    await advance(shop, in_days(2.5))
    logs = await shop.call(pb.GetRecurringLogsRequest(user_id=users[0], status=SUCCEEDED))
    assert (logs.total, {log.recurring_id for log in logs.logs}) == (2, {jobs[0]})
    assert (await shop.call(pb.GetRecurringLogsRequest(status=FAILED))).total == 0


async def test_a_log_entry_carries_user_payment_and_attempt(shop: Business) -> None:
    user_id = await create_user(shop)
    await save_card(shop, user_id)
    card = await create_job(shop, user_id, source=pb.RECURRING_SOURCE_STRIPE, max_cycles=1)
    wallet = await create_job(
        shop, user_id, interval_type=pb.INTERVAL_TYPE_WEEK, start_at=in_days(1).isoformat()
    )
    await advance(shop, in_days(2.5))
    (charged,) = await logs_of(shop, card)
    assert (charged.user_id, charged.attempt) == (user_id, 1)
    assert charged.payment_id.startswith("PAY-")
    logs = await logs_of(shop, wallet)
    assert [(log.user_id, log.attempt) for log in logs] == [(user_id, 1), (user_id, 2)]
    assert not any(log.HasField("payment_id") for log in logs)


async def test_an_update_changes_the_paths_of_its_mask(shop: Business) -> None:
    user_id = await create_user(shop)
    job = await create_job(
        shop, user_id, description="Latte", end_at=in_days(5).isoformat(), max_cycles=3
    )
    for request, expected in (
        (update(job, "max_cycles", max_cycles=4, description="Tea"), ("Latte", True, 4)),
        (update(job, "description"), (None, True, 4)),
        (update(job, "max_cycles", "description", description="Tea"), ("Tea", True, None)),
        (update(job, "end_at", end_at=in_days(9).isoformat(), max_cycles=2), ("Tea", True, None)),
        (update(job, "end_at"), ("Tea", False, None)),
    ):
        changed = (await shop.call(request)).recurring
        optional = [
            getattr(changed, name) if changed.HasField(name) else None
            for name in ("description", "max_cycles")
        ]
        assert (optional[0], changed.HasField("end_at"), optional[1]) == expected, request
        assert await job_of(shop, job) == changed


async def test_a_job_whose_end_is_cleared_continues(shop: Business, clock: ShiftedClock) -> None:
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id)
    end = {"end_at": in_days(1.5).isoformat()}
    running = await create_job(shop, user_id, **end)
    paused, completed = (
        await create_job(shop, user_id, **end),
        await create_job(shop, user_id, **end),
    )
    await shop.call(pb.PauseRecurringRequest(recurring_id=paused))
    clock.ahead = timedelta(days=1, minutes=1)
    leases = {lease.recurring_id: lease for lease in await claim(shop)}
    await shop.call(update(running, "end_at"))
    for job in (running, completed):
        assert (await execute(shop, leases[job])).status == SUCCEEDED
    clock.ahead += DAY
    continued = await job_of(shop, running)
    assert continued.status == pb.RECURRING_STATUS_ACTIVE
    assert moment_of(continued.next_run) - moment_of(leases[running].occurrence_at) == DAY
    assert (await job_of(shop, completed)).status == pb.RECURRING_STATUS_COMPLETED
    assert (await refused(shop, update(completed, "end_at"))).reason == "RECURRING_STATE"
    resume = pb.ResumeRecurringRequest(recurring_id=paused)
    assert (await refused(shop, resume)).reason == "RECURRING_STATE"
    active = pb.RECURRING_STATUS_ACTIVE
    resumed = await shop.call(update(paused, "end_at", "status", status=active))
    assert resumed.recurring.status == active
    assert moment_of(resumed.recurring.next_run) > in_days(2)


async def test_an_update_applies_to_cycles_that_are_not_claimed(
    shop: Business, clock: ShiftedClock
) -> None:
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id, 100)
    job = await create_job(shop, user_id)
    clock.ahead = timedelta(days=1, minutes=1)
    (lease,) = await claim(shop)
    await shop.call(update(job, amount=usd(50), interval_type=pb.INTERVAL_TYPE_WEEK))
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


async def test_pause_and_cancel_skip_claimed_occurrences_that_are_not_charged(
    shop: Business, clock: ShiftedClock
) -> None:
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id, 100)
    paused, cancelled = await create_job(shop, user_id), await create_job(shop, user_id)
    clock.ahead = timedelta(days=1, minutes=1)
    leases = await claim(shop)
    await shop.call(pb.PauseRecurringRequest(recurring_id=paused))
    await shop.call(update(cancelled, status=pb.RECURRING_STATUS_CANCELLED))
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
