"""Creates, changes, pauses, resumes, cancels and lists recurring jobs, and lists what they did."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from google.type import money_pb2

from core.caller import Caller
from core.database.paging import PageRequest
from core.database.transactions import Database, Transaction
from core.errors import InvalidFields, Reason, Refusal
from core.ids import new_recurring_id
from core.money import DEFAULT_CURRENCY, Amount, amount_from_message
from core.recurring import calendar, log_store, rules, store
from core.recurring.cycles import is_submitted, payment_of, stop_cycle
from core.recurring.job_clock import JobClock
from core.recurring.store import Job
from core.users.service import active_user, existing_user
from core.wallet import store as wallet_store

DEFAULT_ZONE = "UTC"


@dataclass(frozen=True, slots=True)
class JobRequest:
    """The job that a caller asks for, as they wrote its times."""

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


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """An update of a job. None changes nothing, but in `columns`, which are stored as given."""

    columns: Mapping[str, Any]
    money: money_pb2.Money | None = None
    start_at: str | None = None
    timezone: str | None = None
    end_at: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class StoppedJob:
    """A job that was paused or cancelled, perhaps while a submitted charge has no outcome yet."""

    job: Job
    has_charge_in_flight: bool


class RecurringService:
    """The use cases of RecurringService."""

    def __init__(self, database: Database, clock: JobClock) -> None:
        """Keep jobs in `database`, at the time that `clock` tells."""
        self._database = database
        self._clock = clock

    async def create(self, caller: Caller, request: JobRequest) -> Job:
        """Create a job, whose first charge is the first occurrence after now.

        Raises:
            Refusal: USER_NOT_FOUND or USER_INACTIVE.
            InvalidFields: zone, start or end cannot be, or lie so that nothing is ever charged;
                or the amount is not in the wallet's currency.
        """
        async with self._database.transaction() as transaction:
            user = await active_user(transaction, caller.business_id, request.user_id)
            amount = await self._amount(
                transaction, caller, user.user_id, request.env, request.money, request.source
            )
            now = await self._clock.now_for(transaction, caller.business_id, request.env)
            zone = request.timezone or DEFAULT_ZONE
            _check_zone(zone)
            start = (
                _read("start_at", calendar.local_start, request.start_at, zone)
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
                status="active",
                next_run=None,
                last_run=None,
                executed_cycles=0,
                failed_cycles=0,
                open_occurrence=None,
                due_at=None,
                lease_owner=None,
                leased_until=None,
                fencing_token=0,
                created_at=transaction.now,
                updated_at=transaction.now,
            )
            job = _scheduled(job)
            await store.insert_job(transaction, job)
        return job

    async def update(self, caller: Caller, recurring_id: str, changes: JobUpdate) -> Job:
        """Change a job for the cycles that are not claimed yet, and return it.

        Another start, interval or zone makes another calendar, which counts from now.

        Raises:
            Refusal: RECURRING_NOT_FOUND or RECURRING_STATE.
            InvalidFields: nothing is given, or something that cannot be.
        """
        async with self._database.transaction() as transaction:
            job = await _existing(transaction, caller, recurring_id)
            if job.status in ("cancelled", "completed"):
                raise _state_forbids(job, "changed")
            now = await self._clock.now_for(transaction, job.business_id, job.env)
            changed = await self._changed(transaction, caller, job, changes, now)
            if changes.status == "cancelled":
                changed, _ = await _stopped(transaction, changed, "cancelled", now)
            elif changes.status == "paused":
                changed, _ = await _stopped(transaction, changed, "paused", now)
            elif changes.status == "active" and job.status == "paused":
                changed = _resumed(changed, now)
            return await store.save_job(transaction, changed)

    async def _changed(
        self, transaction: Transaction, caller: Caller, job: Job, changes: JobUpdate, now: datetime
    ) -> Job:
        columns = dict(changes.columns)
        if changes.money is not None or "source" in columns:
            source = columns.get("source", job.source)
            money = changes.money or money_pb2.Money()
            if changes.money is None:
                await self._check_wallet(transaction, caller, job, source, job.currency)
            else:
                amount = await self._amount(
                    transaction, caller, job.user_id, job.env, money, source, job.currency
                )
                columns |= {"amount_minor": amount.minor, "currency": amount.currency}
        if (most := columns.get("max_cycles")) and most <= job.executed_cycles:
            raise InvalidFields.of(
                "max_cycles", f"must be above the {job.executed_cycles} cycles that were charged"
            )
        zone = changes.timezone or job.timezone
        _check_zone(zone)
        columns["timezone"] = zone
        if changes.start_at:
            start = _read("start_at", calendar.local_start, changes.start_at, zone)
            columns["starts_local"] = start.isoformat()
        if changes.end_at:
            columns["end_at"] = _end_at(changes.end_at, zone)
        changed = replace(job, **columns)
        if _anchor(changed) != _anchor(job):
            changed = replace(changed, counts_from=max(now, job.counts_from))
        elif changed.end_at == job.end_at:
            return changed
        is_scheduled = changed.status == "active" and changed.open_occurrence is None
        return _scheduled(changed) if is_scheduled else changed

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
        """Resume a paused job at its next occurrence after now; an active one stays as it is.

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
            return await store.save_job(transaction, _resumed(job, now))

    async def list_jobs(
        self, caller: Caller, which: store.JobFilter, page: PageRequest
    ) -> tuple[list[Job], int]:
        """Return a page of the caller's jobs and how many there are."""
        async with self._database.read() as transaction:
            return await store.job_page(
                transaction, business_id=caller.business_id, which=which, page=page
            )

    async def list_logs(
        self, caller: Caller, which: log_store.LogFilter, page: PageRequest
    ) -> tuple[list[log_store.Log], int]:
        """Return a page of what the caller's jobs did and how many rows there are.

        Raises:
            Refusal: RECURRING_NOT_FOUND where a job is named that the caller does not have.
        """
        async with self._database.read() as transaction:
            if which.recurring_id is not None and not await store.job_exists(
                transaction, business_id=caller.business_id, recurring_id=which.recurring_id
            ):
                raise _not_found()
            return await log_store.log_page(
                transaction, business_id=caller.business_id, which=which, page=page
            )

    async def _amount(
        self,
        transaction: Transaction,
        caller: Caller,
        user_id: str,
        env: str,
        money: money_pb2.Money,
        source: str | None,
        default_currency: str = DEFAULT_CURRENCY,
    ) -> Amount:
        if source == "wallet" and not money.currency_code:
            default_currency = (
                await existing_user(transaction, caller.business_id, user_id)
            ).currency
        amount = amount_from_message(money, default_currency)
        if source == "wallet":
            await self._check_currency(transaction, caller, user_id, env, amount.currency)
        return amount

    async def _check_wallet(
        self, transaction: Transaction, caller: Caller, job: Job, source: str | None, currency: str
    ) -> None:
        if source == "wallet":
            await self._check_currency(transaction, caller, job.user_id, job.env, currency)

    async def _check_currency(
        self, transaction: Transaction, caller: Caller, user_id: str, env: str, currency: str
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
            raise InvalidFields.of(
                "amount.currency_code", f"must be the wallet's, {wallet.currency}"
            )


async def _existing(transaction: Transaction, caller: Caller, recurring_id: str) -> Job:
    job = await store.job_by_id(
        transaction, business_id=caller.business_id, recurring_id=recurring_id
    )
    if job is None:
        raise _not_found()
    return job


def _not_found() -> Refusal:
    return Refusal(Reason.ERROR_REASON_RECURRING_NOT_FOUND, "Recurring job not found")


def _state_forbids(job: Job, verb: str) -> Refusal:
    return Refusal(
        Reason.ERROR_REASON_RECURRING_STATE,
        f"The recurring job is {job.status} and cannot be {verb}; create another one",
    )


def _anchor(job: Job) -> tuple[object, ...]:
    """What the dates of a job's occurrences are a function of, but for the end."""
    return (job.starts_local, job.timezone, job.interval_type, job.interval_value)


def _scheduled(job: Job) -> Job:
    """Return an active job with its next occurrence.

    Raises:
        InvalidFields: there is none.
    """
    at = rules.next_after(job.calendar, job.counts_from)
    if at is None:
        field = "start_at" if job.end_at is None else "end_at"
        raise InvalidFields.of(field, "leaves no date on which the job would charge")
    return replace(job, next_run=at, due_at=at)


def _resumed(job: Job, now: datetime) -> Job:
    """Return a paused job active again, from its next occurrence after now.

    Where a charge of it is still under way, that one is waited for first.

    Raises:
        Refusal: RECURRING_STATE where no occurrence is left.
    """
    job = replace(job, status="active", failed_cycles=0, counts_from=max(now, job.counts_from))
    at = rules.next_after(job.calendar, job.counts_from)
    if at is None:
        raise Refusal(
            Reason.ERROR_REASON_RECURRING_STATE,
            "No date is left until the recurring job's end; give it a later end_at first",
        )
    return replace(job, next_run=at, due_at=job.due_at if job.open_occurrence else at)


async def _stopped(
    transaction: Transaction, job: Job, status: str, now: datetime
) -> tuple[Job, bool]:
    """Return a job paused or cancelled, and whether a charge of it is under way.

    What was claimed and not begun, or waits to be tried again, ends here.
    """
    job = replace(job, status=status, next_run=None)
    if job.open_occurrence is None:
        return replace(job, due_at=None), False
    occurrence = await store.occurrence_of(transaction, job)
    if is_submitted(await payment_of(transaction, occurrence)):
        return job, True
    why = f"The job was {status} before this was charged"
    stopped, _ = await stop_cycle(transaction, job, occurrence, why, now)
    return stopped, False


def _check_zone(zone: str) -> None:
    try:
        calendar.check_zone(zone)
    except ValueError as error:
        raise InvalidFields.of("timezone", str(error)) from None


def _read(field: str, read: Any, text: str, zone: str) -> datetime:
    try:
        found: datetime = read(text, zone)
    except ValueError as error:
        raise InvalidFields.of(field, str(error)) from None
    return found


def _end_at(text: str | None, zone: str) -> datetime | None:
    if not text:
        return None
    return _read("end_at", _end_of, text, zone)


def _end_of(text: str, zone: str) -> datetime:
    return calendar.moment(text, zone, end_of_day=True)
