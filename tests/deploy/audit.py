"""Asks the package index for known vulnerabilities of what the lock names: `make audit`.

It fails for a vulnerability that `ACCEPTED` does not name. Without the index, or with one that
cannot say, it reports what it did not check and passes.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ACCEPTED: Mapping[str, str] = {}
"""Why a vulnerability does not matter here, by its id."""
_TIMEOUT_SECONDS = 20.0
_COMMAND = (
    *("--requirement", "requirements.lock", "--disable-pip", "--require-hashes"),
    *("--progress-spinner", "off", "--timeout", "5", "--format", "json"),
)
_NO_NETWORK = ("requests.exceptions.", "ConnectionError", "timed out")


def report(audited: str, said: str, accepted: Mapping[str, str] = ACCEPTED) -> tuple[bool, str]:
    """Return whether the audit passes, and what to print: of pip-audit's JSON and error output.

    Raises:
        RuntimeError: pip-audit failed for another reason than the network.
    """
    try:
        dependencies: list[dict[str, Any]] = json.loads(audited)["dependencies"]
    except ValueError:
        if any(reason in said for reason in _NO_NETWORK):
            return True, "not checked: no network"
        raise RuntimeError(f"pip-audit failed: {said.strip()[-500:]}") from None
    skipped = sum("skip_reason" in each for each in dependencies)
    if skipped == len(dependencies):
        return True, "not checked: the package index does not know vulnerabilities"
    found = [
        f"{each['name']} {each['version']}: {one['id']}, fixed in {one['fix_versions']}"
        for each in dependencies
        for one in each.get("vulns", ())
        if one["id"] not in accepted
    ]
    checked = f"{len(dependencies) - skipped} of {len(dependencies)} packages checked"
    return not found, "\n".join([*found, f"{checked}, {len(found)} known vulnerabilities"])


def main() -> int:
    """Run pip-audit, and return the exit code."""
    program = Path(sys.executable).with_name("pip-audit")
    try:
        ended = subprocess.run(
            [program, *_COMMAND],
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        passes, text = True, "not checked: no network"
    else:
        passes, text = report(ended.stdout, ended.stderr)
    sys.stdout.write(f"{text}\n")
    return 0 if passes else 1


if __name__ == "__main__":
    sys.exit(main())
