"""Skips tests whose programs are not installed, and reports how to install them.

A test declares `pytestmark = needs("node", "npm:tests/browser")`. With `LEAVE_NOTHING_OUT=1`, which
`.ci/run` sets, a missing program fails the test instead.
"""

import os
import re
import shutil
import subprocess
import sys
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
    """A program that a machine may lack."""

    name: str
    is_there: Callable[[], bool]
    install: str
    """The command that installs it."""


def chromium() -> str | None:
    """Return the path of the browser, or None."""
    return next((path for name in _BROWSERS if (path := shutil.which(name))), None)


def _printed(*command: str) -> str:
    """Return the output of the command; empty if it cannot run."""
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
    "composer": Program(
        "Composer", lambda: shutil.which("composer") is not None, "apt-get install composer"
    ),
    "curl": Program("curl", lambda: shutil.which("curl") is not None, "apt-get install curl"),
    "fish": Program("fish", lambda: shutil.which("fish") is not None, "apt-get install fish"),
    "node": Program(f"Node {_OLDEST_NODE}+", _has_node, "apt-get install nodejs npm"),
    "go": Program("Go", lambda: shutil.which("go") is not None, "apt-get install golang-go"),
    "java": Program(
        "a Java compiler",
        lambda: shutil.which("javac") is not None and shutil.which("java") is not None,
        "apt-get install default-jdk-headless",
    ),
    "mount namespaces": Program(
        "mount namespaces and root",
        lambda: os.geteuid() == 0 and _printed("unshare", "--mount", "--pid", "--fork", "id") != "",
        "run as root, where unshare --mount is allowed",
    ),
    "package index": Program(
        "a package index",
        lambda: _printed(sys.executable, "-m", "pip", "index", "versions", "pip") != "",
        "pip index versions pip  # must find one",
    ),
    "php": Program("PHP with curl", _has_php, "apt-get install php-cli php-curl"),
    "systemd-analyze": Program(
        "systemd-analyze",
        lambda: shutil.which("systemd-analyze") is not None,
        "apt-get install systemd",
    ),
    "zsh": Program("zsh", lambda: shutil.which("zsh") is not None, "apt-get install zsh"),
}


@cache
def missing(need: str) -> Program | None:
    """Return the program of a need if it is not installed, else None.

    A need is one of the programs above, or `npm:FOLDER` for the packages of the lock file there.

    Raises:
        KeyError: there is no such need.
    """
    if need.startswith("npm:"):
        folder = need.removeprefix("npm:")
        there = ROOT / folder / "node_modules" / ".package-lock.json"  # npm writes it last
        program = Program(
            f"the Node packages of {folder}", there.is_file, f"npm ci --prefix {folder}"
        )
    else:
        program = _PROGRAMS[need]
    return None if program.is_there() else program


def needs(*what: str) -> pytest.MarkDecorator:
    """Return the mark of a test or module (`pytestmark`) that needs these programs."""
    return pytest.mark.needs(*what)


_LACKS = "lacks"
"""Name of a property of the test report, which pytest-xdist transfers between processes."""


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line("markers", "needs(*what): runs only if these programs are installed")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the test before its fixtures start if a program is missing."""
    wanted = [need for mark in item.iter_markers("needs") for need in mark.args]
    lacked = [program for need in wanted if (program := missing(need))]
    if not lacked:
        return
    item.user_properties += [(_LACKS, (program.name, program.install)) for program in lacked]
    reason = "; ".join(f"needs {program.name}: {program.install}" for program in lacked)
    if os.environ.get(_STRICT):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the missing programs, the number of skipped tests and the install commands."""
    skipped = Counter(
        tuple(value)
        for report in terminalreporter.stats.get("skipped", [])
        for name, value in report.user_properties
        if name == _LACKS
    )
    if skipped:
        terminalreporter.section("missing programs")
    for (program, install), tests in skipped.items():
        count = "1 test" if tests == 1 else f"{tests} tests"
        terminalreporter.line(f"{count} skipped without {program}. To run: {install}")
