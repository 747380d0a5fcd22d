"""Leaves out the tests that need a program this machine lacks, and says which and how to get it.

`pytestmark = needs("node", "npm:tests/browser")` is all that a test does. Where
`LEAVE_NOTHING_OUT=1` is set, as `.ci/run` does, what lacks something fails instead.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_STRICT = "LEAVE_NOTHING_OUT"
_OLDEST_NODE = 18
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True, slots=True)
class Program:
    """Something that not every machine has."""

    name: str
    is_there: Callable[[], bool]
    install: str
    """The command that brings it."""


def chromium() -> str | None:
    """Return the browser's path, or None where there is none."""
    return next((path for name in _BROWSERS if (path := shutil.which(name))), None)


def _printed(*command: str) -> str:
    """Return what the command prints, and nothing where it cannot run."""
    if shutil.which(command[0]) is None:
        return ""
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return ended.stdout if ended.returncode == 0 else ""


def _has_node() -> bool:
    version = re.match(r"v(\d+)", _printed("node", "--version"))
    return version is not None and int(version[1]) >= _OLDEST_NODE


def _has_php() -> bool:
    return {"curl", "json"} <= set(_printed("php", "-m").split())


_PROGRAMS: Mapping[str, Program] = {
    "chromium": Program(
        "Chromium", lambda: chromium() is not None, "apt-get install chromium fonts-liberation"
    ),
    "node": Program(f"Node {_OLDEST_NODE}+", _has_node, "apt-get install nodejs npm"),
    "php": Program("PHP with curl", _has_php, "apt-get install php-cli php-curl"),
}


@cache
def missing(need: str) -> Program | None:
    """Return the program that a need lacks, or None where it is there.

    A need is `chromium`, `node`, `php`, or `npm:FOLDER` for the packages of a lock file there.

    Raises:
        KeyError: there is no such need.
    """
    if need.startswith("npm:"):
        folder = need.removeprefix("npm:")
        there = ROOT / folder / "node_modules" / ".package-lock.json"  # the last that npm writes
        program = Program(
            f"the Node packages of {folder}", there.is_file, f"npm ci --prefix {folder}"
        )
    else:
        program = _PROGRAMS[need]
    return None if program.is_there() else program


def needs(*what: str) -> pytest.MarkDecorator:
    """Return the mark of a test, or of a module as `pytestmark`, that runs where all is there."""
    return pytest.mark.needs(*what)


_LEFT_OUT = pytest.StashKey[dict[Program, int]]()
"""How many tests were left out for want of each program."""


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", "needs(*what): runs only where these programs are")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave the test out, before its fixtures begin, where something that it needs is missing."""
    wanted = [need for mark in item.iter_markers("needs") for need in mark.args]
    lacked = [program for need in wanted if (program := missing(need))]
    if not lacked:
        return
    left_out = item.config.stash.setdefault(_LEFT_OUT, {})
    for program in lacked:
        left_out[program] = left_out.get(program, 0) + 1
    sentence = "; ".join(f"lacks {program.name}: {program.install}" for program in lacked)
    if os.environ.get(_STRICT):
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say at the end what was left out, for want of what, and how to get it."""
    left_out = config.stash.get(_LEFT_OUT, {})
    if left_out:
        terminalreporter.section("left out")
    for program, tests in left_out.items():
        count = "1 test" if tests == 1 else f"{tests} tests"
        terminalreporter.line(f"{count} without {program.name}. To run them: {program.install}")
