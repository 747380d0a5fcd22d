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
from tests.clients.conftest import CLIENTS_TO_RUN, GO, Endpoint, call
from tests.clients.runners import CLIENTS, HERE, environment_of, running
from tests.clients.scenario import play
from tests.optional_programs import needs


@pytest.mark.parametrize("client", CLIENTS_TO_RUN)
def test_a_client_passes_the_scenario_and_never_prints_a_key(
    endpoint: Endpoint, built: Path, client: str
) -> None:
    business_id, api_key = endpoint.business(client)
    with running(client, endpoint.url, business_id, api_key, built) as runner:
        play(runner, business_id, api_key)


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


@pytest.mark.parametrize(
    "client", [each for each in CLIENTS_TO_RUN if each not in ("python-async", GO)]
)
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
