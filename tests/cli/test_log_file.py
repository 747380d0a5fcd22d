"""A process's log file: rotation by size and age, by several processes, and by logrotate."""

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.log_file import LogFile, Rotation, log_file

NOW = 1_800_000_000.0
DAY = 86_400.0


@dataclass
class Wall:
    """A clock that a test moves."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


def line_at(second: float) -> str:
    return json.dumps({"time": datetime.fromtimestamp(second, UTC).isoformat()}) + "\n"


def contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_a_file_is_rotated_by_size_and_the_oldest_rotated_ones_are_removed(tmp_path: Path) -> None:
    wall = Wall()
    log = LogFile(tmp_path / "a.log", Rotation(max_bytes=4, kept=2), wall)
    for text in ("one\n", "two\n", "three\n", "four\n"):
        wall.now += 2
        log.write(text)
    assert contents(tmp_path) == {"a.log": "four\n", "a.log.1": "three\n", "a.log.2": "two\n"}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize(("age", "names"), [(7 * DAY, {"a.log", "a.log.1"}), (DAY, {"a.log"})])
def test_a_file_is_rotated_by_the_age_of_its_first_line_also_after_a_restart(
    tmp_path: Path, age: float, names: set[str]
) -> None:
    (tmp_path / "a.log").write_text(line_at(NOW - age))
    LogFile(tmp_path / "a.log", Rotation(), Wall()).write("new\n")
    assert set(contents(tmp_path)) == names


def test_an_empty_file_is_not_rotated(tmp_path: Path) -> None:
    wall = Wall()
    log = LogFile(tmp_path / "a.log", Rotation(), wall)
    wall.now += 30 * DAY
    log.write("first\n")
    assert contents(tmp_path) == {"a.log": "first\n"}


def test_what_a_process_writes_after_another_rotated_is_in_the_new_file(tmp_path: Path) -> None:
    wall = Wall()
    path, rotation = tmp_path / "a.log", Rotation(max_bytes=1, kept=1)
    late, rotating = LogFile(path, rotation, wall), LogFile(path, rotation, wall)
    late.write("one\n")
    rotating.write("two\n")
    late.write("three\n")
    assert contents(tmp_path) == {"a.log": "two\nthree\n", "a.log.1": "one\n"}


@pytest.mark.parametrize("is_made_again", [True, False])
def test_a_file_that_logrotate_moved_is_opened_again(tmp_path: Path, is_made_again: bool) -> None:
    wall = Wall()
    path = tmp_path / "a.log"
    log = LogFile(path, Rotation(), wall)
    log.write("before\n")
    path.rename(tmp_path / "moved")
    if is_made_again:
        path.touch()
    wall.now += 2
    log.write("after\n")
    assert contents(tmp_path) == {"moved": "before\n", "a.log": "after\n"}


def test_a_rotation_that_fails_loses_no_line(tmp_path: Path) -> None:
    wall = Wall()
    log = LogFile(tmp_path / "a.log", Rotation(max_bytes=1, kept=1), wall)
    log.write("one\n")
    (tmp_path / "a.log.1" / "in the way").mkdir(parents=True)
    wall.now += 2
    log.write("two\n")
    assert (tmp_path / "a.log").read_text() == "one\ntwo\n"


_WRITER = """
import sys
from pathlib import Path
from cli.log_file import LogFile, Rotation
tick = iter(range(10**9))
log = LogFile(Path(sys.argv[1]), Rotation(max_bytes=2000, kept=1000), lambda: next(tick) * 10.0)
for n in range(400):
    log.write(f"{sys.argv[2]} {n} {'x' * 40}\\n")
"""


def test_several_processes_rotate_one_file_and_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    command = [sys.executable, "-c", _WRITER, str(path)]
    writers = [subprocess.Popen([*command, name]) for name in "abc"]
    assert [each.wait(timeout=120) for each in writers] == [0, 0, 0]
    written = "".join(contents(tmp_path).values()).splitlines()
    assert len(contents(tmp_path)) > 3
    expected = [f"{name} {n} {'x' * 40}" for name in "abc" for n in range(400)]
    assert sorted(written) == sorted(expected)


def test_what_is_printed_on_stderr_follows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    program = """
import os, sys
from pathlib import Path
from cli.log_file import LogFile, Rotation
tick = iter(range(10**9))
log = LogFile(Path(sys.argv[1]), Rotation(max_bytes=1), lambda: next(tick) * 10.0)
log.write("one\\n")
log.write("two\\n")
os.write(2, b"a library's line\\n")
"""
    with path.open("ab") as stderr:
        subprocess.run(
            [sys.executable, "-c", program, str(path)], stderr=stderr, check=True, timeout=120
        )
    assert contents(tmp_path) == {"a.log": "two\na library's line\n", "a.log.1": "one\n"}


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"NIVISCO_LOG_FILE": "/no/such/a.log"}, "NIVISCO_LOG_FILE: /no/such/a.log cannot be writ"),
        ({"NIVISCO_LOG_MAX_BYTES": "1M"}, "NIVISCO_LOG_MAX_BYTES is not"),
        ({"NIVISCO_LOG_MAX_AGE_SECONDS": "0"}, "NIVISCO_LOG_MAX_AGE_SECONDS is not"),
        ({"NIVISCO_LOG_FILES": "0"}, "NIVISCO_LOG_FILES is not"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        log_file(environ)


def test_the_settings_of_rotation_are_read(tmp_path: Path) -> None:
    environ = {
        "NIVISCO_LOG_MAX_BYTES": "1000",
        "NIVISCO_LOG_MAX_AGE_SECONDS": "86400",
        "NIVISCO_LOG_FILES": "3",
    }
    assert Rotation.from_environment(environ) == Rotation(1000, DAY, 3)
    assert log_file(environ) is None
    opened = log_file(environ | {"NIVISCO_LOG_FILE": str(tmp_path / "a.log")})
    assert opened is not None
    opened.write("one\n")
    assert contents(tmp_path) == {"a.log": "one\n"}
