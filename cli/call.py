"""The command `call`: one request from the terminal, by the JSON endpoint or by gRPC."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from ulid import ULID

from cli.addresses import read_cores
from cli.call_completion import complete_action, complete_field
from cli.call_help import action_help
from cli.coloured_json import print_json
from cli.core_tls import core_tls
from cli.credentials import find_credentials, sendable
from cli.payload import build_payload, describe, did_you_mean, paths
from cli.transports import DEFAULT_URL, call_core, post_json
from portal.reference.build import reference
from rpc.addresses import channel_options, grpc_target
from rpc.errors import CoreError
from rpc.metadata import Credentials, request_id
from rpc.tls import ClientTls
from transcoding import exact_json
from transcoding.actions import Action, build_catalogue
from transcoding.parsing import InvalidJson, parse_object
from transcoding.problems import Problems


@click.command(add_help_option=False)
@click.argument("action", required=False, shell_complete=complete_action)
@click.argument(
    "arguments", metavar="[KEY=VALUE | @FILE | -]...", nargs=-1, shell_complete=complete_field
)
@click.option("--list", "show_actions", is_flag=True, help="List the actions and stop.")
@click.option("--fields", "show_fields", is_flag=True, help="List the action's fields and stop.")
@click.option("--example", "show_example", is_flag=True, help="Print a request to edit and stop.")
@click.option(
    "--url",
    envvar="NIVISCO_URL",
    default=DEFAULT_URL,
    show_default=True,
    help="The JSON endpoint; also NIVISCO_URL.",
)
@click.option("--grpc", "by_grpc", is_flag=True, help="Call the core by gRPC instead.")
@click.option(
    "--core",
    "target",
    metavar="HOST:PORT[,…]",
    callback=read_cores,
    envvar="NIVISCO_CORE",
    default="127.0.0.1:50051",
    show_default=True,
    help="Where the core or cores serve, with --grpc; also NIVISCO_CORE.",
)
@click.option(
    "--business",
    metavar="ID",
    envvar="NIVISCO_BUSINESS_ID",
    help="Who asks, with the key in NIVISCO_API_KEY; also NIVISCO_BUSINESS_ID.",
)
@click.option(
    "--credentials",
    "credentials_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="JSON with business_id and api_key. Default, where no business is named: var/demo.json of "
    "`nivisco demo`, or else var/admin.json.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0.1, max=300),
    default=30.0,
    show_default=True,
    help="How long to wait for the answer.",
)
@click.option(
    "-h",
    "--help",
    "show_help",
    is_flag=True,
    help="Show this message and exit; after an action, what it takes, answers and fails with.",
)
@click.pass_context
def call(
    context: click.Context,
    action: str | None,
    arguments: tuple[str, ...],
    url: str,
    target: str,
    business: str | None,
    credentials_file: Path | None,
    timeout: float,
    *,
    show_actions: bool,
    show_fields: bool,
    show_example: bool,
    show_help: bool,
    by_grpc: bool,
) -> None:
    """Send one request and print the answer. The exit code tells whether it succeeded.

    \b
    nivisco call --list
    nivisco call create_user --help
    nivisco call create_user --example > user.json
    nivisco call create_user user.name="Alicia Gomez" user.email=alicia@example.com
    nivisco call charge_wallet user_id=USR-… amount=2.50 currency=usd
    nivisco call create_user @user.json
    """  # noqa: D301 - \b keeps the lines of the examples apart
    catalogue = build_catalogue()
    if show_actions:
        click.echo(_list_of(catalogue))
        return
    if show_help and action is None:
        click.echo(context.get_help())
        return
    chosen = _choose(action, catalogue)
    described = reference().actions()[chosen.name]
    if show_help:
        click.echo(action_help(described))
        return
    if show_fields:
        for path, each in paths(described.request).items():
            click.echo(f"{path}  {describe(each)}")
        return
    if show_example:
        print_json(exact_json.read(described.example.request if described.example else "{}"))
        return
    payload = build_payload(arguments, described.request)
    credentials = find_credentials(
        business, credentials_file, os.environ, admin_only=chosen.admin_only
    )
    if by_grpc:
        request = _request_message(chosen, payload)
        succeeded = _by_grpc(chosen, request, credentials, target, timeout)
    else:
        succeeded = _by_json(chosen, payload, credentials, url, timeout)
    if not succeeded:
        raise click.exceptions.Exit(1)


def _choose(name: str | None, catalogue: Mapping[str, Action]) -> Action:
    if name is None:
        raise click.UsageError("Which action? `nivisco call --list` lists them.")
    if name not in catalogue:
        hint = did_you_mean(name, catalogue)
        raise click.UsageError(f"There is no action {name}{hint}\n\n{_list_of(catalogue)}")
    return catalogue[name]


def _list_of(catalogue: Mapping[str, Action]) -> str:
    categories: dict[str, list[str]] = {}
    for action in catalogue.values():
        categories.setdefault(action.category, []).append(action.name)
    return "\n".join(
        "\n".join([category, *(f"  {name}" for name in names)])
        for category, names in categories.items()
    )


def _by_json(
    action: Action, payload: dict[str, Any], credentials: Credentials, url: str, timeout: float
) -> bool:
    envelope = {
        "business_id": credentials.business_id,
        "api_key": credentials.api_key,
        "action": action.name,
    }
    try:
        answer = post_json(url, envelope | payload, timeout)
    except ValueError as error:
        raise click.UsageError(f"--url: {error}.") from None
    try:
        content = exact_json.read(answer.body)
    except ValueError:
        click.echo(f"HTTP {answer.status}, and the body is not JSON.", err=True)
        return False
    print_json(content)
    succeeded = (
        answer.status == 200 and isinstance(content, dict) and content.get("success") is True
    )
    if not succeeded:
        click.echo(f"HTTP {answer.status}", err=True)
    return succeeded


def _request_message(action: Action, payload: dict[str, Any]) -> Message:
    """Return the request that the JSON endpoint would make of the payload."""
    try:
        fields = parse_object(exact_json.write(payload).encode())
    except InvalidJson:
        raise click.UsageError("The payload is nested too deeply.") from None
    problems = Problems()
    message = action.read(fields, "", problems)
    if problems.found:
        lines = "\n".join(f"  {each.field} {each.description}" for each in problems.found)
        raise click.UsageError(f"The payload does not fit {action.name}:\n{lines}")
    return message


def _by_grpc(
    action: Action, request: Message, credentials: Credentials, target: str, timeout: float
) -> bool:
    if not (sendable(credentials.business_id) and sendable(credentials.api_key)):
        raise click.UsageError("The credentials hold characters that they never have.")
    tls = core_tls(target, os.environ)
    token = request_id.set(str(ULID()))
    try:
        with _channel(target, tls) as channel:
            return print_call(channel, action, request, credentials, timeout)
    finally:
        request_id.reset(token)


def _channel(target: str, tls: ClientTls | None) -> grpc.Channel:
    options = channel_options(target)
    if tls is None:
        return grpc.insecure_channel(grpc_target(target), options=options)
    options += tls.channel_options()
    return grpc.secure_channel(grpc_target(target), tls.channel_credentials(), options=options)


def print_call(
    channel: grpc.Channel,
    action: Action,
    request: Message,
    credentials: Credentials,
    timeout_seconds: float,
) -> bool:
    """Call the action on the channel, print the answer or the error, and tell which it was."""
    try:
        answer = call_core(channel, action.method, request, credentials, timeout_seconds)
    except CoreError as error:
        print_json(_error_body(error))
        click.echo(f"gRPC {error.code.name}", err=True)
        return False
    content = json_format.MessageToDict(
        answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    print_json(content)
    return True


def _error_body(error: CoreError) -> dict[str, Any]:
    body: dict[str, Any] = {"success": False, "error": error.message, "code": error.reason}
    body |= error.metadata
    if error.fields:
        body["fields"] = [
            {"field": problem.field, "description": problem.description} for problem in error.fields
        ]
    if error.retry_after_seconds is not None:
        body["retry_after_seconds"] = error.retry_after_seconds
    return body
