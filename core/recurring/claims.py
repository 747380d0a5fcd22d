"""Claims due occurrences for schedulers, and logs those that the catch-up rule skips."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from core.database.transactions import Database, Transaction
from core.recurring import store
from core.recurring.clock_store import JobClock
from core.recurring.cycles import MESSAGE_CHARACTERS, begin_due, calendar_problem
from core.recurring.log_store import Log, insert_logs
from core.recurring.store import Job, Occurrence

logger = logging.getLogger("core.recurring")


@dataclass(frozen=True, slots=True)
class Lease:
    """A claimed occurrence. The fencing token tells this claim from later ones."""

    business_id: str
    recurring_id: str
    occurrence: datetime
    fencing_token: int
    expires_at: datetime


class Claims:
    """The use cases ClaimDueOccurrences and RenewLeases."""

    def __init__(self, database: Database, clock: JobClock) -> None:
        """Lease jobs of `database`, whose time is that of `clock`."""
        self._database = database
        self._clock = clock

    async def claim(
        self,
        owner: str,
        *,
        limit: int,
        limit_per_business: int,
        excluded_business_ids: Collection[str],
        lease_duration: timedelta,
    ) -> list[Lease]:
        """Lease due occurrences that have no lease, shared fairly among the businesses."""
        async with self._database.transaction("recurring.claim") as transaction:
            due = await store.due_jobs(
                transaction,
                limit=limit,
                limit_per_business=limit_per_business,
                excluded_business_ids=excluded_business_ids,
                with_test_clocks=self._clock.has_test_clocks,
            )
            nows = {
                key: await self._clock.now_for(transaction, *key)
                for key in {(job.business_id, job.env) for job in due}
            }
            return await lease_jobs(
                transaction,
                [(job, nows[job.business_id, job.env]) for job in due],
                owner,
                transaction.now + lease_duration,
            )

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
        job = due_job
        if problem := calendar_problem(job):
            changed.append(_set_aside(job, problem, transaction.now))
            continue
        if job.open_occurrence is None:
            change = begin_due(job, now)
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


def _set_aside(job: Job, problem: str, now: datetime) -> Job:
    logger.error(
        "recurring job set aside",
        extra={
            "business_id": job.business_id,
            "recurring_id": job.recurring_id,
            "reason": problem,
        },
    )
    error = problem[:MESSAGE_CHARACTERS]
    return replace(
        job, set_aside_at=now, set_aside_error=error, lease_owner=None, leased_until=None
    )
