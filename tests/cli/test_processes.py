"""The commands that run one process each."""

import json
import signal
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main
from tests.processes import Start, serving_line

_KEYS = "k1:" + "A" * 43 + "="


def test_help_names_every_command_and_what_to_do_first() -> None:
    shown = CliRunner().invoke(main, ["--help"]).output
    processes = ("core", "adapter", "scheduler", "sandbox")
    commands = ("up", "demo", "call", "admin", "clock", "doctor", "migrate", "payments", "queue")
    for command in (*commands, "business", *processes):
        assert f"\n  {command} " in shown
    assert "`nivisco up` starts everything" in shown


def test_the_version_is_the_package_s() -> None:
    for option in ("-V", "--version"):
        assert CliRunner().invoke(main, [option]).output.startswith("nivisco, version 0.")


def test_no_summary_of_a_command_is_cut() -> None:
    for group in ([], ["payments"], ["queue"], ["secrets"]):
        _, _, listed = CliRunner().invoke(main, [*group, "--help"]).output.partition("Commands:")
        assert listed
        assert "..." not in listed


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["stats"], "No such command 'stats'; did you mean `status`?"),
        (["charge_customer"], "'charge_customer' is an action: `nivisco call charge_customer`."),
        (["xyzzy"], "No such command 'xyzzy'."),
        (["payments", "shw"], "No such command 'shw'"),
    ],
)
def test_a_misspelt_command_gets_a_suggestion(arguments: list[str], sentence: str) -> None:
    refused = CliRunner().invoke(main, arguments)
    assert refused.exit_code == 2
    assert sentence in refused.stderr


@pytest.mark.parametrize("command", ["core", "migrate"])
def test_a_missing_setting_is_exit_code_2_with_its_name(start: Start, command: str) -> None:
    process = start("-P", "-m", "cli", command)
    assert process.wait() == 2
    assert process.printed.startswith("Error: NIVISCO_DATABASE_URL is not set")
    assert process.printed.count("\n") == 1


def test_a_core_serves_and_stops_gracefully(start: Start, tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/nivisco.db"
    settings = {"NIVISCO_DATABASE_URL": url, "NIVISCO_SECRET_KEYS": _KEYS}
    migrate = start("-P", "-m", "cli", "migrate", **settings)
    assert migrate.wait() == 0
    *progress, last = migrate.printed.splitlines()
    assert last.startswith("The database is at revision ")
    assert progress
    assert all(line.startswith("Running upgrade ") for line in progress)
    core = start("-P", "-m", "cli", "core", "--grpc", "127.0.0.1:0", **settings)
    core.wait_for_match(serving_line("core"))
    core.signal(signal.SIGTERM)
    assert core.wait() == 0
    lines = [json.loads(line) for line in core.printed.splitlines()]
    assert lines[-1]["message"] == "stopped"
    assert {line["process"] for line in lines} == {"core"}


def test_a_taken_address_is_one_sentence(start: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        sandbox = start(
            *("-P", "-m", "cli", "sandbox", "--http", address, "--data-dir", str(tmp_path))
        )
        adapter = start("-P", "-m", "cli", "adapter", "--http", address)
        assert (sandbox.wait(), adapter.wait()) == (1, 1)
    for process in (sandbox, adapter):
        assert "address already in use" in process.printed
        assert "Traceback" not in process.printed


def test_a_foreign_parent_pipe_is_refused(start: Start) -> None:
    process = start("-P", "-m", "cli", "adapter", NIVISCO_PARENT_PIPE="x")
    assert process.wait() == 2
    assert "NIVISCO_PARENT_PIPE is set by `nivisco` for its own children" in process.printed


def test_a_core_without_its_assertions_refuses_to_start(start: Start, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/nivisco.db"
    settings = {"NIVISCO_DATABASE_URL": url, "NIVISCO_SECRET_KEYS": _KEYS}
    process = start("-O", "-P", "-m", "cli", "core", "--grpc", "127.0.0.1:0", **settings)
    assert process.wait() == 2
    assert "drops the checks on money" in process.printed
