"""A scheduler in the driver: claims, renews and executes occurrences, whichever core serves."""

import asyncio
from contextlib import suppress

from nivisco.internal.v1.occurrences_pb2 import OccurrenceLease
from rpc.errors import CoreError
from scheduler.occurrences import Occurrences
from tests.core.running import SCHEDULER_TOKEN
from tests.prove.environment import CALL_SECONDS, Environment

POLL_SECONDS = 0.03
LEASE_SECONDS = 6.0
LIMIT = 10
IDLE_POLLS = 3
PATIENCE_SECONDS = 30.0


class Scheduler:
    """Claims what is due, and executes each occurrence once under its lease."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._in_flight: dict[asyncio.Task[None], OccurrenceLease] = {}
        self._empty_polls = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Claim from now on."""
        self._task = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        """Claim and execute no more."""
        for task in (*self._in_flight, *([self._task] if self._task else [])):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._task = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing was due lately and nothing is executed."""
        return self._task is None or self._empty_polls >= IDLE_POLLS

    async def until_idle(self) -> None:
        """Wait until nothing is due and nothing is executed."""
        self._empty_polls = 0
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self._task is not None and self._empty_polls < IDLE_POLLS:
                if self._task.done():
                    self._task.result()
                await asyncio.sleep(POLL_SECONDS)

    async def _run(self) -> None:
        while True:
            core = await self._environment.serving()
            occurrences = Occurrences(
                core.client, SCHEDULER_TOKEN, "prove", timeout_seconds=CALL_SECONDS
            )
            with suppress(CoreError):
                leases = await occurrences.claim(LIMIT, LIMIT, LEASE_SECONDS, ())
                for lease in leases:
                    self._environment.note(f"{lease.recurring_id} claimed", who="scheduler")
                    task = asyncio.ensure_future(self._execute(occurrences, lease))
                    self._in_flight[task] = lease
                    task.add_done_callback(self._in_flight.pop)
                self._empty_polls = 0 if leases or self._in_flight else self._empty_polls + 1
                if held := [*self._in_flight.values()]:
                    await occurrences.renew(held, LEASE_SECONDS, timeout_seconds=CALL_SECONDS)
            await asyncio.sleep(POLL_SECONDS)

    async def _execute(self, occurrences: Occurrences, lease: OccurrenceLease) -> None:
        try:
            outcome = await occurrences.execute(lease) or "open"
        except CoreError as error:
            outcome = error.reason
        self._environment.note(f"{lease.recurring_id} {outcome}", who="scheduler")
