"""The command `profile`: shows where the processes of a running `up` spend CPU time."""

import fcntl
import os
import signal
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import click

from cli.data_dir import DEFAULT_DATA_DIR, DataDir
from cli.failures import Failure
from cli.profiler import RUNNING_SUFFIX, SUFFIX

_SHOWN = 25
_PATIENCE_SECONDS = 10.0
_POLL_SECONDS = 0.05


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="The data directory of the `nivisco up` to profile.",
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The NIVISCO_PROFILE_DIRECTORY of processes that were started one by one.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 50.0),
    default=10.0,
    show_default=True,
    help="How long to profile.",
)
def profile(data_dir: Path, directory: Path | None, seconds: float) -> None:
    """Profile every running process for some seconds, and print its top functions.

    Have requests sent meanwhile. The files that it names have one collapsed stack a line, with its
    microseconds of CPU time: flame graph viewers open them.
    """
    directory = (directory or DataDir(data_dir).profiles).absolute()
    pids = _processes_of(directory)
    if not pids:
        raise Failure(f"No process of this user profiles into {directory}. Start `nivisco up`.")
    for old in directory.glob(f"*{SUFFIX}"):
        old.unlink()
    running = [pid for pid in pids if _toggle(pid)]
    time.sleep(seconds)
    written = [pid for pid in running if _toggle(pid)]
    files = _wait_for(directory, written)
    for file in sorted(files.values()):
        click.echo("\n".join(_report(file)))
    if missing := [str(pid) for pid in written if pid not in files]:
        raise Failure(f"No profile of process {', '.join(missing)}. Its log may say why.")


def _processes_of(directory: Path) -> list[int]:
    """Return the processes that write profiles into a directory."""
    return sorted(
        int(file.stem.rpartition("-")[2])
        for file in directory.glob(f"*-*{RUNNING_SUFFIX}")
        if _is_running(file)
    )


def _is_running(file: Path) -> bool:
    """Return whether the process of the file runs: it has locked the file. Else delete the file."""
    try:
        with file.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # another user's, or another `profile` deleted it
        return False
    file.unlink(missing_ok=True)
    return False


def _toggle(pid: int) -> bool:
    """Start or end the profile of a process; return whether it still runs."""
    try:
        os.kill(pid, signal.SIGUSR1)
    except ProcessLookupError:
        return False
    return True


def _wait_for(directory: Path, pids: Collection[int]) -> dict[int, Path]:
    """Return the profiles of these processes, once all are written or time is up."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    found: dict[int, Path] = {}
    while len(found) < len(pids) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        for pid in pids:
            for file in directory.glob(f"*-{pid}{SUFFIX}"):
                found[pid] = file
    return found


def _report(file: Path) -> list[str]:
    """Return the text for a profile: total, top functions by own and by cumulative time."""
    own: Counter[str] = Counter()
    cumulative: Counter[str] = Counter()
    for line in file.read_text().splitlines():
        stack, _, microseconds = line.rpartition(" ")
        positions = stack.split(";")
        own[positions[-1]] += int(microseconds)
        for position in set(positions):
            cumulative[position] += int(microseconds)
    total = own.total()
    lines = [f"{file}: {total / 1e6:.2f} s of CPU time"]
    for heading, counted in (("own", own), ("cumulative", cumulative)):
        lines += ["", f"  {heading:>10}         %  function"]
        lines += [
            f"  {microseconds / 1e3:>7.0f} ms {100 * microseconds / total:>8.1f}%  {position}"
            for position, microseconds in counted.most_common(_SHOWN)
            if microseconds
        ]
    return [*lines, ""]
