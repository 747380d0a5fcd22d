"""Spawns, watches and stops the processes that another one runs. It never forks this process."""

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
from cli.log_file import LOG_FILE, open_log
from cli.parent_pipes import HELD_DESCRIPTORS, PARENT_PIPE, READY_PIPE

_TAIL_LINES = 8
_TAIL_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class Spawn:
    """What to spawn. Settings and secrets go in its environment, which other users cannot read."""

    name: str
    command: Sequence[str]
    environment: dict[str, str] = field(repr=False)
    log: Path | None
    """The file for its log lines; None for this process's stderr."""
    drain_seconds: float
    """How long it may take to end after SIGTERM."""
    has_workers: bool = False
    """Whether it has several workers, which SIGUSR2 restarts."""


class Child:
    """One spawned process, and this side of its pipes."""

    def __init__(
        self,
        spawned: Spawn,
        process: asyncio.subprocess.Process,
        parent_pipe: int,
        ready_pipe: int,
        log_start: int,
    ) -> None:
        self.name = spawned.name
        self.pid = process.pid
        self.has_workers = spawned.has_workers
        self._spawned = spawned
        self._process = process
        self._parent_pipe: int | None = parent_pipe
        self._log_start = log_start
        self._has_sigterm = False
        self._ready = asyncio.create_task(_read_line(ready_pipe))
        self.ended = asyncio.create_task(process.wait())
        """The child's exit code."""

    async def until_ready(self) -> str:
        """Wait until the child serves, and return its address.

        Raises:
            Failure: the child ended before.
        """
        line = await asyncio.shield(self._ready)
        if not line:  # the child's end of the pipe closed, because it ends
            await asyncio.shield(self.ended)
            raise self.how_it_ended()
        return line

    async def stop(self, at_once: asyncio.Event | None = None) -> bool:
        """Send SIGTERM, then SIGKILL after `drain_seconds` or when `at_once` is set.

        Returns whether the child ended without SIGKILL. A second call does not send SIGTERM again,
        because a second SIGTERM means to end at once.
        """
        at_once = at_once or asyncio.Event()
        if not self.ended.done() and not at_once.is_set():
            if not self._has_sigterm:
                self._has_sigterm = True
                self.signal(signal.SIGTERM)
            hurry = asyncio.create_task(at_once.wait())
            await asyncio.wait(
                {self.ended, hurry},
                timeout=self._spawned.drain_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            hurry.cancel()
        ended_by_itself = self.ended.done()
        if not ended_by_itself:
            self.signal(signal.SIGKILL)
            await self.ended
        self._ready.cancel()
        await asyncio.wait({self._ready})
        if self._parent_pipe is not None:
            os.close(self._parent_pipe)
            self._parent_pipe = None
        return ended_by_itself

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the child ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def how_it_ended(self) -> Failure:
        """Return a failure with the child's name, exit code, last log lines and log file."""
        code = self.ended.result()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        log = self._spawned.log
        if log is None:
            return Failure(f"The {self.name} ended ({how}). Its log lines are above.")
        lines = "".join(f"\n    {line}" for line in _last_lines(log, self._log_start))
        return Failure(f"The {self.name} ended ({how}).{lines}\n  Its log: {log}")


def nivisco(*arguments: str) -> list[str]:
    """Return the command that runs `nivisco` with this interpreter.

    -P: do not import a package `cli` or `core` of the current directory.
    """
    return [sys.executable, "-P", "-m", "cli", *arguments]


async def spawn(what: Spawn, inherited: Sequence[int]) -> Child:
    """Start a child that inherits its two pipes and the descriptors `inherited`, and no others.

    Its own session keeps the terminal's Ctrl-C from it: the parent stops the children in order.
    """
    parent_read, parent_write = os.pipe()
    ready_read, ready_write = os.pipe()
    log = None if what.log is None else open_log(what.log)
    log_start = 0 if log is None else os.fstat(log).st_size
    try:
        process = await asyncio.create_subprocess_exec(
            *what.command,
            env=what.environment
            | ({} if what.log is None else {LOG_FILE: str(what.log)})
            | {
                PARENT_PIPE: str(parent_read),
                READY_PIPE: str(ready_write),
                HELD_DESCRIPTORS: ",".join(map(str, inherited)),
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(parent_read, ready_write, *inherited),
        )
    except BaseException:
        os.close(parent_write)
        os.close(ready_read)
        raise
    finally:
        os.close(parent_read)
        os.close(ready_write)
        if log is not None:
            os.close(log)
    return Child(what, process, parent_write, ready_read, log_start)


async def _read_line(descriptor: int) -> str:
    """Read the first line from a pipe and close it; empty if the pipe closes without one."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb")
    )
    try:
        return (await reader.readline()).decode(errors="replace").strip()
    finally:
        transport.close()


def _last_lines(log: Path, start: int) -> list[str]:
    """Return the last lines after byte `start`, JSON ones as `LEVEL message: reason`."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = start if start <= size else 0  # it was rotated meanwhile
            file.seek(max(start, size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [_readable(line) for line in text.splitlines()[-_TAIL_LINES:]]


def _readable(line: str) -> str:
    try:
        entry = json.loads(line)
        text = f"{entry['level']} {entry['message']}"
        detail = entry.get("reason") or entry.get("exc_info")
    except (ValueError, KeyError, TypeError, AttributeError):
        return line
    return f"{text}: {detail.splitlines()[-1]}" if isinstance(detail, str) and detail else text
