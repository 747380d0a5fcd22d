"""The commands `user export` and `user erase`: what is stored of a person, and its end."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cli.call_output import print_json
from cli.credentials import credential_options, endpoint_url, find_credentials, say_source
from cli.failures import Failure
from cli.groups import Group
from cli.operator_lines import decision_lines, section, value_lines
from cli.operators import (
    by_option,
    call_operator,
    core_options,
    json_option,
    operator_name,
    reason_option,
    shown,
)
from cli.transports import post_json
from nivisco.internal.v1 import operator_pb2 as pb
from rpc.metadata import Credentials
from transcoding import exact_json

_TIMEOUT_SECONDS = 30.0
PAGE_LIMIT = 100
"""Rows of one request, the most that the lists allow."""
_LISTS = {
    "payments": "get_payment_records",
    "refunds": "list_refunds",
    "transactions": "get_wallet_history",
    "receivables": "list_receivables",
    "holds": "list_holds",
    "recurring": "list_recurring",
}
"""The action that lists what a user has in an environment, by the name in its response."""


@click.group(cls=Group)
def user() -> None:
    """Export what is stored of a person, or erase it.

    \b
    nivisco user export USR-2NGP845GYS1QFQ5M > person.json
    nivisco user erase USR-2NGP845GYS1QFQ5M --business BUS-… --reason "asked on 3 March"
    """  # noqa: D301 - \b keeps the lines apart


@user.command()
@click.argument("user_id", metavar="ID")
@credential_options
def export(
    user_id: str,
    url: str | None,
    business: str | None,
    profile: str | None,
    credentials_file: Path | None,
) -> None:
    """Print all that is stored of a user as one JSON object.

    The profile, and of each environment the cards, wallet, payments, refunds, wallet transactions,
    receivables, holds, and recurring jobs with their logs: what the actions of the business show.
    Kept answers of idempotency keys, which expire, have copies of it.

    \b
    nivisco user export USR-2NGP845GYS1QFQ5M > person.json
    """  # noqa: D301 - \b keeps the lines apart
    login = find_credentials(business, credentials_file, profile, os.environ, admin_only=False)
    endpoint = _Endpoint(endpoint_url(login, url), login.credentials)
    say_source(login, endpoint.url)
    exported: dict[str, Any] = endpoint.call("get_user_info", {"user_id": user_id})
    for env in ("LIVE", "TEST"):
        of_user = {"user_id": user_id, "env": env}
        exported[env] = {
            "cards": endpoint.call("get_user_cards", of_user)["cards"],
            "wallet": endpoint.call("get_user_wallet", of_user)["wallet"],
            **{name: endpoint.list_all(action, name, of_user) for name, action in _LISTS.items()},
        }
    exported["recurring_logs"] = endpoint.list_all(
        "get_recurring_logs", "logs", {"user_id": user_id}
    )
    print_json(exported)


@user.command()
@click.argument("user_id", metavar="ID")
@click.option("--business", metavar="ID", required=True, help="The user's business.")
@reason_option
@by_option
@json_option
@core_options
def erase(
    user_id: str,
    business: str,
    reason: str,
    by: str | None,
    target: str,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    """Erase a person: name, email address and metadata, for good. The books stay.

    The user is deactivated. Metadata goes from the user and from the user's payments, refunds, jobs
    and holds. Payments and movements of wallets stay with their amounts, ids and descriptions, and
    a removed card stays with its brand and last four digits. What the gateways have is not erased:
    the command names the customers to delete there. Logs have no names; kept answers of
    idempotency keys expire; backups have everything until they are deleted.

    Refused while the user has a card, a job that may charge, or an open payment or refund. The
    decision is recorded with who and why. If the command is interrupted, repeat it.

    \b
    nivisco user erase USR-2NGP845GYS1QFQ5M --business BUS-… --reason "asked on 3 March"
    """  # noqa: D301 - \b keeps the lines apart
    request = pb.EraseUserRequest(
        business_id=business, user_id=user_id, decided_by=operator_name(by), reason=reason
    )
    values = call_operator(target, data_dir, request)
    if as_json:
        print_json(values)
    else:
        click.echo("\n".join(_erased_text(values)))


def _erased_text(values: dict[str, Any]) -> Iterator[str]:
    """Yield the lines about an erased user."""
    erased = values["user"]
    yield f"{shown(erased['user_id'])} is erased."
    yield from value_lines(
        ("name", erased["name"]),
        ("email", erased["email"]),
        ("metadata cleared", f"of {values['cleared']} payments, refunds, jobs and holds"),
    )
    yield from decision_lines([values["decision"]])
    yield from section(
        "Delete these customers at their gateways, which keep what they were sent",
        (
            f"  {each['gateway']} {each['env']}  {shown(each['customer_id'])}"
            for each in values["gateway_customers"]
        ),
    )


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """The JSON endpoint, as one business."""

    url: str
    credentials: Credentials

    def call(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the response to an action, without `success`.

        Raises:
            Failure: the action was refused, or no response came.
            click.UsageError: the URL is not one to send a key to.
        """
        envelope = {
            "business_id": self.credentials.business_id,
            "api_key": self.credentials.api_key,
            "action": action,
        }
        try:
            response = post_json(self.url, envelope | payload, _TIMEOUT_SECONDS)
        except ValueError as error:
            raise click.UsageError(f"--url: {error}.") from None
        try:
            values: dict[str, Any] = exact_json.read(response.body)
        except ValueError:
            raise Failure(f"HTTP {response.status}, and the body is not JSON.") from None
        if not values.pop("success"):
            raise Failure(f"{action}: {values['error']} (HTTP {response.status}).")
        return values

    def list_all(self, action: str, name: str, filters: dict[str, Any]) -> list[Any]:
        """Return the rows of all pages of a list, newest first."""
        rows: list[Any] = []
        cursor: dict[str, Any] = {}
        while True:
            page = self.call(action, filters | {"limit": PAGE_LIMIT} | cursor)
            rows += page[name]
            if page["next_cursor"] is None:
                return rows
            cursor = {"cursor": page["next_cursor"]}
