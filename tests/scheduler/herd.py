"""Several `nivisco scheduler` processes that are killed and paused at random."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable

from tests.processes import Running, Start, serving_line
from tests.scheduler.occurrences_core import TOKEN

LEASE_SECONDS = 3
_SKEWED = "tests.scheduler.skewed"


class Herd:
    """Schedulers as processes."""

    def __init__(self, start: Start, cores: str, *, skews: tuple[int, ...] = (0,)) -> None:
        """Plan schedulers of `cores`, with clocks ahead by each of `skews` (seconds) in turn."""
        self._start = start
        self._cores = cores
        self._skews = skews
        self._started = 0
        self.running: list[Running] = []
        self.done: Counter[str] = Counter()
        """How many were killed, paused and resumed."""

    def add(self, count: int = 1) -> None:
        """Start more."""
        for _ in range(count):
            skew = self._skews[self._started % len(self._skews)]
            self._started += 1
            self.running.append(
                self._start(
                    *("-m", _SKEWED, str(skew), "scheduler"),
                    *("--core", self._cores, "--http", "127.0.0.1:0"),
                    NIVISCO_SERVICE_TOKEN=TOKEN,
                    NIVISCO_SCHEDULER_LEASE_SECONDS=str(LEASE_SECONDS),
                    NIVISCO_SCHEDULER_POLL_SECONDS="0.1",
                    NIVISCO_SCHEDULER_CONCURRENCY="8",
                    NIVISCO_SCHEDULER_PER_BUSINESS="4",
                )
            )

    async def harass(self, chance: random.Random, is_over: Callable[[], Awaitable[bool]]) -> None:
        """Kill one, or pause one past its leases, repeatedly until it is over."""
        paused: list[tuple[float, Running]] = []
        clock = asyncio.get_running_loop().time
        while not await is_over():
            for until, process in list(paused):
                if until <= clock():
                    paused.remove((until, process))
                    os.kill(process.pid, signal.SIGCONT)
                    self.done["resumed"] += 1
            not_paused = [each for each in self.running if each not in [one for _, one in paused]]
            victim = chance.choice(not_paused)
            if chance.random() < 0.4:
                os.kill(victim.pid, signal.SIGKILL)
                victim.wait()
                self.running.remove(victim)
                self.add()
                self.done["killed"] += 1
            elif len(paused) < len(self.running) - 2:
                os.kill(victim.pid, signal.SIGSTOP)
                paused.append((clock() + LEASE_SECONDS * chance.uniform(1.1, 1.6), victim))
                self.done["paused"] += 1
            await asyncio.sleep(chance.uniform(0.1, 0.8))
        for _, process in paused:  # they find nothing left to do
            os.kill(process.pid, signal.SIGCONT)

    async def end(self) -> None:
        """Stop all gracefully."""
        for process in self.running:
            process.signal(signal.SIGTERM)
        for process in self.running:
            code = await asyncio.to_thread(process.wait)
            has_begun = serving_line("scheduler").search(process.printed)
            assert code == 0 or (code == -signal.SIGTERM and not has_begun), process.printed
            assert "Traceback" not in process.printed, process.printed
            assert TOKEN not in process.printed
