"""Sets up logging: one JSON object a line, with the request id, on stderr or in a file."""

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, TextIO

from pythonjsonlogger.json import JsonEncoder

from cli.log_file import LogFile, log_file
from rpc.catalogue import secret_names
from rpc.metadata import request_id
from rpc.request_log import FieldsHandler

REDACTED = "(redacted)"
"""What a log line shows for a field that has a secret's name."""
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

# Below these levels, libraries log requests with card numbers and rows with their values.
_AT_LEAST = {
    "stripe": logging.WARNING,
    "aiohttp": logging.WARNING,
    "aiosqlite": logging.WARNING,
    "alembic": logging.INFO,
    "alembic.runtime.plugins": logging.WARNING,
    "asyncio": logging.WARNING,
    "authorizenet": logging.WARNING,
    "grpc": logging.WARNING,
    "opentelemetry": logging.WARNING,
    "pyxb": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "urllib3": logging.WARNING,
}
_OF_EVERY_RECORD = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"))
"""Attributes of a record that are not its caller's `extra`."""


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON: fixed keys first, then the caller's `extra`."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process
        self._encode = JsonEncoder().encode

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields: dict[str, Any] = {}
        if record.exc_info:
            fields["exc_info"] = self.formatException(record.exc_info)
        elif record.exc_text:
            fields["exc_info"] = record.exc_text
        if record.stack_info:
            fields["stack_info"] = self.formatStack(record.stack_info)
        fields |= {
            name: value
            for name, value in vars(record).items()
            if name not in _OF_EVERY_RECORD and not name.startswith("_")
        }
        return self.line(record.created, record.levelname, record.name, record.getMessage(), fields)

    def line(
        self, created: float, level: str, logger: str, message: str, fields: Mapping[str, object]
    ) -> str:
        """Return the line of what was logged at `created`, in seconds since 1970."""
        second, fraction = divmod(created, 1)
        shown = {
            "time": f"{_time(int(second))}.{int(fraction * 1000):03d}Z",
            "level": level,
            "process": self._process,
            "logger": logger,
            "request_id": request_id.get(),
            "message": message,
            **fields,
        }
        for name in secret_names() & shown.keys():
            shown[name] = REDACTED
        return self._encode(shown)


@lru_cache(maxsize=1)
def _time(second: int) -> str:
    """Return a second since 1970, in UTC, for the many lines of one second."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class LineWriter(FieldsHandler):
    """Writes lines in their order, those of one turn of an event loop with one system call.

    A line outside of a loop, and one from WARNING on, is written at once, with those before it. So
    a process that is killed loses at most the INFO lines of its last turn.
    """

    def __init__(self, stream: TextIO | LogFile, lines: JsonLines) -> None:
        super().__init__()
        self.setFormatter(lines)
        self._stream = stream
        self._lines = lines
        self._waiting: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record now, or at the end of this turn."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - as every handler of the standard library
            self.handleError(record)
            return
        self._add(line, record.levelno)

    def write_fields(
        self, level: int, logger: str, message: str, fields: Mapping[str, object]
    ) -> None:
        """Write the line of a request now, or at the end of this turn."""
        name = logging.getLevelName(level)
        try:
            line = self._lines.line(time.time(), name, logger, message, fields)
        except Exception:  # noqa: BLE001 - a line that cannot be made must not replace an answer
            return
        self.acquire()
        try:
            self._add(line, level)
        finally:
            self.release()

    def _add(self, line: str, level: int) -> None:
        self._waiting.append(line)
        if level >= logging.WARNING or not self._will_flush():
            self.flush()

    def _will_flush(self) -> bool:
        """Return whether `flush` runs at the end of this turn; plan it with the first line."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        if len(self._waiting) == 1:
            loop.call_soon(self.flush)
        return True

    def flush(self) -> None:
        """Write the lines that wait; also called when the process exits."""
        self.acquire()
        try:
            lines, self._waiting = self._waiting, []
            if lines:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()
        except (OSError, ValueError):
            pass  # a full disk or a closed terminal must not stop a payment
        finally:
            self.release()


def level_of(environ: Mapping[str, str]) -> int:
    """Return the level in NIVISCO_LOG_LEVEL, by default INFO.

    Raises:
        ValueError: it is not a level.
    """
    name = (environ.get("NIVISCO_LOG_LEVEL") or "INFO").upper()
    if name not in LEVELS:
        raise ValueError(f"NIVISCO_LOG_LEVEL is not one of {', '.join(LEVELS)}")
    return logging.getLevelNamesMapping()[name]


def configure(process: str, stream: TextIO | LogFile | None = None) -> None:
    """Write every log line of this process as JSON, uncaught exceptions included.

    They go to the file in NIVISCO_LOG_FILE, or to stderr. A process whose terminal is for a person
    gives another `stream`.

    Raises:
        ValueError: NIVISCO_LOG_LEVEL is not a level, or NIVISCO_LOG_FILE cannot be written.
    """
    level = level_of(os.environ)
    target = stream or log_file(os.environ) or sys.stderr
    handler = LineWriter(target, JsonLines(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, least in _AT_LEAST.items():
        logging.getLogger(name).setLevel(max(level, least))
    # With this variable Stripe's library prints requests to stderr, regardless of the levels above.
    os.environ.pop("STRIPE_LOG", None)
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False  # a line that cannot be written must not stop a payment
    # No line shows its thread, process id and source line, so they are not looked up:
    # https://docs.python.org/3/howto/logging.html#optimization
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001 - documented there
    if stream is None:  # otherwise Python prints uncaught exceptions on the terminal
        sys.excepthook = _log_uncaught
        threading.excepthook = _log_uncaught_in_thread


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("nivisco").critical("uncaught exception", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    error = args.exc_value or args.exc_type()
    logging.getLogger("nivisco").critical(
        "uncaught exception in a thread", exc_info=(args.exc_type, error, args.exc_traceback)
    )
