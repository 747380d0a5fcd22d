"""Movement requests for tests of batches, and their outcomes in words that can be compared."""

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

from google.type.money_pb2 import Money

from core.caller import Caller
from core.database.transactions import Database
from core.errors import Refusal
from core.idempotency.call import Replay, call_of
from core.idempotency.service import Idempotency
from core.security.keyring import Keyring
from core.wallet.batch import MovementRequest, WalletBatch
from core.wallet.rules import Direction
from nivisco.payments.v1 import wallet_pb2

_KEYRING = Keyring.parse("k1:" + base64.b64encode(bytes(32)).decode())
_MESSAGES: dict[Direction, tuple[Any, Any]] = {
    Direction.DEBIT: (wallet_pb2.ChargeWalletRequest, wallet_pb2.ChargeWalletResponse),
    Direction.CREDIT: (wallet_pb2.AddWalletFundsRequest, wallet_pb2.AddWalletFundsResponse),
}


def idempotency_of(database: Database) -> Idempotency:
    """Return the idempotency records of a database."""
    return Idempotency(database, _KEYRING)


def batch_of(database: Database) -> WalletBatch:
    """Return the batches of a core on this database."""
    return WalletBatch(database, idempotency_of(database))


def request(
    business_id: str,
    user_id: str,
    direction: Direction,
    units: int,
    key: str = "",
    *,
    currency: str = "",
    env: str = "TEST",
) -> MovementRequest:
    """Return a request to move whole units of a user's wallet."""
    message = _MESSAGES[direction][0](
        user_id=user_id,
        amount=Money(units=units, currency_code=currency),
        idempotency_key=key,
    )
    caller = Caller(business_id, env, "hash")
    call = call_of(caller, message.DESCRIPTOR.name.removesuffix("Request"), message)
    return MovementRequest(caller, call, direction, user_id, env, message.amount, None)


def debit(user_id: str, units: int, key: str = "", **others: Any) -> MovementRequest:
    """Return a request of business B to debit a wallet."""
    return request("B", user_id, Direction.DEBIT, units, key, **others)


def credit(user_id: str, units: int, key: str = "", **others: Any) -> MovementRequest:
    """Return a request of business B to credit a wallet."""
    return request("B", user_id, Direction.CREDIT, units, key, **others)


async def outcome(batch: WalletBatch, movement: MovementRequest) -> str:
    """Run a request and return the new balance, the refusal or the replay in words."""
    try:
        return str((await batch.move(movement)).new_balance.units)
    except Replay as replay:
        if replay.answer.is_refusal:
            return f"replay: {replay.answer.status().message}"
        response = replay.answer.message(_MESSAGES[movement.direction][1])
        return f"replay: {response.new_balance.units}"
    except Refusal as refusal:
        return refusal.message


async def outcomes(batch: WalletBatch, movements: Sequence[MovementRequest]) -> list[str]:
    """Run requests as one batch and return their outcomes."""
    return await asyncio.gather(*(outcome(batch, each) for each in movements))
