"""The systemd units are valid and confined."""

import subprocess
from pathlib import Path

import pytest

from tests.optional_programs import ROOT, needs

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
MOST_EXPOSURE = "15"
"""Of 100; systemd calls up to 20 safe. What is left are sockets and the own user."""


@pytest.fixture
def installed(tmp_path: Path) -> list[Path]:
    """The units, with a program that exists here."""
    for unit in UNITS:
        content = unit.read_text().replace("/opt/nivisco/bin/nivisco", "/bin/true")
        (tmp_path / unit.name).write_text(content)
    return sorted(tmp_path.iterdir())


@needs("systemd-analyze")
def test_systemd_has_nothing_to_say_about_the_units(installed: list[Path]) -> None:
    command = ["systemd-analyze", "verify", "--man=no", *map(str, installed)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")


@needs("systemd-analyze")
def test_the_units_are_confined(installed: list[Path]) -> None:
    options = ("--offline=true", "--no-pager", f"--threshold={MOST_EXPOSURE}")
    command = ["systemd-analyze", "security", *options, *map(str, installed)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
