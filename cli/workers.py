"""Several workers of one kind: restarted when one ends, and one after the other on SIGUSR2."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace

from cli.children import Child, Spawn, spawn
from cli.failures import Failure
from cli.foreground import until
from cli.parent_pipes import inherited_descriptors

_START_TIMEOUT_SECONDS = 60.0
_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 30.0
_STABLE_SECONDS = 60.0
"""A worker that ran for so long is restarted with the first backoff again."""

_logger = logging.getLogger("nivisco")


class Worker:
    """One worker's place: the child that fills it now, and its successors."""

    def __init__(
        self, spawned: Spawn, inherited: Sequence[int], address_variable: str | None
    ) -> None:
        """Plan a worker that inherits the descriptors `inherited`.

        `address_variable` gives successors the address that the first child listened on.
        """
        self.name = spawned.name
        self.address = ""
        """Where it serves; set by the first child."""
        self._spawned = spawned
        self._inherited = inherited
        self._address_variable = address_variable
        self._child: Child | None = None
        self._serving = asyncio.Event()
        self._is_restarting = False
        self._backoff_seconds = _FIRST_BACKOFF_SECONDS

    async def start(self) -> None:
        """Start a child and wait until it serves.

        Raises:
            Failure: it ended, or did not serve in time.
        """
        child = self._child = await spawn(self._spawned, self._inherited)
        _logger.info("worker started", extra={"worker": self.name, "worker_pid": child.pid})
        try:
            self.address = await asyncio.wait_for(child.until_ready(), _START_TIMEOUT_SECONDS)
        except TimeoutError:
            seconds = f"{_START_TIMEOUT_SECONDS:g}"
            raise Failure(f"The {self.name} does not serve after {seconds} s.") from None
        if self._address_variable is not None:
            settings = self._spawned.environment | {self._address_variable: self.address}
            self._spawned = replace(self._spawned, environment=settings)
        self._is_restarting = False
        self._serving.set()

    async def until_serving(self) -> None:
        """Wait until a child serves."""
        await self._serving.wait()

    async def keep_serving(self) -> None:
        """Start a new child whenever one ends, after a pause unless it was restarted."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            assert self._child is not None, "start() was called"
            await asyncio.wait({self._child.ended})
            self._serving.clear()
            if loop.time() - began > _STABLE_SECONDS:
                self._backoff_seconds = _FIRST_BACKOFF_SECONDS
            if not self._is_restarting:
                await self._back_off(self._child.how_it_ended())
            await self._start_until_serving()

    async def _start_until_serving(self) -> None:
        while True:
            await self.stop()  # closes the pipes of one that ended
            try:
                return await self.start()
            except Failure as failure:
                await self._back_off(failure)

    async def _back_off(self, failure: Failure) -> None:
        seconds = self._backoff_seconds
        self._backoff_seconds = min(seconds * 2, _LONGEST_BACKOFF_SECONDS)
        _logger.error(
            "worker ended, restarting",
            extra={"worker": self.name, "reason": failure.message, "retry_in_seconds": seconds},
        )
        await asyncio.sleep(seconds)

    async def restart(self) -> None:
        """Stop the child gracefully, and return when its successor serves."""
        self._serving.clear()
        self._is_restarting = True
        await self.stop()
        await self._serving.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send the child a signal."""
        if self._child is not None:
            self._child.signal(number)

    async def stop(self) -> None:
        """Stop the child gracefully, or kill it after its drain time."""
        if self._child is not None and not await self._child.stop():
            _logger.error("worker killed, it did not stop in time", extra={"worker": self.name})


class Workers:
    """All workers of one kind."""

    def __init__(
        self,
        spawned: Sequence[Spawn],
        *,
        inherited: Sequence[int] = (),
        address_variable: str | None = None,
        settle_seconds: float = 0.0,
    ) -> None:
        """Plan workers that inherit the descriptors `inherited`.

        A rolling restart waits `settle_seconds` between two workers. With `address_variable` each
        worker has its own address and keeps it.
        """
        descriptors = (*inherited_descriptors(), *inherited)
        self._workers = [Worker(each, descriptors, address_variable) for each in spawned]
        self._settle_seconds = settle_seconds
        self._restart_requested = asyncio.Event()

    async def serve(self, ready: Callable[[str], None], stop: asyncio.Event) -> None:
        """Serve until `stop` is set; `ready` gets all addresses, separated by commas.

        SIGUSR2 restarts the workers one after the other. SIGHUP is passed on to them.

        Raises:
            Failure: a worker did not start the first time; all are stopped by then.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR2, self._restart_requested.set)
        loop.add_signal_handler(signal.SIGHUP, self._signal_all, signal.SIGHUP)
        try:
            await until(stop, self._run(ready))
        finally:
            await asyncio.gather(*(worker.stop() for worker in self._workers))

    async def _run(self, ready: Callable[[str], None]) -> None:
        first, *others = self._workers
        await first.start()  # alone: it migrates, and reports what is wrong once
        await asyncio.gather(*(worker.start() for worker in others))
        ready(",".join(dict.fromkeys(worker.address for worker in self._workers)))
        await asyncio.gather(
            *(worker.keep_serving() for worker in self._workers), self._restart_on_request()
        )

    async def _restart_on_request(self) -> None:
        while True:
            await self._restart_requested.wait()
            self._restart_requested.clear()
            for worker in self._workers:
                await asyncio.gather(*(each.until_serving() for each in self._workers))
                _logger.info("restarting worker", extra={"worker": worker.name})
                await worker.restart()
                await asyncio.sleep(self._settle_seconds)
            _logger.info("rolling restart finished")

    def _signal_all(self, number: signal.Signals) -> None:
        for worker in self._workers:
            worker.signal(number)
