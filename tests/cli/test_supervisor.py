"""The supervisor of `up` with stand-ins that misbehave as its children."""

import os
import signal
from pathlib import Path

import pytest

from tests.processes import Start, wait_until_gone

_SUPERVISE = """
import asyncio, logging, os, sys
from pathlib import Path
import click
from cli.children import Spawn
from cli.supervisor import Interrupted, Supervisor

async def main(logs, programs):
    supervisor = Supervisor([], start_timeout_seconds=START_TIMEOUT)
    supervisor.handle_signals()
    try:
        for number, program in enumerate(programs):
            name = f"child{number}"
            command = [sys.executable, "-c", program]
            await supervisor.start(Spawn(name, command, dict(os.environ), logs / name, 1.0))
        click.echo("all ready")
        await supervisor.watch()
    except Interrupted:
        click.echo("interrupted")
    except click.ClickException as failure:
        click.echo(failure.message)
    finally:
        clean = await supervisor.stop_all()
    click.echo(f"clean={clean}")

logging.disable()
asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
"""

_ATTACHED = """
import os, signal, sys, time
from cli.parent_pipes import ParentPipes
parent = ParentPipes()
parent.report_ready("127.0.0.1:1")
"""
_SERVES = _ATTACHED + "signal.pause()\n"
_HANGS = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    + _ATTACHED
    + "while True: pass\n"
)
_STOPS_SLOWLY = (
    "import signal, sys\n"
    "signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit(0)))\n" + _SERVES
)
_NEVER_READY = (
    "from cli.parent_pipes import ParentPipes; ParentPipes()\nimport signal; signal.pause()\n"
)
_CANNOT_START = "import sys; print('no database', file=sys.stderr); sys.exit(3)\n"
_ENDS_ON_USR1 = (
    "import signal, sys\n"
    "signal.signal(signal.SIGUSR1, lambda *_: sys.exit('out of luck'))\n" + _SERVES
)


def _program(start_timeout: float = 15.0) -> str:
    return _SUPERVISE.replace("START_TIMEOUT", str(start_timeout))


@pytest.mark.parametrize("whole_group", [False, True])
def test_no_child_outlives_a_parent_that_was_killed(
    start: Start, tmp_path: Path, whole_group: bool
) -> None:
    parent = start("-c", _program(), str(tmp_path), _SERVES, _HANGS, _STOPS_SLOWLY)
    parent.wait_for("all ready")
    children = parent.children()
    assert len(children) == 3
    if whole_group:
        parent.kill_group()
    else:
        parent.signal(signal.SIGKILL)
    assert parent.wait() == -signal.SIGKILL
    wait_until_gone(children)


def test_a_child_that_is_starting_does_not_outlive_its_parent(start: Start, tmp_path: Path) -> None:
    parent = start("-c", _program(), str(tmp_path), _SERVES, _NEVER_READY)
    parent.wait_for("start   child1")
    children = parent.children()
    parent.signal(signal.SIGKILL)
    parent.wait()
    wait_until_gone([*children, *parent.children()])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_children_in_reverse_order(
    start: Start, tmp_path: Path, number: int
) -> None:
    parent = start("-c", _program(), str(tmp_path), _SERVES, _STOPS_SLOWLY)
    parent.wait_for("all ready")
    parent.signal(number)
    assert parent.wait() == 0
    assert "interrupted\nclean=True" in parent.printed
    assert (tmp_path / "child1").read_text() == "bye\n"
    wait_until_gone(parent.children())


def test_a_child_that_does_not_stop_is_killed_after_its_drain_time(
    start: Start, tmp_path: Path
) -> None:
    parent = start("-c", _program(), str(tmp_path), _HANGS)
    parent.wait_for("all ready")
    parent.signal(signal.SIGTERM)
    assert parent.wait() == 0
    assert "killed  child0\nclean=False" in parent.printed
    wait_until_gone(parent.children())


def test_a_second_signal_kills_at_once(start: Start, tmp_path: Path) -> None:
    parent = start("-c", _program(), str(tmp_path), _HANGS, _HANGS)
    parent.wait_for("all ready")
    parent.signal(signal.SIGINT)
    parent.wait_for("interrupted")
    parent.signal(signal.SIGINT)
    assert parent.wait() == 0
    assert "killed  child1\n  killed  child0\nclean=False" in parent.printed


def test_a_child_that_ends_stops_the_others_and_is_named(start: Start, tmp_path: Path) -> None:
    parent = start("-c", _program(), str(tmp_path), _ENDS_ON_USR1, _SERVES)
    parent.wait_for("all ready")
    first, second = parent.children()
    os.kill(first, signal.SIGUSR1)
    parent.wait()
    assert "The child0 ended (exit code 1).\n    out of luck\n" in parent.printed
    assert f"Its log: {tmp_path}/child0" in parent.printed
    wait_until_gone([first, second])


def test_a_child_that_cannot_start_is_named_with_its_last_lines(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "child1").write_text("of an earlier run\n")
    parent = start("-c", _program(), str(tmp_path), _SERVES, _CANNOT_START)
    parent.wait()
    assert "The child1 ended (exit code 3).\n    no database\n" in parent.printed
    assert "earlier run" not in parent.printed
    wait_until_gone(parent.children())


def test_a_child_that_is_never_ready_times_out(start: Start, tmp_path: Path) -> None:
    parent = start("-c", _program(start_timeout=1.0), str(tmp_path), _NEVER_READY)
    parent.wait()
    assert "Starting the child0 took longer than 1 s (--start-timeout)" in parent.printed
    wait_until_gone(parent.children())


def test_a_stop_during_the_start_stops_the_started_children(start: Start, tmp_path: Path) -> None:
    parent = start("-c", _program(), str(tmp_path), _SERVES, _NEVER_READY)
    parent.wait_for("start   child1")
    parent.signal(signal.SIGINT)
    assert parent.wait() == 0
    assert "interrupted" in parent.printed
    wait_until_gone(parent.children())


def test_children_do_not_inherit_each_others_pipes(start: Start, tmp_path: Path) -> None:
    counts = (
        "import os, pathlib\n"
        "links = [p for p in pathlib.Path('/proc/self/fd').iterdir() if p.is_symlink()]\n"
        "opened = [os.readlink(link) for link in links]\n"
        "print(sum(name.startswith('pipe:') for name in opened), flush=True)\n"
    )
    parent = start("-c", _program(), str(tmp_path), counts + _SERVES, counts + _SERVES)
    parent.wait_for("all ready")
    assert (tmp_path / "child0").read_text() == (tmp_path / "child1").read_text() == "2\n"
