"""A running `nivisco up`, businesses in it, and the TypeScript client installed."""

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cli.data_dir import DataDir
from tests.clients.shop import run
from tests.optional_programs import ROOT, missing, needs
from tests.processes import Running, shown, start_process, start_up

_PACKAGES = "clients/typescript"
_FOR_NODE = ("node", f"npm:{_PACKAGES}")
GO = pytest.param("go", marks=needs("go"))
CLIENTS_TO_RUN = [
    "python",
    "python-async",
    pytest.param("php", marks=needs("php")),
    GO,
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
    """The TypeScript client, packed and installed into an empty project; empty without Node."""
    folder = tmp_path_factory.mktemp("typescript")
    if any(missing(need) for need in _FOR_NODE):
        return folder
    source, project = folder / "source", folder / "project"
    shutil.copytree(ROOT / _PACKAGES, source, ignore=shutil.ignore_patterns("dist", "node_modules"))
    (source / "node_modules").symlink_to(ROOT / _PACKAGES / "node_modules")
    run("npm", "pack", "--silent", "--pack-destination", str(folder), cwd=source)
    (packed,) = folder.glob("*.tgz")
    project.mkdir()
    (project / "package.json").write_text('{"private": true}')
    offline = ("--offline", "--silent", "--no-audit", "--no-fund")
    run("npm", "install", *offline, str(packed), cwd=project)
    return project / "node_modules" / "@nivisco" / "client" / "dist" / "esm"
