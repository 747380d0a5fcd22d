"""The commands `stop`, `start` and `stops`: operators stop payments, and let them go on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.call_output import print_json
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
from nivisco.payments.v1 import types_pb2

_WHAT = {
    "charges": pb.STOPPABLE_CHARGES,
    "recurring": pb.STOPPABLE_RECURRING,
    "everything": pb.STOPPABLE_EVERYTHING,
}
_GATEWAYS = {"stripe": types_pb2.GATEWAY_STRIPE, "authorize": types_pb2.GATEWAY_AUTHORIZE}
_Command = TypeVar("_Command", bound=Callable[..., Any])


def _scope_options(command: _Command) -> _Command:
    """Add what a stop is of."""
    business = click.option(
        "--business", metavar="ID", help="Only of this business. Default: all businesses."
    )
    gateway = click.option(
        "--gateway",
        type=click.Choice([*_GATEWAYS]),
        help="Only at this gateway. Default: all gateways, and the wallets.",
    )
    return click.argument("what", type=click.Choice([*_WHAT]))(business(gateway(command)))


@click.command()
@_scope_options
@reason_option
@by_option
@json_option
@core_options
def stop(
    what: str,
    business: str | None,
    gateway: str | None,
    reason: str,
    by: str | None,
    target: str,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    """Stop payments: none is begun once the command ends.

    `charges` are those of requests, also authorizations and fundings; `recurring` are the cycles of
    recurring jobs, which wait; `everything` are both, captures, and movements in wallets. Refunds,
    voids, reads, webhooks, and the outcome of what was begun go on. A repeat changes the reason.

    \b
    nivisco stop charges --gateway stripe --reason "Stripe charges twice"
    nivisco stop everything --reason "wrong prices"
    """  # noqa: D301 - \b keeps the lines apart
    request = pb.StopPaymentsRequest(
        scope=_scope(what, business, gateway), decided_by=operator_name(by), reason=reason
    )
    values = call_operator(target, data_dir, request)
    if as_json:
        print_json(values)
    else:
        click.echo(f"Stopped: {_line(values['stop'])}")


@click.command()
@_scope_options
@reason_option
@by_option
@json_option
@core_options
def start(
    what: str,
    business: str | None,
    gateway: str | None,
    reason: str,
    by: str | None,
    target: str,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    """End a stop, named as it was made. Recurring jobs charge what waited, by their catch_up.

    \b
    nivisco start charges --gateway stripe --reason "corrected"
    """  # noqa: D301 - \b keeps the lines apart
    request = pb.StartPaymentsRequest(
        scope=_scope(what, business, gateway), decided_by=operator_name(by), reason=reason
    )
    values = call_operator(target, data_dir, request)
    if as_json:
        print_json(values)
        return
    click.echo(f"Started: {_line(values['stop'])}")
    for each in values["others"]:
        click.echo(f"Still stopped: {_line(each)}")


@click.command()
@json_option
@core_options
def stops(target: str, data_dir: Path | None, *, as_json: bool) -> None:
    """List what is stopped, the first stop first.

    \b
    nivisco stops
    """  # noqa: D301 - \b keeps the lines apart
    values = call_operator(target, data_dir, pb.ListStopsRequest())
    if as_json:
        print_json(values)
        return
    for each in values["stops"]:
        click.echo(_line(each))
    if not values["stops"]:
        click.echo("Nothing is stopped.")


def _scope(what: str, business: str | None, gateway: str | None) -> pb.StopScope:
    return pb.StopScope(
        what=_WHAT[what],
        business_id=business,
        gateway=_GATEWAYS[gateway] if gateway is not None else None,
    )


def _line(values: dict[str, Any]) -> str:
    scope = values["scope"]
    business, gateway = scope["business_id"], scope["gateway"]
    of = f"business {shown(business)}" if business else "all businesses"
    at = shown(gateway) if gateway else "all gateways"
    return (
        f"{shown(scope['what'])}  {of}  {at}  since {values['stopped_at']} by "
        f"{shown(values['stopped_by'])}: {shown(values['reason'])}"
    )
