"""Errors that every client raises before it sends anything, and what they print."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from iso4217 import Currency

from clients.generate.model import interface
from core.money import stored_exponent
from tests.clients.conftest import CLIENTS_TO_RUN, GO
from tests.clients.runners import CLIENTS, HERE, command_of, environment_of
from tests.clients.shop import run
from tests.optional_programs import needs

_KEY = "a-very-secret-api-key"
_CARD = "4111111111111111"


def _ended(client: str, url: str, built: Path, line: str = "") -> str:
    """Run a client until its uncaught error, and return its output."""
    ended = subprocess.run(
        command_of(client, built),
        env=environment_of(url, "BUS-1", _KEY),
        input=line,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode != 0
    return ended.stdout + ended.stderr


@pytest.mark.parametrize("client", CLIENTS_TO_RUN)
@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://payments.example.com/", "plain http sends the API key in the clear"),
        ("http://127.0.0.1.example.com/", "plain http sends the API key in the clear"),
        ("https://user:pass@payments.example.com/", "without a user or password"),
        ("ftp://payments.example.com/", "must be https://host"),
        ("payments", "must be https://host"),
    ],
)
def test_a_url_that_would_expose_the_key_is_rejected(
    built: Path, client: str, url: str, sentence: str
) -> None:
    printed = _ended(client, url, built)
    assert sentence in printed
    assert _KEY not in printed


# Go has no float that is an Amount, which the compiler refuses.
@pytest.mark.parametrize("client", [each for each in CLIENTS_TO_RUN if each is not GO])
def test_a_float_is_rejected_and_the_trace_contains_neither_key_nor_card(
    built: Path, client: str
) -> None:
    fields = {"user_id": "USR-1", "amount": 25.5, "payment_profile": {"card_number": _CARD}}
    if client.startswith("python"):
        fields.pop("payment_profile")  # a method has no unknown fields
    call = {"action": "charge_customer", "fields": fields, "idempotency_key": None}
    printed = _ended(client, "http://127.0.0.1:9/", built, json.dumps(call) + "\n")
    assert "an amount is a decimal string" in printed
    assert _KEY not in printed
    assert _CARD not in printed


def test_the_decimals_of_currencies_are_those_of_the_core() -> None:
    decimals = interface().decimals
    currencies = {each.code.lower() for each in Currency} | set(decimals) | {"std", "hrk"}
    known = {each: digits for each in currencies if (digits := stored_exponent(each)) is not None}
    assert known == {each: decimals.get(each, 2) for each in known}


_NOT_PHP_7_4 = """
$x = match($a) { 1 => 2 };
f(name: 1);
class A { public function __construct(private int $x) {} }
$a?->b();
function f(int|string $x) {}
function f(): static {}
function f(mixed $x) {}
enum A { case B; }
class A { public readonly int $x; }
try {} catch (E) {}
$f = strlen(...);
function f(): never {}
class A { final const X = 1; }
function f(int $a, ) {}
$x = fn() => throw new E();
str_contains('a', 'b');
"""


def _not_php_7_4(*files: Path) -> list[str]:
    """Return what in PHP files is not of version 7.4, one line for each."""
    check = str(HERE / "php-syntax" / "check.js")
    return run("node", check, *(str(file) for file in files)).splitlines()


@needs("node", "npm:tests/clients/php-syntax")
def test_every_php_file_is_php_7_4(tmp_path: Path) -> None:
    files = [*(CLIENTS / "php").rglob("*.php")]
    assert len(files) > 40
    assert _not_php_7_4(*files) == []
    newer = []
    for number, line in enumerate(_NOT_PHP_7_4.strip().splitlines()):
        newer.append(tmp_path / f"{number}.php")
        newer[-1].write_text(f"<?php\n{line}\n")
    found = "\n".join(_not_php_7_4(*newer))
    assert [each.name for each in newer if str(each) not in found] == []


@needs("php")
def test_every_php_file_parses() -> None:
    files = [str(path) for path in (CLIENTS / "php").rglob("*.php")]
    assert len(files) > 40
    parse = (
        "foreach (array_slice($argv, 1) as $f) token_get_all(file_get_contents($f), TOKEN_PARSE);"
    )
    ended = subprocess.run(
        ["php", "-r", parse, "--", *files],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
