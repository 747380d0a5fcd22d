"""Advances the test clock of a business, and executes its TEST jobs in the order they fall due."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.business import store as business_store
from core.database.transactions import Database, Transaction
from core.errors import InvalidFields, Reason, Refusal
from core.recurring import store
from core.recurring.claims import lease_jobs
from core.recurring.clock_store import JobClock, advance_clock, clock_offset
from core.recurring.execution import Execution, PendingCharge
from core.recurring.transitions import ExecutionResult

CALL_SECONDS = 5.0
"""After this time a call returns with the time that it has reached."""
ATTEMPTS_PER_TRANSACTION = 50
_LEASE = timedelta(minutes=1)
_BEHIND_MAX = timedelta(minutes=10)
"""A repeated call may find that its target time has just passed, by at most this much."""
_OWNER = "test-clock"


@dataclass(slots=True)
class Progress:
    """What one transaction, or one call, reached; the fields are those of the response."""

    current_time: datetime
    attempt_count: int = 0
    done: bool = False
    waiting_for_recurring_id: str = ""
    pending_charge: PendingCharge | None = None
    """A card to charge outside of the transaction."""


class TestClockService:
    """The use case AdvanceTestClock."""

    def __init__(self, database: Database, execution: Execution, clock: JobClock) -> None:
        """Advance clocks in `database`, and execute due occurrences with `execution`."""
        self._database = database
        self._execution = execution
        self._clock = clock

    async def advance(self, business_id: str, to: datetime) -> Progress:
        """Advance the clock from one due job to the next, for at most CALL_SECONDS.

        Raises:
            Refusal: TEST_CLOCK_OFF.
            InvalidFields: there is no such business, or `to` is before the clock's current time.
        """
        if not self._clock.has_test_clocks:
            raise Refusal(
                Reason.ERROR_REASON_TEST_CLOCK_OFF,
                "This core has no test clock. Start it with NIVISCO_TEST_CLOCK=1, or "
                "`nivisco up --test-clock`; never where money is real.",
            )
        time = asyncio.get_running_loop().time
        deadline = time() + CALL_SECONDS
        attempt_count = 0
        while True:
            async with self._database.transaction() as transaction:
                progress = await self._advance_one_job(transaction, business_id, to)
            if progress.pending_charge is not None:
                result = await self._execution.charge(progress.pending_charge)
                if result.status is None:
                    job = progress.pending_charge.attempt.job
                    progress.waiting_for_recurring_id = job.recurring_id
            attempt_count += progress.attempt_count
            if progress.done or progress.waiting_for_recurring_id or time() >= deadline:
                progress.attempt_count = attempt_count
                return progress

    async def _advance_one_job(
        self, transaction: Transaction, business_id: str, to: datetime
    ) -> Progress:
        """Advance to the next due job, and execute its occurrences up to the next job's."""
        if await business_store.business_by_id(transaction, business_id) is None:
            raise InvalidFields.of("business_id", "is no business's")
        offset = await clock_offset(transaction, business_id=business_id, lock=True)
        progress = Progress(current_time=transaction.now + offset)
        if to < progress.current_time - _BEHIND_MAX:
            present = f"{progress.current_time:%Y-%m-%dT%H:%M:%SZ}"
            raise InvalidFields.of(
                "advance_to", f"must not lie before the clock's present, {present}"
            )
        job_id = ""
        for _ in range(ATTEMPTS_PER_TRANSACTION):
            job = await store.first_due_test_job(transaction, business_id=business_id, until=to)
            if job is None:
                progress.current_time, progress.done = max(progress.current_time, to), True
                break
            # One job per transaction: wallets of several jobs would be locked in another order.
            if job_id and job.recurring_id != job_id:
                break
            job_id = job.recurring_id
            if job.leased_until is not None and job.leased_until > transaction.now:
                progress.waiting_for_recurring_id = job_id
                break
            assert job.due_at is not None, "the job was selected by its due time"
            progress.current_time = max(progress.current_time, job.due_at)
            await self._save(transaction, business_id, progress.current_time)
            result = await self._execute(transaction, job, progress)
            if result is not None and result.status is None:
                progress.waiting_for_recurring_id = job_id
            if progress.pending_charge is not None or progress.waiting_for_recurring_id:
                break
        await self._save(transaction, business_id, progress.current_time)
        return progress

    async def _execute(
        self, transaction: Transaction, job: store.Job, progress: Progress
    ) -> ExecutionResult | None:
        """Execute a due job as far as this transaction can.

        Returns None if the job was only skipped, or if its card is to be charged.
        """
        until = transaction.now + _LEASE
        leases = await lease_jobs(transaction, [(job, progress.current_time)], _OWNER, until)
        if not leases:
            return None
        started = await self._execution.start(transaction, leases[0])
        progress.attempt_count += 1
        if isinstance(started, PendingCharge):
            progress.pending_charge = started
            return None
        return started

    async def _save(self, transaction: Transaction, business_id: str, now: datetime) -> None:
        await advance_clock(transaction, business_id=business_id, offset=now - transaction.now)
