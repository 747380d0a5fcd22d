"""`nivisco doctor` against a core and against a database."""

import asyncio
import json
import re
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Executable, update

from cli.data_dir import DataDir
from cli.doctor import _line
from cli.main import main
from core.database.schema import idempotency_records, payments, wallets
from core.database.transactions import Database
from nivisco.internal.v1 import operator_pb2 as pb
from tests.core.doctor.books import unguarded, write_books
from tests.processes import Start, shown, start_up

KEYS = "k1:" + "A" * 43 + "="


def doctor(*arguments: str, **variables: str) -> Result:
    unset = dict.fromkeys(
        ("NIVISCO_CORE", "NIVISCO_DATABASE_URL", "NIVISCO_SECRET_KEYS", "NIVISCO_SERVICE_TOKEN")
    )
    return CliRunner().invoke(main, ["doctor", *arguments], env=unset | variables)


async def change(url: str, statement: Executable) -> None:
    database = Database(url)
    async with database.transaction() as transaction:
        await transaction.connection.execute(statement)
    await database.close()


def broken_books(url: str) -> None:
    asyncio.run(write_books(url, new=False))
    asyncio.run(change(url, update(wallets).values(balance_minor=7)))


def test_the_core_of_an_up_examines_its_database(start: Start, tmp_path: Path) -> None:
    directory = DataDir(tmp_path / "data")
    up = start_up(start, directory.path, "--no-sandbox")
    core = ["--core", shown(up.wait_for("Ctrl-C stops everything.\n"), "gRPC")]
    in_directory = ["--data-dir", str(directory.path)]

    well = doctor(*core, *in_directory)
    assert well.exit_code == 0, well.output
    assert well.stdout.endswith("checks: all is well.\n")
    assert "\nok       wallet_balances " in well.stdout
    as_json = json.loads(doctor(*core, *in_directory, "--json").stdout)
    assert (as_json["broken"], as_json["warnings"]) == ([], [])
    assert {check["verdict"] for check in as_json["checks"]} == {"ok"}

    tokens = directory.read_secrets().service_tokens
    assert doctor(*core, NIVISCO_SERVICE_TOKEN=tokens["operator"]).exit_code == 0
    refused = doctor(*core, NIVISCO_SERVICE_TOKEN=tokens["scheduler"])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "refused the operator's token" in refused.stderr

    direct = doctor("--direct", *in_directory)
    assert (direct.exit_code, direct.stdout) == (2, "")
    assert "in use by another process; use that process, or stop it" in direct.stderr

    up.signal(signal.SIGTERM)
    assert up.wait() == 0
    gone = doctor(*core, *in_directory)
    assert gone.exit_code == 2
    assert "No core answers at" in gone.stderr
    assert "`nivisco doctor --direct`" in gone.stderr
    stopped = doctor("--direct", *in_directory)
    assert stopped.exit_code == 0, stopped.output
    assert "skipped" not in stopped.stdout


def test_verdicts_have_colours_at_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    check = pb.ExamineResponse.Check(name="wallet_balances", verdict=pb.CHECK_VERDICT_BROKEN)
    assert _line(check).startswith("broken   wallet_balances")
    monkeypatch.setattr("cli.doctor.is_coloured", lambda: True)
    assert _line(check).startswith("\x1b[31mbroken \x1b[0m  wallet_balances")


def test_broken_invariants_are_exit_code_1_and_listed(postgresql_database: str) -> None:
    broken_books(postgresql_database)
    settings = {"NIVISCO_DATABASE_URL": postgresql_database, "NIVISCO_SECRET_KEYS": KEYS}
    found = doctor("--direct", **settings)
    assert found.exit_code == 1
    assert "\nbroken   wallet_balances " in found.stdout
    assert (
        "\n  business_id=B wallet_id=WAL-1 balance_minor=7 postings_minor=1200 "
        'problem="balance is not its postings\' sum"\n'
    ) in found.stdout
    assert found.stdout.endswith("checks: 2 broken, 0 with a warning.\n")
    limited = doctor("--direct", "--limit", "1", **settings)
    assert "\n  and 1 more; --limit names up to 100\n" in limited.stdout


def test_json_is_one_object_with_stable_keys(postgresql_database: str) -> None:
    broken_books(postgresql_database)
    found = doctor("--direct", "--json", NIVISCO_DATABASE_URL=postgresql_database)
    assert found.exit_code == 1
    content = json.loads(found.stdout)
    assert list(content) == ["broken", "warnings", "examined_at", "checks"]
    assert (content["broken"], content["warnings"]) == (["wallet_balances", "wallet_histories"], [])
    for check in content["checks"]:
        assert list(check) == ["name", "verdict", "count", "rows", "demand", "advice"]
    by_name = {check["name"]: check for check in content["checks"]}
    assert by_name["wallet_balances"]["count"] == 2
    assert by_name["wallet_balances"]["rows"][0] == {
        "business_id": "B",
        "wallet_id": "WAL-1",
        "balance_minor": "7",
        "postings_minor": "1200",
        "problem": "balance is not its postings' sum",
    }
    assert by_name["keyring"]["verdict"] == "skipped"
    again = json.loads(
        doctor("--direct", "--json", NIVISCO_DATABASE_URL=postgresql_database).stdout
    )
    assert again | {"examined_at": ""} == content | {"examined_at": ""}


def test_warnings_alone_are_exit_code_0(postgresql_database: str) -> None:
    asyncio.run(write_books(postgresql_database, new=False))
    expired = update(idempotency_records).values(expires_at=datetime(2024, 1, 1, tzinfo=UTC))
    asyncio.run(change(postgresql_database, expired))
    found = doctor("--direct", NIVISCO_DATABASE_URL=postgresql_database)
    assert found.exit_code == 0, found.stdout
    assert "\nwarning  expired_records " in found.stdout
    assert found.stdout.endswith("checks: 0 broken, 1 with a warning.\n")


def test_a_payment_for_review_is_listed_with_the_command_to_run(postgresql_database: str) -> None:
    asyncio.run(write_books(postgresql_database, new=False))
    review = update(payments).where(payments.c.payment_id == "P-OPEN")
    review = review.values(status="needs_review", attempt=None, look_at=None)
    asyncio.run(change(postgresql_database, review))
    found = doctor("--direct", NIVISCO_DATABASE_URL=postgresql_database)
    (row,) = re.findall(r"(  business_id=B payment_id=P-OPEN .*\n.*\n)", found.stdout)
    assert row.endswith('problem="the outcome is unknown"\n    nivisco payments show P-OPEN\n')
    as_json = json.loads(
        doctor("--direct", "--json", NIVISCO_DATABASE_URL=postgresql_database).stdout
    )
    (check,) = [each for each in as_json["checks"] if each["name"] == "payments_for_review"]
    assert check["rows"][0]["command"] == "nivisco payments show P-OPEN"


async def spoil(url: str) -> None:
    async with unguarded(url) as connection:
        await connection.execute(
            update(wallets).where(wallets.c.wallet_id == "WAL-2").values(wallet_id="\x1b[2J\n")
        )


def test_control_characters_of_rows_are_escaped(postgresql_database: str) -> None:
    broken_books(postgresql_database)
    asyncio.run(spoil(postgresql_database))
    found = doctor("--direct", NIVISCO_DATABASE_URL=postgresql_database)
    assert "\x1b" not in found.stdout
    assert 'wallet_id="\\u001b[2J\\n"' in found.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--direct", "--database-url", "sqlite:////nowhere/x.db"],
            "no SQLite database at /nowhere/x.db",
        ),
        (["--direct", "--database-url", "mysql://u:obviously-fake@h/d"], "mysql is not supported"),
        (
            ["--direct", "--database-url", "postgresql://u:obviously-fake@127.0.0.1:9/d"],
            "does not answer",
        ),
        (["--direct", "--data-dir", "{}"], "There is no SQLite database at"),
        (["--database-url", "sqlite:////x.db"], "--database-url is for --direct"),
        (["--data-dir", "{}"], "No operator's token"),
        (["--limit", "0"], "--limit"),
    ],
)
def test_a_database_that_cannot_be_examined_is_exit_code_2(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    result = doctor(*(each.format(tmp_path / "data") for each in arguments))
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr
    assert "obviously-fake" not in result.stderr
    assert not (tmp_path / "data").exists()


def test_broken_secrets_are_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text("{")
    assert doctor("--data-dir", str(tmp_path)).exit_code == 2
    assert doctor("--direct", "--data-dir", str(tmp_path)).exit_code == 2


def test_a_database_without_schema_is_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    result = doctor("--direct", "--database-url", f"sqlite:///{tmp_path}/empty.db")
    assert result.exit_code == 2
    assert "has no schema yet" in result.stderr
