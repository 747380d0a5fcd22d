"""Several workers of one kind: started, started anew when one ends, renewed one after the other.

It knows neither core nor adapter; what a worker is comes as a `Spawn`.
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace

from cli.children import Child, Spawn, spawn
from cli.failures import Failure
from cli.foreground import until
from cli.lifelines import held_descriptors

_START_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_LASTED_SECONDS = 60.0
"""After so long, a worker's end says nothing about the next one's."""

_logger = logging.getLogger("nivisco")


class Worker:
    """One place among the workers, and the child that has it at the time."""

    def __init__(self, spawned: Spawn, held: Sequence[int], address_variable: str | None) -> None:
        """Plan a worker; `address_variable` has all who come after the first listen where it did.

        Each inherits the descriptors `held`.
        """
        self.name = spawned.name
        self.address = ""
        """Where it serves, once it did."""
        self._spawned = spawned
        self._held = held
        self._address_variable = address_variable
        self._child: Child | None = None
        self._serving = asyncio.Event()
        self._to_renew = asyncio.Event()
        self._never = asyncio.Event()
        self._pause_seconds = _FIRST_PAUSE_SECONDS

    async def start(self) -> None:
        """Start the child and wait until it serves.

        Raises:
            Failure: it ended, or does not serve in time.
        """
        child = self._child = await spawn(self._spawned, self._held)
        _logger.info("started %s", self.name, extra={"pid": child.pid})
        try:
            line = await asyncio.wait_for(asyncio.shield(child.ready), _START_SECONDS)
        except TimeoutError:
            raise Failure(f"The {self.name} does not serve after {_START_SECONDS:g} s.") from None
        if not line:  # its pipe ended, and so does the child in a moment
            await asyncio.shield(child.ended)
            raise child.how_it_ended()
        self.address = line
        if self._address_variable is not None:
            settings = self._spawned.environment | {self._address_variable: line}
            self._spawned = replace(self._spawned, environment=settings)
        self._to_renew.clear()  # whoever asked meanwhile gets this one
        self._serving.set()

    async def until_serving(self) -> None:
        """Wait until a child serves here."""
        await self._serving.wait()

    async def keep(self) -> None:
        """Have a child serve here for good: when one ends, start another."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            assert self._child is not None, "started before"
            asked = asyncio.create_task(self._to_renew.wait())
            await asyncio.wait({self._child.ended, asked}, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            self._serving.clear()
            if loop.time() - began > _LASTED_SECONDS:
                self._pause_seconds = _FIRST_PAUSE_SECONDS
            if self._child.ended.done():
                await self._pause_after(self._child.how_it_ended())
            await self._child.stop(self._never)
            await self._start_anew()

    async def _start_anew(self) -> None:
        while True:
            try:
                await self.start()
            except Failure as failure:
                await self._pause_after(failure)
                await self.stop()
            else:
                return

    async def _pause_after(self, failure: Failure) -> None:
        seconds, self._pause_seconds = (
            self._pause_seconds,
            min(self._pause_seconds * 2, _LONGEST_PAUSE_SECONDS),
        )
        _logger.error("%s Another one starts in %g s.", failure.message, seconds)
        await asyncio.sleep(seconds)

    async def renew(self) -> None:
        """Have the child end in order, and return when another one serves in its place."""
        self._serving.clear()
        self._to_renew.set()
        await self._serving.wait()

    def pass_on(self, number: signal.Signals) -> None:
        """Send the child a signal."""
        if self._child is not None:
            self._child.signal(number)

    async def stop(self) -> None:
        """Have the child end in order, or kill it when it takes too long."""
        if self._child is not None and not await self._child.stop(self._never):
            _logger.error("%s did not end and was killed", self.name)


class Workers:
    """All workers of one kind."""

    def __init__(
        self,
        spawned: Sequence[Spawn],
        *,
        held: Sequence[int] = (),
        address_variable: str | None = None,
        settle_seconds: float = 0.0,
    ) -> None:
        """Plan workers that inherit `held`; `settle_seconds` lie between two that are renewed.

        Where `address_variable` is given, each worker has an address of its own and keeps it.
        """
        descriptors = (*held_descriptors(), *held)
        self._workers = [Worker(each, descriptors, address_variable) for each in spawned]
        self._settle_seconds = settle_seconds
        self._to_renew = asyncio.Event()

    async def serve(self, ready: Callable[[str], None], stop: asyncio.Event) -> None:
        """Serve until `stop` is set; `ready` gets all addresses, with commas between.

        SIGUSR2 renews the workers one after the other, SIGHUP is passed on to them.

        Raises:
            Failure: a worker did not start in the beginning; all are stopped by then.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR2, self._to_renew.set)
        loop.add_signal_handler(signal.SIGHUP, self._pass_on, signal.SIGHUP)
        try:
            await until(stop, self._run(ready))
        finally:
            await asyncio.gather(*(worker.stop() for worker in self._workers))

    async def _run(self, ready: Callable[[str], None]) -> None:
        first, *others = self._workers
        await first.start()  # alone: it migrates, and says so if something is wrong
        await asyncio.gather(*(worker.start() for worker in others))
        ready(",".join(dict.fromkeys(worker.address for worker in self._workers)))
        await asyncio.gather(*(worker.keep() for worker in self._workers), self._renew_when_asked())

    async def _renew_when_asked(self) -> None:
        while True:
            await self._to_renew.wait()
            self._to_renew.clear()
            for worker in self._workers:
                await asyncio.gather(*(each.until_serving() for each in self._workers))
                _logger.info("renewing %s", worker.name)
                await worker.renew()
                await asyncio.sleep(self._settle_seconds)
            _logger.info("all workers are renewed")

    def _pass_on(self, number: signal.Signals) -> None:
        for worker in self._workers:
            worker.pass_on(number)
