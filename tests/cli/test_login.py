import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.credentials import profile_file, profiles_folder
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
    url = f"http://127.0.0.1:{endpoint.server_port}/"
    assert (called.exit_code, called.stderr) == (0, f"as B (profile default) at {url}\n")


@pytest.mark.parametrize("command", [("call", "get_all_users"), ("user", "export", "USR-1")])
@pytest.mark.parametrize("arguments", [(), ("--profile", "default")])
def test_a_profile_s_key_goes_to_no_other_endpoint(
    endpoint: Endpoint, arguments: tuple[str, ...], command: tuple[str, ...]
) -> None:
    assert _login(endpoint).exit_code == 0
    endpoint.received = b""
    for host in ("localhost", "127.0.0.1:1"):
        refused = _nivisco(*command, *arguments, NIVISCO_URL=f"http://{host}/")
        assert refused.exit_code == 2
        made_for = f"http://127.0.0.1:{endpoint.server_port}/"
        assert f"Profile default is for {made_for}, not http://{host}/" in refused.stderr
    assert endpoint.received == b""
    url = f"HTTP://127.0.0.1:{endpoint.server_port}"  # the same one
    assert _nivisco("call", *arguments, "--url", url, "get_all_users").exit_code == 0


def test_a_broken_profile_is_listed_beside_the_others(endpoint: Endpoint) -> None:
    assert _login(endpoint).exit_code == 0
    (profiles_folder() / "a b.json").write_text("{}")
    (profiles_folder() / "open.json").write_text("{}")
    (profiles_folder() / "open.json").chmod(0o644)
    listed = _nivisco("login", "--list", "-o", "json")
    assert listed.exit_code == 0, listed.output
    odd, default, others = json.loads(listed.stdout)["profiles"]
    assert (odd["profile"], default["business_id"], others["profile"]) == ("a b", "B", "open")
    assert "letters, digits" in odd["broken"]
    assert "chmod 600" in others["broken"]
    assert "chmod 600" in _nivisco("login", "--list").stdout


@pytest.mark.parametrize(
    ("status", "answer", "is_stored"),
    [
        (401, b'{"success": false, "error": "Invalid business credentials"}', False),
        (503, b'{"success": false, "error": "busy"}', False),
        (200, b"<html>", False),
        (200, b"[]", False),
        (403, b'{"success": false, "code": "SCOPE_MISSING", "error": "the key lacks it"}', True),
        (403, b'{"message": "Forbidden"}', False),
        (403, b'{"success": false, "code": "BUSINESS_SUSPENDED", "error": "suspended"}', False),
        (401, b'{"success": false, "code": "SCOPE_MISSING", "error": "no"}', False),
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
