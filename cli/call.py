"""The command `call`: sends one request from the terminal, over JSON or gRPC."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from ulid import ULID

from cli.call_output import action_help, list_actions, print_json, print_table
from cli.completion import complete_action, complete_field
from cli.core_access import core_option, core_tls
from cli.credentials import (
    credential_options,
    endpoint_url,
    find_credentials,
    is_sendable,
    say_source,
)
from cli.payload import build_payload, describe, paths
from cli.transports import call_core, post_json
from portal.reference.build import reference
from rpc.addresses import channel_options, grpc_target
from rpc.errors import CoreError
from rpc.metadata import Credentials, request_id
from rpc.tls import ClientTls
from transcoding import exact_json
from transcoding.actions import Action, build_catalogue
from transcoding.field_problems import FieldProblems, did_you_mean
from transcoding.parsing import InvalidJson, parse_object


@click.command(add_help_option=False)
@click.argument("action", required=False, shell_complete=complete_action)
@click.argument(
    "arguments", metavar="[KEY=VALUE | @FILE | -]...", nargs=-1, shell_complete=complete_field
)
@click.option("--list", "show_actions", is_flag=True, help="List the actions and stop.")
@click.option("--fields", "show_fields", is_flag=True, help="List the action's fields and stop.")
@click.option("--example", "show_example", is_flag=True, help="Print a request to edit and stop.")
@click.option("--grpc", "over_grpc", is_flag=True, help="Call the core over gRPC instead.")
@core_option
@credential_options
@click.option(
    *("-o", "--output"),
    type=click.Choice(["json", "table"]),
    default="json",
    show_default=True,
    help="How to print the response. Errors are JSON.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0.1, max=300),
    default=30.0,
    show_default=True,
    help="How long to wait for the response.",
)
@click.option(
    "-h",
    "--help",
    "show_help",
    is_flag=True,
    help="Show this message and exit; after an action, its fields, response and errors.",
)
@click.pass_context
def call(
    context: click.Context,
    action: str | None,
    arguments: tuple[str, ...],
    url: str | None,
    target: str,
    business: str | None,
    profile: str | None,
    credentials_file: Path | None,
    output: str,
    timeout: float,
    *,
    show_actions: bool,
    show_fields: bool,
    show_example: bool,
    show_help: bool,
    over_grpc: bool,
) -> None:
    """Send one request and print the response. Exit code 0: it succeeded, 1: it failed.

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
        click.echo(list_actions(catalogue))
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
    login = find_credentials(
        business, credentials_file, profile, os.environ, admin_only=chosen.admin_only
    )
    url = target if over_grpc else endpoint_url(login, url)
    say_source(login, url)
    printed = print_table if output == "table" else print_json
    if over_grpc:
        request = _request_message(chosen, payload)
        succeeded = _call_over_grpc(chosen, request, login.credentials, target, timeout, printed)
    else:
        succeeded = _call_over_json(chosen, payload, login.credentials, url, timeout, printed)
    if not succeeded:
        raise click.exceptions.Exit(1)


def _choose(name: str | None, catalogue: Mapping[str, Action]) -> Action:
    if name is None:
        raise click.UsageError("Which action? `nivisco call --list` lists them.")
    if name not in catalogue:
        hint = did_you_mean(name, catalogue) or "."
        raise click.UsageError(f"There is no action {name}{hint}\n\n{list_actions(catalogue)}")
    return catalogue[name]


def _call_over_json(
    action: Action,
    payload: dict[str, Any],
    credentials: Credentials,
    url: str,
    timeout: float,
    printed: Callable[[Any], None],
) -> bool:
    envelope = {
        "business_id": credentials.business_id,
        "api_key": credentials.api_key,
        "action": action.name,
    }
    try:
        response = post_json(url, envelope | payload, timeout)
    except ValueError as error:
        raise click.UsageError(f"--url: {error}.") from None
    try:
        content = exact_json.read(response.body)
    except ValueError:
        click.echo(f"HTTP {response.status}, and the body is not JSON.", err=True)
        return False
    if response.status == 200 and isinstance(content, dict) and content.get("success") is True:
        printed(content)
        return True
    print_json(content)
    click.echo(f"HTTP {response.status}", err=True)
    return False


def _request_message(action: Action, payload: dict[str, Any]) -> Message:
    """Return the payload as the request message that the JSON endpoint would send."""
    try:
        fields = parse_object(exact_json.write(payload).encode())
    except InvalidJson:
        raise click.UsageError("The payload is nested too deeply.") from None
    problems = FieldProblems()
    message = action.read(fields, "", problems)
    if problems.found:
        lines = "\n".join(f"  {each.field} {each.description}" for each in problems.found)
        raise click.UsageError(f"The payload does not fit {action.name}:\n{lines}")
    return message


def _call_over_grpc(
    action: Action,
    request: Message,
    credentials: Credentials,
    target: str,
    timeout: float,
    printed: Callable[[Any], None],
) -> bool:
    if not (is_sendable(credentials.business_id) and is_sendable(credentials.api_key)):
        raise click.UsageError("The credentials have characters that credentials never have.")
    tls = core_tls(target, os.environ)
    token = request_id.set(str(ULID()))
    try:
        with _channel(target, tls) as channel:
            return print_call(channel, action, request, credentials, timeout, printed)
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
    printed: Callable[[Any], None] = print_json,
) -> bool:
    """Call the action, print the response or the error, and return whether it succeeded."""
    try:
        response = call_core(channel, action.method, request, credentials, timeout_seconds)
    except CoreError as error:
        print_json(_error_body(error))
        click.echo(f"gRPC {error.code.name}", err=True)
        return False
    content = json_format.MessageToDict(
        response, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    printed(content)
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
