"""Runs a client library in its own process, which makes one call after another."""

import atexit
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

HERE = Path(__file__).parent
CLIENTS = HERE.parents[1] / "clients"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result or error of a call, and everything that printing it shows."""

    result: dict[str, Any] | None
    error: dict[str, Any] | None
    shown: str


@dataclass(frozen=True, slots=True)
class Runner:
    """A running client; `shown` is its printed form."""

    process: subprocess.Popen[str]
    shown: str

    def call(self, action: str, fields: Mapping[str, object], key: str | None = None) -> Outcome:
        """Make one call, with amounts as strings."""
        self._write({"action": action, "fields": fields, "idempotency_key": key})
        line = self._line()
        return Outcome(line.get("result"), line.get("error"), line["shown"])

    def _write(self, value: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(value) + "\n")
        self.process.stdin.flush()

    def _line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the client ended"
        parsed: dict[str, Any] = json.loads(line)
        return parsed


@cache
def _go_runner() -> str:
    """Compile the Go client and its runner, once for each process of the suite."""
    compiled = Path(mkdtemp(prefix="nivisco-go-")) / "run"
    atexit.register(shutil.rmtree, compiled.parent, ignore_errors=True)
    subprocess.run(["go", "build", "-o", str(compiled)], cwd=HERE / "go", check=True, timeout=400)
    return str(compiled)


def command_of(client: str, built: Path) -> list[str]:
    """Return the command of a client's runner."""
    if client.startswith("python"):
        return [sys.executable, str(HERE / "run.py"), client]
    if client == "go":
        return [_go_runner()]
    if client == "php":
        strict = ["-d", "zend.exception_ignore_args=0", "-d", "display_errors=stderr"]
        return ["php", *strict, "-d", "error_reporting=-1", str(HERE / "run.php")]
    return ["node", str(HERE / "run.mjs"), str(built)]


def environment_of(
    url: str, business_id: str, api_key: str, timeout_seconds: float = 30
) -> dict[str, str]:
    """Return the variables with the URL and credentials for a runner."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith("NIVISCO_")}
    return kept | {
        "CLIENT_URL": url,
        "CLIENT_BUSINESS_ID": business_id,
        "CLIENT_API_KEY": api_key,
        "CLIENT_TIMEOUT_SECONDS": str(timeout_seconds),
        "PYTHONPATH": str(CLIENTS / "python" / "src"),
    }


@contextmanager
def running(
    client: str,
    url: str,
    business_id: str,
    api_key: str,
    built: Path,
    timeout_seconds: float = 30,
    command: Sequence[str] = (),
) -> Iterator[Runner]:
    """Run a client, by its own command or the given one, against a URL until the block ends."""
    with subprocess.Popen(
        command or command_of(client, built),
        env=environment_of(url, business_id, api_key, timeout_seconds),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        first = process.stdout.readline()
        assert first, "the client did not start"
        yield Runner(process, json.loads(first)["shown"])
        process.stdin.close()
