"""Lets time pass for a business's TEST jobs, and executes in order what falls due on the way."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.business import store as business_store
from core.database.transactions import Database, Transaction
from core.errors import InvalidFields, Reason, Refusal
from core.recurring import store
from core.recurring.claims import take
from core.recurring.cycles import Executed
from core.recurring.execution import Execution, ToCharge
from core.recurring.job_clock import JobClock

ADVANCE_SECONDS = 5.0
"""After how long a call stops at what it has reached."""
AT_ONCE = 50
"""So many occurrences of one job are executed in one transaction."""
_LEASE = timedelta(minutes=1)
_BEHIND_AT_MOST = timedelta(minutes=10)
"""A call that goes on may find that the time asked for has just passed."""
_OWNER = "test-clock"


@dataclass(frozen=True, slots=True)
class Advanced:
    """How far time went; the fields are those of the response."""

    now: datetime
    executed: int
    done: bool
    waits_for: str = ""


@dataclass(slots=True)
class _Reached:
    """What one transaction got to."""

    now: datetime
    executed: int = 0
    done: bool = False
    waits_for: str = ""
    to_charge: ToCharge | None = None


class TestClockAdvance:
    """The use case AdvanceTestClock."""

    def __init__(self, database: Database, execution: Execution, clock: JobClock) -> None:
        """Advance clocks in `database`, and have `execution` do what falls due."""
        self._database = database
        self._execution = execution
        self._clock = clock

    async def advance(self, business_id: str, to: datetime) -> Advanced:
        """Advance the clock step by step, from one due job to the next, for some seconds.

        Raises:
            Refusal: TEST_CLOCK_OFF.
            InvalidFields: there is no such business, or `to` lies before the clock's present.
        """
        if not self._clock.has_test_clocks:
            raise Refusal(
                Reason.ERROR_REASON_TEST_CLOCK_OFF,
                "This core has no test clock. Start it with NIVISCO_TEST_CLOCK=1, or "
                "`nivisco up --test-clock`; never where money is real.",
            )
        time = asyncio.get_running_loop().time
        give_up = time() + ADVANCE_SECONDS
        executed = 0
        while True:
            async with self._database.transaction() as transaction:
                reached = await self._some(transaction, business_id, to)
            if reached.to_charge is not None:
                ended = await self._execution.charge(reached.to_charge)
                if ended.status is None:
                    reached.waits_for = reached.to_charge.job.recurring_id
            executed += reached.executed
            if reached.done or reached.waits_for or time() >= give_up:
                return Advanced(reached.now, executed, reached.done, reached.waits_for)

    async def _some(self, transaction: Transaction, business_id: str, to: datetime) -> _Reached:
        """Advance to the next due job and execute it, and what else of it comes right after."""
        if await business_store.business_by_id(transaction, business_id) is None:
            raise InvalidFields.of("business_id", "is no business's")
        ahead = await store.clock_ahead(transaction, business_id=business_id, lock=True)
        reached = _Reached(now=transaction.now + ahead)
        if to < reached.now - _BEHIND_AT_MOST:
            raise InvalidFields.of(
                "advance_to",
                f"must not lie before the clock's present, {reached.now:%Y-%m-%dT%H:%M:%SZ}",
            )
        job_id = ""
        for _ in range(AT_ONCE):
            job = await store.next_test_job(transaction, business_id=business_id, to=to)
            if job is None:
                reached.now, reached.done = max(reached.now, to), True
                break
            # Other jobs in another transaction: locks of several wallets have another order.
            if job_id and job.recurring_id != job_id:
                break
            job_id = job.recurring_id
            if job.leased_until is not None and job.leased_until > transaction.now:
                reached.waits_for = job_id
                break
            assert job.due_at is not None, "it was found by that"
            reached.now = max(reached.now, job.due_at)
            await self._set(transaction, business_id, reached.now)
            ended = await self._one(transaction, job, reached)
            if ended is not None and ended.status is None:
                reached.waits_for = job_id
            if reached.to_charge is not None or reached.waits_for:
                break
        await self._set(transaction, business_id, reached.now)
        return reached

    async def _one(
        self, transaction: Transaction, job: store.Job, reached: _Reached
    ) -> Executed | None:
        """Execute one due job as far as one transaction goes; None: only that, or a skip."""
        leases = await take(transaction, [(job, reached.now)], _OWNER, transaction.now + _LEASE)
        if not leases:
            return None
        begun = await self._execution.begin(transaction, leases[0])
        reached.executed += 1
        if isinstance(begun, ToCharge):
            reached.to_charge = begun
            return None
        return begun

    async def _set(self, transaction: Transaction, business_id: str, now: datetime) -> None:
        await store.set_clock_ahead(
            transaction, business_id=business_id, ahead=now - transaction.now
        )
