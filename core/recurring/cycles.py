"""Writes how an attempt, or a whole cycle, of a job ended: the log, the counters, what is next.

Opens no transaction. All of it commits at once, in the transaction that holds the job's row, so a
cycle ends once and the next one is due from that moment on.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from core.database.transactions import Transaction
from core.ids import new_recurring_log_id
from core.payments import store as payments_store
from core.payments.rules import pause_after
from core.payments.store import Payment
from core.recurring import rules, store
from core.recurring.log_store import Log, insert_logs
from core.recurring.rules import Outcome, Status
from core.recurring.store import Job, Occurrence

MESSAGE_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Executed:
    """What became of an execution: a log row, or when the occurrence is due again, or both."""

    log_id: str = ""
    status: Status | None = None
    due_again_at: datetime | None = None


def following(job: Job, occurrence: Occurrence) -> datetime | None:
    """Return the occurrence after a claimed one, by the job's present calendar."""
    return rules.next_after(job.calendar, max(job.counts_from, occurrence.occurrence))


async def end_attempt(
    transaction: Transaction, job: Job, occurrence: Occurrence, outcome: Outcome, now: datetime
) -> Executed:
    """Write the outcome of an attempt: plan a retry, or end the cycle and make the next one due."""
    upcoming = following(job, occurrence)
    retry_at = None
    if job.status == "active":
        retry_at = rules.retry_at(
            outcome,
            attempt=occurrence.attempt,
            first_attempt_at=occurrence.created_at,
            now=now,
            following=upcoming,
        )
    free = replace(job, lease_owner=None, leased_until=None)
    if retry_at is not None:
        changed = replace(free, next_run=retry_at, due_at=retry_at)
        note = f"It is tried again at {retry_at:%Y-%m-%d %H:%M:%S} UTC."
        ended = replace(occurrence, attempt=occurrence.attempt + 1, payment_id=None, checks=0)
    else:
        changed, note = _after_cycle(free, occurrence, outcome, now, upcoming)
        ended = replace(occurrence, status=outcome.status.value)
    row = log_of(job, occurrence.occurrence, occurrence.attempt, outcome, now, note)
    await insert_logs(transaction, [row])
    await store.save_occurrence(transaction, ended)
    await store.save_job(transaction, changed)
    return Executed(row.log_id, outcome.status, retry_at)


def _after_cycle(
    job: Job,
    occurrence: Occurrence,
    outcome: Outcome,
    now: datetime,
    upcoming: datetime | None,
) -> tuple[Job, str]:
    """Return the job after a cycle, and what the log adds about it."""
    is_success = outcome.status is Status.SUCCEEDED
    job = replace(
        job,
        executed_cycles=job.executed_cycles + is_success,
        failed_cycles=0 if is_success else job.failed_cycles + 1,
        last_run=now if is_success else job.last_run,
        counts_from=max(job.counts_from, occurrence.occurrence),
        open_occurrence=None,
        next_run=None,
        due_at=None,
    )
    if job.status == "cancelled":
        return job, ""
    if rules.is_complete(job.executed_cycles, job.max_cycles):
        return replace(job, status="completed"), ""
    if job.status != "active":
        return job, ""
    if upcoming is None:
        return replace(job, status="completed"), ""
    if job.failed_cycles >= rules.FAILED_CYCLES_MAX:
        note = f"The job is paused, because {job.failed_cycles} cycles in a row failed; resume it."
        return replace(job, status="paused"), note
    return replace(job, next_run=upcoming, due_at=upcoming), ""


async def stop_cycle(
    transaction: Transaction, job: Job, occurrence: Occurrence, why: str, now: datetime
) -> tuple[Job, Executed]:
    """End a cycle of a job that was paused or cancelled, of which no charge is under way.

    Its owner, if it has one, loses the lease. The job is returned and still to be written.
    """
    outcome = Outcome(Status.SKIPPED, why)
    row = log_of(job, occurrence.occurrence, occurrence.attempt, outcome, now)
    await insert_logs(transaction, [row])
    await store.save_occurrence(transaction, replace(occurrence, status=outcome.status.value))
    stopped = replace(
        job,
        counts_from=max(job.counts_from, occurrence.occurrence),
        open_occurrence=None,
        next_run=None,
        due_at=None,
        lease_owner=None,
        leased_until=None,
        fencing_token=job.fencing_token + 1,
    )
    return stopped, Executed(row.log_id, outcome.status)


async def look_later(
    transaction: Transaction, job: Job, occurrence: Occurrence, now: datetime
) -> Executed:
    """Leave an attempt that has no outcome until later."""
    due_at = now + pause_after(occurrence.checks)
    await store.save_occurrence(transaction, replace(occurrence, checks=occurrence.checks + 1))
    await store.save_job(
        transaction, replace(job, due_at=due_at, lease_owner=None, leased_until=None)
    )
    return Executed(due_again_at=due_at)


async def payment_of(transaction: Transaction, occurrence: Occurrence) -> Payment | None:
    """Return the card payment of the present attempt, or None where it has begun none."""
    if occurrence.payment_id is None:
        return None
    return await payments_store.payment_by_id(
        transaction,
        business_id=occurrence.business_id,
        payment_id=occurrence.payment_id,
        lock=False,  # the job's row is held, and a charge takes that one before
    )


def is_submitted(payment: Payment | None) -> bool:
    """Tell whether an attempt's charge has begun, so that it may have reached the gateway."""
    return payment is not None and payment.status != "failed" and payment.attempt != "not_sent"


def log_of(
    job: Job, occurrence: datetime, attempt: int, outcome: Outcome, now: datetime, note: str = ""
) -> Log:
    """Return the log row of an outcome."""
    message = f"{outcome.message.rstrip('.')}. {note}" if note else outcome.message
    return Log(
        business_id=job.business_id,
        log_id=new_recurring_log_id(),
        recurring_id=job.recurring_id,
        user_id=job.user_id,
        occurrence=occurrence,
        attempt=attempt,
        status=outcome.status.value,
        message=message[:MESSAGE_CHARACTERS],
        transaction_id=outcome.transaction_id,
        payment_id=outcome.payment_id,
        attempted_at=now,
    )
