"""Every client library runs the same scenario against a real `nivisco up`."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from portal.reference.build import reference
from portal.reference.model import Action, Kind
from tests.clients.conftest import CLIENTS_TO_RUN, Endpoint, call
from tests.clients.runners import CLIENTS, HERE, Outcome, environment_of, running
from tests.optional_programs import needs

_SCENARIO: list[dict[str, Any]] = json.loads((HERE / "scenario.json").read_text())
_ANYTHING = "*"


@pytest.mark.parametrize("client", CLIENTS_TO_RUN)
def test_a_client_passes_the_scenario_and_never_prints_a_key(
    endpoint: Endpoint, built: Path, client: str
) -> None:
    business_id, api_key = endpoint.business(client)
    known: dict[str, Any] = {"business_id": business_id}
    keys = [api_key]
    with running(client, endpoint.url, business_id, api_key, built) as runner:
        shown = runner.shown
        assert business_id in shown
        for step in _SCENARIO:
            given = _resolved(step.get("fields", {}), known)
            outcome = runner.call(step["action"], given, step.get("key"))
            _compare(step, outcome, known)
            known[step.get("as", "")] = outcome.result
            if step["action"] == "change_api_key":
                assert outcome.result is not None
                keys.append(outcome.result["api_key"])
            shown += outcome.shown
    assert not [key for key in keys if key in shown]


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
    not_its_own = "must be at the business's domain"  # that of the example's business
    wrong = {}
    with running(client, endpoint.url, business_id, api_key, built) as runner:
        for name, action in reference().actions().items():
            if name == "change_api_key":
                continue  # the scenario ends with it
            outcome = runner.call(name, _fields(action))
            problems = [
                problem
                for problem in (outcome.error or {}).get("fields", ())
                if problem["description"] != not_its_own
            ]
            if problems or (outcome.error and outcome.error["kind"] != "ApiError"):
                wrong[name] = outcome.error
    assert wrong == {}, json.dumps(wrong, indent=1)


def _runnable(client: str, built: Path) -> tuple[str, str, list[str]]:
    """Return the example of a README, the code before it, and the command that runs it."""
    folder, language, before, command = {
        "python": ("python", "python", "api_key = __import__('os').environ['CLIENT_API_KEY']", []),
        "php": ("php", "php", f"<?php require '{HERE / 'autoload.php'}'; {_PHP_KEY}", ["php"]),
        "node": ("typescript", "ts", "const apiKey = process.env.CLIENT_API_KEY;", ["node"]),
    }[client]
    readme = (CLIENTS / folder / "README.md").read_text()
    example = readme.split(f"```{language}\n")[1].split("```")[0]
    example = example.replace("@nivisco/client", (built / "index.js").as_uri())
    return example, before, command or [sys.executable]


_PHP_KEY = "$apiKey = getenv('CLIENT_API_KEY');"


@pytest.mark.parametrize("client", [each for each in CLIENTS_TO_RUN if each != "python-async"])
@pytest.mark.parametrize(
    ("card", "printed"),
    [("pm_card_visa", "^pi_\\w+ 25\\.50$"), ("pm_card_chargeCustomerFail", "^declined: ?\\w+$")],
)
def test_the_example_of_the_readme_runs(
    endpoint: Endpoint, built: Path, tmp_path: Path, client: str, card: str, printed: str
) -> None:
    business_id, api_key = endpoint.business(f"{client}-{card.replace('_', '-')}")
    caller = {"business_id": business_id, "api_key": api_key}
    made = call(endpoint.url, caller, action="create_user", user={"name": "A", "email": "a@b.com"})
    user_id = made["user"]["user_id"]
    saved = {"user_id": user_id, "payment_method_token": card}
    call(endpoint.url, caller, action="create_stripe_customer", **saved)
    example, before, command = _runnable(client, built)
    for sample, real in (
        ("https://payments.example.com", endpoint.url),
        ("BUS-12345", business_id),
        ("USR-5678", user_id),
    ):
        assert sample in example
        example = example.replace(sample, real)
    file = tmp_path / "example.mjs"
    file.write_text(f"{before}\n{example}")
    ended = subprocess.run(
        [*command, str(file)],
        env=environment_of(endpoint.url, business_id, api_key),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert re.search(printed, ended.stdout), ended.stdout + ended.stderr


@needs("php")
def test_the_php_quickstart_of_the_reference_still_works(endpoint: Endpoint) -> None:
    business_id, api_key = endpoint.business("copied")
    given = {
        "CLIENT_URL": endpoint.url,
        "CLIENT_BUSINESS_ID": business_id,
        "CLIENT_API_KEY": api_key,
    }
    ended = subprocess.run(
        ["php", str(HERE / "snippet.php")],
        env=os.environ | given,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "[success] => 1" in ended.stdout, ended.stderr
    assert f"[business_id] => {business_id}" in ended.stdout
    refused = subprocess.run(
        ["php", str(HERE / "snippet.php")],
        env=os.environ | given | {"CLIENT_API_KEY": "wrong"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert 'HTTP 401: {"success":false,"error":"Invalid business credentials"}' in refused.stderr


def _compare(step: dict[str, Any], outcome: Outcome, known: dict[str, Any]) -> None:
    context = f"{step['does']}: {outcome.shown}"
    if "error" in step:
        assert outcome.error is not None, context
        _assert_contains(outcome.error, _resolved(step["error"], known), context)
    else:
        assert outcome.result is not None, context
        _assert_contains(outcome.result, _resolved(step.get("result", {}), known), context)


def _assert_contains(found: Any, expected: Any, context: str) -> None:
    """Compare key by key; `found` may have more keys."""
    if isinstance(expected, dict):
        assert isinstance(found, dict), context
        for name, value in expected.items():
            assert name in found, context
            _assert_contains(found[name], value, f"{name} of {context}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), context
        for one, value in zip(found, expected, strict=True):
            _assert_contains(one, value, context)
    elif expected == _ANYTHING:
        assert isinstance(found, str), context
        assert found, context
    else:
        assert (type(found), found) == (type(expected), expected), context


def _resolved(value: Any, known: dict[str, Any]) -> Any:
    """Return the value with every `$name.path` replaced by that of an earlier result."""
    if isinstance(value, dict):
        return {name: _resolved(each, known) for name, each in value.items()}
    if isinstance(value, list):
        return [_resolved(each, known) for each in value]
    if isinstance(value, str) and value.startswith("$"):
        found: Any = known
        for name in value[1:].split("."):
            found = found[name]
        return found
    return value
