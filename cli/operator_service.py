"""What commands share that ask the core with a service token: where, with what, what failed."""

import os

import click

from cli.addresses import read_cores
from cli.core_tls import core_tls
from cli.credentials import sendable
from cli.data_dir import DEFAULT_DATA_DIR, DataDir
from cli.failures import SettingsError
from rpc.client import CoreClient
from rpc.errors import CoreError

core_option = click.option(
    "--core",
    "target",
    metavar="HOST:PORT[,…]",
    callback=read_cores,
    envvar="NIVISCO_CORE",
    default="127.0.0.1:50051",
    show_default=True,
    help="Where the core or cores serve; also NIVISCO_CORE.",
)
"""Where the command finds the core."""


def service_token(scope: str, directory: DataDir | None) -> str:
    """Return the token of a scope: of NIVISCO_SERVICE_TOKEN, or of the data directory.

    Raises:
        SettingsError: there is none, or it is none.
        Failure: the data directory's secrets cannot be read.
    """
    token = os.environ.get("NIVISCO_SERVICE_TOKEN", "")
    if not token:
        directory = directory or DataDir(DEFAULT_DATA_DIR)
        if not directory.secrets.exists():
            raise SettingsError(
                f"No {scope}'s token. Set NIVISCO_SERVICE_TOKEN, or name the data directory of a "
                f"`nivisco up` with --data-dir ({directory.secrets} does not exist)."
            )
        token = directory.read_secrets().service_tokens[scope]
    if not sendable(token):
        raise SettingsError("NIVISCO_SERVICE_TOKEN holds characters that a token never has.")
    return token


def core_client(target: str) -> CoreClient:
    """Return a client of the core or cores at `target`, which the caller closes.

    Raises:
        SettingsError: it cannot be called in this way.
    """
    return CoreClient(target, core_tls(target, os.environ))


def why_refused(error: CoreError, target: str) -> str:
    """Return what to tell a person of a call that the core refused or never got."""
    if error.reason in ("SERVICE_TOKEN_REQUIRED", "INVALID_CREDENTIALS"):
        return (
            f"The core at {target} refused the operator's token. It must be the one in the core's "
            "NIVISCO_SERVICE_TOKENS, or in secrets.json of the core's data directory."
        )
    if error.reason in ("SERVICE_UNAVAILABLE", "OUTCOME_UNKNOWN"):
        return (
            f"No core answers at {target}. Start one with `nivisco up`, or name another with "
            "--core HOST:PORT."
        )
    return f"The core refused: {error.message}"
