"""A business with wallets on a database whose time a test sets: transfers and holds."""

import secrets
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from google.type.money_pb2 import Money

from core.caller import Caller
from core.database.migrations.upgrade import migrate
from core.database.paging import PageRequest
from core.database.transactions import Database
from core.due_work.service import DueWork
from core.errors import Refusal
from core.wallet.batch import WalletBatch
from core.wallet.hold_store import Hold, HoldFilter
from core.wallet.holds import HoldRequest, Holds
from core.wallet.rules import Direction
from core.wallet.service import WalletService
from core.wallet.store import Wallet
from core.wallet.transfers import TransferRequest, Transfers
from nivisco.payments.v1 import errors_pb2
from tests.core.running import ShiftedClock
from tests.core.wallet import moving
from tests.core.wallet.ledgers import open_wallets


@dataclass
class Bank:
    """The use cases of wallets as one business. Amounts are whole units of USD."""

    database: Database
    clock: ShiftedClock
    caller: Caller = field(default_factory=lambda: Caller(f"B-{secrets.token_hex(8)}", "TEST"))

    @classmethod
    async def opened(cls, url: str) -> "Bank":
        """Return a bank on a migrated database."""
        clock = ShiftedClock()
        database = Database(url, clock)
        await migrate(database)
        return cls(database, clock)

    def __post_init__(self) -> None:
        """Make the use cases."""
        self.holds = Holds(self.database)
        self.transfers = Transfers(self.database)
        self.wallets = WalletService(self.database)
        self.batch: WalletBatch = moving.batch_of(self.database)

    async def open(self, user_ids: Sequence[str]) -> None:
        """Create the business with users, whose empty wallets have the users' ids."""
        async with self.database.transaction() as transaction:
            await open_wallets(transaction, self.caller.business_id, user_ids)

    async def credit(self, user_id: str, units: int) -> None:
        """Credit a wallet in a batch."""
        await self._move(user_id, units, Direction.CREDIT)

    async def debit(self, user_id: str, units: int) -> None:
        """Debit a wallet in a batch."""
        await self._move(user_id, units, Direction.DEBIT)

    async def _move(self, user_id: str, units: int, direction: Direction) -> None:
        request = moving.request(self.caller.business_id, user_id, direction, units)
        await self.batch.move(request)

    async def transfer(self, sender: str, receiver: str, units: int) -> None:
        """Transfer an amount."""
        await self.transfers.transfer(
            self.caller, TransferRequest(sender, receiver, "TEST", Money(units=units), None)
        )

    async def hold(self, user_id: str, units: int, seconds: int = 3600) -> Hold:
        """Hold an amount for so many seconds."""
        request = HoldRequest(
            user_id, "TEST", Money(units=units), timedelta(seconds=seconds), "A table for two"
        )
        return (await self.holds.hold(self.caller, request))[0]

    async def capture(self, hold_id: str, units: int | None = None) -> Hold:
        """Capture all or a part of a hold."""
        money = None if units is None else Money(units=units)
        return (await self.holds.capture(self.caller, hold_id, money))[0]

    async def release(self, hold_id: str) -> Hold:
        """Release a hold."""
        return (await self.holds.release(self.caller, hold_id))[0]

    async def expire(self) -> None:
        """Let the queue close the holds whose time has come."""
        await DueWork(self.database, [self.holds]).run_once()

    async def wallet(self, user_id: str) -> Wallet:
        """Return a wallet."""
        return await self.wallets.get(self.caller, user_id, "TEST")

    async def shown(self, user_id: str) -> tuple[int, int]:
        """Return the balance of a wallet and what is available."""
        wallet = await self.wallet(user_id)
        return wallet.balance_minor // 100, (wallet.balance_minor - wallet.held_minor) // 100

    async def listed(self, **conditions: Any) -> list[str]:
        """Return the statuses of the business's holds, newest first."""
        page = PageRequest(page=1, limit=100)
        which = HoldFilter("TEST", **conditions)
        return [
            each.status for each in (await self.holds.list_holds(self.caller, which, page)).rows
        ]


async def reason_of(call: Awaitable[object]) -> str | None:
    """Return the reason of the refusal of a call, or None."""
    try:
        await call
    except Refusal as refusal:
        return errors_pb2.ErrorReason.Name(refusal.reason).removeprefix("ERROR_REASON_")
    return None
