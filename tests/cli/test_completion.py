"""Completion in the real shells."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main
from tests.optional_programs import needs

ASK = """
eval "$(nivisco completion bash)"
compopt() {{ :; }}
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_nivisco_completion nivisco
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def completed_by_bash(*words: str) -> list[str]:
    script = ASK.format(words=" ".join(f"'{word}'" for word in ("nivisco", *words)))
    answer = subprocess.run(
        ["bash", "--norc", "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert answer.stderr == ""
    return answer.stdout.split()


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        (("ca",), ["call"]),
        (("completion", ""), ["bash", "zsh", "fish"]),
        (("config", "check", "ad"), ["adapter"]),
        (("core", "--co"), ["--config"]),
        (("payments", ""), ["resolve", "retry", "show"]),
        (("payments", "resolve", "PAY-1", "--as", ""), ["succeeded", "declined", "failed"]),
        (("refunds", "resolve", "REF-1", "--as", ""), ["succeeded", "failed"]),
        (("queue", "release", "re"), ["recurring_job", "refund"]),
        (("call", "charge_"), ["charge_customer", "charge_wallet"]),
        (("call", "--exa"), ["--example"]),
        (("call", "charge_customer", "am"), ["amount="]),
        (
            ("call", "create_user", "user."),
            ["user.name=", "user.email=", "user.currency=", "user.metadata."],
        ),
        (("call", "charge_customer", "env", "="), ["TEST", "LIVE"]),
        (("call", "charge_customer", "env", "=", "l"), ["LIVE"]),
        (("call", "update_user", "updates.active", "=", ""), ["true", "false"]),
        (("call", "get_user_cards", "user_id", "=", "USR-1", ""), ["env="]),
        (("call", "no_such_action", ""), []),
    ],
)
def test_bash_completes_actions_fields_and_words(
    words: tuple[str, ...], completions: list[str]
) -> None:
    assert completed_by_bash(*words) == completions


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("nivisco call charge_c", "charge_customer"),
        ("nivisco call charge_customer env=T", "env=TEST"),
        ("nivisco call charge_customer am", "amount="),
    ],
)
def test_zsh_completions_have_the_form_that_its_script_reads(words: str, value: str) -> None:
    """Call as the zsh script does; zsh itself completes only at a terminal."""
    asked = {
        "_NIVISCO_COMPLETE": "zsh_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    answer = subprocess.run(
        ["nivisco"], check=True, capture_output=True, text=True, env=environment() | asked
    )
    kind, completion, about, *others = answer.stdout.splitlines()
    assert (completion, others) == (value, [])
    assert kind == ("prefix" if value.endswith("=") else "plain")
    assert about


@needs("zsh")
def test_the_zsh_script_has_valid_syntax() -> None:
    script = CliRunner().invoke(main, ["completion", "zsh"]).stdout
    assert "prefix" in script
    subprocess.run(["zsh", "-n"], input=script, text=True, check=True)


@needs("fish")
@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("nivisco call charge_c", ["charge_customer"]),
        ("nivisco call charge_customer am", ["amount="]),
        ("nivisco call charge_customer env=T", ["env=TEST"]),
        ("nivisco completion f", ["fish"]),
    ],
)
def test_fish_completes_commands_actions_and_fields(words: str, completions: list[str]) -> None:
    assert [value for value, _ in completed_by_fish(words)] == completions


@needs("fish")
def test_fish_shows_summaries_that_are_not_cut() -> None:
    assert completed_by_fish("nivisco dem") == [
        (
            "demo",
            "Make a demo merchant on the sandbox, with a user and a card, and print requests to "
            "paste.",
        )
    ]


def completed_by_fish(words: str) -> list[tuple[str, str]]:
    script = CliRunner().invoke(main, ["completion", "fish"]).stdout
    answer = subprocess.run(
        ["fish", "--no-config", "-c", f"{script}\ncomplete --do-complete '{words}'"],
        check=True,
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert answer.stderr == ""
    rows = [line.partition("\t") for line in answer.stdout.splitlines()]
    return [(value, about) for value, _, about in rows]


def test_every_script_has_completions_without_a_space() -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "prefix" in CliRunner().invoke(main, ["completion", shell]).stdout
