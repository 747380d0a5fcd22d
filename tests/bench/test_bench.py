"""Every part of the benchmark prints its rows, its books balance, and it cleans up.

No figure is checked: a small run measures nothing.
"""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from nivisco.payments.v1 import wallet_pb2
from tests.bench.__main__ import PARTS
from tests.bench.calls import Call
from tests.bench.figures import Figure, Result, at_least, at_most, markdown
from tests.bench.histogram import Histogram
from tests.bench.in_process import schema_calls
from tests.bench.lists import CASES
from tests.bench.reflection import calls_into_the_schema
from tests.bench.samples import Spread, Turn, ratio
from tests.bench.turns import take_counted_turn, take_steady_turn
from transcoding.schema import enum_words

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 170.0
ROWS = {
    "debits": [
        "JSON debit, keyed, 6 wallets of 3 businesses, 4 clients / pgbench, 4",
        "JSON debit, keyed, 6 wallets of one business, 4 clients / pgbench, 4",
        "JSON debit, keyed, 6 wallets of 3 businesses, 8 clients / pgbench, 8",
        "JSON debit, keyed, 6 wallets of one business, 8 clients / pgbench, 8",
        "JSON debit, keyed, one hot wallet, 4 clients / pgbench, 4",
        "what a key adds to a JSON debit, 4 clients",
        "p99 / p50 of a JSON debit, 4 clients, closed loop",
    ],
    "orm": [
        "JSON debit, 4 clients / FastAPI and the ORM",
        "JSON read, 4 clients / FastAPI and the ORM",
    ],
    "one": [
        "JSON read, one client / a bare aiohttp echo, median time",
        "JSON debit, keyed, one client, PostgreSQL, median time",
    ],
    "sqlite": [
        "SQLite, JSON debit, keyed, 4 clients / sqlite3, one commit each",
        "JSON debit, keyed, one client, SQLite, median time",
    ],
    "steady": [
        "JSON debit, keyed, p50 at half load, open loop",
        "JSON debit, keyed, p99 at half load, open loop",
        "JSON debit, keyed, p99.9 at half load, open loop",
    ],
    "workers": ["two cores and two adapters / one each, JSON debit, keyed, 4 clients"],
    "hop": [
        "hop from adapter to core, CPU of both sides, 4 callers",
        "the same / a bare unary gRPC call",
    ],
    "charges": ["40 charge_customer, 10 in flight, gateway of 300 ms / ideal, time"],
    "lists": [
        f"{engine}, {case.name} of 12,000 payments / of 1,000, time"
        for engine in ("PostgreSQL", "SQLite")
        for case in CASES
    ],
    "startup": [
        "`nivisco up` until it serves, first start",
        "`nivisco up` until it serves, later starts",
        "memory of `nivisco up`, all processes",
    ],
    "gateway": [
        "charge at Authorize.Net, CPU time beyond a bare POST of its bytes",
        "100 charges in flight at 300 ms / one, time",
    ],
    "recurring": [
        "a claim of 100 among 60,000 jobs / 600, time",
        "40 due charges, gateway of 300 ms",
    ],
    "functions": [
        f"{action}: {function}"
        for action in ("get_user_wallet", "charge_wallet")
        for function in (
            *("parse envelope", "read request", "write response", "json_format, both ways"),
            *("check rules", "protovalidate", "transcode / json_format", "rules / protovalidate"),
        )
    ],
    "neighbours": [
        f"p99 of others' keyed debits beside {harm} / alone"
        for harm in ("a hanging gateway", "a flood of wrong keys", "slow bodies")
    ],
}
BOOKS = {
    "debits": ["ours", "pgbench"],
    "orm": ["ours", "orm"],
    "one": ["ours"],
    "sqlite": ["ours", "raw"],
    "steady": ["ours"],
    "workers": ["ours"],
    "charges": ["ours"],
    "neighbours": ["ours"],
}


def started(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.bench", "--small", *arguments],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def processes_of(directory: Path) -> list[str]:
    """Return the processes with this temporary directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(directory).encode() in (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:
            continue
    return found


def files_in(directory: Path) -> list[Path]:
    """Return the files, without the lock of the package that starts PostgreSQL."""
    return [path for path in directory.rglob("*") if path.is_file() and path.name != ".lockfile"]


def table_of(tmp_path: Path, *parts: str) -> str:
    """Return the Markdown of a small run, which must have cleaned up."""
    directory, file = tmp_path / "run", tmp_path / "table.md"
    directory.mkdir()
    process = started(directory, "--markdown", str(file), *parts)
    try:
        printed, _ = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
    assert process.returncode == 0, printed
    assert (files_in(directory), processes_of(directory)) == ([], [])
    return file.read_text()


def check(table: str, parts: list[str]) -> None:
    """Check that a table has every row of these parts, and balanced books."""
    rows = re.findall(r"^\| (.+?) \|", table, re.MULTILINE)
    assert [row for part in parts for row in ROWS[part] if row not in rows] == []
    for part in parts:
        books = re.findall(rf"^- books of `{part}`, (\w+): .*: they balance", table, re.MULTILINE)
        assert books == BOOKS.get(part, [])


def test_every_part_is_tested() -> None:
    assert list(ROWS) == list(PARTS)


@pytest.mark.parametrize(
    "parts",
    [
        ["debits", "orm", "one", "steady", "workers", "neighbours"],
        ["charges", "recurring", "lists"],
        ["sqlite", "hop", "startup", "gateway", "functions"],
    ],
    ids=lambda parts: parts[0],
)
def test_parts_print_every_row_and_their_books_balance(parts: list[str], tmp_path: Path) -> None:
    check(table_of(tmp_path, *parts), parts)


def test_a_part_runs_alone(tmp_path: Path) -> None:
    check(table_of(tmp_path, "hop"), ["hop"])


def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    process = started(tmp_path, "everything")
    printed, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 2
    assert "'everything' is not one of 'debits', 'orm'" in printed


@pytest.mark.parametrize(
    ("part", "running_part"),
    [("sqlite", "*/ours.db"), ("debits", "nivisco-pg-*/postmaster.pid")],
)
def test_a_stopped_run_cleans_up(tmp_path: Path, part: str, running_part: str) -> None:
    process = started(tmp_path, part)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not list(tmp_path.glob(running_part)):
            assert time.monotonic() < deadline, f"{running_part} never appeared"
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
                pytest.fail("it ended by itself")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
    assert process.returncode == 1
    assert (files_in(tmp_path), processes_of(tmp_path)) == ([], [])


def test_a_row_shows_its_goal_and_whether_it_is_met() -> None:
    figures = [
        Figure("fast", Spread(1.2, 3), "x", at_least(1.0), "12/s; 10/s"),
        Figure("slow", Spread(12.5, 0), "ms", at_most(10.0)),
        Figure("plain", Spread(1234, 0), "µs"),
    ]
    assert list(markdown({"part": Result(figures)}))[2:7] == [
        "| fast | ≥ 1.00x | 1.20x ±3 % | yes |",
        "| slow | ≤ 10.0 ms | 12.5 ms ±0 % | **no** |",
        "| plain |  | 1,234 µs ±0 % |  |",
        "",
        "- `part`, fast: 12/s; 10/s",
    ]


def test_transcoding_calls_no_descriptor() -> None:
    assert schema_calls() == []


def test_descriptor_calls_are_detected() -> None:
    enum = wallet_pb2.TransactionType.DESCRIPTOR
    found = calls_into_the_schema(lambda: enum_words(enum))
    assert found[0] == "transcoding.schema.enum_words"
    assert any(call.endswith(".GetOptions") for call in found)


def test_ratios_are_taken_round_by_round() -> None:
    assert ratio([2, 4, 60], [1, 2, 30]) == Spread(2, 0)


def test_the_spread_is_half_the_distance_between_the_quartiles() -> None:
    assert Spread.of([80, 90, 100, 110, 120]) == Spread(100, 10)


def test_a_turn_divides_time_by_requests() -> None:
    turn = Turn(2.0, Histogram([0.5, 0.1, 0.2, 0.3]), {"core": 0.04})
    assert (turn.per_second, turn.cpu_microseconds("core")) == (2.0, 10_000)


@pytest.mark.parametrize("microseconds", [0, 1, 1023, 1024, 1_000_001, 123_456_789])
def test_a_histogram_keeps_every_time_to_a_thousandth(microseconds: int) -> None:
    found = Histogram([microseconds / 1e6]).percentile(100)
    assert found == pytest.approx(microseconds, rel=0.002)


def test_a_percentile_is_the_time_that_so_many_requests_do_not_exceed() -> None:
    histogram = Histogram(number / 1e6 for number in range(1, 101))
    histogram.add(Histogram([0.000_500]))
    assert [histogram.percentile(percent) for percent in (50, 99, 100)] == [51, 100, 500]
    assert len(histogram) == 101


async def answered(user_id: str) -> None:
    """Answer at once."""


async def test_a_counted_turn_sends_so_many_requests() -> None:
    turn = await take_counted_turn(dict, [answered] * 3, ["a", "b"], 10)
    assert len(turn.latencies) == 10


async def test_in_an_open_loop_a_stall_counts_for_all_that_it_delays() -> None:
    stalls = iter([True])

    async def stalling(user_id: str) -> None:
        if next(stalls, False):
            time.sleep(0.05)  # noqa: ASYNC251 - nothing else is to run meanwhile

    clients: list[Call] = [stalling]
    turn = await take_steady_turn(dict, clients, ["a"], 0.05, per_second=1000.0)
    assert len(turn.latencies) == 50
    assert turn.milliseconds(50) > 10, "in a closed loop only one request would be slow"
