"""Claims due occurrences for schedulers, and logs those that the catch-up rule skips."""

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from core.business import stop_store
from core.database.transactions import (
    CommitUnknownError,
    Database,
    DatabaseUnavailableError,
    Transaction,
)
from core.due_work.failures import record_failure
from core.due_work.rules import Key, PermanentError
from core.due_work.store import JOBS
from core.due_work.turns import Turns
from core.recurring import store
from core.recurring.clock_store import JobClock, advanced_clocks
from core.recurring.cycles import Change, begin_due, calendar_problem
from core.recurring.log_store import Log, insert_logs
from core.recurring.store import Job, Occurrence
from core.stops import ALL

logger = logging.getLogger("core.recurring")

_SPARE = 4
"""How many times more jobs are looked for than wanted, as concurrent claims lock the first ones."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A claimed occurrence. The fencing token tells this claim from later ones."""

    business_id: str
    recurring_id: str
    occurrence: datetime
    fencing_token: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a scheduler asks for."""

    owner: str
    limit: int
    limit_per_business: int
    excluded: Collection[str]
    lease_duration: timedelta


class Claims:
    """The use cases ClaimDueOccurrences and RenewLeases."""

    def __init__(self, database: Database, clock: JobClock) -> None:
        """Lease jobs of `database`, whose time is that of `clock`."""
        self._database = database
        self._clock = clock
        self._turns = Turns(JOBS)

    async def claim(
        self,
        owner: str,
        *,
        limit: int,
        limit_per_business: int,
        excluded_business_ids: Collection[str],
        lease_duration: timedelta,
    ) -> list[Lease]:
        """Lease due occurrences that have no lease; each business has its turn.

        Jobs are leased in one transaction. If that fails for one of them, each is leased in its
        own, and the one that fails is put off or set aside.
        """
        wanted = _Wanted(owner, limit, limit_per_business, excluded_business_ids, lease_duration)
        try:
            async with self._database.transaction("recurring.claim") as transaction:
                return await self._lease(transaction, *await self._due(transaction, wanted))
        except (DatabaseUnavailableError, CommitUnknownError):
            raise
        except Exception:
            logger.exception("claim failed, jobs are claimed one by one")
        async with self._database.read() as transaction:
            keys, wanted = await self._due(transaction, wanted)
        leases: list[Lease] = []
        for key in keys[:limit]:
            leases += await self._lease_one(key, wanted)
        return leases

    async def _due(self, transaction: Transaction, wanted: _Wanted) -> tuple[list[Key], _Wanted]:
        """Return the keys of due jobs in turns, and what is wanted without what is stopped.

        The keys are more than are wanted of each business, as some may be locked by concurrent
        claims. Jobs of a gateway at which cycles are stopped are claimed, and put off.
        """
        stopped = await stop_store.businesses_without_cycles(transaction)
        if ALL in stopped:
            return [], replace(wanted, limit=0)
        wanted = replace(wanted, excluded={*wanted.excluded, *stopped})
        return await self._keys(transaction, wanted), wanted

    async def _keys(self, transaction: Transaction, wanted: _Wanted) -> list[Key]:
        several = _SPARE * wanted.limit_per_business
        choice = await self._turns.choose(
            transaction,
            {"": wanted.limit},
            room_of=lambda row: 0 if row.business_id in wanted.excluded else several,
            each=several,
            spare=_SPARE * wanted.limit,
        )
        return [row.key for row in choice.rows]

    async def _lease(
        self, transaction: Transaction, keys: Sequence[Key], wanted: _Wanted
    ) -> list[Lease]:
        due: list[Job] = []
        left = keys
        while left and len(due) < wanted.limit:
            some, left = _next_keys(left, due, wanted)
            due += await store.lock_due_jobs(transaction, some)
        if self._clock.has_test_clocks:
            due += await self._due_by_test_clocks(transaction, wanted, wanted.limit - len(due))
        nows = {
            key: await self._clock.now_for(transaction, *key)
            for key in {(job.business_id, job.env) for job in due}
        }
        return await lease_jobs(
            transaction,
            [(job, nows[job.business_id, job.env]) for job in due],
            wanted.owner,
            transaction.now + wanted.lease_duration,
        )

    async def _due_by_test_clocks(
        self, transaction: Transaction, wanted: _Wanted, room: int
    ) -> list[Job]:
        found: list[Job] = []
        for business_id, offset in await advanced_clocks(transaction):
            limit = min(room - len(found), wanted.limit_per_business)
            if business_id not in wanted.excluded and limit > 0:
                found += await store.due_jobs_of_clock(
                    transaction, business_id, offset, limit=limit
                )
        return found

    async def _lease_one(self, key: Key, wanted: _Wanted) -> list[Lease]:
        """Lease one job in a transaction of its own; none if it fails, which is recorded."""
        try:
            async with self._database.transaction("recurring.claim_one") as transaction:
                return await self._lease(transaction, [key], replace(wanted, limit=1))
        except (DatabaseUnavailableError, CommitUnknownError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the job's own
            async with self._database.transaction("recurring.claim_failed") as transaction:
                await record_failure(transaction, JOBS, key, error)
        return []

    async def renew(self, leases: Sequence[Lease], lease_duration: timedelta) -> list[Lease]:
        """Renew leases, and return those that have not ended and were not claimed by another."""
        if not leases:
            return []
        async with self._database.transaction("recurring.renew_leases") as transaction:
            until = transaction.now + lease_duration
            renewed = await store.renew_leases(transaction, map(_key, leases), until)
        return [replace(each, expires_at=until) for each in leases if _key(each) in renewed]


def _key(lease: Lease) -> tuple[str, str, int]:
    return (lease.business_id, lease.recurring_id, lease.fencing_token)


def _next_keys(
    keys: Sequence[Key], due: Sequence[Job], wanted: _Wanted
) -> tuple[list[Key], list[Key]]:
    """Return the keys to lock next, and those to try after them; without businesses with no room.

    No more are locked than are wanted, as concurrent claims skip locked jobs.
    """
    taken = Counter(job.business_id for job in due)
    room = wanted.limit - len(due)
    some: list[Key] = []
    left: list[Key] = []
    chosen = taken.copy()
    for key in keys:
        business_id = key[0]
        if len(some) < room and chosen[business_id] < wanted.limit_per_business:
            chosen[business_id] += 1
            some.append(key)
        elif taken[business_id] < wanted.limit_per_business:
            left.append(key)
    return some, left


async def lease_jobs(
    transaction: Transaction,
    due: Sequence[tuple[Job, datetime]],
    owner: str,
    until: datetime,
) -> list[Lease]:
    """Lease locked jobs that are due at the given current time of each.

    Logs what the catch-up rule skips. A job with nothing left to charge gets no lease. A job whose
    calendar cannot be read is set aside: it is not claimed again until an update corrects it.
    """
    changed: list[Job] = []
    opened: list[Occurrence] = []
    skipped: list[Log] = []
    leases: list[Lease] = []
    for due_job, now in due:
        try:
            change = _begun(due_job, now)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the job's own
            key = (due_job.business_id, due_job.recurring_id)
            await record_failure(transaction, JOBS, key, error)
            continue
        job = change.job
        opened += change.opened
        skipped += change.skipped
        if (occurrence := job.open_occurrence) is not None:
            token = job.fencing_token + 1
            job = replace(job, lease_owner=owner, leased_until=until, fencing_token=token)
            leases.append(Lease(job.business_id, job.recurring_id, occurrence, token, until))
        changed.append(job)
    await store.save_claimed(transaction, changed, opened)
    await insert_logs(transaction, skipped)
    return leases


def _begun(job: Job, now: datetime) -> Change:
    """Return a due job with its occurrence open, if there is one to charge.

    Raises:
        PermanentError: its calendar cannot be read.
    """
    if problem := calendar_problem(job):
        raise PermanentError(problem)
    return Change(job) if job.open_occurrence is not None else begin_due(job, now)
