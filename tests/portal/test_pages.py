"""Content and caching of the pages."""

import json
import re
import tomllib
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pytest

from portal.pages.documents import CONTENT_SECURITY_POLICY
from portal.pages.live_test import actions_document, live_test_page
from portal.pages.rendering import (
    asset_documents,
    coloured,
    prose,
)
from portal.pages.routes import answered_pages, documents
from portal.reference.build import reference
from portal.reference.model import Kind
from rpc.catalogue import secret_names
from tests.adapter.running import AdapterClient
from tests.clients.runners import CLIENTS

ACTIONS = reference().actions()
DOCS = documents()["/docs"].body.decode()


class Parsed(HTMLParser):
    """The tags and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, name: str) -> list[str]:
        return [value for _, attributes in self.tags if (value := attributes.get(name))]


PARSED = Parsed(DOCS)
LIVE_TEST = Parsed(live_test_page(reference()).body.decode())
TEXT = "".join(PARSED.text)


def test_every_action_is_shown_with_all_its_fields_and_errors() -> None:
    ids = set(PARSED.all("id"))
    for action in ACTIONS.values():
        assert action.name in ids
        section = DOCS.partition(f'<article id="{action.name}"')[2].partition("</article>")[0]
        for field in (f for top in (*action.request, *action.response) for f in top.flattened()):
            assert f"{field.name}</code>" in section, field.path
        for error in (*action.errors, *action.general_errors):
            assert not error.has_code or f"#{error.reason}" in section


def test_every_example_is_shown() -> None:
    for action in ACTIONS.values():
        assert action.example is not None
        for text in (action.example.request[2:-2], action.example.response or ""):
            assert text.strip() in TEXT, action.name


def test_every_link_within_the_page_has_a_target() -> None:
    ids = Counter(PARSED.all("id"))
    assert [each for each, count in ids.items() if count > 1] == []
    assert {h[1:] for h in PARSED.all("href") if h.startswith("#")} - set(ids) == set()
    for reference_to_id in ("for", "aria-controls", "aria-labelledby", "aria-describedby"):
        assert set(PARSED.all(reference_to_id)) - set(ids) == set()


def test_every_link_of_every_page_leads_somewhere() -> None:
    served = documents()
    pages = {
        p: Parsed(d.body.decode())
        for p, d in served.items()
        if d.name.endswith(".html") and not p.endswith("/")
    }
    targets = {path: set(parsed.all("id")) for path, parsed in pages.items()}
    targets["/live-test"] |= set(ACTIONS)
    for path, parsed in pages.items():
        ids = Counter(parsed.all("id"))
        assert [each for each, count in ids.items() if count > 1] == [], path
        for link in parsed.all("href"):
            page_path, _, anchor = link.partition("?")[0].partition("#")
            to = page_path or path
            assert to == "/status" or to in served, link
            assert not anchor or anchor in targets[to], link


def test_the_page_of_the_libraries_has_each_with_what_it_needs() -> None:
    page = documents()["/sdk"].body.decode()
    parsed = Parsed(page)
    libraries = {each.parent.name for each in CLIENTS.glob("*/CHANGELOG.md")}
    assert libraries == {"go", "php", "python", "typescript"}
    assert libraries <= set(parsed.all("id"))
    [needed] = tomllib.loads((CLIENTS / "python/pyproject.toml").read_text())["project"][
        "dependencies"
    ]
    assert f"Its one dependency is {re.split('[^a-z]', needed)[0]}." in page
    assert "/openapi-v1.json" in parsed.all("href")


def test_every_write_that_can_move_money_is_known_as_such() -> None:
    """Where LIVE is confirmed. A new write of these categories is, unless it is listed here."""
    categories = {"Payments", "Refunds", "Wallet", "Recurring"}
    moves_nothing = {"pause_recurring", "cancel_recurring", "skip_next"}
    writes = {a.name for a in ACTIONS.values() if a.mutates and a.category in categories}
    assert {a.name for a in ACTIONS.values() if a.moves_money} == writes - moves_nothing
    amounts = {
        a.name for a in ACTIONS.values() if a.mutates for f in a.request if f.kind is Kind.AMOUNT
    }
    assert amounts - {"create_api_key"} <= writes - moves_nothing, "its amounts are caps"


def test_nothing_is_inline_or_from_another_host() -> None:
    answers = answered_pages()
    served = [*documents().values(), *answers.status.values(), *answers.errors.values()]
    for parsed in (Parsed(each.body.decode()) for each in served if each.name.endswith(".html")):
        tags = [tag for tag, _ in parsed.tags]
        assert "style" not in tags
        assert [a for tag, a in parsed.tags if tag == "script" and not a.get("src")] == []
        names = [name for _, attributes in parsed.tags for name in attributes]
        assert [name for name in names if name == "style" or name[:2] == "on"] == []
        links = [*parsed.all("href"), *parsed.all("src")]
        assert [link for link in links if not re.match(r"[#/](?!/)", link)] == []
    for document in asset_documents().values():
        assert not re.search(rb"\burl\(|@import|https?://(?!www\.w3\.org/2000/svg)", document.body)


def test_the_live_test_has_every_action_with_every_field() -> None:
    content = json.loads(actions_document(reference()).body)
    assert [action["name"] for action in content["actions"]] == list(ACTIONS)
    listed = set(LIVE_TEST.all("href"))
    for action in content["actions"]:
        assert f"#{action['name']}" in listed
        known = {path for field in action["fields"] for path in _paths(field)}
        fields = [f for top in ACTIONS[action["name"]].request for f in top.flattened()]
        assert known == {field.path for field in fields}


def _paths(field: dict[str, Any]) -> list[str]:
    return [field["path"], *(path for inner in field["fields"] for path in _paths(inner))]


def test_the_live_test_knows_the_names_of_secrets() -> None:
    assert set(json.loads(actions_document(reference()).body)["secrets"]) == secret_names()


async def test_linked_files_are_served_with_their_type(client: AdapterClient) -> None:
    expected = {
        "css": "text/css",
        "js": "text/javascript",
        "json": "application/json",
        "svg": "image/svg+xml",
    }
    links = [*PARSED.all("href"), *PARSED.all("src"), *LIVE_TEST.all("href"), *LIVE_TEST.all("src")]
    linked = {link for link in [*links, *LIVE_TEST.all("data-actions")] if "/assets/" in link}
    assert len(linked) >= 9
    for link in linked:
        async with client.session.get(client.url + link) as response:
            assert response.status == 200
            ending = link.partition("?")[0].rpartition(".")[2]
            assert response.content_type == expected[ending]
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "immutable" in response.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("portal", "text/html"),
        ("docs", "text/html"),
        ("guides", "text/html"),
        ("sdk", "text/html"),
        ("live-test", "text/html"),
        ("openapi.json", "application/json"),
        ("openapi-v1.json", "application/json"),
        ("postman.json", "application/json"),
        ("nivisco.http", "text/plain"),
    ],
)
async def test_a_page_is_sent_once_and_then_revalidated(
    client: AdapterClient, path: str, content_type: str
) -> None:
    async with client.session.get(f"{client.url}/{path}") as response:
        assert (response.status, response.content_type) == (200, content_type)
        assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["Content-Encoding"] == "gzip"
        whole = await response.read()
        tag = response.headers["ETag"]
    known = {"If-None-Match": tag}
    async with client.session.get(f"{client.url}/{path}", headers=known) as response:
        assert (response.status, await response.read()) == (304, b"")
    plain = {"Accept-Encoding": "identity"}
    async with client.session.get(f"{client.url}/{path}", headers=plain) as response:
        assert "Content-Encoding" not in response.headers
        assert await response.read() == whole
    async with client.session.head(f"{client.url}/{path}") as response:
        assert (response.status, await response.read()) == (200, b"")


async def test_the_openapi_document_has_every_action(client: AdapterClient) -> None:
    async with client.session.get(f"{client.url}/openapi.json") as response:
        document = json.loads(await response.read())
    names = document["components"]["schemas"]["Request"]["discriminator"]["mapping"]
    assert set(names) == set(ACTIONS)


@pytest.mark.parametrize(
    "path",
    ["doc", "docs//", "docs/charge_customer", "assets/", "assets/none.css", "assets/../app.py"],
)
async def test_an_unknown_page_is_a_404_in_json(client: AdapterClient, path: str) -> None:
    raw = f"GET /{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    response = await client.exchange(raw)
    assert response.startswith(b"HTTP/1.1 404 ")
    assert b'"code":"UNKNOWN_PATH"' in response


async def test_a_page_does_not_accept_post(client: AdapterClient) -> None:
    async with client.session.post(f"{client.url}/docs", data=b"{}") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET, HEAD"
        assert response.content_type == "application/json"


def test_text_is_escaped() -> None:
    assert coloured('{"a": "</code><script>"}') == (
        '{<span class="j-key">&#34;a&#34;</span>: '
        '<span class="j-string">&#34;&lt;/code&gt;&lt;script&gt;&#34;</span>}'
    )
    assert prose("`<b>` & <i>") == "<code>&lt;b&gt;</code> &amp; &lt;i&gt;"
