"""Leaves out the tests that need a program this machine lacks, and says which and how to get it.

`pytestmark = needs("node", "npm:tests/browser")` is all that a test does. Where
`LEAVE_NOTHING_OUT=1` is set, as `.ci/run` does, what lacks something fails instead.
"""

import os
import re
import shutil
import subprocess
from collections import Counter
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
    "curl": Program("curl", lambda: shutil.which("curl") is not None, "apt-get install curl"),
    "node": Program(f"Node {_OLDEST_NODE}+", _has_node, "apt-get install nodejs npm"),
    "php": Program("PHP with curl", _has_php, "apt-get install php-cli php-curl"),
    "zsh": Program("zsh", lambda: shutil.which("zsh") is not None, "apt-get install zsh"),
}


@cache
def missing(need: str) -> Program | None:
    """Return the program that a need lacks, or None where it is there.

    A need is one of the programs above, or `npm:FOLDER`, what the lock file there names.

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


_LACKS = "lacks"
"""The property of a test's report, which also crosses from one process of the suite to another."""


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
    item.user_properties += [(_LACKS, (program.name, program.install)) for program in lacked]
    sentence = "; ".join(f"lacks {program.name}: {program.install}" for program in lacked)
    if os.environ.get(_STRICT):
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what was left out, for want of what, and how to get it."""
    left_out = Counter(
        tuple(value)
        for report in terminalreporter.stats.get("skipped", [])
        for name, value in report.user_properties
        if name == _LACKS
    )
    if left_out:
        terminalreporter.section("left out")
    for (program, install), tests in left_out.items():
        count = "1 test" if tests == 1 else f"{tests} tests"
        terminalreporter.line(f"{count} without {program}. To run them: {install}")
