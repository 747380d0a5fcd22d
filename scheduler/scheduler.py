"""Claims what is due, has the core execute it, and keeps the leases meanwhile; decides no rule.

Several of these need not know each other: what belongs to whom is the core's word. Time is that of
the monotonic clock alone, so a wrong date on this machine changes nothing.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter
from typing import Any

from ulid import ULID

from nivisco.internal.v1.occurrences_pb2 import OccurrenceLease
from rpc.errors import CoreError
from rpc.metadata import request_id
from scheduler.leases import Leases
from scheduler.metrics import Metrics
from scheduler.occurrences import Occurrences
from scheduler.settings import SchedulerSettings

MOST_CLAIMED = 1000
"""How many the core gives at once (ClaimDueOccurrencesRequest.limit)."""
LONGEST_PAUSE_SECONDS = 30.0
OPEN = "open"
"""What came of an occurrence that has no outcome yet."""
FAULT = "fault"
"""What came of one in a way that nobody foresaw."""
_LOST = "RECURRING_STATE"
_REFUSED = ("SERVICE_TOKEN_REQUIRED", "INVALID_CREDENTIALS")
_NOT_BELIEVED = (
    "the core refuses NIVISCO_SERVICE_TOKEN: it must be the token of scope scheduler in the core's "
    "NIVISCO_SERVICE_TOKENS"
)

logger = logging.getLogger("scheduler")


class Scheduler:
    """One scheduler, until it is told to stop."""

    def __init__(
        self, occurrences: Occurrences, settings: SchedulerSettings, metrics: Metrics
    ) -> None:
        """Make one that holds nothing yet."""
        self._occurrences = occurrences
        self._settings = settings
        self._metrics = metrics
        self._leases = Leases(settings.concurrency, settings.per_business)
        self._tasks: set[asyncio.Task[None]] = set()
        self._has_ended = asyncio.Event()
        self._failures = 0
        self._is_stopping = False

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then claim and begin nothing, and finish what is executed.

        What is not finished by the end of the drain's time, and what waits, is left to the leases:
        they run out, and another scheduler executes it, or learns what became of it.
        """
        claiming = asyncio.create_task(self._claim())
        renewing = asyncio.create_task(self._renew())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({claiming, renewing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in (claiming, renewing):
                if task.done():  # never by itself, but for a fault of ours
                    task.result()
            self._is_stopping = True
            self._metrics.is_ready = False
            await _cancelled(claiming)
            await self._drain()
        finally:
            self._is_stopping = True
            await _cancelled(claiming, renewing, stopping, *self._tasks)

    async def _drain(self) -> None:
        if not self._tasks:
            return
        logger.info("finishing what is executed", extra={"executing": len(self._tasks)})
        _, left = await asyncio.wait(self._tasks, timeout=self._settings.drain_seconds)
        if left:
            logger.warning("%d occurrences have no outcome yet and are left to the core", len(left))

    async def _claim(self) -> None:
        while True:
            asked = min(self._leases.room, MOST_CLAIMED)
            busy = self._leases.busy_businesses()
            began = time.monotonic()
            try:
                claimed = await self._claimed(asked, busy) if asked else []
            except CoreError as error:
                await self._back_off(error)
                continue
            except Exception as error:
                logger.exception("the claim failed")
                await self._back_off(error)
                continue
            self._leases.add(claimed, began + self._settings.lease_seconds)
            self._begin_what_may()
            per_business = Counter(lease.business_id for lease in claimed)
            most_of_one = max(per_business.values(), default=0)
            bound = min(asked, self._settings.per_business)
            await self._until_worth_asking(
                busy, has_more=len(claimed) == asked or most_of_one == bound
            )

    async def _claimed(self, asked: int, busy: set[str]) -> list[OccurrenceLease]:
        claimed = await self._occurrences.claim(
            asked, self._settings.per_business, self._settings.lease_seconds, busy
        )
        if not self._metrics.is_ready:
            logger.info("the core gives out what is due")
        self._failures = 0
        self._metrics.is_ready = True
        lag = max((self._lag_seconds(lease) for lease in claimed), default=0.0)
        self._metrics.claim_answered(len(claimed), max(0.0, lag))
        return claimed

    async def _until_worth_asking(self, left_out: set[str], *, has_more: bool) -> None:
        """Wait for the next question: the usual time, unless there is more and now room for it.

        `left_out` are the businesses that were not asked for, `has_more` tells whether the core may
        have more of the others.
        """
        least_room = max(1, self._settings.concurrency // 4)  # few claims of many, not many of one
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.poll_seconds):
                while not (
                    left_out - self._leases.busy_businesses()
                    or (has_more and self._leases.room >= least_room)
                ):
                    self._has_ended.clear()
                    await self._has_ended.wait()

    def _lag_seconds(self, lease: OccurrenceLease) -> float:
        """Return how long it was due when it was claimed; both moments are the core's."""
        expires, due = lease.expires_at, lease.occurrence_at
        until = (expires.seconds - due.seconds) + (expires.nanos - due.nanos) / 1e9
        return until - self._settings.lease_seconds

    async def _back_off(self, error: Exception) -> None:
        """Wait twice as long each time, with chance, so that many do not come back at once."""
        reason = error.reason if isinstance(error, CoreError) else FAULT
        self._metrics.is_ready = False
        self._metrics.failed_calls.labels(reason.lower()).inc()
        longest = min(self._settings.poll_seconds * 2**self._failures, LONGEST_PAUSE_SECONDS)
        if not self._failures:  # once, not with every try
            if reason in _REFUSED:
                logger.error(_NOT_BELIEVED)
            else:
                logger.warning("the core gives out nothing: %s", error, extra={"reason": reason})
        self._failures = min(self._failures + 1, 16)
        await asyncio.sleep(_by_chance(longest))

    def _begin_what_may(self) -> None:
        while not self._is_stopping and (lease := self._leases.take(time.monotonic())):
            task = asyncio.create_task(self._execute(lease))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._metrics.in_flight.set(self._leases.executing)
        self._metrics.waiting.set(self._leases.waiting)

    async def _execute(self, lease: OccurrenceLease) -> None:
        request_id.set(str(ULID()))
        try:
            outcome = await self._outcome(lease)
            self._metrics.executed.labels(outcome).inc()
        finally:
            self._leases.done(lease)
            self._begin_what_may()
            self._has_ended.set()

    async def _outcome(self, lease: OccurrenceLease) -> str:
        """Have the core execute it, and return what came of it in a word.

        What has no outcome is not tried again under this lease: it runs out, and whoever claims the
        occurrence then has the core find out what became of it.
        """
        about = {"business_id": lease.business_id, "recurring_id": lease.recurring_id}
        try:
            outcome = await self._occurrences.execute(lease)
        except CoreError as error:
            about["reason"] = error.reason
            if error.reason == _LOST:
                logger.info("not executed: %s", error, extra=about)
            else:
                logger.warning("no outcome yet: %s", error, extra=about)
            return error.reason.lower()
        except Exception:
            logger.exception("the execution failed", extra=about)
            return FAULT
        return outcome or OPEN

    async def _renew(self) -> None:
        third = self._settings.lease_seconds / 3
        pause = third
        while True:
            await asyncio.sleep(pause)
            pause = third
            began = time.monotonic()
            held = self._leases.held(began, waiting=not self._is_stopping)
            if not held:
                continue
            try:
                kept = await self._occurrences.renew(
                    held, self._settings.lease_seconds, timeout_seconds=third
                )
            except CoreError as error:
                logger.warning("leases are not renewed: %s", error, extra={"leases": len(held)})
                self._metrics.failed_calls.labels(error.reason.lower()).inc()
                pause = _by_chance(min(third, self._settings.poll_seconds))
            except Exception:
                logger.exception("renewing leases failed")
                self._metrics.failed_calls.labels(FAULT).inc()
            else:
                lost = self._leases.renewed(held, kept, began + self._settings.lease_seconds)
                if lost:
                    logger.warning("%d leases are another scheduler's by now", lost)
                    self._metrics.lost.inc(lost)


def _by_chance(longest_seconds: float) -> float:
    return longest_seconds * (0.5 + secrets.randbelow(1001) / 2000)


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
