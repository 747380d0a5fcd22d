"""Finds the credentials that `nivisco call` sends.

An API key is never an argument: every user of the machine can read those of a process.
"""

import json
import os
import stat
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from cli.data_dir import DEFAULT_DATA_DIR, DataDir
from cli.transports import DEFAULT_URL
from rpc.metadata import Credentials

ADMIN_FILE = DEFAULT_DATA_DIR / "admin.json"
DEMO_FILE = DEFAULT_DATA_DIR / "demo.json"
DEFAULT_PROFILE = "default"
LOCAL_PROFILES = {"demo": DEMO_FILE, "admin": ADMIN_FILE}
"""The profiles that a `nivisco up` in this directory brings, by name."""
_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Login:
    """The credentials to send, and where to."""

    credentials: Credentials
    url: str | None = None
    """The JSON endpoint that a profile is for."""
    source: str | None = None
    """Where the credentials come from; None if the caller named them."""
    profile: str | None = None
    """The profile of `nivisco login` that they are of."""


def credential_options(command: _Command) -> _Command:
    """Add the options that say which endpoint to call, and as which business."""
    url = click.option(
        "--url",
        envvar="NIVISCO_URL",
        help=f"The JSON endpoint; also NIVISCO_URL. Default: the profile's, or {DEFAULT_URL}",
    )
    business = click.option(
        "--business",
        metavar="ID",
        envvar="NIVISCO_BUSINESS_ID",
        help="The business, with its key in NIVISCO_API_KEY; also NIVISCO_BUSINESS_ID.",
    )
    profile = click.option(
        "--profile",
        metavar="NAME",
        envvar="NIVISCO_PROFILE",
        help="A profile of `nivisco login`; also NIVISCO_PROFILE. demo and admin are "
        "the businesses of the `nivisco up` in this directory. Default: the profile "
        f"{DEFAULT_PROFILE}, or else demo.",
    )
    file = click.option(
        "--credentials",
        "credentials_file",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="JSON with business_id and api_key.",
    )
    return url(business(profile(file(command))))


def is_sendable(credential: str) -> bool:
    """Return whether gRPC accepts the text as metadata; otherwise it raises."""
    return credential.isascii() and credential.isprintable()


def find_credentials(
    business_id: str | None,
    file: Path | None,
    profile: str | None,
    environ: Mapping[str, str],
    *,
    admin_only: bool,
) -> Login:
    """Return the credentials to send a request with.

    The first that applies: the file or profile that is named; the business that is named, whose key
    is in NIVISCO_API_KEY or is read from the terminal; the default profile; the demo merchant of
    `nivisco demo`, unless the action is for the admin business only. The admin business is never
    taken silently: at a terminal the user is asked, elsewhere it must be named.

    Raises:
        click.UsageError: there are none, or they are incomplete; the message says what is missing.
    """
    if login := named_login(business_id, file, profile, environ):
        return login
    if profile_file(DEFAULT_PROFILE).exists():
        return _implicit(read_profile(DEFAULT_PROFILE), f"profile {DEFAULT_PROFILE}")
    if DEMO_FILE.exists() and not admin_only:
        return _implicit(read_profile("demo"), f"the demo merchant in {DEMO_FILE}")
    if not ADMIN_FILE.exists():
        raise click.UsageError(
            "No credentials. `nivisco login` stores those of a business; or give --credentials "
            "FILE (JSON with business_id and api_key, as register_business returns), or --business "
            "with the key in NIVISCO_API_KEY. `nivisco demo` makes a merchant to try it with."
        )
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"No credentials are named. --profile admin sends as the admin business in {ADMIN_FILE}"
            "."
        )
    admin = read_profile("admin")
    name = f"the admin business {admin.credentials.business_id} of {ADMIN_FILE}"
    click.confirm(f"Send as {name}?", abort=True, err=True)
    return admin


def named_login(
    business_id: str | None, file: Path | None, profile: str | None, environ: Mapping[str, str]
) -> Login | None:
    """Return the credentials that options or variables name; None if they name none.

    Raises:
        click.UsageError: they are incomplete, or of two businesses.
    """
    if file is not None or profile:
        if file is not None and profile:
            raise click.UsageError(f"Give --credentials {file} or --profile {profile}, not both.")
        found = Login(read_credentials(file)) if file else read_profile(profile or "")
        if business_id not in (None, "", found.credentials.business_id):
            source = file or f"Profile {profile}"
            raise click.UsageError(f"{source} has the key of another business than {business_id}.")
        return found
    api_key = environ.get("NIVISCO_API_KEY", "")
    if business_id:
        return Login(Credentials(business_id, api_key or _prompt_for_key(business_id)))
    if api_key:
        raise click.UsageError("NIVISCO_API_KEY needs --business, or NIVISCO_BUSINESS_ID.")
    return None


def _implicit(login: Login, source: str) -> Login:
    return replace(login, source=source)


def say_source(login: Login, where: str) -> None:
    """Say on stderr which business a request is sent as and where, unless the user has named it."""
    if login.source is not None:
        click.echo(f"as {login.credentials.business_id} ({login.source}) at {where}", err=True)


def endpoint_url(login: Login, url: str | None) -> str:
    """Return the JSON endpoint to send the credentials to: the URL that is given, or the profile's.

    Raises:
        click.UsageError: the profile is for another endpoint than the given one.
    """
    if url and login.profile and login.url:
        try:
            is_same = _origin(url) == _origin(login.url)
        except ValueError as error:
            raise click.UsageError(f"--url: {error}.") from None
        if not is_same:
            raise click.UsageError(
                f"Profile {login.profile} is for {login.url}, not {url}: name the credentials for "
                "that with --business or --credentials, or another --profile."
            )
    return url or login.url or DEFAULT_URL


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, parts.port or default


def profiles_folder() -> Path:
    """Return the directory of the stored profiles, one file each.

    https://specifications.freedesktop.org/basedir-spec/latest/
    """
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(configured) if configured.startswith("/") else Path("~/.config").expanduser()
    return base / "nivisco" / "profiles"


def profile_file(name: str) -> Path:
    """Return where a profile is stored, also of one that does not exist.

    Raises:
        click.UsageError: it cannot be a profile's name.
    """
    if not (name.isascii() and name.replace("-", "").replace("_", "").isalnum()) or len(name) > 64:
        raise click.UsageError(
            "A profile's name has at most 64 letters, digits, - and _ and no others."
        )
    return LOCAL_PROFILES.get(name) or profiles_folder() / f"{name}.json"


def read_profile(name: str) -> Login:
    """Return a profile's credentials and endpoint.

    Raises:
        click.UsageError: there is no such profile, or its file is broken or others can read it.
    """
    file = profile_file(name)
    if not file.exists():
        made_by = {"demo": "`nivisco demo` makes it", "admin": "`nivisco up` makes it"}
        how = made_by.get(name, f"`nivisco login --profile {name}` makes it")
        raise click.UsageError(f"There is no profile {name} ({file}): {how}.")
    if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise click.UsageError(f"Other users may read the key in {file}: chmod 600 {file}.")
    content = _read_object(file)
    url = content.get("url")
    if name in LOCAL_PROFILES and (endpoints := DataDir(DEFAULT_DATA_DIR).read_endpoints()):
        url = endpoints.json
    return Login(
        _credentials_in(file, content),
        url if isinstance(url, str) else None,
        profile=None if name in LOCAL_PROFILES else name,
    )


def read_credentials(file: Path) -> Credentials:
    """Return the business id and API key in a JSON file, which may have other keys too.

    Raises:
        click.UsageError: the file cannot be read, or one of the two is missing.
    """
    return _credentials_in(file, _read_object(file))


def _read_object(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except OSError as error:
        raise click.UsageError(f"Cannot read {file}: {error.strerror}.") from None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise click.UsageError(f"{file} is not JSON with business_id and api_key.")
    return content


def _credentials_in(file: Path, content: Mapping[str, Any]) -> Credentials:
    if not {"business_id", "api_key"} <= content.keys():
        raise click.UsageError(f"{file} is not JSON with business_id and api_key.")
    business_id, api_key = content["business_id"], content["api_key"]
    if not (isinstance(business_id, str) and isinstance(api_key, str)):
        raise click.UsageError(f"{file}: business_id and api_key must be strings.")
    return Credentials(business_id, api_key)


def _prompt_for_key(business_id: str) -> str:
    if not sys.stdin.isatty():
        raise click.UsageError(f"Put the API key of {business_id} in NIVISCO_API_KEY.")
    key: str = click.prompt(f"API key of {business_id}", hide_input=True, err=True)
    return key
