"""Part `startup`: how long `nivisco up` takes to serve, and how much memory it has then.

It starts on SQLite, first in an empty data directory, then again in the same one. Memory is the
proportional set size of all its processes: a page that several share counts once.
"""

import asyncio
import os
import re
import signal
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import Figure, Result
from tests.bench.http_connection import UnexpectedAnswer
from tests.bench.run import Run
from tests.bench.samples import Spread

_READY = b"Ctrl-C stops everything."
_PSS = re.compile(r"^Pss: +(\d+) kB", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Start:
    seconds: float
    mebibytes: dict[int, float]
    """By process."""

    @property
    def total(self) -> float:
        return sum(self.mebibytes.values())


async def measure(run: Run) -> Result:
    """Start it twice in each round."""
    first, again = [], []
    for _ in range(run.size.rounds):
        with tempfile.TemporaryDirectory(prefix="nivisco-bench-") as directory:
            first.append(await _start(Path(directory)))
            again.append(await _start(Path(directory)))
    processes = ", ".join(f"{each:.0f}" for each in again[-1].mebibytes.values())
    return Result(
        [
            Figure(
                "`nivisco up` until it serves, first start",
                Spread.of([start.seconds for start in first]),
                "s",
            ),
            Figure(
                "`nivisco up` until it serves, later starts",
                Spread.of([start.seconds for start in again]),
                "s",
            ),
            Figure(
                "memory of `nivisco up`, all processes",
                Spread.of([start.total for start in again]),
                "MiB",
                detail=f"MiB by process, in the order of their start: {processes}",
            ),
        ]
    )


async def _start(data_dir: Path) -> _Start:
    """Start `nivisco up`, stop it, and return what it took."""
    ports = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--sandbox", "127.0.0.1:0")
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "cli", "up", "--data-dir", str(data_dir), *ports),
        env={name: v for name, v in os.environ.items() if not name.startswith("NIVISCO_")},
        stdout=PIPE,
        stderr=STDOUT,
    )
    try:
        await _wait_until_ready(process)
        taken = time.perf_counter() - begun
        return _Start(taken, {pid: _mebibytes(pid) for pid in _descendants(process.pid)})
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.communicate()


async def _wait_until_ready(process: Process) -> None:
    assert process.stdout is not None, "it was asked for"
    printed = b""
    while _READY not in printed:
        part = await process.stdout.read(65536)
        if not part:
            raise UnexpectedAnswer(f"nivisco up ended: {printed.decode()}")
        printed += part


def _descendants(pid: int) -> Iterator[int]:
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from _descendants(int(child))


def _mebibytes(pid: int) -> float:
    found = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
    return int(found[1]) / 1024 if found else 0.0
