"""The help, example and output of `nivisco call`."""

import json
import os
import pty
import subprocess
import sys

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from portal.reference.build import reference
from portal.reference.model import Action
from transcoding import exact_json

ACTIONS = reference().actions()
EACH_ACTION = pytest.mark.parametrize("action", ACTIONS.values(), ids=lambda action: action.name)
ESCAPE = "\x1b["


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["call", *arguments])
    assert result.exit_code == 0, result.output
    return result


@EACH_ACTION
def test_the_help_of_an_action_has_all_its_fields_and_errors(
    action: Action,
) -> None:
    words = run(action.name, "--help").stdout.replace("*", "").split()
    for field in (f for top in (*action.request, *action.response) for f in top.flattened()):
        assert field.fields or field.path in words
    assert {error.reason for error in action.errors if error.has_code} <= set(words)


def test_the_help_shows_required_fields_and_limits() -> None:
    text = " ".join(run("create_authorize_customer", "-h").stdout.split())
    assert "payment_profile.exp_month* [whole number]" in text
    assert "Must be between 1 and 12." in text
    assert "payment_profile.cvv [text]" in text
    assert "For the admin business only." in run("register_business", "--help").stdout


def test_the_help_without_an_action_is_that_of_the_command() -> None:
    assert "--example" in run("--help").stdout


@EACH_ACTION
def test_the_example_of_an_action_is_that_of_the_reference(action: Action) -> None:
    assert action.example is not None
    assert run(action.name, "--example").stdout == action.example.request + "\n"
    assert exact_json.read(action.example.request) is not None


@pytest.mark.parametrize(
    ("variables", "is_coloured"),
    [
        ({}, True),
        ({"NO_COLOR": ""}, True),
        ({"NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_json_is_coloured_on_a_terminal_unless_no_color_is_set(
    variables: dict[str, str], is_coloured: bool
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm"}
    terminal, end = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-m", "cli", "call", "charge_customer", "--example"],
            stdout=end,
            env=environment | variables,
            check=True,
        )
        text = os.read(terminal, 65_536).decode()
    finally:
        os.close(end)
        os.close(terminal)
    assert (ESCAPE in text) is is_coloured
    assert "25.50" in text


def test_json_is_not_coloured_in_a_file() -> None:
    text = run("charge_customer", "--example").stdout
    assert ESCAPE not in text
    assert json.loads(text)["amount"] == 25.5
