"""Use cases of RecurringService: create, update, pause, resume, cancel and list jobs and logs.

| status         | event                                       | next status |
|----------------|---------------------------------------------|-------------|
| (none)         | create                                      | active      |
| active         | pause, or `max_failed_cycles` in a row      | paused      |
| paused         | resume                                      | active      |
| active         | skip_next of the last occurrence            | completed   |
| active, paused | the end or the maximum of cycles is reached | completed   |
| any            | cancel                                      | cancelled   |

Cancelled and completed jobs cannot be updated, paused or resumed. Every change locks the job's row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from google.type import money_pb2

from core.caller import Caller
from core.database.paging import Page, PageRequest
from core.database.transactions import Database, Transaction
from core.due_work.store import RELEASED
from core.dunning import stored_days
from core.errors import InvalidFields, Reason, Refusal
from core.ids import new_recurring_id
from core.money import Amount, amount_from_message
from core.recurring import calendar, log_store, store
from core.recurring.clock_store import JobClock
from core.recurring.cycles import (
    Change,
    begin_now,
    calendar_problem,
    not_found,
    rescheduled,
    resumed,
    scheduled,
    skip_due,
    skip_next,
)
from core.recurring.log_store import insert_logs
from core.recurring.occurrence_states import Attempt
from core.recurring.store import Job
from core.recurring.transitions import STOPPED, cancel_open_payments, read_attempt, skip
from core.users.service import active_user, existing_user
from core.wallet import store as wallet_store

DEFAULT_ZONE = "UTC"
LAST_LOGS = 10
_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job to create. Times are as the caller wrote them."""

    user_id: str
    env: str
    money: money_pb2.Money
    interval_type: str
    interval_value: int
    source: str | None
    description: str | None
    start_at: str | None
    timezone: str | None
    end_at: str | None
    max_cycles: int | None
    catch_up: str
    charge_now: bool = False
    """Whether the first cycle begins now."""
    retry_days: Sequence[int] = ()
    """Empty: the default."""
    max_failed_cycles: int | None = None
    metadata: str | None = None
    """As `core.metadata.stored_metadata` returns it."""


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """An update of a job. None leaves a field unchanged. Times are as the caller wrote them."""

    columns: Mapping[str, Any]
    """Columns to store as they are; None clears."""
    money: money_pb2.Money | None = None
    start_at: str | None = None
    timezone: str | None = None
    end_at: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class ShownJob:
    """A job with what is known of its dunning."""

    job: Job
    cycle: Attempt | None
    """The current attempt of its open cycle, if there is one."""
    logs: Sequence[log_store.Log]
    """Its last log entries, newest first, at most LAST_LOGS."""


@dataclass(frozen=True, slots=True)
class SkippedNext:
    """A job, and its occurrence that will not be charged."""

    job: Job
    skipped: datetime


@dataclass(frozen=True, slots=True)
class StoppedJob:
    """A job that was paused or cancelled."""

    job: Job
    has_charge_in_flight: bool
    """Whether a charge was submitted that has no outcome yet."""


class RecurringService:
    """The use cases of RecurringService."""

    def __init__(self, database: Database, clock: JobClock) -> None:
        """Store jobs in `database`; their time is that of `clock`."""
        self._database = database
        self._clock = clock

    async def create(self, caller: Caller, request: JobRequest) -> Job:
        """Create a job that charges first at its first occurrence after now, or also now.

        Raises:
            Refusal: USER_NOT_FOUND or USER_INACTIVE.
            InvalidFields: time zone, start or end is invalid or leaves nothing to charge, or the
                amount is not in the wallet's currency.
        """
        async with self._database.transaction() as transaction:
            user = await active_user(transaction, caller.business_id, request.user_id)
            amount = await _amount(
                transaction,
                caller,
                user_id=user.user_id,
                env=request.env,
                money=request.money,
                source=request.source,
                default_currency=user.currency,
            )
            now = await self._clock.now_for(transaction, caller.business_id, request.env)
            zone = request.timezone or DEFAULT_ZONE
            _parsed("timezone", calendar.check_zone, zone)
            start = (
                _parsed("start_at", calendar.local_start, request.start_at, zone)
                if request.start_at
                else calendar.wall_clock(now, zone)
            )
            job = Job(
                business_id=caller.business_id,
                recurring_id=new_recurring_id(),
                user_id=user.user_id,
                env=request.env,
                amount_minor=amount.minor,
                currency=amount.currency,
                source=request.source,
                description=request.description,
                interval_type=request.interval_type,
                interval_value=request.interval_value,
                starts_local=start.isoformat(),
                timezone=zone,
                counts_from=now,
                end_at=_end_at(request.end_at, zone),
                max_cycles=request.max_cycles,
                catch_up=request.catch_up,
                retry_days=stored_days(request.retry_days),
                max_failed_cycles=request.max_failed_cycles,
                metadata=request.metadata,
                created_at=transaction.now,
                updated_at=transaction.now,
            )
            change = Change(scheduled(job))
            if request.charge_now:
                change = begin_now(change.job, now)
            await store.insert_job(transaction, change.job)
            await store.insert_occurrences(transaction, change.opened)
        return change.job

    async def update(self, caller: Caller, recurring_id: str, update: JobUpdate) -> Job:
        """Update a job for the cycles that have not begun, and return it.

        A new start, interval or time zone moves the next cycle, see `rules.ordinal_after_change`.

        Raises:
            Refusal: RECURRING_NOT_FOUND or RECURRING_STATE.
            InvalidFields: a field is invalid.
        """
        async with self._database.transaction() as transaction:
            job = await _existing(transaction, caller, recurring_id)
            if job.status in ("cancelled", "completed"):
                raise _state_forbids(job, "changed")
            now = await self._clock.now_for(transaction, job.business_id, job.env)
            change = await _updated(transaction, caller, job, update, now)
            await store.insert_occurrences(transaction, change.opened)
            await insert_logs(transaction, change.skipped)
            changed = change.job
            if update.status in ("cancelled", "paused"):
                changed, _ = await _stopped(transaction, changed, update.status, now)
            elif update.status == "active" and job.status == "paused":
                changed = resumed(changed, now)
            if changed.metadata != job.metadata:
                await store.replace_job_pairs(transaction, changed, old=job.metadata)
            return await store.save_job(transaction, changed)

    async def pause(self, caller: Caller, recurring_id: str) -> StoppedJob:
        """Pause a job.

        Raises:
            Refusal: RECURRING_NOT_FOUND or RECURRING_STATE.
        """
        return await self._stop(caller, recurring_id, "paused")

    async def cancel(self, caller: Caller, recurring_id: str) -> StoppedJob:
        """Cancel a job permanently.

        Raises:
            Refusal: RECURRING_NOT_FOUND.
        """
        return await self._stop(caller, recurring_id, "cancelled")

    async def _stop(self, caller: Caller, recurring_id: str, status: str) -> StoppedJob:
        async with self._database.transaction() as transaction:
            job = await _existing(transaction, caller, recurring_id)
            if status == "paused" and job.status in ("cancelled", "completed"):
                raise _state_forbids(job, "paused")
            now = await self._clock.now_for(transaction, job.business_id, job.env)
            stopped, is_in_flight = await _stopped(transaction, job, status, now)
            return StoppedJob(await store.save_job(transaction, stopped), is_in_flight)

    async def resume(self, caller: Caller, recurring_id: str) -> Job:
        """Resume a paused job from its next occurrence after now; an active one stays unchanged.

        Raises:
            Refusal: RECURRING_NOT_FOUND or RECURRING_STATE.
        """
        async with self._database.transaction() as transaction:
            job = await _existing(transaction, caller, recurring_id)
            if job.status in ("cancelled", "completed"):
                raise _state_forbids(job, "resumed")
            if job.status == "active":
                return job
            now = await self._clock.now_for(transaction, job.business_id, job.env)
            return await store.save_job(transaction, resumed(job, now))

    async def skip_next(self, caller: Caller, recurring_id: str) -> SkippedNext:
        """Skip a job's next occurrence that has not begun.

        Raises:
            Refusal: RECURRING_NOT_FOUND; RECURRING_STATE if the job is not active, or has no
                occurrence left.
        """
        async with self._database.transaction() as transaction:
            job = await _existing(transaction, caller, recurring_id)
            now = await self._clock.now_for(transaction, job.business_id, job.env)
            change = skip_next(job, now)
            await insert_logs(transaction, change.skipped)
            (log,) = change.skipped
            return SkippedNext(await store.save_job(transaction, change.job), log.occurrence)

    async def list_jobs(
        self, caller: Caller, which: store.JobFilter, page: PageRequest
    ) -> Page[Job]:
        """Return a page of the caller's jobs.

        Raises:
            InvalidFields: as `PagedList.read` does.
        """
        async with self._database.listing() as transaction:
            return await store.job_page(
                transaction, business_id=caller.business_id, which=which, page=page
            )

    async def get(self, caller: Caller, recurring_id: str) -> ShownJob:
        """Return one of the caller's jobs with its open cycle and its last log entries.

        Raises:
            Refusal: RECURRING_NOT_FOUND.
        """
        async with self._database.listing() as transaction:
            job = await store.job_by_id(
                transaction, business_id=caller.business_id, recurring_id=recurring_id, lock=False
            )
            if job is None:
                raise not_found()
            cycle = None
            if job.open_occurrence is not None:
                now = await self._clock.now_for(transaction, job.business_id, job.env)
                cycle = await read_attempt(transaction, job, now)
            logs = await log_store.log_page(
                transaction,
                business_id=caller.business_id,
                which=log_store.LogFilter(recurring_id=recurring_id),
                page=PageRequest(limit=LAST_LOGS),
            )
            return ShownJob(job, cycle, logs.rows)

    async def list_logs(
        self, caller: Caller, which: log_store.LogFilter, page: PageRequest
    ) -> Page[log_store.Log]:
        """Return a page of log entries of the caller's jobs.

        Raises:
            InvalidFields: as `PagedList.read` does.
            Refusal: RECURRING_NOT_FOUND if the filter names a job that the caller does not have.
        """
        async with self._database.listing() as transaction:
            if which.recurring_id is not None and not await store.job_exists(
                transaction, business_id=caller.business_id, recurring_id=which.recurring_id
            ):
                raise not_found()
            return await log_store.log_page(
                transaction, business_id=caller.business_id, which=which, page=page
            )


async def _updated(
    transaction: Transaction, caller: Caller, job: Job, update: JobUpdate, now: datetime
) -> Change:
    """Return the job with new values, and its next occurrence if the calendar changed.

    A job that was set aside is released, because its time zone is known now.

    Raises:
        InvalidFields: a field is invalid.
        Refusal: RECURRING_STATE.
    """
    columns = dict(update.columns)
    source = columns.get("source", job.source)
    if update.money is not None:
        amount = await _amount(
            transaction,
            caller,
            user_id=job.user_id,
            env=job.env,
            money=update.money,
            source=source,
            default_currency=job.currency,
        )
        columns |= {"amount_minor": amount.minor, "currency": amount.currency}
    elif "source" in columns and source == "wallet":
        await _check_wallet_currency(transaction, caller, job.user_id, job.env, job.currency)
    if days := columns.get("retry_days"):
        columns["retry_days"] = stored_days(days)
    if (max_cycles := columns.get("max_cycles")) and max_cycles <= job.executed_cycles:
        raise InvalidFields.of(
            "max_cycles", f"must be above the {job.executed_cycles} cycles that were charged"
        )
    zone = update.timezone or job.timezone
    _parsed("timezone", calendar.check_zone, zone)
    columns["timezone"] = zone
    if update.start_at:
        start = _parsed("start_at", calendar.local_start, update.start_at, zone)
        columns["starts_local"] = start.isoformat()
    if update.end_at:
        columns["end_at"] = _end_at(update.end_at, zone)
    updated = replace(job, **columns, **RELEASED)
    if _anchor(updated) != _anchor(job):
        if calendar_problem(job):
            job = replace(job, timezone=zone)
        return rescheduled(job, updated, now)
    is_waiting = updated.status == "active" and updated.open_occurrence is None
    if is_waiting and updated.end_at != job.end_at:
        return Change(scheduled(updated))
    return Change(updated)


async def _amount(
    transaction: Transaction,
    caller: Caller,
    *,
    user_id: str,
    env: str,
    money: money_pb2.Money,
    source: str | None,
    default_currency: str,
) -> Amount:
    """Return the amount of each charge; a wallet is charged in its own currency only.

    Raises:
        InvalidFields: the amount is invalid, or not in the wallet's currency.
    """
    if source != "wallet":
        return amount_from_message(money, default_currency)
    if not money.currency_code:
        default_currency = (await existing_user(transaction, caller.business_id, user_id)).currency
    amount = amount_from_message(money, default_currency)
    await _check_wallet_currency(transaction, caller, user_id, env, amount.currency)
    return amount


async def _check_wallet_currency(
    transaction: Transaction, caller: Caller, user_id: str, env: str, currency: str
) -> None:
    user = await existing_user(transaction, caller.business_id, user_id)
    wallet = await wallet_store.wallet_of_user(
        transaction,
        business_id=caller.business_id,
        user_id=user_id,
        env=env,
        currency=user.currency,
    )
    if wallet.currency != currency:
        raise InvalidFields.of("amount.currency_code", f"must be the wallet's, {wallet.currency}")


async def _existing(transaction: Transaction, caller: Caller, recurring_id: str) -> Job:
    job = await store.job_by_id(
        transaction, business_id=caller.business_id, recurring_id=recurring_id
    )
    if job is None:
        raise not_found()
    return job


def _state_forbids(job: Job, verb: str) -> Refusal:
    return Refusal(
        Reason.ERROR_REASON_RECURRING_STATE,
        f"The recurring job is {job.status} and cannot be {verb}; create another one",
    )


def _anchor(job: Job) -> tuple[object, ...]:
    """Return what determines the dates of a job's occurrences, except the end."""
    return (job.starts_local, job.timezone, job.interval_type, job.interval_value)


async def _stopped(
    transaction: Transaction, job: Job, status: str, now: datetime
) -> tuple[Job, bool]:
    """Return a job as paused or cancelled, and whether one of its charges is in flight.

    What is due is skipped, also an open occurrence that is not submitted or waits for a retry. The
    payments that a customer could still complete are canceled at their gateway soon after a job is
    cancelled.
    """
    reason = STOPPED.format(status=status)
    if job.status == "active":
        change = skip_due(job, now, reason)
        await insert_logs(transaction, change.skipped)
        job = change.job
    if status == "cancelled":
        await cancel_open_payments(transaction, job, job.open_occurrence)
    else:
        paused_at = now if job.status == "active" else job.paused_at
        job = replace(job, paused_at=paused_at, paused_reason="requested")
    job = replace(job, status=status, next_run=None, **RELEASED)
    if job.open_occurrence is None:
        return replace(job, due_at=None), False
    attempt = await read_attempt(transaction, job, now)
    if attempt.is_submitted:
        return job, True
    stopped, _ = await skip(transaction, attempt, reason)
    return stopped, False


def _end_at(text: str | None, zone: str) -> datetime | None:
    parse = partial(calendar.moment, end_of_day=True)
    return _parsed("end_at", parse, text, zone) if text else None


def _parsed(field: str, parse: Callable[..., _Parsed], *texts: str) -> _Parsed:
    """Return what `parse` returns; its ValueError becomes a problem of the field.

    Raises:
        InvalidFields: the field is invalid.
    """
    try:
        return parse(*texts)
    except ValueError as error:
        raise InvalidFields.of(field, str(error)) from None
