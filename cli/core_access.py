"""What commands share that call a core: its address, TLS, the service token and error sentences."""

import os
from collections.abc import Mapping
from dataclasses import replace

import click

from cli.addresses import read_cores
from cli.credentials import is_sendable
from cli.data_dir import DEFAULT_DATA_DIR, DataDir
from cli.failures import SettingsError, sentence
from rpc.client import CoreClient
from rpc.errors import CoreError
from rpc.tls import ClientTls, check_transport

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
"""The option --core of a command."""


def service_token(scope: str, directory: DataDir | None) -> str:
    """Return the token of a scope from NIVISCO_SERVICE_TOKEN, or else from the data directory.

    Raises:
        SettingsError: there is none, or it has characters that cannot be sent.
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
    if not is_sendable(token):
        raise SettingsError("NIVISCO_SERVICE_TOKEN has characters that a token never has.")
    return token


def core_tls(target: str, environ: Mapping[str, str]) -> ClientTls | None:
    """Return the TLS settings to call the core with; None for a core on this machine.

    Raises:
        SettingsError: a file cannot be used, or the target needs TLS and none is set.
    """
    try:
        tls = ClientTls.from_environment(environ)
        check_transport(target, tls)
    except ValueError as error:
        raise SettingsError(sentence(error)) from None
    return tls


def core_client(target: str, server_name: str = "") -> CoreClient:
    """Return a client of the core or cores at `target`; the caller closes it.

    `server_name` is the name in their certificate if no setting says it; empty: that in `target`.

    Raises:
        SettingsError: TLS is missing or cannot be used.
    """
    tls = core_tls(target, os.environ)
    if tls is not None and not tls.server_name:
        tls = replace(tls, server_name=server_name)
    return CoreClient(target, tls)


def why_refused(error: CoreError, target: str) -> str:
    """Return a sentence that says why the call failed and what to do."""
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
