"""Executes claimed occurrences, each at most once, whichever process dies on the way.

A wallet is debited in the transaction that ends the attempt. A card is charged by PaymentsService
under the attempt's own idempotency key: the transaction that commits the payment's row locks the
job's row, checks that the job may still charge, and stores the payment's id in the occurrence.
Pause and cancel lock the same row, so no charge starts after them; and whoever executes the attempt
again resumes its payment, or reads its outcome.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from core.caller import Caller
from core.database.transactions import Database, Transaction
from core.due_work.failures import is_outage, record_failure
from core.due_work.store import JOBS
from core.errors import Reason, Refusal
from core.idempotency.call import IdempotentCall, Replay
from core.ids import new_wallet_transaction_id
from core.money import Amount, money_message
from core.payments.charge_request import ChargeRequest, Origin
from core.payments.service import PaymentsService
from core.recurring import log_store, store
from core.recurring.claims import Lease
from core.recurring.clock_store import JobClock
from core.recurring.following import AttemptKey
from core.recurring.occurrence_states import (
    CHARGED_MESSAGE,
    Attempt,
    End,
    after_charge,
    before_charge,
    failed,
)
from core.recurring.rules import Outcome, Status
from core.recurring.store import Job, Occurrence
from core.recurring.transitions import ExecutionResult, apply, end_paid, read_attempt
from core.stops import ALL
from core.users import store as users_store
from core.users.service import active_user
from core.wallet import ledger
from core.wallet import store as wallet_store
from core.wallet.batch import refusal_of
from core.wallet.rules import Direction, Movement, MovementRefusal


@dataclass(frozen=True, slots=True)
class PendingCharge:
    """An attempt whose card is to be charged, or whose payment is to be resumed."""

    lease: Lease
    attempt: Attempt


class Execution:
    """The use case ExecuteOccurrence."""

    def __init__(self, database: Database, payments: PaymentsService, clock: JobClock) -> None:
        """Read jobs from `database`, charge cards with `payments`, take the time from `clock`."""
        self._database = database
        self._payments = payments
        self._clock = clock

    async def execute(self, lease: Lease) -> ExecutionResult:
        """Make or resume the attempt of a claimed occurrence.

        An error of the job itself puts the job off, or sets it aside if it repeats.

        Raises:
            Refusal: RECURRING_STATE if the lease was lost.
        """
        try:
            async with self._database.transaction("recurring.execute") as transaction:
                started = await self.start(transaction, lease)
            return await self.charge(started) if isinstance(started, PendingCharge) else started
        except Exception as error:
            if not is_outage(error):
                key = (lease.business_id, lease.recurring_id)
                async with self._database.transaction("recurring.failed") as transaction:
                    await record_failure(transaction, JOBS, key, error)
            raise

    async def start(
        self, transaction: Transaction, lease: Lease
    ) -> ExecutionResult | PendingCharge:
        """Execute all but a card's charge, which needs more than one transaction.

        Raises:
            Refusal: RECURRING_STATE if the lease was lost.
        """
        attempt = await self._leased_attempt(transaction, lease)
        if result := await _end_if_paid(transaction, attempt):
            return result
        is_retry = attempt.occurrence.attempt > 1
        if attempt.occurrence.source == "wallet" or is_retry:  # a card's first: where it begins
            attempt = await _with_suspension(transaction, attempt)
        transition = before_charge(attempt)
        if transition is None:
            if attempt.occurrence.source != "wallet":
                return PendingCharge(lease, attempt)
            transition = End(await debit_wallet(transaction, attempt.job, attempt.occurrence))
        return await apply(transaction, attempt, transition)

    async def charge(self, pending: PendingCharge) -> ExecutionResult:
        """Charge the card, or resume its payment, and write what follows.

        Raises:
            Refusal: RECURRING_STATE if the lease was lost.
        """
        refusal: Refusal | None = None
        job = pending.attempt.job
        try:
            request = charge_request(pending.attempt, _AttemptOrigin(pending.lease))
            await self.cancel_earlier(pending.attempt, request)
            await self._payments.charge(Caller(job.business_id, job.env), request)
        except Replay:
            pass  # another executor was faster; the payment's row has the outcome
        except Refusal as refused:
            refusal = refused
        async with self._database.transaction("recurring.end") as transaction:
            if result := await _result_of(transaction, pending):
                return result
            attempt = await self._leased_attempt(transaction, pending.lease)
            if refusal is not None:
                attempt = await _with_suspension(transaction, attempt)
            return await apply(transaction, attempt, after_charge(attempt, refusal))

    async def cancel_earlier(self, attempt: Attempt, request: ChargeRequest) -> None:
        """Cancel the declined payments of a retry's earlier attempts at their gateway.

        So that no customer can complete one of them after the retry was charged with `request`. A
        retry that would be refused cancels nothing.

        Raises:
            Refusal: GATEWAY_UNAVAILABLE if it is not certain; CREDENTIALS_MISSING; or as
                PaymentsService.check.
        """
        job, occurrence = attempt.job, attempt.occurrence
        if occurrence.attempt == 1 or occurrence.payment_id is not None:
            return
        async with self._database.read() as transaction:
            payment_ids = await log_store.unpaid_payments(
                transaction, job.business_id, job.recurring_id, occurrence.occurrence
            )
        if payment_ids:
            await self._payments.check(Caller(job.business_id, job.env), request)
        for payment_id in payment_ids:
            await self._payments.cancel(job.business_id, payment_id)

    async def _leased_attempt(self, transaction: Transaction, lease: Lease) -> Attempt:
        job = await _leased_job(transaction, lease)
        now = await self._clock.now_for(transaction, job.business_id, job.env)
        return await read_attempt(transaction, job, now)


async def _with_suspension(transaction: Transaction, attempt: Attempt) -> Attempt:
    """Return an attempt that knows who is suspended, and whether its source is stopped."""
    job = attempt.job
    found = await users_store.barriers(transaction, job.business_id, job.user_id)
    is_stopped = found.stops.refuse_cycle(attempt.occurrence.source or ALL)
    return replace(attempt, suspended=found.suspended, is_stopped=is_stopped)


async def _end_if_paid(transaction: Transaction, attempt: Attempt) -> ExecutionResult | None:
    """End a retry that is not submitted, if an earlier payment of its cycle was charged."""
    occurrence = attempt.occurrence
    if occurrence.attempt == 1 or attempt.is_submitted:
        return None
    paid_by = await log_store.charged_payment(
        transaction, occurrence.business_id, occurrence.recurring_id, occurrence.occurrence
    )
    if paid_by is None:
        return None
    await end_paid(transaction, attempt, paid_by)
    return ExecutionResult(status=Status.SUCCEEDED)


async def _result_of(transaction: Transaction, pending: PendingCharge) -> ExecutionResult | None:
    """Return the result of an attempt that its payment has ended, or None if it is open."""
    job = pending.attempt.job
    log = await log_store.log_of_attempt(
        transaction,
        job.business_id,
        job.recurring_id,
        pending.lease.occurrence,
        pending.attempt.occurrence.attempt,
    )
    if log is None:
        return None
    now = await store.job_by_id(
        transaction, business_id=job.business_id, recurring_id=job.recurring_id
    )
    assert now is not None, "a job's row is never deleted"
    is_open = now.open_occurrence == pending.lease.occurrence
    return ExecutionResult(log.log_id, Status(log.status), now.due_at if is_open else None)


async def _leased_job(transaction: Transaction, lease: Lease) -> Job:
    """Lock and return the job of a lease.

    Raises:
        Refusal: RECURRING_STATE if the lease was lost or the occurrence has ended.
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
    return job


async def debit_wallet(transaction: Transaction, job: Job, occurrence: Occurrence) -> Outcome:
    """Debit the user's wallet and return the outcome."""
    try:
        user = await active_user(transaction, job.business_id, job.user_id)
    except Refusal as refusal:
        return failed(refusal)
    wallet = await wallet_store.wallet_of_user(
        transaction,
        business_id=job.business_id,
        user_id=job.user_id,
        env=job.env,
        currency=user.currency,
    )
    if wallet.currency != occurrence.currency:
        message = f"The wallet is in {wallet.currency}, the job in {occurrence.currency}"
        return Outcome(Status.FAILED, message)
    movement = Movement(
        business_id=job.business_id,
        wallet_id=wallet.wallet_id,
        transaction_id=new_wallet_transaction_id(),
        direction=Direction.DEBIT,
        amount_minor=occurrence.amount_minor,
        source="recurring",
        reason="recurring_charge",
        description=occurrence.description,
    )
    (result,) = await ledger.move(transaction, [movement])
    if isinstance(result, MovementRefusal):
        return Outcome(Status.DECLINED, refusal_of(result).message)
    return Outcome(Status.SUCCEEDED, CHARGED_MESSAGE, transaction_id=movement.transaction_id)


@dataclass(frozen=True, slots=True)
class _AttemptOrigin:
    """Ties a payment to its attempt, in the transactions that start or resume the payment."""

    lease: Lease
    is_limited: ClassVar[bool] = False
    """Its dunning limits how often a cycle is charged; no cycle is lost to others' declines."""

    async def permit(self, transaction: Transaction) -> None:
        job = await _leased_job(transaction, self.lease)
        if not job.may_charge:
            raise Refusal(Reason.ERROR_REASON_RECURRING_STATE, f"The recurring job is {job.status}")
        found = await users_store.barriers(transaction, job.business_id, job.user_id)
        if found.suspended is not None:
            raise Refusal(
                Reason.ERROR_REASON_RECURRING_STATE, f"The {found.suspended} is suspended"
            )

    async def note(self, transaction: Transaction, payment_id: str) -> None:
        job = await _leased_job(transaction, self.lease)
        occurrence = await store.open_occurrence(transaction, job)
        await store.save_occurrence(transaction, replace(occurrence, payment_id=payment_id))


def charge_request(attempt: Attempt, origin: Origin, *, is_asked: bool = False) -> ChargeRequest:
    """Return the charge of an attempt, under the attempt's own key; `is_asked` by a caller."""
    job, occurrence = attempt.job, attempt.occurrence
    key = str(AttemptKey(job.recurring_id, occurrence.occurrence, occurrence.attempt))
    return ChargeRequest(
        kind="charge",
        user_id=job.user_id,
        env=job.env,
        money=money_message(Amount(occurrence.amount_minor, occurrence.currency)),
        gateway=occurrence.source,
        description=occurrence.description,
        metadata=job.metadata,
        call=IdempotentCall(
            business_id=job.business_id,
            sent_key=key,
            key=f"key:{key}",
            action="ExecuteOccurrence",
            content=key.encode(),
            api_key_hash="",
        ),
        origin=origin,
        is_asked=is_asked,
    )
