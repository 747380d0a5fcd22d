"""`nivisco profile` shows where CPU time goes, and writes code positions only."""

import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

from cli.data_dir import DataDir
from tests.processes import Running, Start, serving_line, start_up

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


def running_up(start: Start, tmp_path: Path) -> tuple[Running, DataDir]:
    up = start_up(start, tmp_path / "var")
    up.wait_for(READY)
    return up, DataDir(tmp_path / "var")


def test_core_and_adapter_are_profiled_while_they_serve(start: Start, tmp_path: Path) -> None:
    _, directory = running_up(start, tmp_path)
    result = profiled("--data-dir", str(directory.path))
    assert result.returncode == 0, result.stderr
    files = sorted(directory.profiles.iterdir())
    assert [file.name.split("-")[0] for file in files] == [
        "adapter",
        "core",
        "sandbox",
        "scheduler",
    ]
    for file in files:
        assert f"{file}: " in result.stdout
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {"own", "cumulative"} <= set(result.stdout.split())


def test_a_profile_has_only_code_positions(start: Start, tmp_path: Path) -> None:
    _, directory = running_up(start, tmp_path)
    assert profiled("--data-dir", str(directory.path)).returncode == 0
    lines = [
        line for file in directory.profiles.iterdir() for line in file.read_text().splitlines()
    ]
    assert [line for line in lines if not STACK.fullmatch(line)] == []


def test_a_new_profile_replaces_the_old_ones(start: Start, tmp_path: Path) -> None:
    _, directory = running_up(start, tmp_path)
    (directory.profiles / "core-1.collapsed").write_text("of_a_process:that_ended 1\n")
    assert profiled("--data-dir", str(directory.path)).returncode == 0
    assert not (directory.profiles / "core-1.collapsed").exists()
    assert profiled("--data-dir", str(directory.path)).returncode == 0
    assert len(list(directory.profiles.iterdir())) == 4


def test_without_a_directory_the_signal_only_leaves_a_log_line(start: Start) -> None:
    adapter = start("-m", "cli", "adapter", "--http", "127.0.0.1:0")
    adapter.wait_for_match(serving_line("adapter"))
    adapter.signal(signal.SIGUSR1)
    adapter.wait_for("SIGUSR1 ignored, NIVISCO_PROFILE_DIRECTORY is not set")
    adapter.signal(signal.SIGTERM)
    assert adapter.wait() == 0


def test_a_process_that_would_die_of_the_signal_gets_none(start: Start, tmp_path: Path) -> None:
    directory = str(tmp_path)
    waiting = "import signal; print('runs', flush=True); signal.pause()"
    other = start("-c", waiting, NIVISCO_PROFILE_DIRECTORY=directory)
    other.wait_for("runs")
    result = profiled("--directory", directory)
    assert result.returncode == 1
    assert f"No process of this user profiles into {directory}" in result.stderr
    other.signal(signal.SIGTERM)
    assert other.wait() == -signal.SIGTERM


def test_without_an_up_it_says_so(tmp_path: Path) -> None:
    result = profiled("--data-dir", str(tmp_path))
    assert result.returncode == 1
    assert "Start `nivisco up`" in result.stderr
