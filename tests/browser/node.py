"""Runs Node on a test script, without the settings in this environment."""

import os
import subprocess

_TIMEOUT_SECONDS = 400.0


def run_node(
    *arguments: str, stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Return the result of Node, also if it failed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NIVISCO_")}
    return subprocess.run(
        ["node", *arguments],
        env=kept | variables,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_SECONDS,
    )
