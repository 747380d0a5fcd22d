"""Sets up logging: one JSON object a line on stderr, with the request id."""

import logging
import os
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from pythonjsonlogger.json import JsonEncoder

from rpc.catalogue import secret_names
from rpc.metadata import request_id

REDACTED = "(redacted)"
"""What a log line shows for a field that has a secret's name."""
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_NOT_EXTRA = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"))
"""Attributes of every record."""
_encode = JsonEncoder().encode

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
    "pyxb": logging.WARNING,
    "sqlalchemy": logging.WARNING,
}


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON: fixed keys first, then the caller's `extra`."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        time = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "request_id": request_id.get(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exc_info"] = self.formatException(record.exc_info)
        elif record.exc_text:
            line["exc_info"] = record.exc_text
        if record.stack_info:
            line["stack_info"] = self.formatStack(record.stack_info)
        line |= {
            name: value
            for name, value in vars(record).items()
            if name not in _NOT_EXTRA and not name.startswith("_")
        }
        for name in secret_names() & line.keys():
            line[name] = REDACTED
        return _encode(line)


def level_of(environ: Mapping[str, str]) -> int:
    """Return the level in NIVISCO_LOG_LEVEL, by default INFO.

    Raises:
        ValueError: it is not a level.
    """
    name = (environ.get("NIVISCO_LOG_LEVEL") or "INFO").upper()
    if name not in LEVELS:
        raise ValueError(f"NIVISCO_LOG_LEVEL is not one of {', '.join(LEVELS)}")
    return logging.getLevelNamesMapping()[name]


def configure(process: str, stream: TextIO | None = None) -> None:
    """Write every log line of this process to stderr as JSON, uncaught exceptions included.

    A process whose terminal is for a person gives another `stream`.

    Raises:
        ValueError: NIVISCO_LOG_LEVEL is not a level.
    """
    level = level_of(os.environ)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, least in _AT_LEAST.items():
        logging.getLogger(name).setLevel(max(level, least))
    # With this variable Stripe's library prints requests to stderr, regardless of the levels above.
    os.environ.pop("STRIPE_LOG", None)
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False  # a full disk or a closed terminal must not stop a payment
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
