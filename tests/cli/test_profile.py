"""`nivisco profile` shows where CPU time goes, and writes code positions only."""

import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Start, serving_line, start_process, start_up

READY = "Ctrl-C stops everything.\n"
STACK = re.compile(r"\(other threads\) \d+|[\w./<>-]+:[\w.<>]+(;[\w./<>-]+:[\w.<>]+)* \d+")


def profiled(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "cli", "profile", "--seconds", "0.5", *options],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """What the second profile of an `up` printed, and where its files are."""
    data_dir = tmp_path_factory.mktemp("profile") / "var"
    up = start_up(start_process, data_dir)
    try:
        up.wait_for(READY)
        (data_dir / "profiles" / "core-1.collapsed").write_text("of_a_process:that_ended 1\n")
        assert profiled("--data-dir", str(data_dir)).returncode == 0
        result = profiled("--data-dir", str(data_dir))
        assert result.returncode == 0, result.stderr
        yield result.stdout, data_dir / "profiles"
    finally:
        up.end()


def test_every_process_of_an_up_is_profiled(run: tuple[str, Path]) -> None:
    printed, directory = run
    files = sorted(directory.glob("*.collapsed"))
    processes = [file.name.split("-")[0] for file in files]
    assert processes == ["adapter", "core", "sandbox", "scheduler"]
    assert [file for file in files if f"{file}: " not in printed] == []
    assert {"own", "cumulative"} <= set(printed.split())


def test_a_profile_has_only_code_positions(run: tuple[str, Path]) -> None:
    for file in run[1].glob("*.collapsed"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        lines = file.read_text().splitlines()
        assert [line for line in lines if not STACK.fullmatch(line)] == []


def test_without_a_directory_the_signal_only_leaves_a_log_line(start: Start) -> None:
    adapter = start("-m", "cli", "adapter", "--http", "127.0.0.1:0")
    adapter.wait_for_match(serving_line("adapter"))
    adapter.signal(signal.SIGUSR1)
    adapter.wait_for("SIGUSR1 ignored, NIVISCO_PROFILE_DIRECTORY is not set")
    adapter.signal(signal.SIGTERM)
    assert adapter.wait() == 0


def test_a_process_that_has_no_profiler_gets_no_signal(start: Start, tmp_path: Path) -> None:
    directory = str(tmp_path)
    waiting = "import signal; print('runs', flush=True); signal.pause()"
    other = start("-c", waiting, NIVISCO_PROFILE_DIRECTORY=directory)
    other.wait_for("runs")
    of_the_dead = tmp_path / f"core-{other.pid}.running"  # its id was used again
    of_the_dead.touch()
    result = profiled("--directory", directory)
    assert result.returncode == 1
    assert f"No process of this user profiles into {directory}" in result.stderr
    assert not of_the_dead.exists()
    other.signal(signal.SIGTERM)
    assert other.wait() == -signal.SIGTERM


def test_without_an_up_it_says_so(tmp_path: Path) -> None:
    result = profiled("--data-dir", str(tmp_path))
    assert result.returncode == 1
    assert "Start `nivisco up`" in result.stderr
