"""SQL of recurring jobs and their occurrences."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta

from sqlalchemy import insert, select, update

from core.database.bulk_sql import BulkInsert, BulkSelect, BulkUpdate, one_of
from core.database.metadata_pairs import replace_pairs
from core.database.paging import Page, PagedList, PageRequest
from core.database.schema import JOB_STATUSES
from core.database.schema import recurring_jobs as jobs
from core.database.schema import recurring_occurrences as occurrences
from core.database.transactions import Transaction
from core.due_work.rules import Key
from core.due_work.store import JOBS
from core.dunning import Dunning
from core.metadata import Kind
from core.recurring.calendar import Calendar

PAUSED_BY_FAILURES = "failed_cycles"
"""`paused_reason` of a job that paused itself."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as stored; the schema explains the columns. The defaults are those of a new job."""

    business_id: str
    recurring_id: str
    user_id: str
    env: str
    amount_minor: int
    currency: str
    source: str | None
    description: str | None
    interval_type: str
    interval_value: int
    starts_local: str
    timezone: str
    counts_from: datetime
    end_at: datetime | None
    max_cycles: int | None
    catch_up: str
    created_at: datetime
    updated_at: datetime
    status: str = "active"
    next_run: datetime | None = None
    last_run: datetime | None = None
    executed_cycles: int = 0
    failed_cycles: int = 0
    open_occurrence: datetime | None = None
    due_at: datetime | None = None
    lease_owner: str | None = None
    leased_until: datetime | None = None
    fencing_token: int = 0
    last_cycle_local: str | None = None
    paused_at: datetime | None = None
    paused_reason: str | None = None
    retry_days: str | None = None
    max_failed_cycles: int | None = None
    set_aside_at: datetime | None = None
    set_aside_error: str | None = None
    failed_looks: int = 0
    metadata: str | None = None
    """As `core.metadata.stored_metadata` returns it."""

    def is_due(self, now: datetime) -> bool:
        """Return whether the job may be claimed at a time of the database."""
        is_leased = self.leased_until is not None and self.leased_until > now
        return (
            self.due_at is not None
            and self.due_at <= now
            and self.set_aside_at is None
            and not is_leased
        )

    @property
    def has_paused_itself(self) -> bool:
        """Whether the job is paused because several cycles in a row failed.

        What is open then was asked for by retry_recurring.
        """
        return self.status == "paused" and self.paused_reason == PAUSED_BY_FAILURES

    def dunning(self, of_business: Dunning) -> Dunning:
        """Return how the job follows up cycles that were not charged."""
        return of_business.changed_by(self.retry_days, self.max_failed_cycles)

    @property
    def has_own_dunning(self) -> bool:
        """Whether the job leaves nothing of its dunning to its business."""
        return bool(self.retry_days and self.max_failed_cycles)

    @property
    def may_charge(self) -> bool:
        """Whether the open occurrence may be charged."""
        return self.status == "active" or self.has_paused_itself

    @property
    def calendar(self) -> Calendar:
        """The job's calendar."""
        return Calendar(
            start=datetime.fromisoformat(self.starts_local),
            zone=self.timezone,
            unit=self.interval_type,
            every=self.interval_value,
            end_at=self.end_at,
        )


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A claimed occurrence as stored. What it charges is fixed."""

    business_id: str
    recurring_id: str
    occurrence: datetime
    amount_minor: int
    currency: str
    source: str | None
    description: str | None
    attempt: int
    payment_id: str | None
    checks: int
    status: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Conditions for the jobs to list; None is no condition."""

    env: str
    user_id: str | None = None
    status: str | None = None
    digest: str | None = None
    """Of a pair of metadata; then the filters above are None but for `env`."""


_JOB_NAMES = tuple(each.name for each in fields(Job))
_JOB_COLUMNS = tuple(jobs.c[name] for name in _JOB_NAMES)
_JOBS = PagedList(
    "recurring_jobs",
    columns=_JOB_COLUMNS,
    row=Job,
    key=(jobs.c.business_id, jobs.c.recurring_id),
    moment=jobs.c.created_at,
    order=(jobs.c.created_at, jobs.c.recurring_id),
)
_OCCURRENCE_NAMES = tuple(each.name for each in fields(Occurrence))
_OCCURRENCE_COLUMNS = tuple(occurrences.c[name] for name in _OCCURRENCE_NAMES)
_KEY = ("business_id", "recurring_id")
_CHANGED_AT_CLAIM = (
    *("counts_from", "status", "next_run", "open_occurrence", "due_at"),
    *("lease_owner", "leased_until", "fencing_token", "updated_at"),
    "last_cycle_local",
)
_UPDATE_CLAIMED = BulkUpdate(jobs, key=_KEY, changed=_CHANGED_AT_CLAIM)
_INSERT_OCCURRENCES = BulkInsert(occurrences)


async def insert_job(transaction: Transaction, job: Job) -> None:
    """Store a new job."""
    await transaction.connection.execute(insert(jobs).values(**asdict(job)))
    await replace_job_pairs(transaction, job, old=None)


async def replace_job_pairs(transaction: Transaction, job: Job, *, old: str | None) -> None:
    """Have lists find a job, whose row is locked or new, by its metadata, which was `old`."""
    await replace_pairs(
        transaction,
        Kind.JOB,
        business_id=job.business_id,
        env=job.env,
        resource_id=job.recurring_id,
        created_at=job.created_at,
        old=old,
        new=job.metadata,
    )


async def save_job(transaction: Transaction, job: Job) -> Job:
    """Write a job whose row is locked, and return it as stored."""
    saved = replace(job, updated_at=transaction.now)
    result = await transaction.connection.execute(
        update(jobs)
        .where(jobs.c.business_id == job.business_id, jobs.c.recurring_id == job.recurring_id)
        .values(**asdict(saved))
    )
    assert result.rowcount == 1, "a job's row is never deleted"
    return saved


async def job_by_id(
    transaction: Transaction, *, business_id: str, recurring_id: str, lock: bool = True
) -> Job | None:
    """Return the business's job, locked unless `lock` is false; None if it has no such job."""
    query = select(*_JOB_COLUMNS).where(
        jobs.c.business_id == business_id, jobs.c.recurring_id == recurring_id
    )
    rows = await transaction.connection.execute(query.with_for_update() if lock else query)
    row = rows.one_or_none()
    return Job(*row) if row else None


async def job_exists(transaction: Transaction, *, business_id: str, recurring_id: str) -> bool:
    """Return whether the business has the job."""
    found = await transaction.connection.scalar(
        select(jobs.c.recurring_id).where(
            jobs.c.business_id == business_id, jobs.c.recurring_id == recurring_id
        )
    )
    return found is not None


async def job_page(
    transaction: Transaction, *, business_id: str, which: JobFilter, page: PageRequest
) -> Page[Job]:
    """Return a page of the business's jobs, newest first."""
    if which.digest is not None:
        return await _JOBS.read_with_pair(
            transaction, page, business_id=business_id, digest=which.digest
        )
    equal = {
        jobs.c.business_id: business_id,
        jobs.c.env: which.env,
        jobs.c.user_id: which.user_id,
        jobs.c.status: which.status,
    }
    return await _JOBS.read(transaction, page, equal=equal, words={jobs.c.status: JOB_STATUSES})


async def lock_due_jobs(transaction: Transaction, keys: Sequence[Key]) -> list[Job]:
    """Lock and return jobs that are due and have no lease, in the order of `keys`.

    Those that are locked or were leased meanwhile are left out.
    """
    # A condition on the time would have SQLite walk all due jobs rather than look the keys up.
    query = select(*_JOB_COLUMNS).with_for_update(of=jobs, skip_locked=True)
    rows = await BulkSelect(query, jobs, key=_KEY).execute(transaction.connection, keys)
    found = {(job.business_id, job.recurring_id): job for job in (Job(*row) for row in rows)}
    locked = (found[key] for key in keys if key in found)
    return [job for job in locked if job.is_due(transaction.now)]


async def due_jobs_of_clock(
    transaction: Transaction, business_id: str, offset: timedelta, *, limit: int
) -> list[Job]:
    """Lock and return a business's TEST jobs that are due by its test clock only."""
    rows = await transaction.connection.execute(
        select(*_JOB_COLUMNS)
        .where(
            jobs.c.business_id == business_id,
            jobs.c.env == "TEST",
            jobs.c.due_at > transaction.now,
            JOBS.is_due(transaction.now + offset),
        )
        .order_by(jobs.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [Job(*row) for row in rows]


async def first_due_test_job(
    transaction: Transaction, *, business_id: str, until: datetime
) -> Job | None:
    """Lock and return the TEST job of a business that is due first until then, or None.

    Jobs set aside are passed over.
    """
    rows = await transaction.connection.execute(
        select(*_JOB_COLUMNS)
        .where(
            jobs.c.business_id == business_id,
            jobs.c.env == "TEST",
            jobs.c.due_at <= until,
            jobs.c.set_aside_at.is_(None),
        )
        .order_by(jobs.c.due_at, jobs.c.recurring_id)
        .limit(1)
        .with_for_update()
    )
    row = rows.one_or_none()
    return Job(*row) if row else None


async def save_claimed(
    transaction: Transaction, changed: Sequence[Job], opened: Sequence[Occurrence]
) -> None:
    """Write the jobs of a claim, and the occurrences that it opened."""
    if changed:
        await _UPDATE_CLAIMED.execute(
            transaction.connection,
            [asdict(job) | {"updated_at": transaction.now} for job in changed],
        )
    await insert_occurrences(transaction, opened)


async def insert_occurrences(transaction: Transaction, opened: Sequence[Occurrence]) -> None:
    """Store occurrences that were opened, if there are any."""
    if opened:
        await _INSERT_OCCURRENCES.execute(
            transaction.connection,
            [asdict(each) | {"updated_at": transaction.now} for each in opened],
        )


async def renew_leases(
    transaction: Transaction, keys: Iterable[tuple[str, str, int]], until: datetime
) -> set[tuple[str, str, int]]:
    """Renew leases by business, job and fencing token, and return the keys of those renewed."""
    key = (jobs.c.business_id, jobs.c.recurring_id, jobs.c.fencing_token)
    connection = transaction.connection
    current = (
        select(*key)
        .where(one_of(connection, key, list(keys)), jobs.c.leased_until.is_not(None))
        .order_by(jobs.c.business_id, jobs.c.recurring_id)
        .with_for_update()
    )
    found = {tuple(row) for row in await connection.execute(current)}
    if found:
        await connection.execute(
            update(jobs).where(one_of(connection, key, found)).values(leased_until=until)
        )
    return found


async def open_occurrence(transaction: Transaction, job: Job) -> Occurrence:
    """Return the open occurrence of a job that has one."""
    rows = await transaction.connection.execute(
        select(*_OCCURRENCE_COLUMNS).where(
            occurrences.c.business_id == job.business_id,
            occurrences.c.recurring_id == job.recurring_id,
            occurrences.c.occurrence == job.open_occurrence,
        )
    )
    found = Occurrence(*rows.one())
    assert found.status == "open", "a job refers to no occurrence that has ended"
    return found


async def last_occurrence(transaction: Transaction, job: Job) -> Occurrence | None:
    """Return the newest occurrence of a job that was claimed, or None."""
    rows = await transaction.connection.execute(
        select(*_OCCURRENCE_COLUMNS)
        .where(
            occurrences.c.business_id == job.business_id,
            occurrences.c.recurring_id == job.recurring_id,
        )
        .order_by(occurrences.c.occurrence.desc())
        .limit(1)
    )
    row = rows.one_or_none()
    return Occurrence(*row) if row else None


async def occurrence_at(transaction: Transaction, job: Job, second: datetime) -> Occurrence:
    """Return the occurrence of a job in a second; there is one, and it was claimed."""
    rows = await transaction.connection.execute(
        select(*_OCCURRENCE_COLUMNS).where(
            occurrences.c.business_id == job.business_id,
            occurrences.c.recurring_id == job.recurring_id,
            occurrences.c.occurrence >= second,
            occurrences.c.occurrence < second + timedelta(seconds=1),
        )
    )
    return Occurrence(*rows.one())


async def save_occurrence(
    transaction: Transaction, changed: Occurrence, *, was: str = "open"
) -> None:
    """Write an occurrence whose status was `was`, of a job whose row is locked."""
    result = await transaction.connection.execute(
        update(occurrences)
        .where(
            occurrences.c.business_id == changed.business_id,
            occurrences.c.recurring_id == changed.recurring_id,
            occurrences.c.occurrence == changed.occurrence,
            occurrences.c.status == was,
        )
        .values(
            attempt=changed.attempt,
            payment_id=changed.payment_id,
            checks=changed.checks,
            status=changed.status,
            updated_at=transaction.now,
        )
    )
    assert result.rowcount == 1, "an occurrence ends once"
