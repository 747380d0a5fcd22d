"""What holds for every client whatever it is asked: all actions, its address, exact amounts."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from adapter.reference.build import reference
from adapter.reference.model import Action, Kind
from tests.clients.conftest import CLIENTS_TO_RUN, Endpoint
from tests.clients.runners import CLIENTS, command_of, environment_of, running
from tests.left_out import needs

_KEY = "a-very-secret-api-key"
_CARD = "4111111111111111"


def _fields(action: Action) -> dict[str, Any]:
    """Return the fields of the action's example, its amounts as strings."""
    assert action.example is not None
    fields: dict[str, Any] = json.loads(action.example.request, parse_float=str)
    fields.pop("idempotency_key", None)
    amounts = {field.name for field in action.request if field.kind is Kind.AMOUNT}
    return {name: str(v) if name in amounts else v for name, v in fields.items()}


@pytest.mark.parametrize("client", CLIENTS_TO_RUN)
def test_a_client_has_every_action_and_every_field_of_its_example(
    endpoint: Endpoint, built: Path, client: str
) -> None:
    business_id, api_key = endpoint.business(f"{client}-examples")
    wrong = {}
    with running(client, endpoint.url, business_id, api_key, built) as runner:
        for name, action in reference().actions().items():
            if name == "change_api_key":
                continue  # the scenario ends with it
            done = runner.call(name, _fields(action))
            if done.error and done.error["code"] in {"INVALID_FIELDS", "UNKNOWN_ACTION", None}:
                wrong[name] = done.error
    assert wrong == {}


def _ended(client: str, url: str, built: Path, line: str = "") -> str:
    """Run a client to its end, which is an uncaught error, and return all that it printed."""
    ended = subprocess.run(
        command_of(client, built),
        env=environment_of(url, "BUS-1", _KEY),
        input=line,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode != 0
    return ended.stdout + ended.stderr


@pytest.mark.parametrize("client", CLIENTS_TO_RUN)
@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://payments.example.com/", "plain http sends the API key in the clear"),
        ("http://127.0.0.1.example.com/", "plain http sends the API key in the clear"),
        ("https://user:pass@payments.example.com/", "without a user or password"),
        ("ftp://payments.example.com/", "must be https://host"),
        ("payments", "must be https://host"),
    ],
)
def test_a_client_refuses_an_address_that_would_betray_the_key(
    built: Path, client: str, url: str, sentence: str
) -> None:
    printed = _ended(client, url, built)
    assert sentence in printed
    assert _KEY not in printed


@pytest.mark.parametrize("client", CLIENTS_TO_RUN)
def test_a_client_refuses_a_float_and_its_trace_shows_neither_key_nor_card(
    built: Path, client: str
) -> None:
    fields = {"user_id": "USR-1", "amount": 25.5, "payment_profile": {"card_number": _CARD}}
    if client.startswith("python"):
        fields.pop("payment_profile")  # a method takes no field that it does not know
    call = {"action": "charge_customer", "fields": fields, "idempotency_key": None}
    printed = _ended(client, "http://127.0.0.1:9/", built, json.dumps(call) + "\n")
    assert "an amount is a decimal string" in printed
    assert _KEY not in printed
    assert _CARD not in printed


@needs("php")
def test_every_php_file_parses() -> None:
    files = [str(path) for path in (CLIENTS / "php").rglob("*.php")]
    assert len(files) > 40
    parse = (
        "foreach (array_slice($argv, 1) as $f) token_get_all(file_get_contents($f), TOKEN_PARSE);"
    )
    ended = subprocess.run(
        ["php", "-r", parse, "--", *files],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
