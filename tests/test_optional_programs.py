"""Tests of missing programs, as pytest runs of a generated suite."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_SUITE = """
from tests.optional_programs import needs

pytestmark = needs("npm:nowhere")

def test_with_packages(tmp_path): ...

@needs("npm:elsewhere")
def test_with_more(): ...
"""
_INSTALL = "npm ci --prefix nowhere"


def _run(folder: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text("from tests.optional_programs import *")
    (folder / "test_it.py").write_text(_SUITE)
    kept = {name: value for name, value in os.environ.items() if name != "LEAVE_NOTHING_OUT"}
    root = str(Path(__file__).parents[1])
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            ".",
            *options,
            ".",
        ],
        cwd=folder,
        env=kept | {"PYTHONPATH": root} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("options", [(), ("--numprocesses", "2")])
def test_tests_without_their_programs_are_skipped_and_listed_with_the_install_command(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    ended = _run(tmp_path, *options)
    assert ended.returncode == 0, ended.stdout
    assert (
        f"2 tests skipped without the Node packages of nowhere. To run: {_INSTALL}" in ended.stdout
    )
    assert "1 test skipped without the Node packages of elsewhere." in ended.stdout
    assert "2 skipped" in ended.stdout


def test_a_missing_program_fails_the_test_in_ci(tmp_path: Path) -> None:
    ended = _run(tmp_path, LEAVE_NOTHING_OUT="1")
    assert ended.returncode == 1, ended.stdout
    assert f"needs the Node packages of nowhere: {_INSTALL}" in ended.stdout
