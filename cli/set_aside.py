"""The commands `queue list` and `queue release`, for work that cores have set aside."""

from pathlib import Path

import click

from cli.call_output import print_json
from cli.groups import Group
from cli.operators import (
    business_option,
    by_option,
    call_operator,
    core_options,
    json_option,
    operator_name,
    reason_option,
    shown,
)
from cli.tables import columns
from nivisco.internal.v1 import operator_pb2 as pb

_KINDS = {
    "payment": pb.DUE_KIND_PAYMENT,
    "webhook_event": pb.DUE_KIND_WEBHOOK_EVENT,
    "recurring_job": pb.DUE_KIND_RECURRING_JOB,
    "refund": pb.DUE_KIND_REFUND,
    "wallet_hold": pb.DUE_KIND_WALLET_HOLD,
}


@click.group(cls=Group)
def queue() -> None:
    """List and release what the cores have set aside because they cannot carry it out.

    Everything else goes on meanwhile. Correct what the error names, then release the row.
    """


@queue.command("list")
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=100,
    show_default=True,
    help="How many rows to list.",
)
@json_option
@core_options
def list_(limit: int, target: str, data_dir: Path | None, *, as_json: bool) -> None:
    """List payments, events, jobs, refunds and holds that are set aside, the first one first.

    \b
    nivisco queue list
    """  # noqa: D301 - \b keeps the lines apart
    values = call_operator(target, data_dir, pb.ListSetAsideRequest(limit=limit))
    if as_json:
        print_json(values)
        return
    if values["rows"]:
        click.echo(columns([_cells(row) for row in values["rows"]]))
    if not values["rows"]:
        click.echo("Nothing is set aside.")
    elif len(values["rows"]) == limit:
        click.echo(f"There may be more; --limit lists up to 1000, not {limit}.")


def _cells(row: dict[str, str]) -> dict[str, str]:
    """Return the columns of a row, the error last."""
    names = ("kind", "id", "business_id", "set_aside_at", "error")
    return {name: shown(row[name]) for name in names}


@queue.command()
@click.argument("kind", type=click.Choice([*_KINDS]))
@click.argument("row_id", metavar="ID")
@reason_option
@by_option
@business_option
@json_option
@core_options
def release(
    kind: str,
    row_id: str,
    reason: str,
    by: str | None,
    business: str | None,
    target: str,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    """Have the cores look at a row again, at once.

    What a recurring job missed meanwhile follows its catch_up; a cancelled one charges nothing. The
    release is recorded.

    \b
    nivisco queue release recurring_job REC-… --reason "tzdata is updated"
    """  # noqa: D301 - \b keeps the lines apart
    request = pb.ReleaseSetAsideRequest(
        kind=_KINDS[kind],
        id=row_id,
        business_id=business,
        decided_by=operator_name(by),
        reason=reason,
    )
    values = call_operator(target, data_dir, request)
    if as_json:
        print_json(values)
        return
    click.echo(f"{kind} {shown(row_id)} is due now ({values['decision']['decision_id']}).")
