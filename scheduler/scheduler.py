"""Claims due occurrences, calls the core to execute them, and renews their leases meanwhile.

Any number of schedulers may run without knowing of each other: the core decides who holds a lease.
Only the monotonic clock is used, so a wrong date on this machine changes nothing. A lease here:

    state      event                           next state
    -          claimed                         waiting
    waiting    its turn, and room              in flight
    waiting    expired, or renewal refused     - (another scheduler may claim it)
    in flight  executed, whatever the outcome  -
    in flight  renewal refused                 in flight (the core refuses or ignores this one)
    in flight  no outcome by the end of drain  - (it expires, and another scheduler resolves it)
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
from rpc import tracing
from rpc.errors import CoreError
from rpc.metadata import request_id
from scheduler.leases import Leases
from scheduler.metrics import Metrics
from scheduler.occurrences import Occurrences
from scheduler.settings import SchedulerSettings

MAX_CLAIM = 1000
"""The largest ClaimDueOccurrencesRequest.limit that the core accepts."""
MAX_BACKOFF_SECONDS = 30.0
OPEN = "open"
"""The outcome label of an execution without an outcome yet."""
FAULT = "fault"
"""The outcome label of an unexpected exception."""
_LEASE_LOST = "RECURRING_STATE"
_TOKEN_REFUSED = ("SERVICE_TOKEN_REQUIRED", "INVALID_CREDENTIALS")

logger = logging.getLogger("scheduler")


class Scheduler:
    """One scheduler."""

    def __init__(
        self, occurrences: Occurrences, settings: SchedulerSettings, metrics: Metrics
    ) -> None:
        """Begin without leases."""
        self._occurrences = occurrences
        self._settings = settings
        self._metrics = metrics
        self._leases = Leases(settings.concurrency, settings.per_business)
        self._tasks: set[asyncio.Task[None]] = set()
        self._has_ended = asyncio.Event()
        """Set when an execution ended."""
        self._failures = 0
        self._is_stopping = False

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then start nothing more, and drain what is in flight.

        Leases that wait, or are in flight after the drain time, expire: another scheduler then
        executes the occurrence or resolves its outcome.
        """
        claiming = asyncio.create_task(self._claim_forever())
        renewing = asyncio.create_task(self._renew_forever())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({claiming, renewing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in (claiming, renewing):
                if task.done():  # only after a bug
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
        logger.info("draining", extra={"in_flight": len(self._tasks)})
        _, unfinished = await asyncio.wait(self._tasks, timeout=self._settings.drain_seconds)
        if unfinished:
            logger.warning(
                "drain timed out, unfinished occurrences are left to the core",
                extra={"in_flight": len(unfinished)},
            )

    async def _claim_forever(self) -> None:
        while True:
            limit = min(self._leases.room, MAX_CLAIM)
            busy = self._leases.busy_businesses()
            began = time.monotonic()
            try:
                claimed = await self._claim(limit, busy) if limit else []
            except CoreError as error:
                await self._back_off(error)
                continue
            except Exception as error:
                logger.exception("claim failed unexpectedly")
                await self._back_off(error)
                continue
            self._leases.add(claimed, began + self._settings.lease_seconds)
            self._begin_executions()
            per_business = Counter(lease.business_id for lease in claimed)
            most_of_one = max(per_business.values(), default=0)
            bound = min(limit, self._settings.per_business)
            await self._until_next_claim(
                busy, has_more=len(claimed) == limit or most_of_one == bound
            )

    async def _claim(self, limit: int, busy: set[str]) -> list[OccurrenceLease]:
        claimed = await self._occurrences.claim(
            limit, self._settings.per_business, self._settings.lease_seconds, busy
        )
        if not self._metrics.is_ready:
            logger.info("claim succeeded, scheduler is ready")
        self._failures = 0
        self._metrics.is_ready = True
        lag = max((self._lag_seconds(lease) for lease in claimed), default=0.0)
        self._metrics.record_claim(len(claimed), max(0.0, lag))
        return claimed

    async def _until_next_claim(self, excluded: set[str], *, has_more: bool) -> None:
        """Wait `poll_seconds`, or less if the core may have more and there is room for it.

        `excluded` are the businesses that the last claim excluded, `has_more` says whether the core
        may have more of the others.
        """
        least_room = max(1, self._settings.concurrency // 4)  # few large claims, not many of one
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.poll_seconds):
                while not (
                    excluded - self._leases.busy_businesses()
                    or (has_more and self._leases.room >= least_room)
                ):
                    self._has_ended.clear()
                    await self._has_ended.wait()

    def _lag_seconds(self, lease: OccurrenceLease) -> float:
        """Return how long the occurrence was due when claimed; both times are the core's."""
        expires, due = lease.expires_at, lease.occurrence_at
        until = (expires.seconds - due.seconds) + (expires.nanos - due.nanos) / 1e9
        return until - self._settings.lease_seconds

    async def _back_off(self, error: Exception) -> None:
        """Wait, twice as long each time, with jitter. Only the first failure in a row is logged."""
        reason = error.reason if isinstance(error, CoreError) else FAULT
        self._metrics.is_ready = False
        self._metrics.failed_calls.labels(reason.lower()).inc()
        longest = min(self._settings.poll_seconds * 2**self._failures, MAX_BACKOFF_SECONDS)
        seconds = _jittered(longest)
        if not self._failures:
            about = {"reason": reason, "error": str(error), "retry_in_seconds": round(seconds, 3)}
            if reason in _TOKEN_REFUSED:
                logger.error(
                    "claim refused, NIVISCO_SERVICE_TOKEN must be the token of scope scheduler in "
                    "the core's NIVISCO_SERVICE_TOKENS",
                    extra=about,
                )
            else:
                logger.warning("claim failed, retrying", extra=about)
        self._failures = min(self._failures + 1, 16)
        await asyncio.sleep(seconds)

    def _begin_executions(self) -> None:
        while not self._is_stopping and (lease := self._leases.take(time.monotonic())):
            task = asyncio.create_task(self._execute(lease))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._metrics.in_flight.set(self._leases.in_flight)
        self._metrics.waiting.set(self._leases.waiting)

    async def _execute(self, lease: OccurrenceLease) -> None:
        request_id.set(str(ULID()))
        span, outcome = tracing.begin("execute_occurrence"), FAULT
        try:
            outcome = await self._outcome(lease)
            self._metrics.executed.labels(outcome).inc()
        finally:
            if span is not None:
                span.end(is_error=outcome == FAULT, outcome=outcome)
            self._leases.done(lease)
            self._begin_executions()
            self._has_ended.set()

    async def _outcome(self, lease: OccurrenceLease) -> str:
        """Execute the occurrence and return the outcome label.

        An execution without an outcome is not retried under this lease: it expires, and after the
        next claim the core resolves the outcome.
        """
        about = {"business_id": lease.business_id, "recurring_id": lease.recurring_id}
        try:
            outcome = await self._occurrences.execute(lease)
        except CoreError as error:
            about |= {"reason": error.reason, "error": str(error)}
            if error.reason == _LEASE_LOST:
                logger.info("execution refused, the lease is lost", extra=about)
            else:
                logger.warning("execution has no outcome yet", extra=about)
            return error.reason.lower()
        except Exception:
            logger.exception("execution failed unexpectedly", extra=about)
            return FAULT
        return outcome or OPEN

    async def _renew_forever(self) -> None:
        third = self._settings.lease_seconds / 3
        pause = third
        while True:
            await asyncio.sleep(pause)
            pause = third
            began = time.monotonic()
            leases = self._leases.unexpired(began, waiting=not self._is_stopping)
            if not leases:
                continue
            try:
                kept = await self._occurrences.renew(
                    leases, self._settings.lease_seconds, timeout_seconds=third
                )
            except CoreError as error:
                pause = _jittered(min(third, self._settings.poll_seconds))
                logger.warning(
                    "lease renewal failed, retrying",
                    extra={
                        "reason": error.reason,
                        "error": str(error),
                        "leases": len(leases),
                        "retry_in_seconds": round(pause, 3),
                    },
                )
                self._metrics.failed_calls.labels(error.reason.lower()).inc()
            except Exception:
                logger.exception("lease renewal failed unexpectedly")
                self._metrics.failed_calls.labels(FAULT).inc()
            else:
                lost = self._leases.renewed(leases, kept, began + self._settings.lease_seconds)
                if lost:
                    logger.warning("leases lost to another scheduler", extra={"leases": lost})
                    self._metrics.lost.inc(lost)


def _jittered(longest_seconds: float) -> float:
    """Return a random time between half and all of it, so that retries do not coincide."""
    return longest_seconds * (0.5 + secrets.randbelow(1001) / 2000)


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
