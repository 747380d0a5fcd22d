"""The home page, the status and errors: HTML for browsers, JSON for everybody else."""

import json

import pytest

from adapter.settings import AdapterSettings
from portal.pages.documents import CONTENT_SECURITY_POLICY
from tests.adapter.recording_core import RecordingCore
from tests.adapter.running import AdapterClient, running_adapter

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "allow", "shows"),
    [
        ("GET", "/", 405, "METHOD_NOT_ALLOWED", "POST", "Payments in one JSON call"),
        ("GET", "/nothing", 404, "UNKNOWN_PATH", None, "Not Found"),
        ("GET", "/docs/charge_customer", 404, "UNKNOWN_PATH", None, "Not Found"),
        ("GET", "/webhooks/stripe/BUS-1", 405, "METHOD_NOT_ALLOWED", "POST", "Method Not Allowed"),
    ],
)
async def test_an_error_is_a_page_for_a_browser(
    client: AdapterClient,
    method: str,
    path: str,
    status: int,
    code: str,
    allow: str | None,
    shows: str,
) -> None:
    async with client.session.request(method, client.url + path, headers=BROWSER) as response:
        assert (response.status, response.content_type) == (status, "text/html")
        assert f"<h1>{shows}</h1>" in await response.text()
        assert response.headers["X-Error-Code"] == code
        assert response.headers.get("Allow") == allow
        assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Vary"] == "Accept, Accept-Encoding"
        assert response.headers["X-Request-Id"]
    async with client.session.head(client.url + path, headers=BROWSER) as response:
        assert (response.status, response.content_type) == (status, "text/html")
        assert await response.read() == b""


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("text/html", "text/html"),
        ("application/json, TEXT/HTML;level=1;q=0.4", "text/html"),
        ("text/html;q=0", "application/json"),
        ("text/html; q=0.0, */*", "application/json"),
        ("text/htmlx", "application/json"),
        ("application/xhtml+xml", "application/json"),
        ("*/*", "application/json"),
        ("text/*", "application/json"),
        ("", "application/json"),
        (",;q=", "application/json"),
    ],
)
async def test_only_who_names_html_gets_it(
    client: AdapterClient, accept: str, content_type: str
) -> None:
    for path, status in (("/", 405), ("/nothing", 404), ("/status", 200)):
        async with client.session.get(client.url + path, headers={"Accept": accept}) as response:
            assert (response.status, response.content_type) == (status, content_type)


async def test_what_is_posted_gets_json_whatever_it_accepts(client: AdapterClient) -> None:
    for path, status in (("/", 400), ("/docs", 405), ("/nothing", 404)):
        async with client.session.post(client.url + path, headers=BROWSER, data=b"{") as response:
            assert (response.status, response.content_type) == (status, "application/json")


@pytest.mark.parametrize("path", ["/portal", "/portal/", "/status", "/status/", "/docs/"])
async def test_a_page_is_at_its_path_with_and_without_a_slash(
    client: AdapterClient, path: str
) -> None:
    async with client.session.get(
        client.url + path, headers=BROWSER, allow_redirects=False
    ) as response:
        assert (response.status, response.content_type) == (200, "text/html")


async def test_the_status_says_whether_the_core_answers() -> None:
    core = RecordingCore()
    await core.start()
    settings = AdapterSettings(port=0, core_target=core.target, lame_duck_seconds=0.0)
    async with running_adapter(settings) as client:

        async def shown() -> tuple[object, str]:
            async with client.session.get(f"{client.url}/status") as response:
                assert response.headers["Cache-Control"] == "no-store"
                state = json.loads(await response.read())
            async with client.session.get(f"{client.url}/status", headers=BROWSER) as response:
                return state, (await response.text()).partition("<h1>")[2].partition("<")[0]

        answers = {"adapter": "ready", "core": "ready"}
        assert await shown() == (answers, "The API answers")
        await core.stop()
        assert await shown() == (answers | {"core": "not ready"}, "The API cannot answer now")
