"""Part `sqlite`: charge_wallet by JSON on SQLite, beside Python's sqlite3 with the same writes.

sqlite3 has the pragmas of the core, and commits every debit alone, with synchronous FULL. It checks
no API key, looks up no user and keeps no idempotency record.
"""

import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

from rpc.client import CoreClient
from tests.bench.accounts import (
    ALL_POSTINGS,
    CHARGED_CENTS,
    MANY,
    UNBALANCED,
    WALLETS,
    Account,
    Books,
    compare_books,
    open_accounts,
)
from tests.bench.calls import CHARGE, json_requests, open_clients
from tests.bench.figures import Figure, Result, at_least, at_most
from tests.bench.histogram import Histogram
from tests.bench.one_client import MILLISECONDS_MAX
from tests.bench.run import Run
from tests.bench.samples import Spread, Turn, per_second_ratio, summary
from tests.bench.size import Size
from tests.bench.stack import CLIENT, adapter_process, core_process, cpu_seconds_of, running
from tests.bench.turns import in_turns, take_turn

_RAW = "raw sqlite3"
_WALLETS_MOST = 200
"""Opening a wallet on SQLite is slow, and their number changes nothing there."""


async def measure(run: Run) -> Result:
    """Measure in turns, and check the books of both."""
    size = replace(run.size, wallets=min(run.size.wallets, _WALLETS_MOST))
    with tempfile.TemporaryDirectory(prefix="nivisco-bench-") as directory:
        return await _measure(Path(directory), size)


async def _measure(directory: Path, size: Size) -> Result:
    ours, raw = directory / "ours.db", directory / "raw.db"
    command = core_process(directory, f"sqlite:///{ours}")
    async with running(command) as (_, core_at):
        client = CoreClient(str(core_at))
        try:
            groups = await open_accounts(client, size)
        finally:
            await client.close()
    _copy(ours, raw)
    accounts = groups[MANY]
    acknowledged = {ours: Counter[str](), raw: Counter[str]()}
    async with AsyncExitStack() as opened:
        core, core_at = await opened.enter_async_context(running(command))
        adapter, adapter_at = await opened.enter_async_context(
            running(adapter_process(directory, core_at))
        )
        requests = json_requests(adapter_at, accounts, CHARGE, keyed=True)
        clients = await open_clients(opened, adapter_at, requests, size.clients)
        debits = opened.enter_context(_raw_debits(raw, accounts))
        pids = {"core": core.pid, "adapter": adapter.pid}

        async def turn_of(way: int | str, seconds: float) -> Turn:
            if isinstance(way, str):
                turn = _take_raw_turn(debits, seconds)
            else:
                users = [account.user_id for account in accounts]
                turn = await take_turn(lambda: cpu_seconds_of(pids), clients[:way], users, seconds)
            acknowledged[raw if way == _RAW else ours][MANY] += len(turn.latencies)
            return turn

        ways: list[int | str] = [1, size.clients, _RAW]
        turns = await in_turns(ways, turn_of, size)
    many = turns[size.clients]
    return Result(
        [
            Figure(
                f"SQLite, JSON debit, keyed, {size.clients} clients / sqlite3, one commit each",
                per_second_ratio(many, turns[_RAW]),
                "x",
                at_least(1.0),
                f"{summary('JSON', many)}; {summary('sqlite3', turns[_RAW])}",
            ),
            Figure(
                "JSON debit, keyed, one client, SQLite, median time",
                Spread.of([turn.milliseconds(50) for turn in turns[1]]),
                "ms",
                at_most(MILLISECONDS_MAX),
                summary("debit", turns[1]),
            ),
        ],
        {file.stem: _read_books(file, groups, counted) for file, counted in acknowledged.items()},
    )


def _copy(database: Path, copy: Path) -> None:
    """Copy the database of a core that has ended."""
    with closing(sqlite3.connect(database)) as one, closing(sqlite3.connect(copy)) as other:
        one.backup(other)


@dataclass(frozen=True, slots=True)
class _RawDebits:
    connection: sqlite3.Connection
    wallets: Iterator[Account]
    numbers: Iterator[int]


@contextmanager
def _raw_debits(file: Path, accounts: Sequence[Account]) -> Iterator[_RawDebits]:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for pragma in (
            *("locking_mode=EXCLUSIVE", "journal_mode=WAL"),
            *("synchronous=FULL", "foreign_keys=ON"),
        ):
            connection.execute(f"PRAGMA {pragma}")
        yield _RawDebits(connection, cycle(accounts), iter(range(10**9)))


def _take_raw_turn(debits: _RawDebits, seconds: float) -> Turn:
    latencies = Histogram()
    started, cpu = time.perf_counter(), time.process_time()
    ended = started
    while not len(latencies) or ended < started + seconds:
        begun = ended
        _debit(debits.connection, next(debits.wallets), next(debits.numbers))
        ended = time.perf_counter()
        latencies.record(ended - begun)
    return Turn(ended - started, latencies, {CLIENT: time.process_time() - cpu})


def _debit(connection: sqlite3.Connection, account: Account, number: int) -> None:
    """Debit a wallet as postgresql/debit.sql does."""
    business_id, wallet_id = account.credentials.business_id, account.wallet_id
    transaction_id = f"WTX-{number:026d}"
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    connection.execute("BEGIN IMMEDIATE")
    env, currency, balance, version = connection.execute(
        "SELECT env, currency, balance_minor, version FROM wallets "
        "WHERE business_id = ? AND wallet_id = ?",
        (business_id, wallet_id),
    ).fetchone()
    assert balance >= CHARGED_CENTS, "wallets are funded for any run"
    balance -= CHARGED_CENTS
    connection.execute(
        "UPDATE wallets SET balance_minor = ?, version = ?, updated_at = ? "
        "WHERE business_id = ? AND wallet_id = ?",
        (balance, version + 1, now, business_id, wallet_id),
    )
    connection.execute(
        "INSERT INTO wallet_transactions (business_id, transaction_id, wallet_id, version, type, "
        "amount_minor, balance_after_minor, source, reason, created_at) "
        "VALUES (?, ?, ?, ?, 'debit', ?, ?, 'system', 'business_charge', ?)",
        (business_id, transaction_id, wallet_id, version + 1, CHARGED_CENTS, balance, now),
    )
    connection.executemany(
        "INSERT INTO postings (business_id, transaction_id, account, amount_minor, currency) "
        "VALUES (?, ?, ?, ?, ?)",
        [
            (business_id, transaction_id, wallet_id, -CHARGED_CENTS, currency),
            (business_id, transaction_id, f"revenue:{env}:{currency}", CHARGED_CENTS, currency),
        ],
    )
    connection.execute("COMMIT")


def _read_books(file: Path, groups: dict[str, list[Account]], counted: Counter[str]) -> Books:
    group_of = {each.wallet_id: group for group, every in groups.items() for each in every}
    with closing(sqlite3.connect(file)) as connection:
        return compare_books(
            connection.execute(WALLETS).fetchall(),
            connection.execute(UNBALANCED).fetchall(),
            connection.execute(ALL_POSTINGS).fetchone()[0],
            group_of,
            counted,
        )
