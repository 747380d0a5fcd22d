"""No process leaves a core dump, or lets another one read its memory."""

import os
import resource
import signal
import sys
from pathlib import Path

import pytest

from tests.processes import Start, start_up

READY = "Ctrl-C stops everything.\n"
NOBODY = 65534

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def core_limits(pid: int) -> list[str]:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("Max core file size"))
    return line.split()[4:6]


def test_every_process_of_an_up_has_no_core_dumps(start: Start, tmp_path: Path) -> None:
    up = start_up(start, tmp_path / "data")
    up.wait_for(READY)
    pids = [up.pid, *up.descendants()]
    assert len(pids) == 5, "up, core, adapter, scheduler and sandbox"
    assert {pid: core_limits(pid) for pid in pids} == {pid: ["0", "0"] for pid in pids}
    up.signal(signal.SIGTERM)
    assert up.wait() == 0


DUMPABLE = """
import ctypes, os, resource, signal
# This process may have inherited the limit from a test that ran a command in its own process.
resource.setrlimit = lambda *limit: print("limit", *limit, flush=True)
from cli import main
if os.geteuid() == 0:
    os.setresuid({nobody}, {nobody}, {nobody})  # of root, /proc says nothing about it
prctl = ctypes.CDLL(None).prctl
prctl(4, 1, 0, 0, 0)
main.main.callback()
print("dumpable", prctl(3, 0, 0, 0, 0), flush=True)
signal.pause()
"""


@pytest.mark.parametrize(("setting", "dumpable"), [({}, 0), ({"NIVISCO_CORE_DUMPS": "1"}, 1)])
def test_its_memory_is_root_s_unless_core_dumps_are_allowed(
    start: Start, setting: dict[str, str], dumpable: int
) -> None:
    process = start("-c", DUMPABLE.format(nobody=NOBODY), **setting)
    process.wait_for(f"dumpable {dumpable}\n")
    own = NOBODY if os.geteuid() == 0 else os.geteuid()
    assert Path(f"/proc/{process.pid}/mem").stat().st_uid == (own if dumpable else 0)
    assert (f"limit {resource.RLIMIT_CORE} (0, 0)\n" in process.printed) == (not dumpable)
    process.signal(signal.SIGTERM)
    process.wait()
