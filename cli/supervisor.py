"""Starts the children of `nivisco up` one by one, waits, and stops them in reverse order."""

import asyncio
import logging
import signal
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from cli.addresses import Address
from cli.children import Child, Spawn, spawn
from cli.data_dir import Served
from cli.failures import Failure
from cli.first_screen import say

Result = TypeVar("Result")

_logger = logging.getLogger("nivisco")


class Interrupted(Exception):
    """A signal requested the end."""


class Supervisor:
    """The running children, oldest first, and the signals received."""

    def __init__(self, inherited: Sequence[int], start_timeout_seconds: float) -> None:
        """Begin without children; each will inherit the descriptors `inherited`."""
        self._inherited = inherited
        self._start_timeout_seconds = start_timeout_seconds
        self._children: list[Child] = []
        self.served: list[Served] = []
        """The processes that have started, oldest first."""
        self._stop = asyncio.Event()
        self._at_once = asyncio.Event()

    def handle_signals(self) -> None:
        """Stop on SIGINT, SIGTERM and SIGHUP, at once on a second one.

        SIGUSR2 is passed on to the children with several workers.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._request_stop)
        loop.add_signal_handler(signal.SIGUSR2, self._restart_workers)

    def _request_stop(self) -> None:
        if self._stop.is_set():
            self._at_once.set()
        self._stop.set()

    def _restart_workers(self) -> None:
        having_workers = [child for child in self._children if child.has_workers]
        for child in having_workers:
            child.signal(signal.SIGUSR2)
        if having_workers:
            names = [child.name for child in having_workers]
            _logger.info("rolling restart requested", extra={"processes": names})
        else:
            _logger.warning("rolling restart ignored, --workers is 1")

    async def start(self, what: Spawn) -> list[Address]:
        """Start a child, and return its addresses once it serves: one for each core worker.

        Raises:
            Interrupted: a signal requested the end.
            Failure: a child ended, or this one was not ready in time.
        """
        say(f"  start   {what.name}")
        child = await spawn(what, self._inherited)
        self._children.append(child)
        _logger.info("process started", extra={"child": child.name, "child_pid": child.pid})
        line = await self.unless_interrupted(child.until_ready(), f"the {what.name}")
        addresses = [Address.parse(each) for each in line.split(",")]
        self.served.append(Served(child.name, child.pid, tuple(line.split(","))))
        say(f"  ready   {what.name} at {', '.join(map(str, addresses))}")
        return addresses

    async def unless_interrupted(
        self, work: Coroutine[Any, Any, Result], what: str | None = None
    ) -> Result:
        """Await `work` until it is done, a signal requests the end, or a child ends.

        With `what`, the name of what is starting, the start timeout applies.

        Raises:
            Interrupted: a signal requested the end.
            Failure: a child ended, or the start timed out.
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
        """Wait until a signal requests the end or a child ends.

        Raises:
            Interrupted: a signal requested the end.
            Failure: a child ended.
        """
        await self.unless_interrupted(asyncio.Event().wait())

    async def stop_all(self) -> bool:
        """Stop the children, the newest first. Returns whether none had to be killed."""
        clean = True
        while self._children:
            child = self._children[-1]
            was_running = not child.ended.done()
            about: dict[str, object] = {"child": child.name}
            if await child.stop(self._at_once):
                about["exit_code"] = child.ended.result()
                _logger.info("process ended", extra=about)
            elif was_running:
                clean = False
                say(f"  killed  {child.name}")
                _logger.error("process killed, it did not stop in time", extra=about)
            self._children.pop()
        return clean
