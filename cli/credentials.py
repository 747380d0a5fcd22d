"""Finds the credentials that `nivisco call` sends.

An API key is never an argument: every user of the machine can read those of a process.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from cli.data_dir import DEFAULT_DATA_DIR
from rpc.metadata import Credentials

ADMIN_FILE = DEFAULT_DATA_DIR / "admin.json"
DEMO_FILE = DEFAULT_DATA_DIR / "demo.json"


def is_sendable(credential: str) -> bool:
    """Return whether gRPC accepts the text as metadata; otherwise it raises."""
    return credential.isascii() and credential.isprintable()


def find_credentials(
    business_id: str | None, file: Path | None, environ: Mapping[str, str], *, admin_only: bool
) -> Credentials:
    """Return the credentials to send a request with.

    The first that applies: the file that is named; the business that is named, whose key is in
    NIVISCO_API_KEY or is read from the terminal; the demo merchant of `nivisco demo`, unless the
    action is for the admin business only; the admin business.

    Raises:
        click.UsageError: there are none, or they are incomplete; the message says what is missing.
    """
    if file is not None:
        found = read_credentials(file)
        if business_id not in (None, found.business_id):
            raise click.UsageError(f"{file} has the key of another business than {business_id}.")
        return found
    api_key = environ.get("NIVISCO_API_KEY", "")
    if business_id:
        return Credentials(business_id, api_key or _prompt_for_key(business_id))
    if api_key:
        raise click.UsageError("NIVISCO_API_KEY needs --business, or NIVISCO_BUSINESS_ID.")
    default = DEMO_FILE if DEMO_FILE.exists() and not admin_only else ADMIN_FILE
    if not default.exists():
        raise click.UsageError(
            "No credentials. Give --credentials FILE (JSON with business_id and api_key, as "
            "register_business returns), or --business with the key in NIVISCO_API_KEY, or start "
            f"`nivisco up` here, which writes {ADMIN_FILE}."
        )
    return read_credentials(default)


def read_credentials(file: Path) -> Credentials:
    """Return the business id and API key in a JSON file, which may have other keys too.

    Raises:
        click.UsageError: the file cannot be read, or one of the two is missing.
    """
    try:
        content = json.loads(file.read_text())
        business_id, api_key = content["business_id"], content["api_key"]
    except OSError as error:
        raise click.UsageError(f"Cannot read {file}: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise click.UsageError(f"{file} is not JSON with business_id and api_key.") from None
    if not (isinstance(business_id, str) and isinstance(api_key, str)):
        raise click.UsageError(f"{file}: business_id and api_key must be strings.")
    return Credentials(business_id, api_key)


def _prompt_for_key(business_id: str) -> str:
    if not sys.stdin.isatty():
        raise click.UsageError(f"Put the API key of {business_id} in NIVISCO_API_KEY.")
    key: str = click.prompt(f"API key of {business_id}", hide_input=True, err=True)
    return key
