"""Executes claimed occurrences, each at most once, whatever dies on the way.

A wallet is debited in the transaction that ends the attempt. A card is charged by PaymentsService,
under a key that is the attempt's own: the transaction that commits the payment's row holds the
job's row too, looks whether the job may still charge, and notes the payment in the occurrence.
Pause and cancel hold the same row, so after them no charge starts; and whoever executes the
attempt again goes on with its payment, or reads what became of it.
"""

from dataclasses import dataclass, replace

from core.caller import Caller
from core.database.transactions import Database, Transaction
from core.errors import Reason, Refusal
from core.idempotency.call import IdempotentCall, Replay
from core.money import Amount, money_message
from core.payments.charge_request import ChargeRequest
from core.payments.service import PaymentsService
from core.recurring import attempt_outcome, store
from core.recurring.claims import Lease
from core.recurring.cycles import (
    Executed,
    end_attempt,
    following,
    is_submitted,
    look_later,
    payment_of,
    stop_cycle,
)
from core.recurring.job_clock import JobClock
from core.recurring.rules import Outcome, Status
from core.recurring.store import Job, Occurrence

_NEVER_REACHED = Outcome(
    Status.FAILED, "The gateway could not be reached until the next cycle was due; not charged"
)
_NEXT_IS_DUE = Outcome(Status.SKIPPED, "Not tried again: the next cycle is due")


@dataclass(frozen=True, slots=True)
class ToCharge:
    """An attempt whose card is to be charged, or whose payment is to be gone on with."""

    lease: Lease
    job: Job
    occurrence: Occurrence


class Execution:
    """The use case ExecuteOccurrence."""

    def __init__(self, database: Database, payments: PaymentsService, clock: JobClock) -> None:
        """Keep jobs in `database`, charge cards by `payments`, at the time that `clock` tells."""
        self._database = database
        self._payments = payments
        self._clock = clock

    async def execute(self, lease: Lease) -> Executed:
        """Carry a claimed occurrence's attempt out, or go on with it.

        Raises:
            Refusal: RECURRING_STATE where the lease is lost.
        """
        async with self._database.transaction() as transaction:
            begun = await self.begin(transaction, lease)
        if isinstance(begun, Executed):
            return begun
        return await self.charge(begun)

    async def begin(self, transaction: Transaction, lease: Lease) -> Executed | ToCharge:
        """Do all that one transaction can: only a card's charge takes more.

        Raises:
            Refusal: RECURRING_STATE where the lease is lost.
        """
        job, occurrence = await held(transaction, lease)
        now = await self._clock.now_for(transaction, job.business_id, job.env)
        payment = await payment_of(transaction, occurrence)
        outcome = attempt_outcome.of_payment(payment)
        if outcome is None and occurrence.attempt > 1 and not is_submitted(payment):
            upcoming = following(job, occurrence)
            outcome = _NEXT_IS_DUE if upcoming is not None and upcoming <= now else None
        if outcome is None and job.status == "active":
            if occurrence.source != "wallet":
                return ToCharge(lease, job, occurrence)
            outcome = await attempt_outcome.of_wallet(transaction, job, occurrence)
        if outcome is None:
            return await self._of_stopped(transaction, job, occurrence)
        return await end_attempt(transaction, job, occurrence, outcome, now)

    async def charge(self, attempt: ToCharge) -> Executed:
        """Charge the card, or learn what became of it, and write that down.

        Raises:
            Refusal: RECURRING_STATE where the lease is lost.
        """
        refusal: Refusal | None = None
        caller = Caller(attempt.job.business_id, attempt.job.env)
        try:
            await self._payments.charge(caller, _request(attempt))
        except Replay:
            pass  # another executor was faster, and the payment's row tells
        except Refusal as refused:
            refusal = refused
        async with self._database.transaction() as transaction:
            return await self._conclude(transaction, attempt.lease, refusal)

    async def _conclude(
        self, transaction: Transaction, lease: Lease, refusal: Refusal | None
    ) -> Executed:
        job, occurrence = await held(transaction, lease)
        now = await self._clock.now_for(transaction, job.business_id, job.env)
        payment = await payment_of(transaction, occurrence)
        outcome = attempt_outcome.of_payment(payment, refusal)
        if outcome is None and job.status != "active":
            return await self._of_stopped(transaction, job, occurrence)
        if outcome is None and is_submitted(payment):
            # Whatever else this call was refused for: what was sent before has its own outcome.
            return await look_later(transaction, job, occurrence, now)
        if outcome is None and refusal is not None and not attempt_outcome.is_open(refusal):
            outcome = attempt_outcome.of_refusal(refusal, occurrence.payment_id)
        if outcome is None:
            upcoming = following(job, occurrence)
            outcome = _NEVER_REACHED if upcoming is not None and upcoming <= now else None
        if outcome is None:
            return await look_later(transaction, job, occurrence, now)
        return await end_attempt(transaction, job, occurrence, outcome, now)

    async def _of_stopped(
        self, transaction: Transaction, job: Job, occurrence: Occurrence
    ) -> Executed:
        """Leave a job's last charge to the sweep while it is open; end what never began."""
        now = await self._clock.now_for(transaction, job.business_id, job.env)
        if is_submitted(await payment_of(transaction, occurrence)):
            return await look_later(transaction, job, occurrence, now)
        why = f"The job was {job.status} before anything was charged"
        stopped, executed = await stop_cycle(transaction, job, occurrence, why, now)
        await store.save_job(transaction, stopped)
        return executed


async def held(transaction: Transaction, lease: Lease) -> tuple[Job, Occurrence]:
    """Return a leased job and its open occurrence, and hold the job's row.

    Raises:
        Refusal: RECURRING_STATE where the lease was lost, or the occurrence has ended.
    """
    job = await store.job_by_id(
        transaction, business_id=lease.business_id, recurring_id=lease.recurring_id
    )
    if (
        job is None
        or job.fencing_token != lease.fencing_token
        or job.lease_owner is None
        or job.open_occurrence != lease.occurrence
    ):
        raise Refusal(
            Reason.ERROR_REASON_RECURRING_STATE,
            "The lease on this occurrence is over: it has ended, or another scheduler has it",
        )
    return job, await store.occurrence_of(transaction, job)


@dataclass(frozen=True, slots=True)
class _AttemptOrigin:
    """Ties a payment to its attempt, in the transactions that begin or resume the payment."""

    lease: Lease

    async def permit(self, transaction: Transaction) -> None:
        job, _ = await held(transaction, self.lease)
        if job.status != "active":
            raise Refusal(Reason.ERROR_REASON_RECURRING_STATE, f"The recurring job is {job.status}")

    async def note(self, transaction: Transaction, payment_id: str) -> None:
        _, occurrence = await held(transaction, self.lease)
        await store.save_occurrence(transaction, replace(occurrence, payment_id=payment_id))


def _request(attempt: ToCharge) -> ChargeRequest:
    job, occurrence = attempt.job, attempt.occurrence
    key = attempt_key(occurrence)
    return ChargeRequest(
        kind="charge",
        user_id=job.user_id,
        env=job.env,
        money=money_message(Amount(occurrence.amount_minor, occurrence.currency)),
        gateway=occurrence.source,
        description=occurrence.description,
        call=IdempotentCall(
            business_id=job.business_id,
            sent_key=key,
            key=f"key:{key}",
            action="ExecuteOccurrence",
            content=key.encode(),
            api_key_hash="",
        ),
        origin=_AttemptOrigin(attempt.lease),
    )


def attempt_key(occurrence: Occurrence) -> str:
    """Return an attempt's idempotency key, which no caller's can equal: theirs are ASCII."""
    moment = int(occurrence.occurrence.timestamp())
    return f"§{occurrence.recurring_id}/{moment}/{occurrence.attempt}"
