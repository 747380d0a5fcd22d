"""Clients of HTTP servers. A client is one connection with one request at a time.

Requests are prepared beforehand; only the idempotency key is filled in for each.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from itertools import count

from cli.addresses import Address
from tests.bench.accounts import CHARGED_CENTS, Account
from tests.bench.http_connection import (
    HttpConnection,
    SendAgain,
    UnexpectedAnswer,
    get_request,
    post_request,
)

CHARGE, READ, CHARGE_CARD = "charge_wallet", "get_user_wallet", "charge_customer"
_AMOUNTS = {CHARGE: CHARGED_CENTS / 100, CHARGE_CARD: 25.5}
_KEY = b"bench-key-00000000000000"
"""What a key replaces; keys are as long as it."""
_PAUSE_SECONDS = 0.1
"""Before a request that was refused is sent again."""
_SUCCESS = b'{"success":true,'

_keys = (b"bench-key-%014d" % number for number in count(1))
Call = Callable[[str], Awaitable[None]]
"""Sends one request about a user; raises UnexpectedAnswer or CoreError."""


def json_requests(
    server: Address, accounts: Iterable[Account], action: str, *, keyed: bool = False
) -> dict[str, bytes]:
    """Return a request of the JSON endpoint for each user."""
    requests = {}
    for account in accounts:
        fields: dict[str, object] = {
            "business_id": account.credentials.business_id,
            "api_key": account.credentials.api_key,
            "action": action,
            "user_id": account.user_id,
        }
        if action in _AMOUNTS:
            fields["amount"] = _AMOUNTS[action]
        if keyed:
            fields["idempotency_key"] = _KEY.decode()
        requests[account.user_id] = post_request(server, json.dumps(fields).encode())
    return requests


def orm_requests(server: Address, accounts: Iterable[Account], action: str) -> dict[str, bytes]:
    """Return a request of the ORM service for each user."""
    body = json.dumps({"amount": CHARGED_CENTS / 100}).encode()
    requests = {}
    for account in accounts:
        headers = {
            "X-Business-Id": account.credentials.business_id,
            "X-Api-Key": account.credentials.api_key,
        }
        requests[account.user_id] = (
            post_request(server, body, f"/wallets/{account.wallet_id}/charge", headers)
            if action == CHARGE
            else get_request(server, f"/users/{account.user_id}/wallet", headers)
        )
    return requests


async def open_clients(
    opened: AsyncExitStack,
    server: Address,
    requests: Mapping[str, bytes],
    number: int,
    refused: Counter[str] | None = None,
) -> list[Call]:
    """Return so many clients with a connection each, which `opened` closes.

    With `refused`, a request that gets 503 or 504 is counted there by user, and sent again with its
    key.
    """
    return [await _open_client(opened, server, requests, refused) for _ in range(number)]


async def _open_client(
    opened: AsyncExitStack,
    server: Address,
    requests: Mapping[str, bytes],
    refused: Counter[str] | None,
) -> Call:
    connection = await HttpConnection.open(server.host, server.port)
    opened.callback(connection.close)
    is_keyed = _KEY in next(iter(requests.values()))

    async def call(user_id: str) -> None:
        request = requests[user_id]
        if is_keyed:
            request = request.replace(_KEY, next(_keys), 1)
        while True:
            try:
                answer = await connection.send(request)
            except SendAgain:
                if refused is None:
                    raise
                refused[user_id] += 1
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                break
        if not answer.startswith(_SUCCESS):
            raise UnexpectedAnswer(answer[:500].decode())

    return call
