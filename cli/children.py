"""Spawns the processes that another one runs, watches them and ends them; never forks this one."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cli.failures import Failure
from cli.lifelines import HELD_DESCRIPTORS, PARENT_PIPE, READY_PIPE

_TAIL_LINES = 8
_TAIL_BYTES = 32 * 1024


class ChildEnded(Failure):
    """A child ended that should have gone on; the message names it and shows its last lines."""


@dataclass(frozen=True, slots=True)
class Spawn:
    """What to spawn. Settings and secrets go in its environment, which others cannot read."""

    name: str
    command: Sequence[str]
    environment: dict[str, str] = field(repr=False)
    log: Path | None
    """Where its log lines go; None: to this process's stderr."""
    drain_seconds: float
    """How long it may take to end after it was asked to."""
    has_workers: bool = False
    """Whether it starts several workers, which SIGUSR2 renews."""


class Child:
    """One spawned process, and this side of its pipes."""

    def __init__(
        self,
        spawned: Spawn,
        process: asyncio.subprocess.Process,
        lifeline: int,
        ready: int,
        log_start: int,
    ) -> None:
        self.name = spawned.name
        self.pid = process.pid
        self.has_workers = spawned.has_workers
        self._spawned = spawned
        self._process = process
        self._lifeline: int | None = lifeline
        self._log_start = log_start
        self._asked = False
        self.ready = asyncio.create_task(_read_line(ready))
        """The line that the child says when it serves, or nothing when it ended before."""
        self.ended = asyncio.create_task(process.wait())
        """The child's exit code, once it ended."""

    async def stop(self, at_once: asyncio.Event) -> bool:
        """Ask the child to end, and end it when it does not in time or when `at_once` is set.

        Returns whether it ended by itself. May be called again: the child is asked once, because it
        ends at once when it is asked twice.
        """
        if not self.ended.done() and not at_once.is_set():
            if not self._asked:
                self._asked = True
                self.signal(signal.SIGTERM)
            hurry = asyncio.create_task(at_once.wait())
            await asyncio.wait(
                {self.ended, hurry},
                timeout=self._spawned.drain_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            hurry.cancel()
        by_itself = self.ended.done()
        if not by_itself:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self.ended
        self.ready.cancel()
        await asyncio.wait({self.ready})
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        return by_itself

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def how_it_ended(self) -> ChildEnded:
        """Return the sentence that names the child, its exit code, its last lines and its log."""
        code = self.ended.result()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        log = self._spawned.log
        if log is None:
            return ChildEnded(f"The {self.name} ended ({how}). Its log lines are above.")
        lines = "".join(f"\n    {line}" for line in last_lines(log, self._log_start))
        return ChildEnded(f"The {self.name} ended ({how}).{lines}\n  Its log: {log}")


def nivisco(*arguments: str) -> list[str]:
    """Return the command that runs `nivisco` with this interpreter.

    -P: a directory `cli` or `core` where the user happens to be is not ours.
    """
    return [sys.executable, "-P", "-m", "cli", *arguments]


async def spawn(what: Spawn, held: Sequence[int]) -> Child:
    """Start a child with its two pipes; it inherits `held` too, and no other descriptor.

    A session of its own keeps the terminal's Ctrl-C from it: the parent ends the children, in
    order.
    """
    life_read, life_write = os.pipe()
    ready_read, ready_write = os.pipe()
    log = None if what.log is None else open_log(what.log)
    log_start = 0 if log is None else os.fstat(log).st_size
    try:
        process = await asyncio.create_subprocess_exec(
            *what.command,
            env=what.environment
            | {
                PARENT_PIPE: str(life_read),
                READY_PIPE: str(ready_write),
                HELD_DESCRIPTORS: ",".join(map(str, held)),
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(life_read, ready_write, *held),
        )
    except BaseException:
        os.close(life_write)
        os.close(ready_read)
        raise
    finally:
        os.close(life_read)
        os.close(ready_write)
        if log is not None:
            os.close(log)
    return Child(what, process, life_write, ready_read, log_start)


def open_log(path: Path) -> int:
    """Open a log for appending, readable by its owner only, and return the descriptor."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


async def _read_line(descriptor: int) -> str:
    """Read the first line from a pipe and close it; an empty string where it ends without one."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb")
    )
    try:
        return (await reader.readline()).decode(errors="replace").strip()
    finally:
        transport.close()


def last_lines(log: Path, start: int) -> list[str]:
    """Return the last lines written since `start` (bytes), JSON ones as `LEVEL message`."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [_readable(line) for line in text.splitlines()[-_TAIL_LINES:]]


def _readable(line: str) -> str:
    try:
        entry = json.loads(line)
        text = f"{entry['level']} {entry['message']}"
        trace = entry.get("exc_info")
    except (ValueError, KeyError, TypeError, AttributeError):
        return line
    return f"{text}: {trace.splitlines()[-1]}" if isinstance(trace, str) and trace else text
