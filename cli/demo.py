"""The command `demo`: makes a merchant on the sandbox through the JSON API and prints requests."""

import json
import os
import secrets
import shlex
from pathlib import Path
from typing import Any

import click

from cli.credentials import DEFAULT_PROFILE, profile_file
from cli.data_dir import DEFAULT_DATA_DIR, DataDir, DemoMerchant
from cli.failures import Failure
from cli.first_screen import program
from cli.transports import DEFAULT_URL, HttpResponse, post_json
from rpc.metadata import Credentials
from transcoding import exact_json

_TIMEOUT_SECONDS = 30.0
_NAMING = ("NIVISCO_BUSINESS_ID", "NIVISCO_API_KEY", "NIVISCO_PROFILE")
"""The variables that name another business."""
_USER = {"name": "Alicia Gomez", "email": "alicia@example.com"}


class Api:
    """The JSON endpoint of one `nivisco up`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, who: Credentials, action: str, **payload: object) -> HttpResponse:
        """Send one request.

        Raises:
            Failure: no response.
        """
        envelope = {"business_id": who.business_id, "api_key": who.api_key, "action": action}
        try:
            return post_json(self.url, envelope | payload, _TIMEOUT_SECONDS)
        except Failure:
            raise Failure(
                f"Nothing answers at {self.url}, where the latest `nivisco up` served. Start it "
                "and try again."
            ) from None

    def call(self, who: Credentials, action: str, **payload: object) -> dict[str, Any]:
        """Send one request that must succeed, and return the response.

        Raises:
            Failure: no response, or the request is refused.
        """
        return _succeeded(action, self.post(who, action, **payload))


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="The data directory of the `nivisco up` that runs.",
)
@click.option("--new", is_flag=True, help="Make another merchant, and forget the one before.")
def demo(data_dir: Path, *, new: bool) -> None:
    """Make a demo merchant on the sandbox, with a user and a card, and print requests to paste.

    `nivisco up` must be running, with its sandbox: everything is TEST. The credentials are kept in
    demo.json of the data directory, which `nivisco call` reads by default. Run again, it prints
    the same merchant.
    """
    directory = DataDir(data_dir)
    api = _sandbox_api(directory)
    kept = None if new else directory.read_demo()
    if kept is not None and _is_usable(api, kept, directory):
        click.echo(_screen("The demo merchant from before (--new makes another).", kept, api.url))
        click.echo(_requests(directory, kept, api.url))
        return
    made = _make(api, directory)
    directory.write_demo(made)
    click.echo(_screen("Made a demo merchant.", made, api.url))
    click.echo(_requests(directory, made, api.url))


def _sandbox_api(directory: DataDir) -> Api:
    endpoints = directory.read_endpoints()
    if endpoints is None:
        raise Failure(
            f"No `nivisco up` has run on {directory.path}. Start one, or name its directory with "
            "--data-dir."
        )
    if endpoints.sandbox is None:
        raise Failure(
            f"The `nivisco up` on {directory.path} has no sandbox, and the demo must not reach a "
            "real gateway. Start it without --no-sandbox."
        )
    return Api(endpoints.json)


def _is_usable(api: Api, kept: DemoMerchant, directory: DataDir) -> bool:
    """Return whether the merchant and its card exist; they do not in another database.

    Raises:
        Failure: the merchant has LIVE keys by now, or there is no response.
    """
    who = kept.credentials
    found = api.post(who, "get_stripe_public_key")
    if found.status == 401:
        return False
    if _succeeded("get_stripe_public_key", found)["env"] != "TEST":
        raise Failure(
            f"The merchant in {directory.demo} has LIVE keys, so its requests move real money. "
            "`nivisco demo --new` makes another."
        )
    card = api.post(who, "get_user_primary_card", user_id=kept.user_id, env="TEST")
    return card.status == 200


def _make(api: Api, directory: DataDir) -> DemoMerchant:
    """Register a business, store Stripe TEST keys, create a user and save its card.

    Raises:
        Failure: no response, or a request is refused.
    """
    admin = directory.read_admin()
    if admin is None:
        raise Failure(
            f"{directory.admin} is missing or broken. A restart of `nivisco up` creates it again."
        )
    registered = api.call(
        admin,
        "register_business",
        new_business={
            "name": "Northwind Coffee",
            "email": "owner@northwindcoffee.com",
            "domain": "northwindcoffee.com",
        },
    )
    who = Credentials(registered["business_id"], registered["api_key"])
    account = f"demo{secrets.token_hex(6)}"  # the sandbox gives each its own account
    api.call(
        who,
        "add_stripe_credentials",
        credentials={
            "env": "TEST",
            "stripe_secret_key": f"sk_test_{account}_obviously_fake",
            "stripe_public_key": f"pk_test_{account}_obviously_fake",
        },
    )
    user_id: str = api.call(who, "create_user", user=_USER)["user"]["user_id"]
    api.call(
        who,
        "create_stripe_customer",
        user_id=user_id,
        payment_method_token="pm_card_visa",  # noqa: S106 - Stripe's name of a test card
        env="TEST",
    )
    return DemoMerchant(who, user_id)


def _succeeded(action: str, response: HttpResponse) -> dict[str, Any]:
    try:
        content = json.loads(response.body)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise Failure(f"{action} returned HTTP {response.status} without a JSON object.")
    if content.get("success") is not True:
        raise Failure(f"{action} was refused: {content.get('error')} (HTTP {response.status}).")
    return content


def _screen(title: str, merchant: DemoMerchant, url: str) -> str:
    return f"""{title}

  business_id  {merchant.credentials.business_id}
  api_key      {merchant.credentials.api_key}
  user_id      {merchant.user_id}  ({_USER["name"]}, with the test card 4242)
  endpoint     {url}

It is TEST only: the sandbox stands in for the card gateway, and no money moves.
"""


def _requests(directory: DataDir, merchant: DemoMerchant, url: str) -> str:
    """Return requests that a shell takes as they stand."""
    call = f"{program()} call{_call_options(directory, url)}"
    user = f"user_id={merchant.user_id}"
    envelope = {
        "business_id": merchant.credentials.business_id,
        "api_key": merchant.credentials.api_key,
        "action": "charge_customer",
        "user_id": merchant.user_id,
        "amount": exact_json.Number.parse("25.50"),
    }
    return f"""{_environment_note()}A first charge:

{call} charge_customer {user} amount=25.50

The same with curl:

curl -sw '\\n' {url} -d @- <<'JSON'
{exact_json.write(envelope)}
JSON

Then fund the wallet, pay from it, and read it:

{call} fund_customer {user} amount=150.00
{call} charge_wallet {user} amount=34.50
{call} get_user_wallet {user}
{call} get_wallet_history {user}

Charge every month, and read all payments:

{call} create_recurring {user} amount=9.99 interval_type=month
{call} get_payment_records {user}"""


def _call_options(directory: DataDir, url: str) -> str:
    """Return what `nivisco call` needs to find this merchant, where its defaults do not."""
    options = []
    if not directory.is_default:
        options.append(f"--credentials {shlex.quote(str(directory.demo))}")
    elif profile_file(DEFAULT_PROFILE).exists():
        options.append("--profile demo")
    if os.environ.get("NIVISCO_URL", DEFAULT_URL) != url:
        options.append(f"--url {shlex.quote(url)}")
    return "".join(f" {option}" for option in options)


def _environment_note() -> str:
    names = [name for name in _NAMING if os.environ.get(name)]
    if not names:
        return ""
    return f"Unset what names another business first:\n\nunset {' '.join(names)}\n\n"
