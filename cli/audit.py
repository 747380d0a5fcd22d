"""The commands `audit export` and `audit verify`: the audit trail of all businesses."""

import json
from collections import defaultdict, deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from cli.call_output import print_json
from cli.failures import Failure
from cli.operators import call_operator, core_options, json_option, shown
from nivisco.internal.v1 import operator_pb2 as pb
from transcoding import exact_json

CHECKPOINTS_PER_BUSINESS = 100
"""The newest checkpoints are compared: events are chained, so that each covers all before it."""
_CHECKPOINTS_PER_REQUEST = 1000
_business_option = click.option(
    "--business", metavar="ID", help="Only this business. Default: all."
)


@click.group()
def audit() -> None:
    """Export the audit trail, or verify that nobody altered it.

    \b
    nivisco audit verify --checkpoints /var/log/nivisco/audit-checkpoints.jsonl
    """  # noqa: D301 - \b keeps the lines apart


@audit.command()
@_business_option
@core_options
def export(business: str | None, target: str, data_dir: Path | None) -> None:
    """Print the events of the audit trail, a line of JSON for each, oldest first.

    They are of one business after the other. Client addresses are in them: keep them accordingly.

    \b
    nivisco audit export --business BUS-… > audit.jsonl
    """  # noqa: D301 - \b keeps the lines apart
    position, is_first = "", True
    while is_first or position:
        request = pb.ExportAuditRequest(business_id=business, position=position)
        page = call_operator(target, data_dir, request)
        for event in page["events"]:
            click.echo(exact_json.write({"business_id": page["business_id"], **event}))
        position, is_first = page["next_position"], False


@audit.command()
@_business_option
@click.option(
    "--checkpoints",
    "file",
    metavar="FILE",
    envvar="NIVISCO_AUDIT_CHECKPOINTS",
    help="What the cores wrote to NIVISCO_AUDIT_CHECKPOINTS, which is the default; or log lines.",
)
@json_option
@core_options
def verify(
    business: str | None, file: str | None, target: str, data_dir: Path | None, *, as_json: bool
) -> None:
    """Verify the audit trail: that no chained event was altered, removed, inserted or reordered.

    Events are chained with a key that is not in the database in clear. Only the end of a chain can
    be cut off unnoticed; checkpoints outside of the database show that. For the second or two
    before an event is chained, whoever can write to the database can insert, alter or remove it,
    and nothing shows that. Exit code 1: something is wrong.

    \b
    nivisco audit verify --checkpoints /var/log/nivisco/audit-checkpoints.jsonl
    """  # noqa: D301 - \b keeps the lines apart
    checkpoints = [] if file in (None, "log") else _checkpoints(Path(str(file)))
    events, problems = 0, list[dict[str, Any]]()
    batches = [
        checkpoints[begin : begin + _CHECKPOINTS_PER_REQUEST]
        for begin in range(0, len(checkpoints), _CHECKPOINTS_PER_REQUEST)
    ] or [[]]
    for batch in batches[1:]:  # a first page each; the last run verifies everything
        request = pb.VerifyAuditRequest(business_id=business, checkpoints=batch)
        page = call_operator(target, data_dir, request)
        problems += [each for each in page["problems"] if "checkpoint" in each["problem"]]
    position, is_first = "", True
    while is_first or position:
        request = pb.VerifyAuditRequest(
            business_id=business,
            position=position,
            checkpoints=batches[0] if is_first else [],
        )
        page = call_operator(target, data_dir, request)
        events += int(page["events"])
        problems += page["problems"]
        position, is_first = page["next_position"], False
    if as_json:
        print_json({"events": events, "checkpoints": len(checkpoints), "problems": problems})
    else:
        click.echo(f"{events:,} events and {len(checkpoints):,} checkpoints were verified.")
        for each in problems:
            place = f"{shown(each['business_id'])}, event {each['sequence']}"
            click.echo(f"  {place}: {each['problem']}")
    if problems:
        raise Failure(
            "The audit trail was altered. Keep a copy of the database, and compare with a backup."
        )


def _checkpoints(file: Path) -> list[pb.AuditCheckpoint]:
    """Return the newest checkpoints of each business in a file.

    Raises:
        Failure: the file cannot be read.
    """
    newest: dict[str, deque[pb.AuditCheckpoint]] = defaultdict(
        lambda: deque(maxlen=CHECKPOINTS_PER_BUSINESS)
    )
    try:
        with file.open(encoding="utf-8") as lines:
            for each in _read(lines):
                newest[each.business_id].append(each)
    except OSError as error:
        raise Failure(f"--checkpoints: {error.strerror} ({file}).") from None
    return [each for of_business in newest.values() for each in of_business]


def _read(lines: Iterable[str]) -> Iterable[pb.AuditCheckpoint]:
    """Yield the checkpoints in lines of JSON; what else a log has is passed over."""
    for line in lines:
        try:
            values = json.loads(line)
            yield pb.AuditCheckpoint(
                business_id=values["business_id"],
                sequence=int(values["sequence"]),
                hash=values["hash"],
            )
        except (ValueError, KeyError, TypeError):
            continue
