"""Holds a part of a wallet's balance until it is captured, released or expires.

A wallet carries the sum of its open holds, which the statement that locks it returns: every debit
sees it without another statement. A hold is locked before its wallet; a new one, which nobody else
can lock, after it. So the order of locks is that of a charge, with the hold before the wallet.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta

from google.type import money_pb2

from core.business import caps
from core.caller import Caller
from core.database.paging import Page, PageRequest
from core.database.transactions import Database, Transaction
from core.due_work.rules import Key
from core.due_work.store import HOLDS
from core.errors import Reason, Refusal
from core.ids import new_hold_id, new_wallet_transaction_id
from core.money import Amount
from core.stops import payments_stopped
from core.users import store as users_store
from core.users.service import active_user, check_active, user_not_found
from core.wallet import batch_store, hold_store, ledger, store
from core.wallet.batch import amount_in_currency, refusal_of
from core.wallet.batch_store import Found
from core.wallet.hold_rules import HoldStatus, check_capture, check_open
from core.wallet.hold_store import Hold, HoldFilter
from core.wallet.rules import Direction, Movement, MovementRefusal, WalletState
from core.wallet.store import Wallet

logger = logging.getLogger("core.wallet")


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """A request to hold a part of a wallet's balance."""

    user_id: str
    env: str
    money: money_pb2.Money
    expires_in: timedelta
    description: str | None
    metadata: str | None = None
    """As `core.metadata.stored_metadata` returns it."""


class Holds:
    """The use cases of holds, and the queue's look at one that expires."""

    due = HOLDS

    def __init__(self, database: Database) -> None:
        """Store holds in `database`."""
        self._database = database

    async def hold(self, caller: Caller, request: HoldRequest) -> tuple[Hold, Wallet]:
        """Hold the amount, and return the hold and the wallet.

        Raises:
            InvalidFields: the amount is not in the wallet's currency.
            Refusal: USER_NOT_FOUND, PAYMENTS_STOPPED, USER_INACTIVE, API_KEY_CAPPED, or
                WALLET_TOO_LOW: less is available.
        """
        owner = (caller.business_id, request.user_id, request.env)
        async with self._database.transaction() as transaction:
            found = Found()
            await batch_store.read(transaction, found, [owner], ())
            user, wallet = found.users.get(owner[:2]), found.wallets.get(owner)
            if user is None:
                raise user_not_found()
            if user.is_stopped:
                raise payments_stopped()
            check_active(user)
            amount = amount_in_currency(request.money, user.currency)
            if wallet is None or wallet.state.available_minor < amount.minor:
                raise refusal_of(MovementRefusal.WALLET_TOO_LOW)
            hold = Hold(
                business_id=caller.business_id,
                hold_id=new_hold_id(),
                wallet_id=wallet.wallet_id,
                user_id=request.user_id,
                env=request.env,
                currency=amount.currency,
                amount_minor=amount.minor,
                captured_minor=None,
                status=HoldStatus.OPEN,
                description=request.description,
                transaction_id=None,
                expires_at=transaction.now + request.expires_in,
                created_at=transaction.now,
                closed_at=None,
                metadata=request.metadata,
                capped_key_id=caller.key_id if caller.caps else None,
            )
            await hold_store.insert_hold(transaction, hold)
            await caps.reserve(transaction, caller, amount)
            return hold, await _wallet(transaction, hold)

    async def capture(
        self, caller: Caller, hold_id: str, money: money_pb2.Money | None
    ) -> tuple[Hold, Wallet]:
        """Debit the wallet with a part of a hold, or all of it, and release the rest.

        Return the hold and the wallet. `money` None is all.

        Raises:
            InvalidFields: the amount is not in the wallet's currency.
            Refusal: HOLD_NOT_FOUND, HOLD_STATE, HOLD_EXPIRED, PAYMENTS_STOPPED, HOLD_TOO_LOW,
                USER_INACTIVE or API_KEY_CAPPED.
        """
        async with self._database.transaction() as transaction:
            hold = await _open_hold(transaction, caller, hold_id)
            found = await users_store.barriers(transaction, hold.business_id, hold.user_id)
            if found.stops.refuse_movement:
                raise payments_stopped()
            await active_user(transaction, hold.business_id, hold.user_id)
            minor = amount_in_currency(money, hold.currency).minor if money else hold.amount_minor
            check_capture(minor, held_minor=hold.amount_minor)
            debit = Movement(
                business_id=hold.business_id,
                wallet_id=hold.wallet_id,
                transaction_id=new_wallet_transaction_id(),
                direction=Direction.DEBIT,
                amount_minor=minor,
                source="system",
                reason="hold_capture",
                description=hold.description,
            )
            closed = await hold_store.close_hold(
                transaction,
                hold,
                HoldStatus.CAPTURED,
                captured_minor=minor,
                transaction_id=debit.transaction_id,
            )
            (after,) = await ledger.move(transaction, [debit])
            assert isinstance(after, WalletState), "an open hold is covered by its wallet"
            captured = Amount(minor, hold.currency)
            await caps.reserve_rest(transaction, caller, captured, begun_by=hold.capped_key_id)
            return closed, await _wallet(transaction, closed)

    async def release(self, caller: Caller, hold_id: str) -> tuple[Hold, Wallet]:
        """Make the held amount available again, and return the hold and the wallet.

        Raises:
            Refusal: HOLD_NOT_FOUND, HOLD_STATE or HOLD_EXPIRED.
        """
        async with self._database.transaction() as transaction:
            hold = await _open_hold(transaction, caller, hold_id)
            closed = await hold_store.close_hold(transaction, hold, HoldStatus.RELEASED)
            return closed, await _wallet(transaction, closed)

    async def list_holds(self, caller: Caller, which: HoldFilter, page: PageRequest) -> Page[Hold]:
        """Return a page of the caller's holds, newest first.

        Raises:
            InvalidFields: as `PagedList.read` does.
        """
        async with self._database.listing() as transaction:
            return await hold_store.list_holds(
                transaction, business_id=caller.business_id, which=which, page=page
            )

    async def look(self, key: Key) -> None:
        """Close a hold whose time has come, so that its amount is available again."""
        async with self._database.transaction("wallet.expire_hold") as transaction:
            hold = await hold_store.due_hold(transaction, key)
            if hold is not None:
                await hold_store.close_hold(transaction, hold, HoldStatus.EXPIRED)


async def _open_hold(transaction: Transaction, caller: Caller, hold_id: str) -> Hold:
    """Lock and return a hold that can be captured or released.

    Raises:
        Refusal: HOLD_NOT_FOUND, also for another business's; HOLD_STATE or HOLD_EXPIRED.
    """
    hold = await hold_store.lock_hold(transaction, business_id=caller.business_id, hold_id=hold_id)
    if hold is None:
        raise Refusal(Reason.ERROR_REASON_HOLD_NOT_FOUND, "Hold not found")
    check_open(hold.status, expires_at=hold.expires_at, now=transaction.now)
    return hold


async def _wallet(transaction: Transaction, hold: Hold) -> Wallet:
    wallet = await store.wallet_by_id(
        transaction, business_id=hold.business_id, wallet_id=hold.wallet_id
    )
    assert wallet is not None, "wallets are never deleted"
    return wallet
