"""The command `retention`: what the cores delete once it is old."""

from pathlib import Path

import click

from cli.call_output import print_json
from cli.operators import call_operator, core_options, json_option
from nivisco.internal.v1 import operator_pb2 as pb

_SETTINGS = {
    "idempotency_records": "NIVISCO_KEEP_ANSWERS_DAYS",
    "ignored_events": "NIVISCO_KEEP_IGNORED_EVENTS_DAYS",
}


@click.command()
@json_option
@core_options
def retention(target: str, data_dir: Path | None, *, as_json: bool) -> None:
    """Show what the cores delete once it is old, and how much of it is due. Deletes nothing.

    Payments, wallets, jobs and the events that they depend on are never deleted.

    \b
    nivisco retention
    """  # noqa: D301 - \b keeps the lines apart
    values = call_operator(target, data_dir, pb.ShowRetentionRequest())
    if as_json:
        print_json(values)
        return
    for kept in values["kept"]:
        since = f", the oldest of {kept['oldest']}" if kept["oldest"] else ""
        click.echo(
            f"{kept['kind']}: kept for {kept['days']} days ({_SETTINGS[kept['kind']]}), "
            f"{kept['due_count']} to be deleted{since}"
        )
