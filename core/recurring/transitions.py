"""Writes the transitions of an occurrence, which `occurrence_states.py` decides.

Nothing here opens a transaction: log, counters and the job's next due time commit with the
transition, in the transaction that has locked the job's row. So a cycle ends once.
"""

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from core.business.store import business_by_id
from core.database.transactions import Transaction
from core.dunning import DEFAULT, Dunning
from core.payments import store as payments_store
from core.payments.rules import pause_after
from core.recurring import log_store, rules, store
from core.recurring.cycles import log_of, skip_due
from core.recurring.log_store import insert_logs, put_log
from core.recurring.occurrence_states import (
    CHARGED_MESSAGE,
    Attempt,
    CheckLater,
    End,
    Skip,
    Transition,
    Wait,
    job_after_cycle,
)
from core.recurring.rules import Outcome, Status
from core.recurring.store import Job, Occurrence

logger = logging.getLogger("core.recurring")

WAIT_MAX = timedelta(days=1)
"""Longest time until a cycle that waits for its customer or for a review is looked at again."""
STOPPED = "The job was {status} before this was charged"


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """Result of an execution: the log entry of an outcome, when the occurrence is due, or both."""

    log_id: str = ""
    status: Status | None = None
    next_attempt_at: datetime | None = None


async def read_attempt(transaction: Transaction, job: Job, now: datetime) -> Attempt:
    """Return the current attempt of a job that has an open occurrence and whose row is locked."""
    occurrence = await store.open_occurrence(transaction, job)
    return await attempt_of(transaction, job, occurrence, now)


async def attempt_of(
    transaction: Transaction, job: Job, occurrence: Occurrence, now: datetime
) -> Attempt:
    """Return the current or last attempt of an occurrence of a job whose row is locked."""
    payment = None
    if occurrence.payment_id is not None:
        payment = await payments_store.payment_by_id(
            transaction,
            business_id=occurrence.business_id,
            payment_id=occurrence.payment_id,
            lock=False,  # the job's row is locked, and a charge locks that one first
        )
    return Attempt(job, occurrence, payment, now)


async def apply(
    transaction: Transaction, attempt: Attempt, transition: Transition
) -> ExecutionResult:
    """Write a transition of a leased attempt, which ends the lease."""
    match transition:
        case End(outcome):
            return await _end(transaction, attempt, outcome)
        case Wait(outcome):
            return await _wait(transaction, attempt, outcome)
        case CheckLater(after):
            return await _check_later(transaction, attempt, after)
        case Skip(reason):
            job, result = await skip(transaction, attempt, reason)
            await store.save_job(transaction, job)
            return result
        case _:
            assert_never(transition)


async def _end(transaction: Transaction, attempt: Attempt, outcome: Outcome) -> ExecutionResult:
    job, occurrence, now = attempt.job, attempt.occurrence, attempt.now
    cycle = await _cycle_outcome(transaction, attempt, outcome)
    retry_at = None
    dunning = None if outcome.status is Status.SUCCEEDED else await _dunning(transaction, job)
    if dunning is not None and job.status == "active" and cycle is outcome:
        retry_at = rules.retry_at(
            outcome,
            attempt=occurrence.attempt,
            first_attempt_at=occurrence.created_at,
            now=now,
            next_cycle_at=attempt.next_cycle_at,
            retry_days=dunning.retry_days,
        )
    if retry_at is not None:
        changed = replace(job, next_run=retry_at, due_at=retry_at)
        note = f"It is tried again at {retry_at:%Y-%m-%d %H:%M:%S} UTC."
        closed = replace(occurrence, attempt=occurrence.attempt + 1, payment_id=None, checks=0)
    else:
        changed, note = job_after_cycle(attempt, cycle, dunning)
        paid_by = cycle.payment_id or occurrence.payment_id
        closed = replace(occurrence, status=cycle.status.value, payment_id=paid_by)
    log = await put_log(
        transaction, log_of(job, occurrence.occurrence, occurrence.attempt, outcome, now, note)
    )
    if job.status == "active" and changed.status == "paused":
        over = skip_due(changed, now, STOPPED.format(status=changed.status))
        changed = over.job
        await insert_logs(transaction, over.skipped)
    await store.save_occurrence(transaction, closed)
    changed = replace(changed, lease_owner=None, leased_until=None, failed_looks=0)
    await store.save_job(transaction, changed)
    await _cancel_if_stopped(transaction, changed, occurrence.occurrence)
    is_left_open = cycle.status is Status.REQUIRES_ACTION and cycle.payment_id is not None
    if is_left_open and job.max_cycles is not None:
        # Completed beside those of later cycles, it could be one charge above the maximum.
        await payments_store.cancel_payments(
            transaction, job.business_id, [cycle.payment_id], only_authentications=True
        )
    return ExecutionResult(log.log_id, outcome.status, retry_at)


async def _dunning(transaction: Transaction, job: Job) -> Dunning:
    """Return how a job follows up a failed cycle, by its business as it is now."""
    business = None
    if not job.has_own_dunning:
        business = await business_by_id(transaction, job.business_id)
    return job.dunning(business.dunning if business else DEFAULT)


async def end_paid(transaction: Transaction, attempt: Attempt, payment_id: str) -> None:
    """End an open occurrence whose retry is not submitted, as an earlier payment was charged."""
    outcome = Outcome(Status.SUCCEEDED, CHARGED_MESSAGE, payment_id=payment_id)
    job, _ = job_after_cycle(attempt, outcome)
    token = job.fencing_token + 1
    job = replace(job, lease_owner=None, leased_until=None, fencing_token=token, failed_looks=0)
    await store.save_occurrence(
        transaction,
        replace(attempt.occurrence, status=outcome.status.value, payment_id=payment_id),
    )
    await store.save_job(transaction, job)
    await _cancel_if_stopped(transaction, job, attempt.occurrence.occurrence)


async def cancel_open_payments(
    transaction: Transaction, job: Job, occurrence: datetime | None
) -> None:
    """Have the payments of a job that charges no more canceled, which could still be completed.

    Also the declined ones of an occurrence, the last one.
    """
    open_ids = await log_store.open_payments(
        transaction, job.business_id, job.recurring_id, occurrence
    )
    await payments_store.cancel_payments(transaction, job.business_id, open_ids)


async def _cancel_if_stopped(transaction: Transaction, job: Job, occurrence: datetime) -> None:
    """Cancel the open payments of a job that was cancelled or has its maximum of charges.

    One that came to its end date still collects its cycles.
    """
    if job.status == "cancelled" or rules.is_complete(job.executed_cycles, job.max_cycles):
        await cancel_open_payments(transaction, job, occurrence)


async def _cycle_outcome(transaction: Transaction, attempt: Attempt, outcome: Outcome) -> Outcome:
    """Return the outcome of the cycle: a success if one of its earlier attempts succeeded late."""
    occurrence = attempt.occurrence
    if occurrence.attempt == 1:
        return outcome
    earlier = await log_store.charged_payment(
        transaction, occurrence.business_id, occurrence.recurring_id, occurrence.occurrence
    )
    if earlier is None:
        return outcome
    if outcome.status is Status.SUCCEEDED:
        report_charged_twice(attempt.job, earlier, outcome.payment_id)
    return Outcome(Status.SUCCEEDED, CHARGED_MESSAGE, payment_id=earlier)


def report_charged_twice(job: Job, one: str, other: str | None) -> None:
    """Log that two payments of one cycle were charged."""
    logger.error(
        "recurring cycle charged twice: refund one of the payments",
        extra={
            "business_id": job.business_id,
            "recurring_id": job.recurring_id,
            "payment_ids": [one, other],
        },
    )


async def _wait(transaction: Transaction, attempt: Attempt, outcome: Outcome) -> ExecutionResult:
    """Leave the occurrence open until its payment changes, or the next cycle is due."""
    job, occurrence, now = attempt.job, attempt.occurrence, attempt.now
    log = await put_log(
        transaction, log_of(job, occurrence.occurrence, occurrence.attempt, outcome, now)
    )
    look_at = min(attempt.next_cycle_at or now + WAIT_MAX, now + WAIT_MAX)
    next_run = attempt.next_cycle_at if job.status == "active" else None
    waiting = replace(job, next_run=next_run, due_at=look_at, lease_owner=None, leased_until=None)
    await store.save_job(transaction, waiting)
    await _cancel_if_stopped(transaction, waiting, occurrence.occurrence)
    return ExecutionResult(log.log_id, outcome.status, look_at)


async def _check_later(
    transaction: Transaction, attempt: Attempt, after: timedelta | None
) -> ExecutionResult:
    job, occurrence = attempt.job, attempt.occurrence
    due_at = attempt.now + (after or pause_after(occurrence.checks))
    if after is None:
        occurrence = replace(occurrence, checks=occurrence.checks + 1)
        await store.save_occurrence(transaction, occurrence)
    await store.save_job(
        transaction, replace(job, due_at=due_at, lease_owner=None, leased_until=None)
    )
    return ExecutionResult(next_attempt_at=due_at)


async def skip(
    transaction: Transaction, attempt: Attempt, reason: str
) -> tuple[Job, ExecutionResult]:
    """End the open occurrence of a paused or cancelled job as skipped, and revoke its lease.

    Returns the job, which the caller saves.
    """
    assert not attempt.is_submitted, "a submitted charge ends with its own outcome"
    job, occurrence = attempt.job, attempt.occurrence
    outcome = Outcome(Status.SKIPPED, reason)
    log = log_of(job, occurrence.occurrence, occurrence.attempt, outcome, attempt.now)
    await insert_logs(transaction, [log])
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
    return stopped, ExecutionResult(log.log_id, outcome.status)
