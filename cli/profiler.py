"""Samples where this process spends CPU time, from one SIGUSR1 to the next.

Off, it costs nothing. On, the kernel interrupts the process after every few milliseconds of CPU
time, and the main thread's stack is counted with the CPU time since the last sample. A thread that
samples would see it mostly where it waits, because only there it gives way. Written are code
positions only, never values, as collapsed stacks: `caller;callee microseconds`, a line each.
"""

import asyncio
import fcntl
import logging
import os
import signal
import sys
import time
from collections import Counter
from functools import cache
from pathlib import Path
from types import FrameType

PROFILE_DIRECTORY = "NIVISCO_PROFILE_DIRECTORY"
SUFFIX = ".collapsed"
RUNNING_SUFFIX = ".running"
"""Of a file with the id of a process in its name, which that process has locked while it runs."""
OTHER_THREADS = "(other threads)"
_INTERVAL_SECONDS = 0.004
_MOST_SECONDS = 60.0
"""A profile that nobody ends, ends by itself."""

_logger = logging.getLogger("nivisco")


class Profiler:
    """The profiler of a process that runs an event loop."""

    def __init__(self, process: str, directory: str | None) -> None:
        """Start nothing yet. Without a directory, `toggle` only logs."""
        self._process = process.replace(" ", "-")
        self._directory = Path(directory) if directory else None
        self._running: int | None = None
        self._end: asyncio.TimerHandle | None = None
        self._nanoseconds: Counter[tuple[str, ...]] = Counter()
        self._thread_time = self._process_time = 0

    def register(self) -> None:
        """Lock the file by which `nivisco profile` finds this process, which handles SIGUSR1 now.

        It cannot find us by our environment, which nobody can read: see cli.main.
        """
        if self._directory is None:
            return
        file = self._directory / f"{self._process}-{os.getpid()}{RUNNING_SUFFIX}"
        try:
            self._running = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._running, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            _logger.warning("profile not written", extra={"reason": str(error)})

    def toggle(self) -> None:
        """Start a profile, or end the running one and write it."""
        if self._directory is None:
            _logger.info("SIGUSR1 ignored, NIVISCO_PROFILE_DIRECTORY is not set")
        elif self._end is None:
            self._end = asyncio.get_running_loop().call_later(_MOST_SECONDS, self.toggle)
            self._start()
            _logger.info("profile started")
        else:
            self._end.cancel()
            self._end = None
            self._stop()
            self._write(self._directory / f"{self._process}-{os.getpid()}{SUFFIX}")

    def _start(self) -> None:
        self._nanoseconds.clear()
        self._thread_time, self._process_time = time.thread_time_ns(), time.process_time_ns()
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, _INTERVAL_SECONDS, _INTERVAL_SECONDS)

    def _stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, signal.SIG_IGN)  # one may be pending, and would end us

    def _sample(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        thread_time, process_time = time.thread_time_ns(), time.process_time_ns()
        own, all_threads = thread_time - self._thread_time, process_time - self._process_time
        self._thread_time, self._process_time = thread_time, process_time
        positions: list[str] = []
        while frame is not None:
            if frame.f_code is Profiler._sample.__code__:
                positions.clear()  # a sample was interrupted: what that one interrupted counts
            else:
                positions.append(_position(frame.f_code.co_filename, frame.f_code.co_qualname))
            frame = frame.f_back
        self._nanoseconds[tuple(reversed(positions))] += own
        self._nanoseconds[OTHER_THREADS,] += max(0, all_threads - own)

    def _write(self, file: Path) -> None:
        lines = [
            f"{';'.join(stack)} {nanoseconds // 1000}\n"
            for stack, nanoseconds in sorted(self._nanoseconds.items())
        ]
        unfinished = file.with_suffix(".part")
        try:
            unfinished.unlink(missing_ok=True)
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as opened:
                opened.writelines(lines)
            unfinished.replace(file)
        except OSError as error:
            _logger.warning("profile not written", extra={"reason": str(error)})
        else:
            _logger.info("profile written", extra={"file": str(file)})


@cache
def _position(file: str, function: str) -> str:
    """Return `core/wallet/service.py:WalletService.charge`, without the place of the code."""
    folders = [folder for folder in sys.path if folder and file.startswith(f"{folder}/")]
    shown = file.removeprefix(max(folders, key=len, default="")).lstrip("/")
    return f"{shown}:{function}".replace(";", ",").replace(" ", "_")
