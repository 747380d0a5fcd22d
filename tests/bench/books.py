"""Funds the wallets before a run, and checks after it that the books have every charge once."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from google.type.money_pb2 import Money

from nivisco.payments.v1 import wallet_pb2
from tests.bench.calls import CHARGED_CENTS
from tests.core.running import Business, create_user

FUNDED_CENTS = 100_000_000
_NANOS_OF_A_CENT = 10**7
_OPENED_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Books:
    """The charges, and their differences to the core's books."""

    wallets: int
    charges: int
    history_rows: int
    cents_left: int
    differences: list[str]

    @property
    def balance(self) -> bool:
        """Whether every balance and history matches the charges."""
        return not self.differences


async def open_wallets(business: Business, count: int) -> list[str]:
    """Create users with a funded wallet each and return their ids."""
    at_once = asyncio.Semaphore(_OPENED_AT_ONCE)

    async def open_wallet() -> str:
        async with at_once:
            user_id = await create_user(business)
            amount = Money(units=FUNDED_CENTS // 100)
            await business.call(wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=amount))
            return user_id

    return await asyncio.gather(*(open_wallet() for _ in range(count)))


async def read_books(business: Business, user_ids: Sequence[str], done: Counter[str]) -> Books:
    """Compare each wallet's balance and number of history rows with the charges."""
    differences: list[str] = []
    rows = cents_left = 0
    for user_id in user_ids:
        wallet, history = await asyncio.gather(
            business.call(wallet_pb2.GetUserWalletRequest(user_id=user_id)),
            business.call(wallet_pb2.GetWalletHistoryRequest(user_id=user_id, limit=1)),
        )
        balance = wallet.wallet.balance
        cents, rest = divmod(balance.nanos, _NANOS_OF_A_CENT)
        cents += balance.units * 100
        expected = FUNDED_CENTS - done[user_id] * CHARGED_CENTS
        if cents != expected or rest:
            differences.append(f"{user_id} holds {cents} cents in place of {expected}")
        if history.total != done[user_id] + 1:
            differences.append(f"{user_id} has {history.total} rows, not {done[user_id] + 1}")
        rows += history.total
        cents_left += cents
    return Books(len(user_ids), done.total(), rows, cents_left, differences)
