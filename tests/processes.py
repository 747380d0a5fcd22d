"""Starts, watches and ends the processes of tests, by pid."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_PATIENCE_SECONDS = 60.0
FREE_PORTS = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--sandbox", "127.0.0.1:0")
"""Options of `nivisco up`."""


class Running:
    """A process in its own group, with its output and its children."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.printed = ""
        self._seen: set[int] = set()

    def wait_for(self, text: str) -> str:
        """Read until the text is printed; return all output so far."""
        self.wait_for_match(re.compile(re.escape(text)))
        return self.printed

    def wait_for_match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Read until the output matches somewhere; return the first match."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not (found := pattern.search(self.printed)):
            left = deadline - time.monotonic()
            assert left > 0, f"did not print {pattern.pattern!r} but {self.printed}"
            assert self._read(left), f"ended without {pattern.pattern!r} but {self.printed}"
        return found

    def _read(self, seconds: float) -> bool:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        if select.select([descriptor], [], [], seconds)[0]:
            part = os.read(descriptor, 65536)
            self.printed += part.decode()
            return bool(part)
        return True

    def read_now(self) -> str:
        """Return the output so far."""
        assert self._process.stdout is not None
        while select.select([self._process.stdout], [], [], 0.0)[0] and self._read(0.0):
            pass
        return self.printed

    def children(self) -> list[int]:
        """Return the pids of its children so far."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        with contextlib.suppress(OSError):
            self._seen |= {int(pid) for pid in path.read_text().split()}
        return sorted(self._seen)

    def descendants(self) -> list[int]:
        """Return the pids of all running descendants."""
        found = [self.pid]
        for pid in found:
            with contextlib.suppress(OSError):
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
                found += [int(child) for child in children.split()]
        return found[1:]

    def signal(self, number: int) -> None:
        self.children()
        os.kill(self.pid, number)

    def kill_group(self) -> None:
        self.children()
        os.killpg(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end, reading its output, and return the exit code."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._process.poll() is None:
            left = deadline - time.monotonic()
            assert left > 0, f"still runs after {self.printed}"
            if not self._read(min(left, 0.1)):
                self._process.wait(left)
        self.read_now()
        return self._process.returncode

    def end(self) -> None:
        """Kill it and its children."""
        for pid in self.children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def wait_until_gone(pids: Sequence[int]) -> None:
    """Wait until none of the processes runs."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            try:
                left = max(0.0, deadline - time.monotonic())
                assert select.select([descriptor], [], [], left)[0], f"{pid} still runs"
            finally:
                os.close(descriptor)


Start = Callable[..., Running]


def start_process(*arguments: str, **variables: str) -> Running:
    """Start `python <arguments>` without the NIVISCO_ variables of this environment."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith("NIVISCO_")}
    return Running([sys.executable, *arguments], kept | variables)


def start_up(start: Start, data_dir: Path, *more: str, **variables: str) -> Running:
    """Start `nivisco up` on free ports."""
    options = ("--data-dir", str(data_dir), *FREE_PORTS, *more)
    return start("-P", "-m", "cli", "up", *options, **variables)


def serving_line(process: str) -> re.Pattern[str]:
    """Return the pattern of the `serving` log line of a process; its group is the address."""
    return re.compile(rf'"process": "{process}", .*"message": "serving", "address": "([^"]+)"')


def shown(printed: str, what: str) -> str:
    """Return what the first screen of `up` shows beside a word."""
    found = re.search(rf"^  {what} +(\S+)", printed, re.MULTILINE)
    assert found, printed
    return found[1]
