"""The command `doctor`: checks the database, through the core or directly."""

import asyncio
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import click

from cli.call_output import is_coloured
from cli.core_access import core_client, core_option, service_token, why_refused
from cli.data_dir import DEFAULT_DATA_DIR, DataDir
from cli.failures import Failure, SettingsError, sentence
from cli.operators import json_option
from nivisco.internal.v1 import operator_pb2 as pb
from rpc.errors import CoreError
from rpc.metadata import Credentials

_EXAMINE = pb.DESCRIPTOR.services_by_name["OperatorService"].methods_by_name["Examine"]
_COMMAND = "command"
"""Column of a row with the operator's command for it."""
_COLOURS = {"ok": "green", "warning": "yellow", "broken": "red", "skipped": "cyan"}
_COLUMN = max(len(word) for word in _COLOURS)


class NotExamined(click.ClickException):
    """The database could not be examined, so its state is unknown. Exit code 2."""

    exit_code = 2


@click.command()
@core_option
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="The data directory of `nivisco up`: its secrets.json has the operator's token and the "
    f"keyring. Default: {DEFAULT_DATA_DIR}, unless the environment sets them.",
)
@click.option(
    "--direct",
    is_flag=True,
    help="Open the database without a core: a SQLite database that no core serves, or "
    "PostgreSQL at any time.",
)
@click.option(
    "--database-url",
    help="What --direct examines instead of the data directory's nivisco.db; also "
    "NIVISCO_DATABASE_URL, which other users of this machine cannot see.",
)
@json_option
@click.option(
    "--limit",
    type=click.IntRange(1, 100),
    default=10,
    show_default=True,
    help="How many rows each check lists. All are counted.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=1.0),
    default=600.0,
    show_default=True,
    help="How long to wait for the core's response.",
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
    """Check the invariants of the database, without changing anything.

    The running core examines its database: the ledger sums to zero, every wallet equals the replay
    of its postings, no payment is open for too long, no row is orphaned, and more. Rows that break
    an invariant are listed by their ids.

    Exit code 0: nothing is broken (there may be warnings); 1: something is; 2: the database could
    not be examined.
    """
    try:
        if direct:
            result = _examine_directly(data_dir, database_url, limit)
        elif database_url is not None:
            raise SettingsError("--database-url is for --direct: a core has its own database.")
        else:
            token = service_token("operator", DataDir(data_dir) if data_dir else None)
            result = asyncio.run(_examine_by_core(target, token, limit, timeout))
    except Failure as failure:  # its exit code 1 means that something is broken
        raise NotExamined(failure.message) from None
    click.echo(_as_json(result) if as_json else _as_text(result))
    if _names(result, pb.CHECK_VERDICT_BROKEN):
        raise click.exceptions.Exit(1)


async def _examine_by_core(
    target: str, token: str, limit: int, timeout: float
) -> pb.ExamineResponse:
    client = core_client(target)
    try:
        response = await client.call(
            _EXAMINE,
            pb.ExamineRequest(limit=limit),
            Credentials(service_token=token),
            timeout_seconds=timeout,
        )
    except CoreError as error:
        raise _refused(error, target, timeout) from None
    finally:
        await client.close()
    return cast(pb.ExamineResponse, response)


def _refused(error: CoreError, target: str, timeout: float) -> NotExamined:
    if error.metadata.get("cause") == "database":
        return NotExamined(f"{error.message}.")
    if error.code.name == "DEADLINE_EXCEEDED":
        return NotExamined(
            f"The core at {target} did not finish in {timeout:.0f} seconds. Allow more with "
            "--timeout SECONDS."
        )
    if error.code.name == "UNIMPLEMENTED":
        return NotExamined(f"The core at {target} has an older version without the doctor.")
    if error.reason in ("SERVICE_UNAVAILABLE", "OUTCOME_UNKNOWN"):
        return NotExamined(
            f"{why_refused(error, target)} Without a core, `nivisco doctor --direct` examines the "
            "database itself: nivisco.db of --data-dir, or the one in NIVISCO_DATABASE_URL."
        )
    return NotExamined(why_refused(error, target))


def _examine_directly(
    data_dir: Path | None, database_url: str | None, limit: int
) -> pb.ExamineResponse:
    """Examine a database in this process.

    Raises:
        NotExamined: it cannot be opened, or a core has it locked.
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
    """Return the ids of the keyring's keys; None without a keyring."""
    from core.security.keyring import key_ids

    if data_dir is not None and DataDir(data_dir).secrets.exists():
        return [key_id for key_id, _ in DataDir(data_dir).read_secrets().secret_keys]
    if text := os.environ.get("NIVISCO_SECRET_KEYS"):
        try:
            return key_ids(text)
        except ValueError as error:
            raise ValueError(f"NIVISCO_SECRET_KEYS: {error}") from None
    return None


def _word(check: pb.ExamineResponse.Check) -> str:
    return pb.CheckVerdict.Name(check.verdict).removeprefix("CHECK_VERDICT_").lower()


def _names(result: pb.ExamineResponse, verdict: pb.CheckVerdict.ValueType) -> list[str]:
    return [check.name for check in result.checks if check.verdict == verdict]


def _as_json(result: pb.ExamineResponse) -> str:
    content: dict[str, Any] = {
        "broken": _names(result, pb.CHECK_VERDICT_BROKEN),
        "warnings": _names(result, pb.CHECK_VERDICT_WARNING),
        "examined_at": f"{result.examined_at.ToDatetime():%Y-%m-%d %H:%M:%S}",
        "checks": [
            {
                "name": check.name,
                "verdict": _word(check),
                "count": check.count,
                "rows": [{each.name: each.value for each in row.columns} for row in check.rows],
                "demand": check.invariant,
                "advice": check.advice,
            }
            for check in result.checks
        ],
    }
    return json.dumps(content, indent=2)


def _as_text(result: pb.ExamineResponse) -> str:
    """Return a line for each check, then the rows with the advice, then the totals."""
    lines = [_line(check) for check in result.checks]
    for check in result.checks:
        if check.count:
            lines += [
                "",
                _coloured(_word(check), f"{check.name} ({_word(check)})") + f": {check.advice}",
            ]
            for row in check.rows:
                lines += [f"  {_row(row)}", *_command(row)]
            if more := check.count - len(check.rows):
                lines.append(f"  and {more} more; --limit names up to 100")
    broken = len(_names(result, pb.CHECK_VERDICT_BROKEN))
    warnings = len(_names(result, pb.CHECK_VERDICT_WARNING))
    total = f"{broken} broken, {warnings} with a warning" if broken or warnings else "all is well"
    return "\n".join([*lines, "", f"{len(result.checks)} checks: {total}."])


def _coloured(word: str, text: str) -> str:
    """Return the text in the verdict's colour on a terminal."""
    return click.style(text, fg=_COLOURS[word]) if is_coloured() else text


def _line(check: pb.ExamineResponse.Check) -> str:
    rows = "" if not check.count else f" [{check.count} row{'s' if check.count > 1 else ''}]"
    skipped = f" {check.advice}" if check.verdict == pb.CHECK_VERDICT_SKIPPED else ""
    word = _coloured(_word(check), f"{_word(check):{_COLUMN}}")
    return f"{word}  {check.name:20} {check.invariant}.{rows}{skipped}"


def _row(row: pb.ExamineResponse.Row) -> str:
    shown = (each for each in row.columns if each.name != _COMMAND)
    return " ".join(f"{each.name}={_quoted(each.value)}" for each in shown)


def _command(row: pb.ExamineResponse.Row) -> list[str]:
    """Return the line with the command that helps, if the row has one."""
    found = [each.value for each in row.columns if each.name == _COMMAND]
    return [f"    {each if each.isprintable() else json.dumps(each)}" for each in found]


def _quoted(value: str) -> str:
    """Return one printable word unchanged, and anything else as a JSON string."""
    plain = value.isascii() and value.isprintable() and value and " " not in value
    return value if plain else json.dumps(value)
