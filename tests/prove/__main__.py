"""The fault-injection test: no charge is taken twice and none is lost (`make prove`).

Kills cores with SIGKILL at every failpoint and every ordered pair of failpoints, while the gateways
fail and clients retry, on SQLite and PostgreSQL in parallel. Then compares the gateways' books with
the database and the responses. PROVE_MINUTES (default 10) limits it, PROVE_SEED runs one scenario.
"""

import asyncio
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import click

from tests.databases import running_postgresql
from tests.prove.mutants import MUTANTS
from tests.prove.report import Found, render
from tests.prove.scenario import DATABASES, Scenario

DEFAULT_MINUTES = 10.0
MOST_MINUTES = 600.0
PARTS = 2
"""Drivers of each database: one works while the other waits."""
PROGRESS_SECONDS = 15.0
GRACE_SECONDS = 60.0
"""How long a driver may take for its last scenario."""
SHORT_SECONDS_MAX = 450.0
LINE_BYTES = 16 * 1024 * 1024
SHORT_MUTANTS = (
    "new_gateway_key",
    "record_not_kept",
    "sweep_closes_in_flight",
    "state_only_grows",
    "late_success_not_followed",
    "hold_captured_twice",
    "payment_captured_twice",
    "written_is_received",
)
_MEMORY = Path("/dev/shm")  # noqa: S108 - only holds our own directory


@click.command()
@click.option("--short", is_flag=True, help="Every failpoint once, and some mutants.")
@click.option("--number", type=int, default=None, help="Repeat the order of an earlier run.")
def main(*, short: bool, number: int | None) -> None:
    """Run the fault-injection test for PROVE_MINUTES (default 10) and print a report."""
    try:
        minutes = read_minutes(os.environ.get("PROVE_MINUTES", ""))
        seed = os.environ.get("PROVE_SEED", "")
        single = Scenario.parse(seed) if seed else None
    except ValueError as error:
        raise click.ClickException(f"PROVE_MINUTES or PROVE_SEED {error}") from None
    number = random.randrange(10**6) if number is None else number  # noqa: S311 - no secret
    mutants = list(SHORT_MUTANTS if short else MUTANTS)
    if single:
        databases, mutants = [single.database], []
    else:
        databases = list(DATABASES)
        click.echo(f"testing on {' and '.join(databases)}; --number {number} repeats the order")
    started = time.monotonic()
    until = 0.0 if short or single else time.time() + minutes * 60
    with ExitStack() as stack:
        directory = stack.enter_context(_directory_in_memory())
        server = stack.enter_context(running_postgresql()) if "postgresql" in databases else ""
        parts = 1 if short or single else PARTS
        drivers = [
            _Driver(
                database,
                directory / f"{database}-{part}",
                [
                    *(["--server", server] if database == "postgresql" else []),
                    *["--number", str(number), "--until", str(until)],
                    *["--part", str(part), "--parts", str(parts)],
                    *(["--seed", seed] if single else []),
                    *(f"--mutant={name}" for name in mine[part::parts]),
                ],
            )
            for database in databases
            for mine in [_share(mutants, database, databases)]
            for part in range(parts)
        ]
        found = Found()
        limit = until + GRACE_SECONDS if until else time.time() + SHORT_SECONDS_MAX
        try:
            asyncio.run(_drive(drivers, found, limit))
        except asyncio.CancelledError:
            raise click.Abort from None
    wanted = len(mutants)
    seconds = time.monotonic() - started
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    click.echo(
        render(
            found,
            seconds=seconds,
            processor_seconds=spent.ru_utime + spent.ru_stime,
            mutants_wanted=wanted,
        )
    )
    failed = [driver.database for driver in drivers if driver.code != 0]
    for database in failed:
        click.echo(f"\nThe driver of {database} failed.")
    missing = {*mutants} - found.mutants.keys()
    if missing:
        click.echo(f"\nNo time was left for the mutants {', '.join(sorted(missing))}.")
    if not found.holds or failed or missing:
        sys.exit(1)


def read_minutes(text: str) -> float:
    """Return the value of PROVE_MINUTES.

    Raises:
        ValueError: it is no number, or out of range.
    """
    try:
        minutes = float(text) if text else DEFAULT_MINUTES
    except ValueError:
        minutes = 0.0
    if not 0.1 <= minutes <= MOST_MINUTES:
        raise ValueError(f"is not a number of minutes from 0.1 to {MOST_MINUTES:.0f}")
    return minutes


@contextmanager
def _directory_in_memory() -> Iterator[Path]:
    """Yield a directory, in memory if possible: SIGKILL loses no written data."""
    before = tempfile.tempdir
    if os.access(_MEMORY, os.W_OK):
        tempfile.tempdir = str(_MEMORY)  # PostgreSQL's too
    path = Path(tempfile.mkdtemp(prefix="nivisco-prove-"))
    try:
        yield path
    finally:
        tempfile.tempdir = before
        shutil.rmtree(path, ignore_errors=True)


def _share(mutants: list[str], database: str, databases: list[str]) -> list[str]:
    """Return the mutants to run on a database; those for either are split between both."""
    either = [name for name in mutants if not MUTANTS[name].database]
    only = [name for name in mutants if MUTANTS[name].database == database]
    return only + either[databases.index(database) :: len(databases)]


class _Driver:
    """A driver's process."""

    def __init__(self, database: str, directory: Path, arguments: list[str]) -> None:
        self.database = database
        self.code: int | None = None
        self._directory = directory
        self._arguments = arguments

    async def run(self, found: Found, limit: float) -> None:
        """Run it to its end or to the limit, and collect its results."""
        self._directory.mkdir()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.prove.driver",
            "--directory",
            str(self._directory),
            "--database",
            self.database,
            *self._arguments,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(limit - time.time()):
                while line := await process.stdout.readline():
                    found.add(self.database, json.loads(line))
                self.code = await process.wait()
        except TimeoutError:
            click.echo(f"The driver of {self.database} exceeded its time and is stopped.")
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
                await process.wait()


async def _drive(drivers: list[_Driver], found: Found, limit: float) -> None:
    started = time.monotonic()

    async def progress() -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            passed = time.monotonic() - started
            click.echo(f"[{passed // 60:3.0f}:{passed % 60:02.0f}] {found.progress()}")

    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    beside = asyncio.ensure_future(progress())
    try:
        async with asyncio.TaskGroup() as group:
            for driver in drivers:
                group.create_task(driver.run(found, limit))
    finally:
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)


if __name__ == "__main__":
    main()
