"""Has a cycle follow its payments: it is what they become, also after it ended.

Called in the transaction that writes a payment's state. A late success counts, is logged, resets
the failures and drops a retry that has not been submitted.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from core.database.transactions import Transaction
from core.payments import store as payments_store
from core.payments.store import Payment
from core.recurring import log_store, store
from core.recurring.clock_store import JobClock
from core.recurring.cycles import calendar_problem, log_of
from core.recurring.occurrence_states import Attempt, ended, payment_outcome
from core.recurring.rules import Outcome, Status
from core.recurring.store import Occurrence
from core.recurring.transitions import (
    STOPPED,
    apply,
    cancel_open_payments,
    end_paid,
    read_attempt,
    report_charged_twice,
    skip,
)


@dataclass(frozen=True, slots=True)
class AttemptKey:
    """Which attempt a payment is of."""

    recurring_id: str
    occurrence: datetime
    """In whole seconds."""
    attempt: int

    def __str__(self) -> str:
        """Return the idempotency key of the attempt; no caller's key is like it: not ASCII."""
        return f"§{self.recurring_id}/{int(self.occurrence.timestamp())}/{self.attempt}"

    @staticmethod
    def of(payment: Payment) -> "AttemptKey | None":
        """Return the attempt of a payment, or None if it is not of a recurring job."""
        key = payment.idempotency_key or ""
        if not key.startswith("§"):
            return None
        recurring_id, seconds, attempt = key[1:].split("/")
        occurrence = datetime.fromtimestamp(int(seconds), UTC)
        return AttemptKey(recurring_id, occurrence, int(attempt))


class CycleFollower:
    """The follower of payments, see core.payments.transitions."""

    def __init__(self, clock: JobClock) -> None:
        """Take the time of jobs from `clock`."""
        self._clock = clock

    async def lock(self, transaction: Transaction, payment: Payment) -> None:
        """Lock the job of a payment, if it is of one."""
        if key := AttemptKey.of(payment):
            await store.job_by_id(
                transaction, business_id=payment.business_id, recurring_id=key.recurring_id
            )

    async def follow(self, transaction: Transaction, payment: Payment, message: str | None) -> None:
        """Write the cycle of a payment that has an outcome, or another one than before."""
        key = AttemptKey.of(payment)
        outcome = payment_outcome(payment, message)
        if key is None or outcome is None:
            return
        job = await store.job_by_id(
            transaction, business_id=payment.business_id, recurring_id=key.recurring_id
        )
        assert job is not None, "a job's row is never deleted"
        occurrence = await store.occurrence_at(transaction, job, key.occurrence)
        now = await self._clock.now_for(transaction, job.business_id, job.env)
        attempt = Attempt(job, occurrence, payment, now)
        if occurrence.status == "open" and occurrence.payment_id == payment.payment_id:
            if calendar_problem(job):
                return  # set aside at its next claim; after an update the payment's row decides
            await apply(transaction, attempt, ended(attempt, outcome))
            return
        is_success = outcome.status is Status.SUCCEEDED
        is_paid = occurrence.status == "succeeded" and occurrence.payment_id == payment.payment_id
        if is_paid and not is_success:
            return  # what follows a success does not change the cycle's outcome
        await _put_log(transaction, attempt, key.attempt, outcome)
        if not is_success or (occurrence.status == "open" and calendar_problem(job)):
            return  # of a job that cannot be read, the next claim after its update decides
        if occurrence.status == "open":
            await _drop_retry(transaction, attempt, outcome)
        elif occurrence.status != "succeeded":
            await _count_late(transaction, attempt, outcome)
        elif occurrence.payment_id not in (None, payment.payment_id):
            report_charged_twice(job, str(occurrence.payment_id), payment.payment_id)


async def _put_log(
    transaction: Transaction, attempt: Attempt, number: int, outcome: Outcome
) -> None:
    log = log_of(attempt.job, attempt.occurrence.occurrence, number, outcome, attempt.now)
    await log_store.put_log(transaction, log)


async def _drop_retry(transaction: Transaction, attempt: Attempt, outcome: Outcome) -> None:
    """End the open occurrence of a payment of an earlier attempt, unless a retry is submitted.

    If one is, the cycle ends with its outcome, see `occurrence_states`; if it waits for its
    customer, it is canceled.
    """
    retry = await read_attempt(transaction, attempt.job, attempt.now)
    if retry.is_submitted:
        assert retry.payment is not None, "what was submitted is a payment"
        await payments_store.cancel_payments(
            transaction, retry.job.business_id, [retry.payment.payment_id]
        )
        return
    assert outcome.payment_id is not None, "the outcome is of a payment"
    await end_paid(transaction, attempt, outcome.payment_id)


async def _count_late(transaction: Transaction, attempt: Attempt, outcome: Outcome) -> None:
    """Count the success of an occurrence that ended before without one."""
    job = replace(
        attempt.job,
        executed_cycles=attempt.job.executed_cycles + 1,
        failed_cycles=0,
        last_run=attempt.now,
    )
    await store.save_occurrence(
        transaction, _succeeded(attempt.occurrence, outcome), was=attempt.occurrence.status
    )
    is_complete = job.max_cycles is not None and job.executed_cycles >= job.max_cycles
    if is_complete and job.status in ("active", "paused"):
        job = replace(job, status="completed", next_run=None)
        if job.open_occurrence is None:
            job = replace(job, due_at=None, lease_owner=None, leased_until=None)
        else:
            later = await read_attempt(transaction, job, attempt.now)
            if not later.is_submitted:
                job, _ = await skip(transaction, later, STOPPED.format(status=job.status))
        await cancel_open_payments(transaction, job, job.open_occurrence)
    await store.save_job(transaction, job)


def _succeeded(occurrence: Occurrence, outcome: Outcome) -> Occurrence:
    return replace(occurrence, status=Status.SUCCEEDED.value, payment_id=outcome.payment_id)
