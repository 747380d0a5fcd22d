"""The command `logs`: shows what the processes of `nivisco up` logged, in the order of time."""

import heapq
import json
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, BinaryIO

import click

from cli.data_dir import DEFAULT_DATA_DIR, DataDir
from cli.failures import Failure
from rpc.metadata import NO_REQUEST

_POLL_SECONDS = 0.2
_ROTATED_SECONDS = 2.0
"""How long a file is still read after it was rotated."""
_LINES = 100
"""How many lines are shown if nobody says."""
_SUFFIX = ".log"
_FIXED = frozenset(("time", "level", "process", "logger", "request_id", "message"))
_COLORS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log."""

    time: str
    """In UTC and ISO 8601, which sorts like time. A line without one has that of the one before."""
    text: str
    fields: dict[str, Any]
    """Empty if it is no JSON: what a library printed."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which lines are shown."""

    request: str | None
    processes: tuple[str, ...]

    def shows(self, line: Line) -> bool:
        """Return whether a line is of the request and of one of the processes, if any are named."""
        if self.request is not None and line.fields.get("request_id") != self.request:
            return False
        name = str(line.fields.get("process", ""))
        return not self.processes or any(
            name == each or name.startswith(f"{each} ") for each in self.processes
        )


def logs_in(directory: Path) -> list[Path]:
    """Return the logs in a directory, without the rotated files."""
    return sorted(directory.glob(f"*{_SUFFIX}"))


def parse_line(raw: bytes, time_before: str) -> Line:
    """Return a line, with `time_before` as its time if it has none."""
    text = raw.decode(errors="replace").rstrip("\r\n")
    try:
        fields = json.loads(text)
        return Line(str(fields["time"]), text, fields)
    except (ValueError, KeyError, TypeError):
        return Line(time_before, text, {})


class _OpenFile:
    """A file that is read from the start, then where it goes on."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._partial = b""
        """The beginning of a line whose end is not written yet."""
        self.until = inf
        """When it is not read any more, on the log's clock."""
        self.close = file.close

    def added(self) -> Iterator[Line]:
        """Yield the lines that were added."""
        while raw := self._file.readline():
            self._partial += raw
            if raw.endswith(b"\n"):
                line, self._partial = self._partial, b""
                yield parse_line(line, "")

    def is_at(self, path: Path) -> bool:
        """Return whether it is the file at a path."""
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), path.stat())
        except FileNotFoundError:
            return False


class OpenLog:
    """A log that is read from the start, then where it goes on, across rotations.

    A rotated file is read for two more seconds: a process that did not notice yet adds to it.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the log; lines that are added from now on are not missed. `clock` is in seconds."""
        self._path = path
        self._clock = clock
        self._files: list[_OpenFile] = []
        """The log, if it exists, after the files that it was before."""
        self._open()

    def _open(self) -> None:
        with suppress(FileNotFoundError):
            self._files.append(_OpenFile(self._path.open("rb")))

    def close(self) -> None:
        """Close the files."""
        while self._files:
            self._files.pop().close()

    def all_lines(self) -> Iterator[Line]:
        """Yield the lines so far, those of the rotated files first."""
        last = ""
        for rotated in sorted(self._rotated(), key=_number, reverse=True):
            with suppress(FileNotFoundError), rotated.open("rb") as file:
                if self._is_open_as(rotated):
                    continue
                for raw in file:
                    line = parse_line(raw, last)
                    last = line.time
                    yield line
        for line in self._added():
            last = line.time or last
            yield replace(line, time=last)

    def _rotated(self) -> list[Path]:
        found = self._path.parent.glob(f"{self._path.name}.*")
        return [each for each in found if re.fullmatch(r"\.[0-9]{1,4}", each.suffix)]

    def new_lines(self) -> Iterator[Line]:
        """Yield the lines that were added."""
        now = self._clock()
        yield from self._added()
        while self._files and self._files[0].until <= now:
            self._files.pop(0).close()
        if not self._is_open_as(self._path) and self._path.exists():
            if self._files:
                self._files[-1].until = now + _ROTATED_SECONDS
            self._open()
            yield from self._added()

    def _added(self) -> Iterator[Line]:
        for file in self._files:
            yield from file.added()

    def _is_open_as(self, path: Path) -> bool:
        """Return whether the file at a path is the log as it is open here."""
        return bool(self._files) and self._files[-1].is_at(path)


def _number(rotated: Path) -> int:
    return int(rotated.suffix[1:])


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="The data directory of the `nivisco up`.",
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The directory of the NIVISCO_LOG_FILE of processes that were started one by one.",
)
@click.option("--follow", "-f", is_flag=True, help="Go on with new lines until Ctrl-C.")
@click.option("--request", metavar="ID", help="Only lines of the request with this X-Request-Id.")
@click.option(
    "--process",
    "processes",
    metavar="NAME",
    multiple=True,
    help="Only lines of this process, for example core, or `core 2` for one worker. Repeatable.",
)
@click.option(
    "--lines",
    "-n",
    metavar="N",
    type=click.IntRange(0),
    help="Only the last N of them. Default: 100, or all with --request.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the lines as they were logged.")
def logs(
    data_dir: Path,
    directory: Path | None,
    request: str | None,
    processes: tuple[str, ...],
    lines: int | None,
    *,
    follow: bool,
    as_json: bool,
) -> None:
    """Show what all processes logged, in the order of time.

    Rotated files are read, too. Give the request id that a caller got in `X-Request-Id` to see what
    adapter, core and scheduler did for it.
    """
    directory = directory or DataDir(data_dir).logs
    chosen = Filter(request, processes)
    show = _print_json if as_json else _print_pretty
    most = lines if lines is not None else None if request else _LINES
    opened: dict[Path, OpenLog] = {}
    try:
        _open_new(directory, opened)
        if not opened:
            raise Failure(f"No logs in {directory}. Start `nivisco up`, or name its --data-dir.")
        found = heapq.merge(*(log.all_lines() for log in opened.values()), key=_by_time)
        for line in deque(filter(chosen.shows, found), maxlen=most):
            show(line)
        while follow:
            _open_new(directory, opened)
            added = [line for log in opened.values() for line in log.new_lines()]
            for line in sorted(filter(chosen.shows, added), key=_by_time):
                show(line)
            time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        pass
    finally:
        for log in opened.values():
            log.close()


def _open_new(directory: Path, opened: dict[Path, OpenLog]) -> None:
    """Open the logs that are not open yet, and add them."""
    opened |= {path: OpenLog(path) for path in logs_in(directory) if path not in opened}


def _by_time(line: Line) -> str:
    return line.time


def _print_json(line: Line) -> None:
    if line.fields:
        click.echo(line.text)


def _print_pretty(line: Line) -> None:
    click.echo(pretty(line))


def pretty(line: Line) -> str:
    """Return a line for people: time, level, process, message, fields, request id.

    Control characters are escaped, as a caller's text must not move the reader's cursor.
    """
    if not line.fields:
        return _printable(line.text)
    level, process, message, request = (
        _printable(str(line.fields.get(name, "")))
        for name in ("level", "process", "message", "request_id")
    )
    more = [f"{name}={_value(v)}" for name, v in line.fields.items() if name not in _FIXED]
    parts = [
        _printable(line.time),
        click.style(f"{level:8}", fg=_COLORS.get(level)),
        f"{process:10}",
        click.style(message, bold=True),
        *more,
        *([] if request in ("", NO_REQUEST) else [f"request_id={request}"]),
    ]
    return " ".join(parts)


def _value(value: object) -> str:
    """Return a field's value; a trace is on lines of its own."""
    if not isinstance(value, str):
        return json.dumps(value)
    if "\n" in value:
        return "".join(f"\n    {_printable(each)}" for each in value.rstrip().split("\n"))
    return value if re.fullmatch(r"[!#-<>-~]+", value) else json.dumps(value)


def _printable(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode()
