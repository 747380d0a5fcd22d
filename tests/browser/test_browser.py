"""Tests of the pages in a real browser, with a `nivisco up` of their own."""

import json
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cli.data_dir import DataDir
from tests.browser.node import run_node
from tests.optional_programs import chromium, needs
from tests.processes import Running, shown, start_process, start_up

HERE = Path(__file__).parent
_SECRET_KEY = "sk_test_obviously_fake"
_WEBHOOK_SECRET = "whsec_obviously_fake"
pytestmark = needs("chromium", "node", "npm:tests/browser")


def _call(url: str, **envelope: Any) -> dict[str, Any]:
    address = urlsplit(url)
    with closing(HTTPConnection(address.netloc, timeout=30)) as connection:
        connection.request("POST", "/", json.dumps(envelope))
        body: dict[str, Any] = json.load(connection.getresponse())
    assert body["success"], body["error"]
    return body


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The URL and a business with Stripe test keys, as variables for the tests in Node."""
    directory = DataDir(tmp_path_factory.mktemp("browser") / "data")
    started: list[Running] = []

    def start(*arguments: str, **variables: str) -> Running:
        started.append(start_process(*arguments, **variables))
        return started[-1]

    try:
        up = start_up(start, directory.path)
        screen = up.wait_for("Ctrl-C stops everything.\n")
        url, sandbox = shown(screen, "JSON endpoint"), shown(screen, "TEST payments").split()[0]
        business = _business(url, directory)
        _deliver_events(sandbox, f"{url}webhooks/stripe/{business['business_id']}")
        yield {
            "BROWSER_TEST_SANDBOX": sandbox,
            "BROWSER_TEST_URL": url.rstrip("/"),
            "BROWSER_TEST_BUSINESS": json.dumps(business),
            "BROWSER_TEST_CHROMIUM": chromium() or "",
        }
    finally:
        for process in started:
            process.end()


def _business(url: str, directory: DataDir) -> dict[str, str]:
    admin = json.loads(directory.admin.read_text())
    new = {"name": "Northwind", "email": "owner@northwind.com", "domain": "northwind.com"}
    registered = _call(url, **admin, action="register_business", new_business=new)
    business = {name: registered[name] for name in ("business_id", "api_key")}
    keys = {
        "env": "TEST",
        "stripe_secret_key": _SECRET_KEY,
        "stripe_public_key": "pk_test_obviously_fake",
        "stripe_webhook_secret": _WEBHOOK_SECRET,
    }
    _call(url, **business, action="add_stripe_credentials", credentials=keys)
    return business


def _deliver_events(sandbox: str, url: str) -> None:
    """Have the sandbox send the business's events, as Stripe does."""
    receiver = {"key": _SECRET_KEY, "secret": _WEBHOOK_SECRET, "url": url}
    with closing(HTTPConnection(urlsplit(sandbox).netloc, timeout=30)) as connection:
        connection.request("POST", "/_sandbox/webhooks", json.dumps(receiver))
        response = connection.getresponse()
        assert response.status < 300, response.read()


@pytest.mark.parametrize("name", ["docs", "live-test"])
def test_a_page_passes_its_tests_in_a_browser(environment: dict[str, str], name: str) -> None:
    ended = run_node("--test", str(HERE / f"{name}.test.js"), **environment)
    secret = json.loads(environment["BROWSER_TEST_BUSINESS"])["api_key"]
    printed = (ended.stdout + ended.stderr).replace(secret, "<api_key>")
    assert ended.returncode == 0, printed
