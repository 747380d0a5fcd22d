"""`nivisco config check`: what is in force, from where, and what is wrong."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from tests.cli.test_settings import KEY, NEEDED, TOKEN, write


@pytest.fixture(autouse=True)
def in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are named relative to the test's folder, and no variables are set."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("NIVISCO_")]:
        monkeypatch.delenv(name)


def check(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(main, ["config", "check", *arguments], env=variables)


def wrong(result: Result) -> list[str]:
    lines = [line.strip() for line in result.stdout.splitlines()]
    return [line.removeprefix("wrong: ") for line in lines if line.startswith("wrong: ")]


def test_each_setting_is_printed_with_its_source() -> None:
    write("t.toml", "[core]\ngrpc = '127.0.0.1:7'")
    write("keys", KEY)
    result = check(
        *("core", "--config", "t.toml"),
        NIVISCO_DATABASE_URL="postgresql://u:canary@h/d",
        NIVISCO_SECRET_KEYS_FILE="keys",
    )
    assert result.exit_code == 0, result.output
    lines = [line.split(maxsplit=2) for line in result.stdout.splitlines()]
    assert ["NIVISCO_DATABASE_URL", "(hidden)", "environment"] in lines
    assert [
        "NIVISCO_SECRET_KEYS",
        "(hidden)",
        "file keys (NIVISCO_SECRET_KEYS_FILE)",
    ] in lines
    assert ["NIVISCO_GRPC", "127.0.0.1:7", "t.toml [core]"] in lines
    assert ["NIVISCO_DATABASE_POOL", "10", "default"] in lines
    assert "NIVISCO_HTTP" not in result.stdout
    assert "canary" not in result.output
    assert KEY not in result.output


def test_without_a_name_all_processes_are_checked() -> None:
    result = check(**NEEDED, NIVISCO_SERVICE_TOKEN=TOKEN)
    assert result.exit_code == 0, result.output
    headings = [line for line in result.stdout.splitlines() if line and line[0] != " "]
    assert headings == ["core", "adapter", "scheduler", "sandbox"]


@pytest.mark.parametrize(
    ("process", "variables", "problems"),
    [
        ("core", {}, ["NIVISCO_DATABASE_URL is not set"]),
        ("core", NEEDED | {"NIVISCO_SECRET_KEYS": "canary"}, ["NIVISCO_SECRET_KEYS: "]),
        ("core", NEEDED | {"NIVISCO_DATABASE_URL": "mysql://u:canary@h"}, ["NIVISCO_DATABASE_URL"]),
        ("core", NEEDED | {"NIVISCO_GRPC": "0.0.0.0:1"}, ["NIVISCO_GRPC 0.0.0.0:1 can be reached"]),
        (
            "core",
            NEEDED | {"NIVISCO_DATABASE_POOL": "x", "NIVISCO_DRAIN_SECONDS": "x"},
            ["NIVISCO_DRAIN_SECONDS is not", "NIVISCO_DATABASE_POOL is not"],
        ),
        (
            "core",
            NEEDED
            | {
                "NIVISCO_STRIPE_LIVE_URL": "u:canary@x",
                "NIVISCO_AUTHORIZE_TEST_URL": "https://u:can/canary@x/@x",
            },
            ["NIVISCO_STRIPE_LIVE_URL is not an", "NIVISCO_AUTHORIZE_TEST_URL must have no user"],
        ),
        (
            "core",
            NEEDED
            | {
                "NIVISCO_KMS": "vault",
                "NIVISCO_VAULT_URL": "https://u:canary@v:8200",
                "NIVISCO_VAULT_TOKEN": "canary",
                "NIVISCO_VAULT_KEY": "k",
            },
            ["NIVISCO_VAULT_URL must have no user"],
        ),
        (
            "core",
            NEEDED | {"NIVISCO_GRPC_TLS_KEY_FILE": "none"},
            ["NIVISCO_GRPC_TLS_KEY_FILE needs"],
        ),
        ("adapter", {"NIVISCO_HTTP": "0.0.0.0:1"}, ["NIVISCO_HTTP 0.0.0.0:1 can be reached"]),
        ("adapter", {"NIVISCO_CORE": "10.0.0.1:1"}, ["The core at 10.0.0.1:1"]),
        (
            "adapter",
            {"NIVISCO_TLS_KEY_FILE": "none", "NIVISCO_TLS_CERTIFICATE_FILE": "none"},
            ["NIVISCO_TLS_CERTIFICATE_FILE (none) does not exist"],
        ),
        ("scheduler", {}, ["NIVISCO_SERVICE_TOKEN is not set"]),
        ("sandbox", {"NIVISCO_LOG_LEVEL": "LOUD"}, ["NIVISCO_LOG_LEVEL is not one of"]),
    ],
)
def test_what_would_stop_a_process_is_named(
    process: str, variables: dict[str, str], problems: list[str]
) -> None:
    result = check(process, **variables)
    found = wrong(result)
    assert result.exit_code == 1
    assert len(found) == len(problems)
    assert all(each.startswith(start) for each, start in zip(found, problems, strict=True)), found
    assert "canary" not in result.output


def test_a_variable_of_no_setting_is_noted() -> None:
    result = check("sandbox", NIVISCO_LOG_LEVL="INFO")
    assert result.exit_code == 0
    assert (
        "note: NIVISCO_LOG_LEVL is not a setting, and is ignored; did you mean NIVISCO_LOG_LEVEL.\n"
        in result.stdout
    )
