"""Every client passes one scenario on a real `nivisco up`, and repeats what may be repeated."""

import json
import os
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cli.data_dir import DataDir
from tests.clients.flaky import RESET_AFTER, Flaky, running_flaky
from tests.left_out import ROOT, needs
from tests.processes import Running, shown, start_process, start_up

HERE = Path(__file__).parent
LANGUAGES = [
    "python",
    "python-async",
    pytest.param("php", marks=needs("php")),
    pytest.param("typescript", marks=needs("node", "npm:clients/typescript")),
]
Call = Callable[..., dict[str, Any]]


def _ask(url: str, **envelope: Any) -> dict[str, Any]:
    with urllib.request.urlopen(url, json.dumps(envelope).encode(), timeout=30) as answer:  # noqa: S310 - loopback
        body: dict[str, Any] = json.load(answer)
    return body


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """The JSON endpoint's URL, and the admin's credentials."""
    directory = DataDir(tmp_path_factory.mktemp("clients") / "data")
    started: list[Running] = []

    def start(*arguments: str, **variables: str) -> Running:
        started.append(start_process(*arguments, **variables))
        return started[-1]

    try:
        running = start_up(start, directory.path)
        url = shown(running.wait_for("Ctrl-C stops everything.\n"), "JSON endpoint")
        yield url, json.loads(directory.admin.read_text())
    finally:
        for process in started:
            process.end()


@pytest.fixture
def business(up: tuple[str, dict[str, str]]) -> dict[str, str]:
    """A business of this test's own, with Stripe's test keys."""
    url, admin = up
    new = {"name": "Northwind", "email": "owner@northwind.com", "domain": "northwind.com"}
    made = _ask(url, **admin, action="register_business", new_business=new)
    credentials = {name: made[name] for name in ("business_id", "api_key")}
    keys = {
        "env": "TEST",
        "stripe_secret_key": f"sk_test_{made['business_id'].replace('-', '')}",
        "stripe_public_key": "pk_test_obviously_fake",
    }
    _ask(url, **credentials, action="add_stripe_credentials", credentials=keys)
    return credentials


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The TypeScript client, compiled as strictly as its package is."""
    folder = ROOT / "clients/typescript"
    target = tmp_path_factory.mktemp("typescript")
    (target / "package.json").write_text('{"type": "module"}')
    tsc = folder / "node_modules/typescript/bin/tsc"
    ended = subprocess.run(
        ["node", tsc, "-p", folder, "--outDir", target], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout
    return str(target / "index.js")


@contextmanager
def _running(
    request: pytest.FixtureRequest, language: str, url: str, business: dict[str, str]
) -> Iterator[Call]:
    runners = HERE / "runners"
    environment = {
        "PATH": os.environ["PATH"],
        "URL": url,
        "TIMEOUT": "30",
        "BUSINESS_ID": business["business_id"],
        "API_KEY": business["api_key"],
        "PYTHONPATH": str(ROOT / "clients/python"),
    }
    match language:
        case "php":
            command = ["php", str(runners / "run.php")]
        case "typescript":
            environment["MODULE"] = request.getfixturevalue("compiled")
            command = ["node", str(runners / "run.mjs")]
        case _:
            mode = "async" if language == "python-async" else "sync"
            command = [sys.executable, str(runners / "run.py"), mode]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert business["api_key"] not in process.stdout.readline()

        def call(action: str, **fields: Any) -> dict[str, Any]:
            assert process.stdin is not None
            assert process.stdout is not None
            print(json.dumps({"action": action, "fields": fields}), file=process.stdin, flush=True)
            answered: dict[str, Any] = json.loads(process.stdout.readline())
            return answered

        yield call


def _at(found: Any, path: str) -> Any:
    for step in path.split("."):
        found = found[int(step)] if isinstance(found, list) else found[step]
    return found


def _filled(value: Any, kept: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(each, kept) for name, each in value.items()}
    return kept[value[1:]] if isinstance(value, str) and value.startswith("$") else value


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_scenario_holds(
    request: pytest.FixtureRequest,
    language: str,
    up: tuple[str, dict[str, str]],
    business: dict[str, str],
) -> None:
    kept = dict(business)
    with _running(request, language, up[0], business) as call:
        for step in json.loads((HERE / "scenario.json").read_text()):
            answered = call(step["action"], **_filled(step["fields"], kept))
            part = "error" if "error" in step else "result"
            assert part in answered, (step, answered)
            for path, value in step.get("error", step.get("expect", {})).items():
                assert _at(answered[part], path) == _filled(value, kept), (step, answered)
            for name, path in step.get("keep", {}).items():
                kept[name] = _at(answered[part], path)


@pytest.fixture
def flaky(up: tuple[str, dict[str, str]]) -> Iterator[Flaky]:
    with running_flaky(up[0]) as server:
        yield server


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_fails_is_repeated_under_one_key_and_happens_once(
    request: pytest.FixtureRequest, language: str, flaky: Flaky, business: dict[str, str]
) -> None:
    with _running(request, language, flaky.url, business) as call:
        user = {"name": "Alicia", "email": "alicia@example.com"}
        flaky.troubles = [500, 503, 429]
        user_id = call("create_user", user=user)["result"]["user"]["user_id"]
        assert len(flaky.came) == 4
        assert len({each["idempotency_key"] for each in flaky.came}) == 1
        flaky.came.clear()
        flaky.troubles = [RESET_AFTER]
        funded = call("add_wallet_funds", user_id=user_id, amount="5.00")
        assert funded["result"]["new_balance"] == "5"
        assert len(flaky.came) == 2
        assert flaky.came[0] == flaky.came[1]
        assert call("get_wallet_history", user_id=user_id)["result"]["total"] == 1

        flaky.came.clear()
        flaky.troubles = [RESET_AFTER] * 4
        lost = call("charge_wallet", user_id=user_id, amount="1.00")["error"]
        assert lost["kind"] in {"NoAnswerError", "NoAnswerException"}
        assert lost["outcome_unknown"]
        assert business["api_key"] not in json.dumps(lost)
        assert len(flaky.came) == 4
        again = {"user_id": user_id, "amount": "1.00", "idempotency_key": lost["idempotency_key"]}
        assert call("charge_wallet", **again)["result"]["new_balance"] == "4"

        flaky.troubles = [RESET_AFTER] * 3 + [429]
        lost = call("charge_wallet", user_id=user_id, amount="1.00")["error"]
        assert (lost["status"], lost["retry_after"], lost["outcome_unknown"]) == (429, 1, True)

        flaky.came.clear()
        flaky.troubles = [501]
        assert call("charge_wallet", user_id=user_id, amount="1.00")["error"]["status"] == 501
        assert len(flaky.came) == 1


def test_the_typescript_package_has_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for file in ("package.json", "package-lock.json"):
        package = json.loads((ROOT / "clients/typescript" / file).read_text())
        assert package["version"] == project["version"]


@needs("php")
def test_the_quick_start_of_the_public_reference_works(
    up: tuple[str, dict[str, str]], business: dict[str, str]
) -> None:
    environment = {"PATH": os.environ["PATH"], "URL": up[0]} | {
        name.upper(): value for name, value in business.items()
    }
    ended = subprocess.run(
        ["php", HERE / "quickstart.php"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert f"[business_id] => {business['business_id']}" in ended.stdout
