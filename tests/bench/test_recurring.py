"""The bench of recurring jobs prints every row. No number is judged."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = ["a claim of 100 among", "the largest table / the smallest", "due charges at 300 ms"]
PATIENCE_SECONDS = 120.0


def test_it_prints_every_row_and_ends() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.bench.recurring", "--small"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    assert [row for row in ROWS if row not in ended.stdout] == []
