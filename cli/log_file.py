"""The file that a process logs to: it rotates, and is opened again when something else moved it.

Several workers may write to one file: each line is written whole, and one of them rotates. What a
library prints on stderr follows, if stderr was this file.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rpc.settings import count, seconds

LOG_FILE = "NIVISCO_LOG_FILE"
_CHECK_SECONDS = 1.0
"""How often the file's size and age are looked at."""
_STDERR = 2
_FIRST_LINE_BYTES = 4096
_MAX_AGE_SECONDS = 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a file is rotated, and how many rotated ones are kept: `core.log.1` is the latest."""

    max_bytes: int = 100 * 1024 * 1024
    max_age_seconds: float = 7 * 86_400.0
    """Age of the file's first line."""
    kept: int = 10

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Rotation":
        """Read NIVISCO_LOG_MAX_BYTES, NIVISCO_LOG_MAX_AGE_SECONDS and NIVISCO_LOG_FILES.

        Raises:
            ValueError: one is not a number; the message names it.
        """
        default = cls()
        return cls(
            count(environ, "NIVISCO_LOG_MAX_BYTES", default.max_bytes, most=2**40),
            seconds(
                environ,
                "NIVISCO_LOG_MAX_AGE_SECONDS",
                default.max_age_seconds,
                most=_MAX_AGE_SECONDS,
            ),
            count(environ, "NIVISCO_LOG_FILES", default.kept, most=1000),
        )


class LogFile:
    """An open log file."""

    def __init__(
        self, path: Path, rotation: Rotation, clock: Callable[[], float] = time.time
    ) -> None:
        """Open the file, or make it with mode 600. `clock` returns seconds since 1970.

        Raises:
            OSError: it cannot be written.
        """
        self._path = path
        self._rotation = rotation
        self._clock = clock
        self._descriptor = open_log(path)
        self._has_stderr = _is_same(_STDERR, self._descriptor)
        self._began = self._first_time()
        self._check_at = 0.0

    def write(self, text: str) -> None:
        """Write whole lines, after a rotation if one is due.

        Raises:
            OSError: the disk is full, for example.
        """
        with suppress(OSError):  # the lines go to the file that is open
            if self._clock() >= self._check_at or not self._is_at_path():
                self._check()
        rest = memoryview(text.encode(errors="backslashreplace"))
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def flush(self) -> None:
        """Do nothing: every write goes to the system at once."""

    def _check(self) -> None:
        now = self._clock()
        self._check_at = now + _CHECK_SECONDS
        if not self._is_at_path():
            self._open_again()
            return
        size = os.fstat(self._descriptor).st_size
        is_old = now - self._began >= self._rotation.max_age_seconds
        if size >= self._rotation.max_bytes or (size and is_old):
            self._rotate()

    def _rotate(self) -> None:
        """Rotate, unless another process is at it. The lock is on the file that is to be moved."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._check_at = 0.0  # it will have been moved
            return
        if self._is_at_path():
            for number in range(self._rotation.kept - 1, 0, -1):
                with suppress(FileNotFoundError):
                    self._rotated(number).replace(self._rotated(number + 1))
            self._path.replace(self._rotated(1))
        self._open_again()

    def _rotated(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _is_at_path(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _open_again(self) -> None:
        opened = open_log(self._path)
        os.close(self._descriptor)  # also ends the lock
        self._descriptor = opened
        if self._has_stderr:
            os.dup2(opened, _STDERR)
        self._began = self._first_time()

    def _first_time(self) -> float:
        """Return the time of the first line in seconds since 1970; now without a readable one."""
        with self._path.open("rb") as file:
            line = file.readline(_FIRST_LINE_BYTES)
        try:
            return datetime.fromisoformat(json.loads(line)["time"]).timestamp()
        except (ValueError, KeyError, TypeError):
            return self._clock()


def open_log(path: Path) -> int:
    """Open a log for appending, mode 600, and return the descriptor."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def log_file(environ: Mapping[str, str]) -> LogFile | None:
    """Return the file in NIVISCO_LOG_FILE, None if there is none.

    Raises:
        ValueError: it cannot be written, or a setting of its rotation is wrong.
    """
    path = environ.get(LOG_FILE)
    rotation = Rotation.from_environment(environ)
    if not path:
        return None
    try:
        return LogFile(Path(path), rotation)
    except OSError as error:
        raise ValueError(f"{LOG_FILE}: {path} cannot be written: {error.strerror}") from None


def _is_same(one: int, other: int) -> bool:
    try:
        return os.path.samestat(os.fstat(one), os.fstat(other))
    except OSError:
        return False
