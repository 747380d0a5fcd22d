"""The command `doctor`: has the database examined, by the core or without one, and prints it."""

import asyncio
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import click

from cli.data_dir import DEFAULT_DATA_DIR, DataDir
from cli.failures import Failure, SettingsError
from cli.foreground import sentence
from cli.operator_service import core_client, core_option, service_token, why_refused
from nivisco.internal.v1 import operator_pb2 as pb
from rpc.errors import CoreError
from rpc.metadata import Credentials

_EXAMINE = pb.DESCRIPTOR.services_by_name["OperatorService"].methods_by_name["Examine"]
_COLUMN = max(len(word) for word in ("ok", "warning", "broken", "skipped"))


class NotExamined(click.ClickException):
    """The database could not be examined, so nothing is known. Exit code 2."""

    exit_code = 2


@click.command()
@core_option
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="The data directory of `nivisco up`: its secrets.json has the operator's token and the "
    f"keyring. Default: {DEFAULT_DATA_DIR}, unless settings in the environment stand for it.",
)
@click.option(
    "--direct",
    is_flag=True,
    help="Open the database without asking a core: a SQLite database that no core serves, or "
    "PostgreSQL at any time.",
)
@click.option(
    "--database-url",
    help="What --direct examines in place of the data directory's nivisco.db; also "
    "NIVISCO_DATABASE_URL, which other users of this machine cannot see.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")
@click.option(
    "--limit",
    type=click.IntRange(1, 100),
    default=10,
    show_default=True,
    help="How many rows each check names. All are counted.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=1.0),
    default=600.0,
    show_default=True,
    help="How long to wait for the core's answer.",
)
def doctor(
    target: str,
    data_dir: Path | None,
    database_url: str | None,
    limit: int,
    timeout: float,
    *,
    direct: bool,
    as_json: bool,
) -> None:
    """Check that the books balance and nothing is left lying; change nothing.

    The running core examines its database: the ledger sums to zero, every wallet is the replay of
    its postings, no payment is open for too long, nothing is orphaned, and more. What breaks an
    invariant is named by its ids.

    Exit code 0: nothing is broken (there may be warnings); 1: something is; 2: it could not be
    examined, so nothing is known.
    """
    try:
        if direct:
            answer = _examined_directly(data_dir, database_url, limit)
        elif database_url is not None:
            raise SettingsError("--database-url is for --direct: a core knows its own database.")
        else:
            token = service_token("operator", DataDir(data_dir) if data_dir else None)
            answer = asyncio.run(_examined_by_core(target, token, limit, timeout))
    except Failure as failure:  # whose exit code would say that something is broken
        raise NotExamined(failure.message) from None
    click.echo(_as_json(answer) if as_json else _as_text(answer))
    if _named(answer, pb.CHECK_VERDICT_BROKEN):
        raise click.exceptions.Exit(1)


async def _examined_by_core(
    target: str, token: str, limit: int, timeout: float
) -> pb.ExamineResponse:
    client = core_client(target)
    try:
        answer = await client.call(
            _EXAMINE,
            pb.ExamineRequest(limit=limit),
            Credentials(service_token=token),
            timeout_seconds=timeout,
        )
    except CoreError as error:
        raise _refused(error, target, timeout) from None
    finally:
        await client.close()
    return cast(pb.ExamineResponse, answer)


def _refused(error: CoreError, target: str, timeout: float) -> NotExamined:
    if error.metadata.get("cause") == "database":
        return NotExamined(f"{error.message}.")
    if error.code.name == "DEADLINE_EXCEEDED":
        return NotExamined(
            f"The core at {target} did not finish in {timeout:.0f} seconds. Give it longer with "
            "--timeout SECONDS."
        )
    if error.code.name == "UNIMPLEMENTED":
        return NotExamined(f"The core at {target} is of an older version that has no doctor.")
    if error.reason in ("SERVICE_UNAVAILABLE", "OUTCOME_UNKNOWN"):
        return NotExamined(
            f"{why_refused(error, target)} Where none runs, `nivisco doctor --direct` examines the "
            "database itself: nivisco.db of --data-dir, or the one that NIVISCO_DATABASE_URL names."
        )
    return NotExamined(why_refused(error, target))


def _examined_directly(
    data_dir: Path | None, database_url: str | None, limit: int
) -> pb.ExamineResponse:
    """Examine a database in this process.

    Raises:
        NotExamined: it cannot be opened, or a core has it to itself.
        Failure: the data directory's secrets cannot be read.
    """
    from core.database.transactions import DatabaseUnavailableError
    from core.errors import Refusal
    from core.server import composition

    url = database_url or os.environ.get("NIVISCO_DATABASE_URL", "")
    if not url:
        data_dir = data_dir or DEFAULT_DATA_DIR
        url = f"sqlite:///{DataDir(data_dir).database}"
    try:
        key_ids = _key_ids(data_dir)
        return asyncio.run(composition.examine(url, key_ids=key_ids, limit=limit))
    except (ValueError, DatabaseUnavailableError, Refusal) as error:
        raise NotExamined(sentence(error)) from None


def _key_ids(data_dir: Path | None) -> Collection[str] | None:
    """Return the ids of the keyring's keys; None where neither place of a keyring was named."""
    from core.security.keyring import Keyring

    if data_dir is not None and DataDir(data_dir).secrets.exists():
        return [key_id for key_id, _ in DataDir(data_dir).read_secrets().secret_keys]
    if text := os.environ.get("NIVISCO_SECRET_KEYS"):
        try:
            return Keyring.parse(text).keys.keys()
        except ValueError as error:
            raise ValueError(f"NIVISCO_SECRET_KEYS: {error}") from None
    return None


def _word(check: pb.ExamineResponse.Check) -> str:
    return pb.CheckVerdict.Name(check.verdict).removeprefix("CHECK_VERDICT_").lower()


def _named(answer: pb.ExamineResponse, verdict: pb.CheckVerdict.ValueType) -> list[str]:
    return [check.name for check in answer.checks if check.verdict == verdict]


def _as_json(answer: pb.ExamineResponse) -> str:
    content: dict[str, Any] = {
        "broken": _named(answer, pb.CHECK_VERDICT_BROKEN),
        "warnings": _named(answer, pb.CHECK_VERDICT_WARNING),
        "examined_at": f"{answer.examined_at.ToDatetime():%Y-%m-%d %H:%M:%S}",
        "checks": [
            {
                "name": check.name,
                "verdict": _word(check),
                "count": check.count,
                "rows": [{each.name: each.value for each in row.columns} for row in check.rows],
                "demand": check.invariant,
                "advice": check.advice,
            }
            for check in answer.checks
        ],
    }
    return json.dumps(content, indent=2)


def _as_text(answer: pb.ExamineResponse) -> str:
    """Write a line for each check, then the rows and what to do, then the sum of it."""
    lines = [_line(check) for check in answer.checks]
    for check in answer.checks:
        if check.count:
            lines += ["", f"{check.name} ({_word(check)}): {check.advice}"]
            lines += [f"  {_row(row)}" for row in check.rows]
            if more := check.count - len(check.rows):
                lines.append(f"  and {more} more; --limit names up to 100")
    broken = len(_named(answer, pb.CHECK_VERDICT_BROKEN))
    warnings = len(_named(answer, pb.CHECK_VERDICT_WARNING))
    result = f"{broken} broken, {warnings} with a warning" if broken or warnings else "all is well"
    return "\n".join([*lines, "", f"{len(answer.checks)} checks: {result}."])


def _line(check: pb.ExamineResponse.Check) -> str:
    rows = "" if not check.count else f" [{check.count} row{'s' if check.count > 1 else ''}]"
    skipped = f" {check.advice}" if check.verdict == pb.CHECK_VERDICT_SKIPPED else ""
    return f"{_word(check):{_COLUMN}}  {check.name:20} {check.invariant}.{rows}{skipped}"


def _row(row: pb.ExamineResponse.Row) -> str:
    return " ".join(f"{each.name}={_quoted(each.value)}" for each in row.columns)


def _quoted(value: str) -> str:
    """Return a value as it is where it is one printable word, and as a JSON string otherwise."""
    plain = value.isascii() and value.isprintable() and value and " " not in value
    return value if plain else json.dumps(value)
