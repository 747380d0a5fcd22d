"""Charges the open or last failed cycle of a job when its business asks for it.

It is the cycle's next attempt, with the attempt's own gateway key, and under a lease as a scheduler
has one: whichever of them is first charges, and if the core dies, a scheduler continues.

    wallet   one transaction: lease, debit, log entry, and the answer to the call
    card     1. the transaction that stores the payment also leases the job, opens the cycle again
                if it has ended, and has the record of the call point to the payment
             2. the gateway is called
             3. the outcome ends the attempt, as always; then the answer to the call is stored

A call that is repeated finds by its record which attempt it made, and never makes another one. If
nothing was sent (no card, no keys, an inactive user), the transaction of step 1 rolled back, and
the attempt is still to be made. Locks: job, record of the call, then as a charge.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import ClassVar

from core.business.rules import business_suspended
from core.caller import Caller
from core.database.transactions import Database, Transaction
from core.dunning import Dunning
from core.errors import Reason, Refusal, ReplayedRefusal, is_outcome
from core.idempotency.call import Answer, IdempotentCall, Replay
from core.idempotency.service import Idempotency
from core.ids import new_request_id
from core.payments import store as payments_store
from core.payments.rules import outcome_unknown
from core.payments.service import PaymentsService
from core.payments.store import Payment
from core.recurring import log_store, store
from core.recurring.clock_store import JobClock
from core.recurring.cycles import calendar_problem, not_found
from core.recurring.execution import Execution, charge_request, debit_wallet
from core.recurring.following import AttemptKey
from core.recurring.log_store import Log
from core.recurring.messages import retry_response
from core.recurring.occurrence_states import (
    Attempt,
    End,
    after_charge,
    attempt_to_retry,
    in_progress,
    no_failed_cycle,
)
from core.recurring.rules import Status
from core.recurring.store import Job
from core.recurring.transitions import apply, attempt_of, read_attempt
from core.stops import payments_stopped
from core.users import store as users_store
from core.users.service import active_user

LEASE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Collected:
    """A job whose cycle was charged, and the log entry of the charge."""

    job: Job
    log: Log
    of_business: Dunning
    """The business's dunning."""


@dataclass(frozen=True, slots=True)
class _Retry:
    """A call of retry_recurring."""

    business_id: str
    recurring_id: str
    call: IdempotentCall
    owner: str
    """Owner of its lease on the job."""
    of_business: Dunning
    """The caller's."""
    is_suspended: bool
    """Whether the business was, when the call was admitted."""


@dataclass(frozen=True, slots=True)
class _Cycle:
    """The attempt of a call, read after the job's row was locked."""

    attempt: Attempt
    was: str = "open"
    """Status of the occurrence before."""
    is_repeated: bool = False
    """Whether an earlier run of the call began the attempt, which may be over by now."""

    @property
    def key(self) -> AttemptKey:
        """The attempt's key."""
        occurrence = self.attempt.occurrence
        return AttemptKey(occurrence.recurring_id, occurrence.occurrence, occurrence.attempt)


class Retries:
    """The use case RetryRecurring."""

    def __init__(
        self,
        database: Database,
        payments: PaymentsService,
        idempotency: Idempotency,
        execution: Execution,
        clock: JobClock,
    ) -> None:
        """Read jobs from `database`, charge cards with `payments`, take the time from `clock`."""
        self._database = database
        self._payments = payments
        self._idempotency = idempotency
        self._execution = execution
        self._clock = clock

    async def retry(self, caller: Caller, recurring_id: str, call: IdempotentCall) -> Collected:
        """Charge the open or last failed cycle of a job.

        Raises:
            Refusal: RECURRING_NOT_FOUND; RECURRING_STATE if the job may not charge;
                CYCLE_IN_PROGRESS or NO_FAILED_CYCLE; WALLET_TOO_LOW; or as PaymentsService.charge.
            Replay, ReplayedRefusal: the call has an answer.
        """
        owner = f"retry-{new_request_id()}"
        retry = _Retry(
            caller.business_id,
            recurring_id,
            call,
            owner,
            caller.dunning,
            caller.is_suspended,
        )
        async with self._database.transaction("recurring.retry") as transaction:
            cycle = await self._cycle(transaction, retry)
            if cycle.attempt.occurrence.source != "wallet":
                done: Collected | Refusal | None = None
            else:
                done = await self._debit(transaction, retry, cycle)
        match done:
            case Collected():
                return done
            case Refusal():
                raise done
            case None:
                return await self._charge(retry, cycle)

    async def _cycle(self, transaction: Transaction, retry: _Retry) -> _Cycle:
        """Lock the job and the record of the call, and return what the call charges.

        Raises:
            Refusal: as `retry`.
            Replay: the call has an answer.
        """
        job = await self._locked(transaction, retry)
        payment_id = await self._idempotency.claim(transaction, retry.call)
        now = await self._clock.now_for(transaction, job.business_id, job.env)
        if payment_id is not None:
            payment = await payments_store.payment_by_id(
                transaction, business_id=job.business_id, payment_id=payment_id, lock=False
            )
            if payment.status != "failed":  # else nothing was charged, and the key is free again
                return await _begun_before(transaction, job, payment, now)
        if retry.is_suspended:
            raise business_suspended()
        if problem := calendar_problem(job):
            raise Refusal(Reason.ERROR_REASON_RECURRING_STATE, f"Update the job first: {problem}")
        if not job.may_charge:
            raise _may_not_charge(job)
        is_leased = job.leased_until is not None and job.leased_until > transaction.now
        if is_leased and job.lease_owner != retry.owner:
            raise in_progress("A cycle of the recurring job is being charged")
        occurrence = await store.last_occurrence(transaction, job)
        if occurrence is None:
            raise no_failed_cycle()
        if occurrence.source == "wallet":  # a card's is refused where the charge begins
            await _check_not_stopped(transaction, job)
        attempt = attempt_to_retry(await attempt_of(transaction, job, occurrence, now))
        is_paid = await log_store.charged_payment(
            transaction, job.business_id, job.recurring_id, attempt.occurrence.occurrence
        )
        if is_paid and not attempt.is_submitted:
            raise no_failed_cycle()
        return _Cycle(attempt, occurrence.status)

    async def _locked(self, transaction: Transaction, retry: _Retry) -> Job:
        job = await store.job_by_id(
            transaction, business_id=retry.business_id, recurring_id=retry.recurring_id
        )
        if job is None:
            raise not_found()
        return job

    async def begin(self, transaction: Transaction, retry: _Retry, cycle: _Cycle) -> Attempt:
        """Lease the job for the attempt, and open its cycle again if it has ended."""
        job, occurrence = cycle.attempt.job, cycle.attempt.occurrence
        if cycle.was != "open":
            await store.save_occurrence(transaction, occurrence, was=cycle.was)
            job = replace(job, failed_cycles=max(0, job.failed_cycles - 1))
        job = await store.save_job(
            transaction,
            replace(
                job,
                open_occurrence=occurrence.occurrence,
                due_at=cycle.attempt.now,
                lease_owner=retry.owner,
                leased_until=transaction.now + LEASE,
                fencing_token=job.fencing_token + 1,
            ),
        )
        return replace(cycle.attempt, job=job)

    async def _debit(
        self, transaction: Transaction, retry: _Retry, cycle: _Cycle
    ) -> Collected | Refusal:
        """Debit the wallet, end the attempt and store the answer.

        Raises:
            Refusal: nothing could be debited for another reason than the balance.
        """
        job = cycle.attempt.job
        await active_user(transaction, job.business_id, job.user_id)
        attempt = await self.begin(transaction, retry, cycle)
        outcome = await debit_wallet(transaction, attempt.job, attempt.occurrence)
        if outcome.status is Status.FAILED:
            raise Refusal(Reason.ERROR_REASON_RECURRING_STATE, outcome.message)
        await apply(transaction, attempt, End(outcome))
        done: Collected | Refusal = await self._collected(transaction, retry, cycle)
        if outcome.status is not Status.SUCCEEDED:
            done = Refusal(Reason.ERROR_REASON_WALLET_TOO_LOW, outcome.message)
        await self._idempotency.keep(transaction, retry.call, _answer(done))
        return done

    async def _charge(self, retry: _Retry, cycle: _Cycle) -> Collected:
        """Charge the card, or resume its payment, and store the answer."""
        job = cycle.attempt.job
        origin = _Origin(self, retry, cycle)
        refusal: Refusal | None = None
        replayed: Answer | None = None
        try:
            request = charge_request(cycle.attempt, origin, is_asked=True)
            if not cycle.is_repeated:
                await self._execution.cancel_earlier(cycle.attempt, request)
            await self._payments.charge(Caller(job.business_id, job.env), request)
        except Replay as replay:
            replayed = replay.answer
        except Refusal as refused:
            refusal = refused
        async with self._database.transaction("recurring.end_retry") as transaction:
            await self._end(transaction, retry, cycle, refusal)
            if replayed is not None and replayed.is_refusal:
                await self._keep(transaction, retry, origin, replayed)
            elif refusal is not None:
                if is_outcome(refusal):
                    await self._keep(transaction, retry, origin, Answer.refusal(refusal))
            else:
                done = await self._collected(transaction, retry, cycle)
                await self._keep(transaction, retry, origin, _answer(done))
        if refusal is not None:
            raise refusal
        if replayed is not None and replayed.is_refusal:
            raise ReplayedRefusal(replayed.status())
        return done

    async def _end(
        self, transaction: Transaction, retry: _Retry, cycle: _Cycle, refusal: Refusal | None
    ) -> None:
        """End the attempt if the payment's own transaction has not, and the lease is this call's.

        If nothing was sent, this call never had a lease.
        """
        job = await self._locked(transaction, retry)
        if job.lease_owner == retry.owner and job.open_occurrence is not None:
            attempt = await read_attempt(transaction, job, cycle.attempt.now)
            await apply(transaction, attempt, after_charge(attempt, refusal))

    async def _keep(
        self, transaction: Transaction, retry: _Retry, origin: "_Origin", answer: Answer
    ) -> None:
        """Store the answer to the call in its record, which points to the payment."""
        if retry.call.sent_key is None or origin.payment_id is None:
            return
        await self._idempotency.keep_for_payment(
            transaction,
            business_id=retry.business_id,
            idempotency_key=retry.call.sent_key,
            payment_id=origin.payment_id,
            answer=answer,
        )
        retry.call.is_kept = True

    async def _collected(self, transaction: Transaction, retry: _Retry, cycle: _Cycle) -> Collected:
        occurrence = cycle.attempt.occurrence
        log = await log_store.log_of_attempt(
            transaction,
            occurrence.business_id,
            occurrence.recurring_id,
            occurrence.occurrence,
            occurrence.attempt,
        )
        assert log is not None, "an attempt that has ended is logged"
        return Collected(await self._locked(transaction, retry), log, retry.of_business)

    async def permit(self, transaction: Transaction, retry: _Retry, cycle: _Cycle) -> None:
        """Lease the job for the attempt, in the transaction that starts or resumes its payment.

        Raises:
            Refusal: CYCLE_IN_PROGRESS if the cycle is another one than when it was read.
        """
        try:
            now = await self._cycle(transaction, retry)
        except Replay:
            raise _changed() from None
        if now.key != cycle.key:
            raise _changed()
        if not now.is_repeated:
            await self.begin(transaction, retry, now)
        if (payment_id := now.attempt.occurrence.payment_id) is not None:
            await self._idempotency.point_to(transaction, retry.call, payment_id)

    async def note(
        self, transaction: Transaction, retry: _Retry, cycle: _Cycle, payment_id: str
    ) -> None:
        """Record the attempt's payment in its occurrence and in the record of the call.

        Raises:
            Refusal: CYCLE_IN_PROGRESS if the attempt is over.
        """
        job = await self._locked(transaction, retry)
        attempt = None
        if job.open_occurrence is not None:
            attempt = await read_attempt(transaction, job, cycle.attempt.now)
        if attempt is None or _Cycle(attempt).key != cycle.key:
            raise _changed()
        noted = replace(attempt.occurrence, payment_id=payment_id)
        await store.save_occurrence(transaction, noted)
        await self._idempotency.point_to(transaction, retry.call, payment_id)


@dataclass(slots=True)
class _Origin:
    """Ties a payment to the call, in the transactions that start or resume the payment."""

    retries: Retries
    retry: _Retry
    cycle: _Cycle
    payment_id: str | None = field(init=False)
    is_limited: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self.payment_id = self.cycle.attempt.occurrence.payment_id

    async def permit(self, transaction: Transaction) -> None:
        await self.retries.permit(transaction, self.retry, self.cycle)

    async def note(self, transaction: Transaction, payment_id: str) -> None:
        await self.retries.note(transaction, self.retry, self.cycle, payment_id)
        self.payment_id = payment_id


async def _check_not_stopped(transaction: Transaction, job: Job) -> None:
    found = await users_store.barriers(transaction, job.business_id, job.user_id)
    if found.stops.refuse_cycle("wallet"):
        raise payments_stopped()


def _answer(done: Collected | Refusal) -> Answer:
    if isinstance(done, Refusal):
        return Answer.refusal(done)
    return Answer.response(retry_response(done.job, done.log, done.of_business))


async def _begun_before(
    transaction: Transaction, job: Job, payment: Payment, now: datetime
) -> _Cycle:
    """Return the attempt that an earlier run of the call began with this payment.

    Raises:
        Refusal: it has no outcome, and may not be charged any more.
    """
    key = AttemptKey.of(payment)
    assert key is not None, "the call charged a recurring job"
    occurrence = await store.occurrence_at(transaction, job, key.occurrence)
    is_current = occurrence.status == "open" and occurrence.attempt == key.attempt
    if payment.status == "pending" and not (is_current and job.may_charge):
        if payment.attempt == "not_sent":
            raise _may_not_charge(job)
        raise outcome_unknown(payment.payment_id)
    occurrence = replace(occurrence, attempt=key.attempt, payment_id=payment.payment_id)
    return _Cycle(Attempt(job, occurrence, payment, now), is_repeated=True)


def _may_not_charge(job: Job) -> Refusal:
    return Refusal(
        Reason.ERROR_REASON_RECURRING_STATE,
        f"The recurring job is {job.status}; a cycle can be retried while the job is active, or "
        "after it has paused itself",
    )


def _changed() -> Refusal:
    return in_progress("The cycle has changed meanwhile")
