"""What is left out where a program is missing, seen in runs of pytest of their own."""

import os
import subprocess
import sys
from pathlib import Path

_SUITE = """
from tests.left_out import needs

pytestmark = needs("npm:nowhere")

def test_with_packages(tmp_path): ...

@needs("npm:elsewhere")
def test_with_more(): ...
"""
_INSTALL = "npm ci --prefix nowhere"


def _run(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text("from tests.left_out import *")
    (folder / "test_it.py").write_text(_SUITE)
    kept = {name: value for name, value in os.environ.items() if name != "LEAVE_NOTHING_OUT"}
    root = str(Path(__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "."],
        cwd=folder,
        env=kept | {"PYTHONPATH": root} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_what_is_missing_is_left_out_and_named_with_the_command_that_brings_it(
    tmp_path: Path,
) -> None:
    ended = _run(tmp_path)
    assert ended.returncode == 0, ended.stdout
    assert f"2 tests without the Node packages of nowhere. To run them: {_INSTALL}" in ended.stdout
    assert "1 test without the Node packages of elsewhere." in ended.stdout
    assert "2 skipped" in ended.stdout


def test_where_nothing_may_be_left_out_it_fails_with_the_same_words(tmp_path: Path) -> None:
    ended = _run(tmp_path, LEAVE_NOTHING_OUT="1")
    assert ended.returncode == 1, ended.stdout
    assert f"lacks the Node packages of nowhere: {_INSTALL}" in ended.stdout
