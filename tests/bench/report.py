"""Runs every part of the benchmark and collects the results."""

import os
import statistics
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.books import Books, open_wallets, read_books
from tests.bench.calls import Callers
from tests.bench.charges import Charges, measure_charges
from tests.bench.in_process import InProcess, measure_in_process
from tests.bench.plan import Plan
from tests.bench.postgresql.debits import Debits, measure_debits
from tests.bench.round_trips import RoundTrips, measure_round_trips
from tests.bench.stack import running_stack
from tests.core.running import register

_SYNCS = 100


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine and its load before the run."""

    processors: int
    load: float
    """Load average of the minute before."""
    fsync_microseconds: float
    """Median in the database's directory; every charge waits for at least one."""


@dataclass(frozen=True, slots=True)
class Report:
    """The results of a run."""

    machine: Machine
    plan: Plan
    seconds: float
    round_trips: RoundTrips
    charges: list[Charges]
    in_process: InProcess
    books: Books
    """Of the SQLite database; `debits` has its own."""
    debits: Debits

    @property
    def balances(self) -> bool:
        """Whether all books balance."""
        return all(books.balance for books in (self.books, *self.debits.books.values()))

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return asdict(self)


async def measure(plan: Plan) -> Report:
    """Start everything, measure, check the books, stop everything.

    Raises:
        UnexpectedAnswer, CoreError: a request failed, so the numbers are invalid.
    """
    started, load = time.perf_counter(), os.getloadavg()[0]
    done: Counter[str] = Counter()
    async with running_stack() as stack:
        machine = Machine(os.cpu_count() or 1, load, _fsync_microseconds(stack.directory))
        business = await register(stack.core)
        user_ids = await open_wallets(business, plan.wallets + 1)
        callers = Callers(business, user_ids)
        try:
            round_trips = await measure_round_trips(stack, callers, user_ids, plan)
            charges = await measure_charges(stack, callers, user_ids, plan, done)
        finally:
            callers.close()
        books = await read_books(business, user_ids, done)
    debits = await measure_debits(plan)
    in_process = measure_in_process(plan)
    seconds = time.perf_counter() - started
    return Report(machine, plan, seconds, round_trips, charges, in_process, books, debits)


def _fsync_microseconds(directory: Path) -> float:
    """Return the time of an fsync; nothing else runs yet."""
    taken = []
    with (directory / "fsync").open("wb", buffering=0) as file:
        for _ in range(_SYNCS):
            file.write(bytes(4096))
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1e6
