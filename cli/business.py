"""The commands `business suspend`, `reactivate` and `limits`."""

from pathlib import Path

import click
from google.protobuf import field_mask_pb2

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
    """Stop the charges of a business, let them go on, or limit its requests.

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


_DEFAULT = "default"
_LIMIT_MAX = 100_000
_LIMITS = {
    "requests_per_second": "requests per second",
    "gateway_requests": "requests at once that may call a gateway",
}


def _limit(
    _context: click.Context, _option: click.Parameter, value: str | None
) -> int | str | None:
    """Return the number that an option has, `default`, or None."""
    if value is None or value == _DEFAULT:
        return value
    if value.isascii() and value.isdecimal() and int(value[:7]) <= _LIMIT_MAX:
        return int(value)
    raise click.BadParameter(f"'{value}' is not a number from 0 to {_LIMIT_MAX}, or {_DEFAULT}")


@business.command()
@click.argument("business_id", metavar="ID")
@click.option(
    "--requests-per-second",
    metavar="N",
    callback=_limit,
    help="Requests per second. 0: no limit; default: the core's setting.",
)
@click.option(
    "--gateway-requests",
    metavar="N",
    callback=_limit,
    help="Requests at once that may call a gateway. 0: no limit; default: the core's setting.",
)
@click.option("--reason", metavar="TEXT", default="", help="Why, for the record. For a change.")
@by_option
@json_option
@core_options
def limits(
    business_id: str,
    reason: str,
    by: str | None,
    target: str,
    data_dir: Path | None,
    *,
    as_json: bool,
    **given: int | str | None,
) -> None:
    """Show the limits of a business at each core, or give it other ones than the core's settings.

    Every core knows them two seconds later.

    \b
    nivisco business limits 2a0c5c52-6e6d-4c5a-8a58-4d5d7f818abc
    nivisco business limits 2a0c5c52-6e6d-4c5a-8a58-4d5d7f818abc \\
        --gateway-requests 1000 --reason "ticket sale"
    """  # noqa: D301 - \b keeps the lines apart
    changed = {name: value for name, value in given.items() if value is not None}
    if changed and not reason.strip():
        raise click.UsageError("Say why, with --reason TEXT.")
    request = pb.LimitBusinessRequest(
        id=business_id,
        decided_by=operator_name(by),
        reason=reason,
        updates=pb.BusinessLimits(
            **{name: value for name, value in changed.items() if isinstance(value, int)}
        ),
        update_mask=field_mask_pb2.FieldMask(paths=changed),
    )
    values = call_operator(target, data_dir, request)
    if as_json:
        print_json(values)
        return
    for name, meaning in _LIMITS.items():
        value = str(values["limits"][name])
        words = {"None": "the core's default", "0": "no limit"}
        click.echo(f"{meaning}: {words.get(value, value)}")
