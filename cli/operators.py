"""What the operators' commands share: their options, the call to the core, and its errors."""

import asyncio
import getpass
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from cli.core_access import core_client, core_option, service_token, why_refused
from cli.data_dir import DEFAULT_DATA_DIR, DataDir
from cli.failures import Failure
from nivisco.internal.v1 import operator_pb2 as pb
from rpc.client import CoreClient
from rpc.errors import CoreError
from rpc.metadata import Credentials
from transcoding import exact_json
from transcoding.responses import compile_response_writer

TIMEOUT_SECONDS = 90.0
"""Longer than a core asks a gateway for a payment's objects, or for a refund."""
_METHODS = pb.DESCRIPTOR.services_by_name["OperatorService"].methods_by_name
_OPTIONS = {
    "business_id": "--business",
    "decided_by": "--by",
    "id": "ID",
    "updates.gateway_requests": "--gateway-requests",
    "updates.requests_per_second": "--requests-per-second",
    "key_id": "The newest key",
    "payment_id": "ID",
    "reason": "--reason",
    "refund_id": "ID",
    "transaction_id": "--transaction",
    "user_id": "ID",
    "what": "WHAT",
}
"""The option or argument for each field of a request."""
_Command = TypeVar("_Command", bound=Callable[..., Any])

business_option = click.option(
    "--business",
    metavar="ID",
    help="The business that it belongs to. Needed only if several have this id.",
)
by_option = click.option(
    "--by",
    metavar="NAME",
    help="Who decides, for the record. Default: the user of this machine.",
)


reason_option = click.option("--reason", metavar="TEXT", required=True, help="Why, for the record.")
force_option = click.option(
    "--force",
    is_flag=True,
    help="Decide even against what the gateway says, or without proof. It is recorded.",
)


def json_option(command: _Command) -> _Command:
    """Add the options --json and -o json, which are the same: `as_json` of the command."""

    @wraps(command)
    def run(*arguments: object, as_json: bool, output: str, **named: object) -> object:
        return command(*arguments, as_json=as_json or output == "json", **named)

    as_json = click.option("--json", "as_json", is_flag=True, help="The same as -o json.")
    output = click.option(
        *("-o", "--output"),
        type=click.Choice(["json", "table"]),
        default="table",
        show_default=True,
        help="One JSON object, or lines for people.",
    )
    return cast(_Command, output(as_json(run)))


def core_options(command: _Command) -> _Command:
    """Add the options that say which core to call, and with which token."""
    data_dir = click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        help="The data directory of `nivisco up`, whose secrets.json has the operator's token. "
        f"Default: {DEFAULT_DATA_DIR}, unless NIVISCO_SERVICE_TOKEN is set.",
    )
    return core_option(data_dir(command))


def operator_name(given: str | None) -> str:
    """Return the name of who decides.

    Raises:
        click.UsageError: none is given, and the machine knows none.
    """
    try:
        name = (given if given is not None else getpass.getuser()).strip()
    except (KeyError, OSError):
        name = ""
    if not name:
        raise click.UsageError("Say who decides, with --by NAME.")
    return name


def call_operator(
    target: str, data_dir: Path | None, request: Message, *, server_name: str = ""
) -> dict[str, Any]:
    """Call the method whose request this is, and return its response as JSON's values.

    `server_name` is as `core_client` takes it.

    Raises:
        Failure: the core refused, or did not respond.
        SettingsError: there is no token, or TLS is missing.
    """
    method = _METHODS[request.DESCRIPTOR.name.removesuffix("Request")]
    token = service_token("operator", None if data_dir is None else DataDir(data_dir))
    try:
        client = partial(core_client, target, server_name)
        response = asyncio.run(_call(client, token, method, request))
    except CoreError as error:
        raise Failure(_why(error, target)) from None
    write = compile_response_writer(method.output_type)
    values: dict[str, Any] = exact_json.read(write(response))
    del values["success"]
    return values


async def _call(
    connect: Callable[[], CoreClient], token: str, method: MethodDescriptor, request: Message
) -> Message:
    client = connect()
    try:
        return await client.call(
            method, request, Credentials(service_token=token), timeout_seconds=TIMEOUT_SECONDS
        )
    finally:
        await client.close()


def _why(error: CoreError, target: str) -> str:
    """Return a sentence that says why the call failed and what to do."""
    if error.reason == "INVALID_FIELDS":
        problems = (
            f"{_OPTIONS.get(each.field, each.field)} {each.description}" for each in error.fields
        )
        return f"The core refused: {'; '.join(problems) or error.message}."
    if error.reason == "PAYMENT_NOT_FOUND":
        return f"{error.message}. `nivisco call get_payment_records` lists a business's payments."
    if error.reason == "USER_NOT_FOUND":
        return f"{error.message}. `nivisco call get_all_users` lists a business's users."
    if error.reason == "PAYMENT_STATE":
        force = (
            " --force decides all the same, and is recorded."
            if "can_force" in error.metadata
            else ""
        )
        return f"{error.message}{force}"
    if error.code.name == "UNIMPLEMENTED":
        return f"The core at {target} has an older version without this command."
    if error.reason == "OUTCOME_UNKNOWN":
        return (
            f"The core at {target} gave no clear answer. Repeat the command: a decision is made "
            "once."
        )
    return why_refused(error, target)


def shown(value: object) -> str:
    """Return a value for a line of text; control characters are escaped."""
    text = str(value)
    return text if text.isprintable() else exact_json.write(text)
