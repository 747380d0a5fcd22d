"""Calls the adapter over JSON and returns the same messages as gRPC would."""

import json
from decimal import Decimal
from typing import Any

import aiohttp
import grpc
from google.type.money_pb2 import Money

from rpc.errors import CoreError
from rpc.metadata import Credentials
from tests.prove.operations import response_class

KINDS = {
    "charge": "charge_customer",
    "fund": "fund_customer",
    "charge_authorize": "charge_customer",
    "fund_authorize": "fund_customer",
    "debit": "charge_wallet",
    "credit": "add_wallet_funds",
}
"""The action of each kind of operation that can go over JSON."""


async def call(
    http: aiohttp.ClientSession, url: str, credentials: Credentials, kind: str, request: Any
) -> Any:
    """Send a request once; return the fields of the response that the checks read.

    Raises:
        CoreError: as over gRPC; OUTCOME_UNKNOWN if the response is lost.
    """
    amount = Decimal(request.amount.units) + Decimal(request.amount.nanos) / 10**9
    envelope = {
        "business_id": credentials.business_id,
        "api_key": credentials.api_key,
        "action": KINDS[kind],
        "user_id": request.user_id,
        "amount": f"{amount:.2f}",
        "description": request.description,
        "env": "TEST",
    }
    if kind.endswith("_authorize"):
        envelope["gateway"] = "authorize"
    if request.idempotency_key:
        envelope["idempotency_key"] = request.idempotency_key
    try:
        async with http.post(url, data=json.dumps(envelope)) as answer:
            body = json.loads(await answer.text(), parse_float=Decimal, parse_int=Decimal)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        raise _error("OUTCOME_UNKNOWN", "the response was lost") from None
    if answer.status != 200:
        raise _error(body.get("code", "INTERNAL"), body["error"])
    response: Any = response_class(request)()
    response.transaction_id = body["transaction_id"]
    if "new_balance" in body:
        response.new_balance.CopyFrom(_money(body["new_balance"]))
    if "wallet" in body:
        response.wallet.wallet_id = body["wallet"]["wallet_id"]
        response.wallet.balance.CopyFrom(_money(body["wallet"]["balance"]))
    return response


def _money(amount: Decimal) -> Money:
    units, rest = divmod(amount, 1)
    return Money(units=int(units), nanos=int(rest * 10**9))


def _error(reason: str, message: str) -> CoreError:
    return CoreError(reason, message, code=grpc.StatusCode.UNKNOWN)
