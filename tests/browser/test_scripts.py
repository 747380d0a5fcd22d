"""Tests of the pages' scripts in Node. tests/clients executes the code that they offer to copy."""

from pathlib import Path

import pytest

from tests.browser.node import run_node
from tests.optional_programs import needs

HERE = Path(__file__).parent


@needs("node")
@pytest.mark.parametrize("name", ["exact-json", "exchange", "requests"])
def test_a_script_passes_its_tests_in_node(name: str) -> None:
    ended = run_node("--test", str(HERE / f"{name}.test.js"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
