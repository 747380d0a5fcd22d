"""The commands `login` and `logout`: profiles with the credentials of businesses."""

import json
import os
from pathlib import Path

import click

from cli.call_output import print_json
from cli.credentials import (
    DEFAULT_PROFILE,
    LOCAL_PROFILES,
    Login,
    credential_options,
    named_login,
    profile_file,
    profiles_folder,
    read_profile,
)
from cli.data_dir import write_privately
from cli.failures import Failure
from cli.operators import json_option
from cli.tables import columns
from cli.transports import DEFAULT_URL, post_json

_TIMEOUT_SECONDS = 30.0
_FORBIDDEN, _SCOPE_MISSING = 403, "SCOPE_MISSING"
"""Status and code of a key that is valid without the scope that the check needs."""


@click.command()
@credential_options
@click.option("--list", "show_list", is_flag=True, help="List the profiles, without keys.")
@json_option
def login(
    url: str | None,
    business: str | None,
    profile: str | None,
    credentials_file: Path | None,
    *,
    show_list: bool,
    as_json: bool,
) -> None:
    """Store the credentials of a business as a profile, which `nivisco call` then uses.

    The business id and the API key are asked for, or come from --business and NIVISCO_API_KEY, or
    from --credentials. They are sent to the endpoint first, which must accept them. The profile is
    a file of mode 600 in ~/.config/nivisco/profiles (or XDG_CONFIG_HOME); the key is never printed.

    \b
    nivisco login
    nivisco login --profile shop --url https://pay.example.com/
    nivisco call --profile shop get_payment_records
    """  # noqa: D301 - \b keeps the lines apart
    if show_list:
        profiles = _profiles()
        if as_json:
            print_json({"profiles": profiles})
        else:
            click.echo(columns(profiles) if profiles else "There are no profiles.")
        return
    name = profile or DEFAULT_PROFILE
    if name in LOCAL_PROFILES:
        raise click.UsageError(f"The profile {name} is that of the `nivisco up` in this directory.")
    file = profile_file(name)
    if credentials_file is None and not business:
        business = click.prompt("Business id", err=True)
    found = named_login(business, credentials_file, None, os.environ)
    assert found is not None
    made = Login(found.credentials, url or DEFAULT_URL)
    _check(made)
    _store(file, made)
    click.echo(f"Profile {name}: {made.credentials.business_id} at {made.url}")


@click.command()
@click.option(
    "--profile",
    metavar="NAME",
    envvar="NIVISCO_PROFILE",
    default=DEFAULT_PROFILE,
    show_default=True,
    help="Which profile; also NIVISCO_PROFILE.",
)
def logout(profile: str) -> None:
    """Remove a profile of `nivisco login` from this machine. Its API key stays valid.

    \b
    nivisco logout --profile shop
    """  # noqa: D301 - \b keeps the lines apart
    if profile in LOCAL_PROFILES:
        raise click.UsageError(
            f"The profile {profile} is {LOCAL_PROFILES[profile]} of the `nivisco up` here."
        )
    try:
        profile_file(profile).unlink()
    except FileNotFoundError:
        raise Failure(f"There is no profile {profile}.") from None
    except OSError as error:
        raise Failure(f"Cannot remove {error.filename}: {error.strerror}.") from None
    click.echo(f"Profile {profile} is removed. `revoke_api_key` ends the key itself.")


def _check(made: Login) -> None:
    """Check that the endpoint accepts the credentials.

    Raises:
        click.UsageError: a key must not be sent to the URL.
        Failure: there is no response, or it refuses the credentials.
    """
    assert made.url is not None
    envelope = {
        "business_id": made.credentials.business_id,
        "api_key": made.credentials.api_key,
        "action": "validate_business",
    }
    try:
        response = post_json(made.url, envelope, _TIMEOUT_SECONDS)
    except ValueError as error:
        raise click.UsageError(f"--url: {error}.") from None
    try:
        content = json.loads(response.body)
        accepted = content.get("success") is True or (
            response.status == _FORBIDDEN and content.get("code") == _SCOPE_MISSING
        )
        why = content.get("error")
    except (ValueError, AttributeError):
        raise Failure(f"{made.url} does not answer as Nivisco (HTTP {response.status}).") from None
    if not accepted:
        raise Failure(f"{made.url} refused: {why} (HTTP {response.status}). Nothing is stored.")


def _store(file: Path, made: Login) -> None:
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"Cannot create {error.filename}: {error.strerror}.") from None
    content = {
        "business_id": made.credentials.business_id,
        "api_key": made.credentials.api_key,
        "url": made.url,
    }
    write_privately(file, json.dumps(content) + "\n")


def _profiles() -> list[dict[str, str]]:
    stored = sorted(each.stem for each in profiles_folder().glob("*.json"))
    names = [*stored, *(name for name, file in LOCAL_PROFILES.items() if file.exists())]
    return [_profile(name) for name in names]


def _profile(name: str) -> dict[str, str]:
    try:
        found = read_profile(name)
    except click.UsageError as error:
        return {"profile": name, "broken": error.message}
    return {
        "profile": name,
        "business_id": found.credentials.business_id,
        "url": found.url or DEFAULT_URL,
    }
