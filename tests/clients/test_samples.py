"""The samples of the pages, executed with the client libraries: each sends the action's example."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format, message_factory

from clients.generate.model import interface
from portal.pages.live_test import actions_document
from portal.reference.build import reference
from portal.reference.model import Kind
from tests.browser.node import run_node
from tests.clients.runners import CLIENTS, HERE
from tests.optional_programs import ROOT, needs
from transcoding.actions import build_catalogue
from transcoding.field_problems import FieldProblems
from transcoding.parsing import parse_object

ACTIONS = reference().actions()
LISTED = json.loads(actions_document(reference()).body)
UNUSUAL = {
    "user_id": "U'\"$1",
    "amount": 3,
    "description": 'It\'s "50%" $HOME `id` \\ \n\ttab é 😀 \u2028 #{x} {$y} ${z} \u0007',
    "metadata": {"a'b\"c": "\\", "__proto__": "x", "from": "import", "camelCase_key": "1"},
    "capture": False,
    "idempotency_key": "k'\"$",
}
REQUESTS = [
    *((action.name, action.example.request) for action in ACTIONS.values() if action.example),
    ("charge_customer", json.dumps(UNUSUAL)),
]
RUN_ALL = {
    "python": "import runpy, sys\nfor file in sys.argv[1:]:\n    runpy.run_path(file)\n",
    "php": "<?php\nforeach (array_slice($argv, 1) as $file) { require $file; }\n",
    "typescript": "for (const file of process.argv.slice(2)) await import(file);\n",
}
ENDINGS = {"python": "py", "php": "php", "typescript": "mjs"}


class _Handler(BaseHTTPRequestHandler):
    """Records requests, and answers with the example's response."""

    received: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.received.append(body)
        example = ACTIONS[body["action"]].example
        answer = ((example and example.response) or "{}").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_args: Any) -> None: ...


@dataclass(frozen=True)
class Samples:
    """The code of every request of REQUESTS, by language, and what its server received."""

    code: list[dict[str, str]]
    received: list[dict[str, Any]]


@pytest.fixture(scope="module")
def samples() -> Iterator[Samples]:
    _Handler.received = []
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            printed = run_node(
                str(ROOT / "tests" / "browser" / "print-code.js"),
                f"http://127.0.0.1:{server.server_port}/",
                stdin=json.dumps(LISTED | {"requests": REQUESTS}),
            )
            assert printed.returncode == 0, printed.stderr
            yield Samples(json.loads(printed.stdout), _Handler.received)
        finally:
            server.shutdown()
            thread.join()


def expected(action: str, request: str) -> dict[str, Any]:
    """Return what a library sends: amounts as text, and a key of its own if none is given."""
    amounts = {f.name for f in ACTIONS[action].request if f.kind is Kind.AMOUNT}
    exact = json.loads(request, parse_float=str)
    sent = {name: str(value) if name in amounts else value for name, value in exact.items()}
    return {"business_id": "B'1", "api_key": "<api_key>", "action": action} | sent


@needs("node")
@pytest.mark.parametrize(
    "language",
    [
        "python",
        pytest.param("php", marks=needs("php")),
        pytest.param("typescript", marks=needs("npm:clients/typescript")),
    ],
)
def test_every_sample_sends_its_request_and_reads_the_response(
    language: str, samples: Samples, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    files = []
    for number, code in enumerate(samples.code):
        files.append(tmp_path / f"{number}.{ENDINGS[language]}")
        files[-1].write_text(code[language])
    runner = tmp_path / f"run.{ENDINGS[language]}"
    runner.write_text(RUN_ALL[language])
    command = {"python": sys.executable, "php": "php", "typescript": "node"}[language]
    if language == "php":
        (tmp_path / "vendor").mkdir()
        (tmp_path / "vendor" / "autoload.php").write_text(
            f"<?php require_once '{HERE / 'autoload.php'}';"
        )
    if language == "typescript":
        package = tmp_path / "node_modules" / "@nivisco" / "client"
        package.parent.mkdir(parents=True)
        (tmp_path / "package.json").write_text('{"type": "module"}')
        package.symlink_to(request.getfixturevalue("built"))
        (package / "package.json").write_text('{"type": "module", "exports": "./index.js"}')
    samples.received.clear()
    ended = subprocess.run(
        [command, str(runner), *map(str, files)],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": str(CLIENTS / "python" / "src")},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr or ended.stdout
    assert len(samples.received) == len(REQUESTS)
    for (action, text), received in zip(REQUESTS, samples.received, strict=True):
        wanted = expected(action, text)
        if "idempotency_key" not in wanted and ACTIONS[action].mutates:
            wanted["idempotency_key"] = received["idempotency_key"]
        assert received == wanted, action


@needs("node", "curl")
def test_a_sample_for_curl_sends_the_request_as_it_is(samples: Samples) -> None:
    samples.received.clear()
    for code in (samples.code[0], samples.code[-1]):
        ended = subprocess.run(
            ["sh"], input=code["curl"], capture_output=True, text=True, check=False, timeout=60
        )
        assert ended.returncode == 0, ended.stderr
    sent = [json.loads(text) for _, text in (REQUESTS[0], REQUESTS[-1])]
    envelope = {"business_id", "api_key", "action"}
    assert [{k: r[k] for k in r if k not in envelope} for r in samples.received] == sent


@needs("node")
def test_a_sample_for_grpc_is_the_message_of_the_example(samples: Samples) -> None:
    for (name, text), code in zip(REQUESTS[:-1], samples.code, strict=False):
        action = build_catalogue()[name]
        command, _, message = code["grpc"].removesuffix("\nJSON\n").partition(" <<'JSON'\n")
        assert command.endswith(f" {ACTIONS[name].rpc}")
        parsed = message_factory.GetMessageClass(action.method.input_type)()
        json_format.Parse(message, parsed)
        assert parsed == action.read(parse_object(text.encode()), "", FieldProblems())


def test_samples_name_the_classes_of_the_libraries() -> None:
    named = {
        (action["name"], field["name"]): field["type"]
        for action in LISTED["actions"]
        for field in action["fields"]
        if "type" in field
    }
    assert named == {
        (method.action.name, each.name): each.type_name
        for method in interface().methods
        for each in method.request
        if each.field.kind is Kind.OBJECT
    }


@needs("node")
def test_a_field_that_is_no_field_cannot_become_code() -> None:
    request = {"x=print(1)#": 1, "idempotency_key": {"a": 1}}
    requests = [("charge_customer", json.dumps(request))]
    printed = run_node(
        str(ROOT / "tests" / "browser" / "print-code.js"),
        "https://x/",
        stdin=json.dumps(LISTED | {"requests": requests}),
    )
    [code] = json.loads(printed.stdout)
    assert '**{"x=print(1)#": 1},' in code["python"]
    assert '"x=print(1)#": 1,' in code["typescript"]
    assert "'x=print(1)#' => 1," in code["php"]


@needs("node")
@pytest.mark.parametrize(
    ("action", "fields"),
    [("charge_customer", {"from": 1}), ("add_stripe_credentials", {"credentials": {"class": 1}})],
)
def test_a_field_named_like_a_keyword_is_valid_python(action: str, fields: dict[str, Any]) -> None:
    printed = run_node(
        str(ROOT / "tests" / "browser" / "print-code.js"),
        "https://x/",
        stdin=json.dumps(LISTED | {"requests": [(action, json.dumps(fields))]}),
    )
    [code] = json.loads(printed.stdout)
    compile(code["python"], action, "exec")
