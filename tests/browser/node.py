"""Runs Node on a script of the tests, with nothing of this environment's settings."""

import os
import subprocess

_PATIENCE_SECONDS = 400.0


def run_node(
    *arguments: str, stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Return what Node did, whatever it was."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NIVISCO_")}
    return subprocess.run(
        ["node", *arguments],
        env=kept | variables,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE_SECONDS,
    )
