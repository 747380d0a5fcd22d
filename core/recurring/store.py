"""What the database is asked and told about recurring jobs, their occurrences and their clocks."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, insert, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from core.database.bulk_sql import BulkInsert, BulkUpdate
from core.database.paging import PageRequest, page_of
from core.database.schema import recurring_jobs as jobs
from core.database.schema import recurring_occurrences as occurrences
from core.database.schema import test_clocks
from core.database.transactions import Transaction
from core.recurring.calendar import Calendar

FAIR_AMONG = 10_000
"""Among how many of the longest due jobs a claim is shared out fairly over the businesses."""
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Job:
    """A job as stored; the columns are explained in the schema."""

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
    status: str
    next_run: datetime | None
    last_run: datetime | None
    executed_cycles: int
    failed_cycles: int
    open_occurrence: datetime | None
    due_at: datetime | None
    lease_owner: str | None
    leased_until: datetime | None
    fencing_token: int
    created_at: datetime
    updated_at: datetime

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
    """A claimed occurrence as stored: what it charges is fixed."""

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
    """Which jobs to list; what is None does not matter."""

    env: str
    user_id: str | None = None
    status: str | None = None


_JOB_NAMES = tuple(each.name for each in fields(Job))
_JOB_COLUMNS = tuple(jobs.c[name] for name in _JOB_NAMES)
_OCCURRENCE_NAMES = tuple(each.name for each in fields(Occurrence))
_OCCURRENCE_COLUMNS = tuple(occurrences.c[name] for name in _OCCURRENCE_NAMES)
_KEY = ("business_id", "recurring_id")
_CHANGED_AT_CLAIM = (
    *("counts_from", "status", "next_run", "open_occurrence", "due_at"),
    *("lease_owner", "leased_until", "fencing_token", "updated_at"),
)
_UPDATE_CLAIMED = BulkUpdate(jobs, key=_KEY, changed=_CHANGED_AT_CLAIM)
_INSERT_OCCURRENCES = BulkInsert(occurrences)


async def insert_job(transaction: Transaction, job: Job) -> None:
    """Store a new job."""
    await transaction.connection.execute(insert(jobs).values(**asdict(job)))


async def save_job(transaction: Transaction, job: Job) -> Job:
    """Write a job whose row the transaction has locked, and return it as stored."""
    saved = replace(job, updated_at=transaction.now)
    result = await transaction.connection.execute(
        update(jobs)
        .where(jobs.c.business_id == job.business_id, jobs.c.recurring_id == job.recurring_id)
        .values(**asdict(saved))
    )
    assert result.rowcount == 1, "a job's row is never deleted"
    return saved


async def job_by_id(transaction: Transaction, *, business_id: str, recurring_id: str) -> Job | None:
    """Return the business's job, or None, and hold its row to the end of the transaction."""
    rows = await transaction.connection.execute(
        select(*_JOB_COLUMNS)
        .where(jobs.c.business_id == business_id, jobs.c.recurring_id == recurring_id)
        .with_for_update()
    )
    row = rows.one_or_none()
    return Job(*row) if row else None


async def job_exists(transaction: Transaction, *, business_id: str, recurring_id: str) -> bool:
    """Tell whether the business has the job."""
    found = await transaction.connection.scalar(
        select(jobs.c.recurring_id).where(
            jobs.c.business_id == business_id, jobs.c.recurring_id == recurring_id
        )
    )
    return found is not None


async def job_page(
    transaction: Transaction, *, business_id: str, which: JobFilter, page: PageRequest
) -> tuple[list[Job], int]:
    """Return a page of the business's jobs, newest first, and how many there are."""
    conditions: list[ColumnElement[bool]] = [
        jobs.c.business_id == business_id,
        jobs.c.env == which.env,
    ]
    if which.user_id is not None:
        conditions.append(jobs.c.user_id == which.user_id)
    if which.status is not None:
        conditions.append(jobs.c.status == which.status)
    rows, total = await page_of(
        transaction,
        _JOB_COLUMNS,
        where=conditions,
        moment=jobs.c.created_at,
        newest_first=[jobs.c.created_at, jobs.c.recurring_id],
        page=page,
    )
    return [Job(*row) for row in rows], total


async def due_jobs(
    transaction: Transaction,
    *,
    limit: int,
    limit_per_business: int,
    busy: Collection[str],
    with_clocks: bool,
) -> list[Job]:
    """Return due jobs that nobody has, and hold them: none that are held already.

    Of every business the longest due one comes first, then the second of each, and so on, among
    the longest due of all. `with_clocks`: TEST jobs see their business's test clock.
    """
    conditions: list[ColumnElement[bool]] = [_is_free(transaction.now)]
    if busy:
        conditions.append(jobs.c.business_id.not_in(busy))
    found = await _fairly(
        transaction,
        select(jobs.c.business_id, jobs.c.recurring_id, jobs.c.due_at).where(
            jobs.c.due_at <= transaction.now, *conditions
        ),
        limit,
        limit_per_business,
    )
    if with_clocks and len(found) < limit:
        for business_id, ahead in await _clocks(transaction):
            if business_id in busy:
                continue
            rows = await transaction.connection.execute(
                select(*_JOB_COLUMNS)
                .where(
                    jobs.c.business_id == business_id,
                    jobs.c.env == "TEST",
                    jobs.c.due_at > transaction.now,
                    jobs.c.due_at <= transaction.now + ahead,
                    *conditions,
                )
                .order_by(jobs.c.due_at)
                .limit(min(limit - len(found), limit_per_business))
                .with_for_update(skip_locked=True)
            )
            found += [Job(*row) for row in rows]
    return found


def _is_free(now: datetime) -> ColumnElement[bool]:
    return or_(jobs.c.leased_until.is_(None), jobs.c.leased_until <= now)


async def _fairly(
    transaction: Transaction, candidates: Select[Any], limit: int, limit_per_business: int
) -> list[Job]:
    oldest = candidates.order_by(jobs.c.due_at).limit(FAIR_AMONG).subquery("oldest")
    place = func.row_number().over(
        partition_by=oldest.c.business_id, order_by=(oldest.c.due_at, oldest.c.recurring_id)
    )
    shared_out = select(*oldest.c, place.label("place")).subquery("shared_out")
    rows = await transaction.connection.execute(
        select(*_JOB_COLUMNS)
        .join(
            shared_out,
            and_(
                shared_out.c.business_id == jobs.c.business_id,
                shared_out.c.recurring_id == jobs.c.recurring_id,
            ),
        )
        # Asked again, of the row itself: another core may have leased it since.
        .where(
            jobs.c.due_at <= transaction.now,
            _is_free(transaction.now),
        )
        .order_by(shared_out.c.place, shared_out.c.due_at, shared_out.c.recurring_id)
        .limit(limit)
        .with_for_update(of=jobs, skip_locked=True)
    )
    # Bounded now, not by the place: those before may be held by claims that run at the same time.
    taken: Counter[str] = Counter()
    found: list[Job] = []
    for job in (Job(*row) for row in rows):
        if taken[job.business_id] < limit_per_business:
            taken[job.business_id] += 1
            found.append(job)
    return found


async def next_test_job(transaction: Transaction, *, business_id: str, to: datetime) -> Job | None:
    """Return the TEST job of a business that falls due first until then, and hold it; or None."""
    rows = await transaction.connection.execute(
        select(*_JOB_COLUMNS)
        .where(jobs.c.business_id == business_id, jobs.c.env == "TEST", jobs.c.due_at <= to)
        .order_by(jobs.c.due_at, jobs.c.recurring_id)
        .limit(1)
        .with_for_update()
    )
    row = rows.one_or_none()
    return Job(*row) if row else None


async def write_claimed(
    transaction: Transaction, claimed: Sequence[Job], new: Sequence[Occurrence]
) -> None:
    """Write jobs that were looked at for a claim, and the occurrences that it opened."""
    if claimed:
        await _UPDATE_CLAIMED.execute(
            transaction.connection,
            [asdict(job) | {"updated_at": transaction.now} for job in claimed],
        )
    if new:
        await _INSERT_OCCURRENCES.execute(
            transaction.connection,
            [asdict(each) | {"updated_at": transaction.now} for each in new],
        )


async def renew(
    transaction: Transaction, keys: Iterable[tuple[str, str, int]], until: datetime
) -> set[tuple[str, str, int]]:
    """Renew leases by business, job and fencing token; return those that are still held."""
    key = tuple_(jobs.c.business_id, jobs.c.recurring_id, jobs.c.fencing_token)
    held = (
        select(jobs.c.business_id, jobs.c.recurring_id, jobs.c.fencing_token)
        .where(key.in_(list(keys)), jobs.c.leased_until.is_not(None))
        .order_by(jobs.c.business_id, jobs.c.recurring_id)
        .with_for_update()
    )
    found = {tuple(row) for row in await transaction.connection.execute(held)}
    if found:
        await transaction.connection.execute(
            update(jobs).where(key.in_(list(found))).values(leased_until=until)
        )
    return found


async def occurrence_of(transaction: Transaction, job: Job) -> Occurrence:
    """Return the open occurrence of a job that has one."""
    rows = await transaction.connection.execute(
        select(*_OCCURRENCE_COLUMNS).where(
            occurrences.c.business_id == job.business_id,
            occurrences.c.recurring_id == job.recurring_id,
            occurrences.c.occurrence == job.open_occurrence,
        )
    )
    found = Occurrence(*rows.one())
    assert found.status == "open", "a job points at no occurrence that ended"
    return found


async def save_occurrence(transaction: Transaction, changed: Occurrence) -> None:
    """Write an open occurrence of a job that the transaction holds."""
    result = await transaction.connection.execute(
        update(occurrences)
        .where(
            occurrences.c.business_id == changed.business_id,
            occurrences.c.recurring_id == changed.recurring_id,
            occurrences.c.occurrence == changed.occurrence,
            occurrences.c.status == "open",
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


async def clock_ahead(
    transaction: Transaction, *, business_id: str, lock: bool = False
) -> timedelta:
    """Return by how much the business's TEST jobs are ahead; `lock` keeps others from it."""
    query = select(test_clocks.c.ahead_microseconds).where(test_clocks.c.business_id == business_id)
    if lock:
        insert_for = postgresql if transaction.connection.dialect.name == "postgresql" else sqlite
        await transaction.connection.execute(
            insert_for.insert(test_clocks)
            .values(
                business_id=business_id,
                env="TEST",
                ahead_microseconds=0,
                updated_at=transaction.now,
            )
            .on_conflict_do_nothing()
        )
        query = query.with_for_update()
    ahead = await transaction.connection.scalar(query)
    return timedelta(microseconds=ahead or 0)


async def _clocks(transaction: Transaction) -> list[tuple[str, timedelta]]:
    rows = await transaction.connection.execute(
        select(test_clocks.c.business_id, test_clocks.c.ahead_microseconds).where(
            test_clocks.c.ahead_microseconds > 0
        )
    )
    return [(row[0], timedelta(microseconds=row[1])) for row in rows]


async def set_clock_ahead(transaction: Transaction, *, business_id: str, ahead: timedelta) -> None:
    """Set by how much the business's TEST jobs are ahead; only ever more."""
    microseconds = ahead // _MICROSECOND
    moved = case(
        (test_clocks.c.ahead_microseconds > microseconds, test_clocks.c.ahead_microseconds),
        else_=microseconds,
    )
    result = await transaction.connection.execute(
        update(test_clocks)
        .where(test_clocks.c.business_id == business_id)
        .values(ahead_microseconds=moved, updated_at=transaction.now)
    )
    assert result.rowcount == 1, "it was asked for and held before"
