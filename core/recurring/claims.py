"""Leases due occurrences to schedulers, and writes what the catch-up rule skips."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from core.database.transactions import Database, Transaction
from core.recurring import rules, store
from core.recurring.cycles import log_of
from core.recurring.job_clock import JobClock
from core.recurring.log_store import Log, insert_logs
from core.recurring.rules import Outcome, Status
from core.recurring.store import Job, Occurrence

_MISSED = Outcome(Status.SKIPPED, "Missed while no scheduler ran; skipped by the catch_up rule")


@dataclass(frozen=True, slots=True)
class Lease:
    """A claimed occurrence, and the token that tells this claim from later ones."""

    business_id: str
    recurring_id: str
    occurrence: datetime
    fencing_token: int
    expires_at: datetime


class Claims:
    """The use cases ClaimDueOccurrences and RenewLeases."""

    def __init__(self, database: Database, clock: JobClock) -> None:
        """Lease jobs of `database`, at the time that `clock` tells."""
        self._database = database
        self._clock = clock

    async def claim(
        self,
        owner: str,
        *,
        limit: int,
        limit_per_business: int,
        busy: Collection[str],
        lease: timedelta,
    ) -> list[Lease]:
        """Lease due occurrences that nobody has, shared out over the businesses."""
        async with self._database.transaction() as transaction:
            due = await store.due_jobs(
                transaction,
                limit=limit,
                limit_per_business=limit_per_business,
                busy=busy,
                with_clocks=self._clock.has_test_clocks,
            )
            nows = {
                key: await self._clock.now_for(transaction, *key)
                for key in {(job.business_id, job.env) for job in due}
            }
            return await take(
                transaction,
                [(job, nows[job.business_id, job.env]) for job in due],
                owner,
                transaction.now + lease,
            )

    async def renew(self, leases: Sequence[Lease], lease: timedelta) -> list[Lease]:
        """Renew leases, and return those that nobody has taken over and that are not over."""
        async with self._database.transaction() as transaction:
            until = transaction.now + lease
            held = await store.renew(transaction, map(_key, leases), until) if leases else set()
        return [replace(each, expires_at=until) for each in leases if _key(each) in held]


def _key(lease: Lease) -> tuple[str, str, int]:
    return (lease.business_id, lease.recurring_id, lease.fencing_token)


async def take(
    transaction: Transaction,
    due: Sequence[tuple[Job, datetime]],
    owner: str,
    until: datetime,
) -> list[Lease]:
    """Lease jobs that the transaction holds and that are due at their own present.

    What the catch-up rule skips is logged; a job of which nothing is left to charge gets none.
    """
    claimed: list[Job] = []
    opened: list[Occurrence] = []
    skipped: list[Log] = []
    leases: list[Lease] = []
    for job, now in due:
        changed = job if job.open_occurrence is not None else _opened(job, now, opened, skipped)
        if (occurrence := changed.open_occurrence) is not None:
            changed = replace(
                changed,
                lease_owner=owner,
                leased_until=until,
                fencing_token=job.fencing_token + 1,
            )
            leases.append(
                Lease(
                    job.business_id,
                    job.recurring_id,
                    occurrence,
                    changed.fencing_token,
                    until,
                )
            )
        claimed.append(changed)
    await store.write_claimed(transaction, claimed, opened)
    await insert_logs(transaction, skipped)
    return leases


def _opened(job: Job, now: datetime, opened: list[Occurrence], skipped: list[Log]) -> Job:
    """Return the job with the occurrence to charge open, if there is one."""
    assert job.status == "active", "what is due without an open occurrence is active"
    assert job.next_run is not None, "an active job has a next occurrence"
    due = rules.due(job.calendar, job.catch_up, job.next_run, now)
    skipped += [log_of(job, at, 0, _MISSED, now) for at in due.skipped]
    if due.skipped:
        job = replace(job, counts_from=max(job.counts_from, due.skipped[-1]))
    if due.charge is None:
        status = "active" if due.then else "completed"
        return replace(job, status=status, next_run=due.then, due_at=due.then)
    opened.append(
        Occurrence(
            business_id=job.business_id,
            recurring_id=job.recurring_id,
            occurrence=due.charge,
            amount_minor=job.amount_minor,
            currency=job.currency,
            source=job.source,
            description=job.description,
            attempt=1,
            payment_id=None,
            checks=0,
            status="open",
            created_at=now,
        )
    )
    return replace(job, open_occurrence=due.charge, next_run=due.charge, due_at=due.charge)
