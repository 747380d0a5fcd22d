"""Tests of the pages' scripts in Node, and of the code that the live test offers to copy."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.browser.node import run_node
from tests.optional_programs import needs

HERE = Path(__file__).parent
REQUEST = """{"business_id": "B'1", "api_key": "<api_key>", "action": "charge_customer",
  "amount": 25.50, "huge": 12345678901234567890, "page": 3, "minus": -7, "yes": true, "no": null,
  "description": "It's \\"50%\\" $HOME `id` \\\\ \\n\\ttab é 😀 \\u2028 #{x} {$y} \\u0007",
  "list": [1, "a", {}, []], "empty": {}, "__proto__": {"a": 1}, "JSON": "\\nJSON\\n"}"""
AS_STRINGS = {"amount": "25.50", "huge": "12345678901234567890"}
"""Numbers that only cURL, with the JSON itself, may write as numbers."""


@needs("node")
@pytest.mark.parametrize("name", ["exact-json", "exchange", "requests"])
def test_a_script_passes_its_tests_in_node(name: str) -> None:
    ended = run_node("--test", str(HERE / f"{name}.test.js"))
    assert ended.returncode == 0, ended.stdout + ended.stderr


class _RecordingHandler(BaseHTTPRequestHandler):
    """Stores the requests, and responds with an error, which every copy must print."""

    received: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((self.headers["Content-Type"], body))
        self.send_response(402)
        self.end_headers()
        self.wfile.write(b'{"success":false}')

    def log_message(self, *_args: Any) -> None: ...


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """URL of a server that records requests."""
    _RecordingHandler.received = []
    with ThreadingHTTPServer(("127.0.0.1", 0), _RecordingHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("language", "ending", "command"),
    [
        pytest.param("curl", "sh", ["sh"], marks=needs("curl")),
        pytest.param("php", "php", ["php"], marks=needs("php")),
        ("python", "py", [sys.executable]),
        ("javascript", "mjs", ["node"]),
    ],
)
@needs("node")
def test_the_code_to_copy_sends_the_exact_request(
    address: str, tmp_path: Path, language: str, ending: str, command: list[str]
) -> None:
    printed = run_node(str(HERE / "print-code.js"), address, stdin=REQUEST)
    assert printed.returncode == 0, printed.stderr
    file = tmp_path / f"copied.{ending}"
    file.write_text(json.loads(printed.stdout)[language])
    ended = subprocess.run(
        [*command, str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    assert '{"success":false}' in ended.stdout
    assert language == "curl" or "402" in ended.stdout
    content_type, body = _RecordingHandler.received.pop()
    assert content_type == "application/json"
    if language == "curl":
        assert b"25.50" in body
        assert b"12345678901234567890" in body
        assert json.loads(body) == json.loads(REQUEST)
    else:
        assert json.loads(body) == json.loads(REQUEST) | AS_STRINGS
