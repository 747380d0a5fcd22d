"""The bench of a charge at Authorize.Net prints every row. No number is judged."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = ["charge  ", "bare aiohttp POST of its bytes", "ours", "100 charges in flight / one", "time"]
PATIENCE_SECONDS = 60.0


def test_it_prints_every_row_and_ends() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.bench.gateway", "--small"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    assert [row for row in ROWS if row not in ended.stdout] == []
    assert ended.stderr == ""
