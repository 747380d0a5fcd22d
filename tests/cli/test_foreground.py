"""What a serving process does once it is ready."""

import subprocess
import sys


def test_garbage_collections_skip_what_is_there_when_the_process_is_ready() -> None:
    program = """
import gc
from cli.foreground import run
async def serve(ready, stop):
    print(gc.get_freeze_count())
    ready("127.0.0.1:1")
    print(gc.get_freeze_count())
run("core", lambda: serve)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    before, after = map(int, ended.stdout.split())
    assert before == 0
    assert after > 1000
