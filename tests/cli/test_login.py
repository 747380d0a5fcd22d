import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.credentials import profile_file
from cli.main import main
from tests.cli.conftest import Endpoint


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _nivisco(*arguments: str, **variables: str) -> Result:
    unset = dict.fromkeys(
        ("NIVISCO_URL", "NIVISCO_BUSINESS_ID", "NIVISCO_API_KEY", "NIVISCO_PROFILE")
    )
    return CliRunner().invoke(main, arguments, env=unset | variables)


def _login(endpoint: Endpoint, *arguments: str) -> Result:
    url = f"http://127.0.0.1:{endpoint.server_port}/"
    return _nivisco("login", "--url", url, *arguments, "--business", "B", NIVISCO_API_KEY="sesame")


def test_a_profile_is_checked_stored_privately_used_and_removed(endpoint: Endpoint) -> None:
    made = _login(endpoint, "--profile", "shop")
    assert made.exit_code == 0, made.output
    assert json.loads(endpoint.received)["action"] == "validate_business"
    file = profile_file("shop")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700

    called = _nivisco("call", "--profile", "shop", "get_all_users")
    assert called.exit_code == 0, called.output
    sent = json.loads(endpoint.received)
    assert (sent["business_id"], sent["api_key"]) == ("B", "sesame")
    assert called.stderr == ""

    listed = _nivisco("login", "--list")
    assert listed.stdout.splitlines()[1].split() == [
        *("shop", "B"),
        f"http://127.0.0.1:{endpoint.server_port}/",
    ]
    assert json.loads(_nivisco("login", "--list", "-o", "json").stdout)["profiles"]
    assert not any("sesame" in each.output for each in (made, called, listed))

    assert _nivisco("logout", NIVISCO_PROFILE="shop").exit_code == 0
    assert not file.exists()
    assert "There is no profile shop" in _nivisco("logout", "--profile", "shop").stderr
    missing = _nivisco("call", "--profile", "shop", "get_all_users")
    assert "`nivisco login --profile shop` makes it" in missing.stderr


def test_the_default_profile_is_named_where_it_is_used(endpoint: Endpoint) -> None:
    assert _login(endpoint).exit_code == 0
    called = _nivisco("call", "get_all_users")
    assert (called.exit_code, called.stderr) == (0, "as B (profile default)\n")


@pytest.mark.parametrize(
    ("status", "answer", "is_stored"),
    [
        (401, b'{"success": false, "error": "Invalid business credentials"}', False),
        (503, b'{"success": false, "error": "busy"}', False),
        (200, b"<html>", False),
        (200, b"[]", False),
        (403, b'{"success": false, "error": "the key lacks the scope read"}', True),
    ],
)
def test_only_credentials_that_the_endpoint_accepts_are_stored(
    endpoint: Endpoint, status: int, answer: bytes, is_stored: bool
) -> None:
    endpoint.status, endpoint.answer = status, answer
    result = _login(endpoint)
    assert (result.exit_code == 0) == profile_file("default").exists() == is_stored
    assert "sesame" not in result.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("login", "--profile", "admin"), "is that of the `nivisco up`"),
        (("logout", "--profile", "demo"), "var/demo.json of the `nivisco up`"),
        (("login", "--profile", "../x"), "letters, digits"),
        (
            ("login", "--business", "B", "--url", "http://192.0.2.1/"),
            "plain http to another machine",
        ),
    ],
)
def test_a_wrong_argument_is_exit_code_2(arguments: tuple[str, ...], sentence: str) -> None:
    result = _nivisco(*arguments, NIVISCO_API_KEY="sesame")
    assert result.exit_code == 2
    assert sentence in result.stderr
