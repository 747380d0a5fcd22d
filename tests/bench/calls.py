"""Clients of the echo, the adapter (JSON) and the core (gRPC). Requests are prepared beforehand.

A client is one HTTP connection with one request at a time; gRPC clients share a channel, like those
of one internal service.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count

from google.protobuf.message import Message
from google.type.money_pb2 import Money

from cli.addresses import Address
from nivisco.payments.v1 import wallet_pb2
from tests.bench.http_connection import HttpConnection, UnexpectedAnswer, post_request
from tests.core.running import METHODS, Business

CHARGED_CENTS = 1
_CHARGE = "charge_wallet"
_GET = "get_user_wallet"
_SUCCESS = b'{"success":true,'
_TIMEOUT_SECONDS = 25.0

_keys = (f"bench-{number}" for number in count())
Call = Callable[[str], Awaitable[None]]
"""Sends one request about a user; raises UnexpectedAnswer or CoreError."""


def envelope(business: Business, user_id: str, action: str) -> bytes:
    """Return the JSON envelope of one of the two actions."""
    fields: dict[str, object] = {
        "business_id": business.credentials.business_id,
        "api_key": business.credentials.api_key,
        "action": action,
        "user_id": user_id,
    }
    if action == _CHARGE:
        fields["amount"] = CHARGED_CENTS / 100
    return json.dumps(fields).encode()


def message(user_id: str, action: str) -> Message:
    """Return the request message of one of the two actions."""
    if action == _CHARGE:
        amount = Money(nanos=CHARGED_CENTS * 10**7)
        return wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=amount)
    return wallet_pb2.GetUserWalletRequest(user_id=user_id)


class Callers:
    """Creates the clients of one business and closes them."""

    def __init__(self, business: Business, user_ids: Sequence[str]) -> None:
        self._business = business
        self._user_ids = user_ids
        self._connections: list[HttpConnection] = []

    async def json(self, server: Address, action: str) -> Call:
        """Return a client of the adapter, or of a server with the same requests."""
        return await self.http(
            server,
            {
                user_id: post_request(
                    server.host, server.port, envelope(self._business, user_id, action)
                )
                for user_id in self._user_ids
            },
        )

    async def grpc(self, action: str, *, keyed: bool = False) -> Call:
        """Return a client of the core, with an idempotency key for each request if `keyed`."""
        requests = {user_id: message(user_id, action) for user_id in self._user_ids}
        name = "".join(word.capitalize() for word in action.split("_"))
        method, business = METHODS[name], self._business

        async def call(user_id: str) -> None:
            request = requests[user_id]
            if keyed:
                request.idempotency_key = next(_keys)  # type: ignore[attr-defined]
            await business.client.call(
                method, request, business.credentials, timeout_seconds=_TIMEOUT_SECONDS
            )

        return call

    async def http(self, server: Address, requests: Mapping[str, bytes]) -> Call:
        """Return a client with its own connection and one request for each user."""
        connection = await HttpConnection.open(server.host, server.port)
        self._connections.append(connection)

        async def call(user_id: str) -> None:
            answer = await connection.post(requests[user_id])
            if not answer.startswith(_SUCCESS):
                raise UnexpectedAnswer(answer[:500].decode())

        return call

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            connection.close()
