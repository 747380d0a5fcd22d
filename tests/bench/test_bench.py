"""The benchmark prints every row, its books balance, and it cleans up. No number is checked."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from nivisco.payments.v1 import wallet_pb2
from tests.bench.lists import CASES
from tests.bench.plan import DEFAULT_SECONDS, Plan, read_seconds
from tests.bench.reflection import calls_into_the_schema
from tests.bench.samples import Spread, Turn, percentile_99, ratio
from transcoding.schema import enum_words

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0
ROWS = [
    "JSON / echo", "JSON / gRPC", "gRPC / echo",
    "adapter, JSON minus gRPC", "adapter, CPU time", "adapter CPU / echo CPU",
    "1 client, 4 wallets", "2 clients, 4 wallets", "4 clients, 4 wallets",
    "1 client, 1 hot wallet", "2 clients, 1 hot wallet", "4 clients, 1 hot wallet",
    "get_user_wallet: parse envelope", "charge_wallet: parse envelope",
    "get_user_wallet: read request", "charge_wallet: read request",
    "get_user_wallet: write response", "charge_wallet: write response",
    "get_user_wallet: check rules", "charge_wallet: check rules",
    "get_user_wallet: transcode / json_format", "charge_wallet: transcode / json_format",
    "get_user_wallet: rules / protovalidate", "charge_wallet: rules / protovalidate",
    "descriptor calls in a transcode", "noise:",
    "4 wallets, JSON", "4 wallets, gRPC", "4 wallets, pgbench", "4 wallets, ORM",
    "1 hot wallet, JSON", "1 hot wallet, gRPC", "1 hot wallet, pgbench", "1 hot wallet, ORM",
    "4 wallets, JSON / pgbench", "4 wallets, gRPC / pgbench",
    "4 wallets, JSON / ORM", "4 wallets, gRPC / ORM",
    "1 hot wallet, JSON / pgbench", "1 hot wallet, gRPC / pgbench",
    "1 hot wallet, JSON / ORM", "1 hot wallet, gRPC / ORM",
    "books, SQLite:", "books, ours:", "books, pgbench:", "books, orm:",
]  # fmt: skip


def started(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.bench", "--small", *arguments],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def output_of(module: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", module, "--small"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout


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
    return [path for path in directory.iterdir() if path.name != ".lockfile"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """The output and the file of one small run, which must have cleaned up."""
    directory, file = tmp_path_factory.mktemp("bench"), tmp_path_factory.mktemp("out") / "run.json"
    process = started(directory, "--json", str(file))
    try:
        printed, _ = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
    assert process.returncode == 0, printed
    assert (files_in(directory), processes_of(directory)) == ([], [])
    return printed, json.loads(file.read_text())


def test_every_row_is_printed(run: tuple[str, dict[str, Any]]) -> None:
    lines = [line.strip() for line in run[0].splitlines()]
    assert [row for row in ROWS if not any(line.startswith(row) for line in lines)] == []


def test_all_books_balance(run: tuple[str, dict[str, Any]]) -> None:
    printed, report = run
    assert printed.count("they balance exactly") == 4
    for books in (report["books"], *report["debits"]["books"].values()):
        assert books["differences"] == []
        assert books["charges"] > 0
        assert books["history_rows"] == books["charges"] + books["wallets"]


def test_the_file_holds_every_ratio(run: tuple[str, dict[str, Any]]) -> None:
    report = run[1]
    assert report["round_trips"]["json_to_echo"]["median"] > 0
    assert report["round_trips"]["ways"]["JSON"]["cpu"].keys() == {
        "client", "adapter", "core", "echo",
    }  # fmt: skip
    assert [(row["clients"], row["wallets"]) for row in report["charges"]] == [
        (1, 4), (2, 4), (4, 4), (1, 1), (2, 1), (4, 1),
    ]  # fmt: skip


def test_the_four_debits_share_a_durable_server(run: tuple[str, dict[str, Any]]) -> None:
    debits = run[1]["debits"]
    assert {"fsync": "on", "synchronous_commit": "on"}.items() <= debits["settings"].items()
    for row, wallets in zip(debits["rows"], (4, 1), strict=True):
        assert row["wallets"] == wallets
        assert list(row["ways"]) == ["JSON", "gRPC", "pgbench", "ORM"]
        assert all(way["cpu"]["postgres"]["median"] > 0 for way in row["ways"].values())
        assert row["ways"]["pgbench"]["cpu"]["pgbench"]["median"] > 0
        assert row["ways"]["ORM"]["cpu"]["service"]["median"] > 0


def test_transcoding_calls_no_descriptor(run: tuple[str, dict[str, Any]]) -> None:
    assert run[1]["in_process"]["schema_calls"] == []


def test_descriptor_calls_are_detected() -> None:
    enum = wallet_pb2.TransactionType.DESCRIPTOR
    found = calls_into_the_schema(lambda: enum_words(enum))
    assert found[0] == "transcoding.schema.enum_words"
    assert any(call.endswith(".GetOptions") for call in found)


@pytest.mark.parametrize("running_part", ["*/nivisco.db", "nivisco-pg-*/postmaster.pid"])
def test_a_stopped_run_cleans_up(tmp_path: Path, running_part: str) -> None:
    process = started(tmp_path)
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


def test_ratios_are_taken_round_by_round() -> None:
    assert ratio([2, 4, 60], [1, 2, 30]) == Spread(2, 2, 2, 2, 2)


def test_the_spread_is_half_the_distance_between_the_quartiles() -> None:
    assert Spread.of([80, 90, 100, 110, 120]).percent == 10


def test_a_turn_divides_time_by_requests() -> None:
    turn = Turn(2.0, [0.5, 0.1, 0.2, 0.3], {"core": 0.04})
    assert (turn.per_second, turn.cpu_microseconds("core")) == (2.0, 10_000)
    assert turn.median_microseconds == pytest.approx(250_000)
    assert percentile_99([turn]) == 500_000


@pytest.mark.parametrize("text", ["0", "-5", "soon", "nan", "inf", "1e9"])
def test_seconds_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="BENCH_SECONDS"):
        read_seconds(text)


def test_the_shares_of_a_run_sum_to_its_time() -> None:
    plan = Plan.of(100.0)
    parts = [
        variants * (rounds.warm_up_seconds + rounds.rounds * rounds.seconds)
        for variants, rounds in (
            (3, plan.round_trips(3)),
            (12, plan.charges(12)),
            (8, plan.debits(8)),
        )
    ]
    parts.append(plan.in_process_rounds * 13 * plan.in_process_seconds(13))
    assert sum(parts) == pytest.approx(100.0)


def test_the_contest_on_postgresql_warms_up_for_8_seconds() -> None:
    assert 8 * Plan.of(DEFAULT_SECONDS).debits(8).warm_up_seconds == pytest.approx(8.0)


@pytest.mark.parametrize(
    ("module", "rows"),
    [
        (
            "tests.bench.gateway",
            ["charge  ", "bare aiohttp POST of its bytes", "100 charges in flight / one", "time"],
        ),
        (
            "tests.bench.recurring",
            ["a claim of 100 among", "the largest table / the smallest", "due charges at 300 ms"],
        ),
        (
            "tests.bench.lists",
            [
                *("PostgreSQL: 12,000 payments beside 1,000", "SQLite: 12,000 payments beside"),
                *(f"  {case.name}  " for case in CASES),
                "page 480 by its number",
            ],
        ),
    ],
)
def test_the_other_benchmarks_print_every_row(module: str, rows: list[str]) -> None:
    printed = output_of(module)
    assert [row for row in rows if row not in printed] == []
