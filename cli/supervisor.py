"""Starts children one by one, waits with them, stops them in reverse; decides no setting."""

import asyncio
import logging
import signal
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from cli.addresses import Address
from cli.children import Child, Spawn, spawn
from cli.failures import Failure
from cli.first_screen import say

Result = TypeVar("Result")

_logger = logging.getLogger("nivisco")


class Interrupted(Exception):
    """A person, or the system, asked for the end."""


class Supervisor:
    """The children that run, oldest first, and what was asked for."""

    def __init__(self, held: Sequence[int], start_timeout_seconds: float) -> None:
        """Make one without children; each will inherit the descriptors `held`."""
        self._held = held
        self._start_timeout_seconds = start_timeout_seconds
        self._children: list[Child] = []
        self._stop = asyncio.Event()
        self._at_once = asyncio.Event()

    def take_signals(self) -> None:
        """Have Ctrl-C, SIGTERM and the terminal's end stop this; a second one, at once.

        SIGUSR2 is passed on to the children with several workers.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        loop.add_signal_handler(signal.SIGUSR2, self._renew_workers)

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._at_once.set()
        self._stop.set()

    def _renew_workers(self) -> None:
        those = [child for child in self._children if child.has_workers]
        for child in those:
            child.signal(signal.SIGUSR2)
        names = " and ".join(child.name for child in those) or "nobody: --workers is 1"
        _logger.info("SIGUSR2 renews the workers of %s", names)

    async def start(self, what: Spawn) -> list[Address]:
        """Start a child, and return where it serves once it does: several workers, each its own.

        Raises:
            Interrupted: the end was asked for meanwhile.
            Failure: it, or one started before, ended; or it was not ready in time.
        """
        say(f"  start   {what.name}")
        child = await spawn(what, self._held)
        self._children.append(child)
        _logger.info("started %s", child.name, extra={"pid": child.pid})
        addresses = await self.unless_interrupted(self._ready(child), f"the {what.name}")
        say(f"  ready   {what.name} at {', '.join(map(str, addresses))}")
        return addresses

    async def _ready(self, child: Child) -> list[Address]:
        line = await asyncio.shield(child.ready)
        if not line:  # its pipe ended, and so does the child in a moment
            await asyncio.shield(child.ended)
            raise child.how_it_ended()
        return [Address.parse(each) for each in line.split(",")]

    async def unless_interrupted(
        self, work: Coroutine[Any, Any, Result], what: str | None = None
    ) -> Result:
        """Await `work` unless the end is asked for, a child ends, or (named `what`) it is late.

        Raises:
            Interrupted: the end was asked for.
            Failure: a child ended, or `what` took longer than a start may take.
        """
        task = asyncio.create_task(work)
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait(
            {task, stopping, *(child.ended for child in self._children)},
            timeout=None if what is None else self._start_timeout_seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
        stopping.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        if self._stop.is_set():
            raise Interrupted
        for child in self._children:
            if child.ended.done():
                raise child.how_it_ended()
        if task.cancelled():
            seconds = f"{self._start_timeout_seconds:g}"
            raise Failure(f"Starting {what} took longer than {seconds} s (--start-timeout).")
        return task.result()

    async def watch(self) -> None:
        """Wait until the end is asked for or a child ends.

        Raises:
            Interrupted: the end was asked for.
            ChildEnded: a child ended.
        """
        await self.unless_interrupted(asyncio.Event().wait())

    async def stop_all(self) -> bool:
        """Stop the children, the last started first. Tells whether each ended by itself."""
        clean = True
        while self._children:
            child = self._children[-1]
            was_running = not child.ended.done()
            if await child.stop(self._at_once):
                _logger.info("%s ended", child.name, extra={"exit_code": child.ended.result()})
            elif was_running:
                clean = False
                say(f"  killed  {child.name}")
                _logger.error("%s did not end and was killed", child.name)
            self._children.pop()
        return clean
