import json
from collections.abc import Mapping
from pathlib import Path

import click
import pytest

from cli.credentials import (
    Login,
    find_credentials,
    is_sendable,
    profile_file,
    read_credentials,
)
from cli.data_dir import DataDir, Endpoints
from rpc.metadata import Credentials


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _file(path: Path, business_id: str, api_key: str) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(json.dumps({"success": True, "business_id": business_id, "api_key": api_key}))
    path.chmod(0o600)
    return path


def _find(
    business_id: str | None = None,
    file: Path | None = None,
    profile: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    admin_only: bool = False,
) -> Login:
    return find_credentials(business_id, file, profile, environ or {}, admin_only=admin_only)


def test_a_named_file_is_used_first(tmp_path: Path) -> None:
    file = _file(tmp_path / "cafe.json", "B", "k")
    assert _find(file=file, environ={"NIVISCO_API_KEY": "x"}) == Login(Credentials("B", "k"))
    assert _find("B", file) == Login(Credentials("B", "k"))


def test_the_key_of_a_named_business_comes_from_the_environment(tmp_path: Path) -> None:
    _file(tmp_path / "var" / "demo.json", "DEMO", "k")
    assert _find("B", environ={"NIVISCO_API_KEY": "k"}) == Login(Credentials("B", "k"))


@pytest.mark.parametrize("admin_only", [False, True])
def test_the_admin_business_is_never_taken_silently(tmp_path: Path, admin_only: bool) -> None:
    _file(tmp_path / "var" / "admin.json", "ADMIN-BUSINESS", "k")
    with pytest.raises(click.UsageError, match="--profile admin"):
        _find(admin_only=admin_only)
    named = _find(profile="admin", admin_only=admin_only)
    assert named == Login(Credentials("ADMIN-BUSINESS", "k"))


def test_at_a_terminal_the_user_is_asked_for_the_admin_business(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _file(tmp_path / "var" / "admin.json", "ADMIN-BUSINESS", "k")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    asked: list[str] = []
    monkeypatch.setattr("click.confirm", lambda text, **_: asked.append(text))
    assert _find().credentials.business_id == "ADMIN-BUSINESS"
    assert asked == ["Send as the admin business ADMIN-BUSINESS of var/admin.json?"]


def test_the_default_profile_comes_before_the_demo_merchant_and_both_are_named(
    tmp_path: Path,
) -> None:
    _file(tmp_path / "var" / "admin.json", "ADMIN-BUSINESS", "k")
    _file(tmp_path / "var" / "demo.json", "DEMO", "d")
    found = _find()
    assert (found.credentials.business_id, found.source) == (
        "DEMO",
        "the demo merchant in var/demo.json",
    )
    with pytest.raises(click.UsageError, match="--profile admin"):
        _find(admin_only=True)
    _file(profile_file("default"), "MINE", "m")
    for admin_only in (False, True):
        found = _find(admin_only=admin_only)
        assert (found.credentials.business_id, found.source) == ("MINE", "profile default")
    assert _find(profile="demo") == Login(Credentials("DEMO", "d"))


def test_a_profile_that_others_can_read_is_refused() -> None:
    _file(profile_file("shop"), "B", "k").chmod(0o640)
    with pytest.raises(click.UsageError, match="chmod 600"):
        _find(profile="shop")


@pytest.mark.parametrize("name", ["../admin", "a/b", "", ".", "x" * 65, "é"])
def test_a_profile_s_name_is_no_path(name: str) -> None:
    with pytest.raises(click.UsageError, match="letters, digits"):
        profile_file(name)


def test_the_profiles_of_a_data_directory_are_sent_to_its_endpoint(tmp_path: Path) -> None:
    _file(tmp_path / "var" / "demo.json", "DEMO", "d")
    DataDir(Path("var")).write_endpoints(Endpoints("http://127.0.0.1:9/", sandbox=None))
    assert _find().url == "http://127.0.0.1:9/"


@pytest.mark.parametrize(
    ("business_id", "environ", "sentence"),
    [
        (None, {}, "No credentials."),
        ("B", {}, "Put the API key of B in NIVISCO_API_KEY"),
        (None, {"NIVISCO_API_KEY": "k"}, "NIVISCO_API_KEY needs --business"),
    ],
)
def test_incomplete_credentials_are_refused_with_what_is_missing(
    business_id: str | None, environ: dict[str, str], sentence: str
) -> None:
    with pytest.raises(click.UsageError) as refused:
        _find(business_id, environ=environ)
    assert sentence in refused.value.message


def test_a_file_of_another_business_is_refused(tmp_path: Path) -> None:
    file = _file(tmp_path / "cafe.json", "B", "k")
    with pytest.raises(click.UsageError, match="another business than C"):
        _find("C", file)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"business_id": 1, "api_key": 2}'])
def test_a_file_without_credentials_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(content)
    with pytest.raises(click.UsageError, match="business_id and api_key"):
        read_credentials(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="Cannot read"):
        read_credentials(tmp_path / "none.json")


@pytest.mark.parametrize(("credential", "expected"), [("a", True), ("é", False), ("a\n", False)])
def test_only_printable_ascii_is_sendable(credential: str, expected: bool) -> None:
    assert is_sendable(credential) == expected
