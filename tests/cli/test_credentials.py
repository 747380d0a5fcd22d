import json
from pathlib import Path

import click
import pytest

from cli.credentials import find_credentials, is_sendable, read_credentials
from rpc.metadata import Credentials


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _file(path: Path, business_id: str, api_key: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"success": True, "business_id": business_id, "api_key": api_key}))
    return path


def test_a_named_file_is_used_first(tmp_path: Path) -> None:
    file = _file(tmp_path / "cafe.json", "B", "k")
    assert find_credentials(None, file, {"NIVISCO_API_KEY": "x"}, admin_only=False) == Credentials(
        "B", "k"
    )
    assert find_credentials("B", file, {}, admin_only=False) == Credentials("B", "k")


def test_the_key_of_a_named_business_comes_from_the_environment(tmp_path: Path) -> None:
    _file(tmp_path / "var" / "admin.json", "ADMIN-BUSINESS", "k")
    assert find_credentials("B", None, {"NIVISCO_API_KEY": "k"}, admin_only=False) == Credentials(
        "B", "k"
    )


def test_the_admin_of_the_data_directory_is_the_default(tmp_path: Path) -> None:
    _file(tmp_path / "var" / "admin.json", "ADMIN-BUSINESS", "k")
    assert find_credentials(None, None, {}, admin_only=False) == Credentials("ADMIN-BUSINESS", "k")


def test_the_demo_merchant_is_the_default_except_for_admin_actions(tmp_path: Path) -> None:
    _file(tmp_path / "var" / "admin.json", "ADMIN-BUSINESS", "k")
    _file(tmp_path / "var" / "demo.json", "DEMO", "d")
    assert find_credentials(None, None, {}, admin_only=False) == Credentials("DEMO", "d")
    assert find_credentials(None, None, {}, admin_only=True).business_id == "ADMIN-BUSINESS"


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
        find_credentials(business_id, None, environ, admin_only=False)
    assert sentence in refused.value.message


def test_a_file_of_another_business_is_refused(tmp_path: Path) -> None:
    file = _file(tmp_path / "cafe.json", "B", "k")
    with pytest.raises(click.UsageError, match="another business than C"):
        find_credentials("C", file, {}, admin_only=False)


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
