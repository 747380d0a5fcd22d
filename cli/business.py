"""The commands `business suspend` and `reactivate`."""

from pathlib import Path

import click

from cli.call_output import print_json
from cli.groups import Group
from cli.operators import (
    by_option,
    call_operator,
    core_options,
    json_option,
    operator_name,
    reason_option,
    shown,
)
from nivisco.internal.v1 import operator_pb2 as pb


@click.group(cls=Group)
def business() -> None:
    """Stop the charges of a business, or let them go on.

    The core must be running, and the operator's token comes from NIVISCO_SERVICE_TOKEN or from the
    data directory.
    """


@business.command()
@click.argument("business_id", metavar="ID")
@reason_option
@by_option
@json_option
@core_options
def suspend(
    business_id: str,
    reason: str,
    by: str | None,
    target: str,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    """Suspend a business: no charge is begun for it once the command ends.

    One that a gateway has by then may still succeed. The business can still read, refund, void, and
    cancel; its recurring jobs skip their cycles; payments without an outcome get theirs if their
    gateway shows one. To repeat it changes the reason.

    \b
    nivisco business suspend 2a0c5c52-6e6d-4c5a-8a58-4d5d7f818abc --reason "stolen keys"
    """  # noqa: D301 - \b keeps the lines apart
    request = pb.SuspendBusinessRequest(id=business_id, decided_by=operator_name(by), reason=reason)
    values = call_operator(target, data_dir, request)
    if as_json:
        print_json(values)
    else:
        since = values["business"]["suspended_at"]
        click.echo(f"{shown(business_id)} is suspended since {since}.")


@business.command()
@click.argument("business_id", metavar="ID")
@reason_option
@by_option
@json_option
@core_options
def reactivate(
    business_id: str,
    reason: str,
    by: str | None,
    target: str,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    """End the suspension of a business. Its recurring jobs go on with their next cycle.

    \b
    nivisco business reactivate 2a0c5c52-6e6d-4c5a-8a58-4d5d7f818abc --reason "keys replaced"
    """  # noqa: D301 - \b keeps the lines apart
    request = pb.ReactivateBusinessRequest(
        id=business_id, decided_by=operator_name(by), reason=reason
    )
    values = call_operator(target, data_dir, request)
    if as_json:
        print_json(values)
    else:
        click.echo(f"{shown(business_id)} is not suspended.")
