"""Creates the admin business through the running core, and stores its key."""

import asyncio
import json
import os
from pathlib import Path
from typing import cast

import click

from cli.core_access import core_client, core_option, service_token, why_refused
from cli.credentials import is_sendable
from cli.data_dir import DEFAULT_DATA_DIR, DataDir
from cli.failures import Failure
from cli.groups import Group
from nivisco.internal.v1 import operator_pb2
from nivisco.payments.v1 import authentication_pb2
from rpc.client import CoreClient
from rpc.errors import CoreError
from rpc.metadata import Credentials

_TIMEOUT_SECONDS = 15.0
_VALIDATE_BUSINESS = authentication_pb2.DESCRIPTOR.services_by_name[
    "AuthenticationService"
].methods_by_name["ValidateBusiness"]
_CREATE_ADMIN = operator_pb2.DESCRIPTOR.services_by_name["OperatorService"].methods_by_name[
    "CreateAdmin"
]


async def ensure_admin(target: str, data_dir: DataDir, operator_token: str) -> bool:
    """Make sure that admin.json has credentials that the core accepts.

    Returns whether a new key was created: on the first start, or to replace one that was refused.

    Raises:
        CoreError: the core refused or did not respond.
        Failure: admin.json cannot be written.
    """
    client = core_client(target)
    try:
        stored = data_dir.read_admin()
        if stored is not None and await _is_accepted(client, stored):
            return False
        data_dir.write_admin(await _create(client, operator_token, rotate=True))
        return True
    finally:
        await client.close()


async def create_admin(target: str, operator_token: str, *, rotate: bool) -> Credentials:
    """Create the admin business, or replace its key.

    Raises:
        CoreError: the core refused or did not respond.
    """
    client = core_client(target)
    try:
        return await _create(client, operator_token, rotate=rotate)
    finally:
        await client.close()


async def _is_accepted(client: CoreClient, admin: Credentials) -> bool:
    if not is_sendable(admin.business_id) or not is_sendable(admin.api_key):
        return False
    try:
        await client.call(
            _VALIDATE_BUSINESS,
            authentication_pb2.ValidateBusinessRequest(),
            admin,
            timeout_seconds=_TIMEOUT_SECONDS,
        )
    except CoreError as error:
        if error.reason == "INVALID_CREDENTIALS":
            return False
        raise
    return True


async def _create(client: CoreClient, operator_token: str, *, rotate: bool) -> Credentials:
    response = await client.call(
        _CREATE_ADMIN,
        operator_pb2.CreateAdminRequest(rotate=rotate),
        Credentials(service_token=operator_token),
        timeout_seconds=_TIMEOUT_SECONDS,
    )
    created = cast(operator_pb2.CreateAdminResponse, response)
    return Credentials(created.business_id, created.api_key)


@click.group(cls=Group)
def admin() -> None:
    """Manage the admin business, which registers the others."""


@admin.command()
@click.option("--rotate", is_flag=True, help="Replace the key if the admin business exists.")
@core_option
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="The data directory of `nivisco up`: its secrets.json has the token; the new key goes to "
    f"its admin.json. Default: {DEFAULT_DATA_DIR}, unless NIVISCO_SERVICE_TOKEN is set.",
)
def create(target: str, data_dir: Path | None, *, rotate: bool) -> None:
    """Create the admin business, or with --rotate replace a lost key.

    The core must be running. The operator's token comes from NIVISCO_SERVICE_TOKEN or from the data
    directory. The key is written to the data directory's admin.json. Without a data directory it is
    printed, once.
    """
    if data_dir is None and not os.environ.get("NIVISCO_SERVICE_TOKEN"):
        data_dir = DEFAULT_DATA_DIR
    directory = None if data_dir is None else DataDir(data_dir)
    token = service_token("operator", directory)
    try:
        made = asyncio.run(create_admin(target, token, rotate=rotate))
    except CoreError as error:
        raise _refused(error, target) from None
    if directory is None:
        credentials = {"business_id": made.business_id, "api_key": made.api_key}
        click.echo(json.dumps(credentials))
        return
    directory.write_admin(made)
    click.echo(f"The admin business's key is in {directory.admin}.")


def _refused(error: CoreError, target: str) -> Failure:
    if error.reason == "ALREADY_EXISTS":
        return Failure(
            "The admin business exists already. `nivisco admin create --rotate` replaces its key; "
            "the old one stops working at once."
        )
    return Failure(why_refused(error, target))
