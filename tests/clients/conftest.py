"""A running `nivisco up`, businesses in it, and the TypeScript client compiled."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cli.data_dir import DataDir
from tests.optional_programs import ROOT, missing, needs
from tests.processes import Running, shown, start_process, start_up

_PACKAGES = "clients/typescript"
_FOR_NODE = ("node", f"npm:{_PACKAGES}")
CLIENTS_TO_RUN = [
    "python",
    "python-async",
    pytest.param("php", marks=needs("php")),
    pytest.param("node", marks=needs(*_FOR_NODE)),
]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """URL of the API, and the admin's credentials."""

    url: str
    admin: dict[str, str] = field(repr=False)

    def business(self, name: str) -> tuple[str, str]:
        """Register a business with Stripe's test keys, and return its id and API key."""
        domain = f"{name}.com"
        new = {"name": name, "email": f"owner@{domain}", "domain": domain}
        made = call(self.url, self.admin, action="register_business", new_business=new)
        keys = {
            "env": "TEST",
            "stripe_secret_key": "sk_test_obviously_fake",
            "stripe_public_key": "pk_test_obviously_fake",
        }
        own = {"business_id": made["business_id"], "api_key": made["api_key"]}
        call(self.url, own, action="add_stripe_credentials", credentials=keys)
        return own["business_id"], own["api_key"]


def call(url: str, caller: dict[str, str], /, **more: Any) -> dict[str, Any]:
    __tracebackhide__ = True  # its arguments contain keys
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=30)) as connection:
        connection.request("POST", "/", json.dumps(caller | more))
        body: dict[str, Any] = json.load(connection.getresponse())
    assert body["success"], body["error"]
    return body


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """`nivisco up` for all tests of a module."""
    directory = DataDir(tmp_path_factory.mktemp("clients") / "data")
    started: list[Running] = []

    def start(*arguments: str, **variables: str) -> Running:
        started.append(start_process(*arguments, **variables))
        return started[-1]

    try:
        up = start_up(start, directory.path)
        url = shown(up.wait_for("Ctrl-C stops everything.\n"), "JSON endpoint")
        yield Endpoint(url, json.loads(directory.admin.read_text()))
    finally:
        for process in started:
            process.end()


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the compiled TypeScript client; empty if it cannot be compiled."""
    folder = tmp_path_factory.mktemp("typescript")
    if any(missing(need) for need in _FOR_NODE):
        return folder
    (folder / "package.json").write_text('{"type": "module"}')
    compiler = ROOT / _PACKAGES / "node_modules" / "typescript" / "bin" / "tsc"
    ended = subprocess.run(
        ["node", str(compiler), "--project", str(ROOT / _PACKAGES), "--outDir", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout
    return folder
