"""Debits and credits wallets by hand or by the business's system, many callers' in one commit.

Each movement is its own success or refusal, with its own idempotency record; only the transaction
is shared.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from google.type import money_pb2

from core.caller import Caller
from core.database.batching import Batcher
from core.database.transactions import (
    CommitUnknownError,
    Database,
    DatabaseUnavailableError,
    Transaction,
)
from core.errors import InvalidFields, Reason, Refusal
from core.idempotency.call import Answer, IdempotentCall, Replay, is_kept
from core.idempotency.service import Idempotency
from core.ids import new_wallet_transaction_id
from core.money import Amount, amount_from_message
from core.users import store as users_store
from core.users.service import check_active, user_not_found
from core.wallet import ledger, store
from core.wallet.messages import movement_response
from core.wallet.rules import Direction, Movement, MovementRefusal
from nivisco.payments.v1 import wallet_pb2 as pb

logger = logging.getLogger("core.wallet")

GROUP_AT_MOST = 256
_WORDS = {
    Direction.DEBIT: ("system", "business_charge"),
    Direction.CREDIT: ("manual", "manual_credit"),
}
"""Source and reason of a movement."""

Moved = pb.ChargeWalletResponse | pb.AddWalletFundsResponse
_End = Moved | Refusal | Replay


@dataclass(frozen=True, slots=True, eq=False)
class MovementRequest:
    """One caller's movement. `call` is theirs as its idempotency record sees it."""

    caller: Caller
    call: IdempotentCall
    direction: Direction
    user_id: str
    env: str
    money: money_pb2.Money
    description: str | None


class _Overtaken(Exception):
    """Another core carried out a call of the group meanwhile; nothing of it may commit."""


class WalletBatch:
    """The movements that callers order."""

    def __init__(self, database: Database, idempotency: Idempotency) -> None:
        """Keep wallets in `database`, and answers by `idempotency`."""
        self._database = database
        self._idempotency = idempotency
        self._group = Batcher[MovementRequest, Moved](self._carry_out, max_size=GROUP_AT_MOST)

    async def move(self, order: MovementRequest) -> Moved:
        """Make the movement and return what its caller is answered.

        Raises:
            Refusal: USER_NOT_FOUND, USER_INACTIVE, WALLET_TOO_LOW, WALLET_LIMIT or
                IDEMPOTENCY_KEY_REUSED.
            InvalidFields: the amount is not in the wallet's currency.
            Replay: the call was answered before.
        """
        return await self._group.submit(order)

    async def _carry_out(self, orders: Sequence[MovementRequest]) -> Sequence[Moved | Exception]:
        while True:
            ends: dict[MovementRequest, _End] = {}
            try:
                async with self._database.transaction("wallet.move") as transaction:
                    ends = await self._ends(transaction, orders)
            except _Overtaken:
                continue  # its answer is there now
            except CommitUnknownError:
                return await self._looked_up([ends[order] for order in orders], orders)
            except DatabaseUnavailableError:
                raise
            except Exception:
                if len(orders) == 1:
                    raise
                # What is wrong with one caller's order is not the others' business.
                logger.exception("a group of movements failed; they are made one by one")
                return [await self._alone(order) for order in orders]
            return [ends[order] for order in orders]

    async def _alone(self, order: MovementRequest) -> Moved | Exception:
        try:
            (end,) = await self._carry_out([order])
        except Exception as error:  # noqa: BLE001 - its caller gets it
            return error
        return end

    async def _looked_up(
        self, ends: Sequence[_End], orders: Sequence[MovementRequest]
    ) -> Sequence[Moved | Exception]:
        """Return how orders ended whose commit was not confirmed, or that nobody can tell.

        They were one transaction, so what holds for one of them holds for all: asked once, because
        a database that is away is asked for seconds.
        """
        failure: Exception | None = None
        for order, end in zip(orders, ends, strict=True):
            if isinstance(end, Exception):
                continue
            try:
                if not await self._idempotency.took_place(order.call):
                    failure = DatabaseUnavailableError("the commit did not take place")
            except CommitUnknownError as unknown:
                failure = unknown
            break
        return [end if isinstance(end, Exception) else failure or end for end in ends]

    async def _ends(
        self, transaction: Transaction, orders: Sequence[MovementRequest]
    ) -> dict[MovementRequest, _End]:
        """Make the movements that can be made, keep every answer, and return how each order ends.

        Raises:
            _Overtaken: a call has an answer that it did not have when the transaction began.
        """
        earlier = await self._idempotency.earlier(transaction, [order.call for order in orders])
        ends: dict[MovementRequest, _End] = {
            order: earlier[order.call] for order in orders if order.call in earlier
        }
        movements = await self._movements(
            transaction, [order for order in orders if order not in ends], ends
        )
        results = await ledger.move(transaction, list(movements.values())) if movements else []
        for (order, movement), result in zip(movements.items(), results, strict=True):
            ends[order] = (
                refusal_of(result)
                if isinstance(result, MovementRefusal)
                else movement_response(movement, order.user_id, result)
            )
        kept = {
            order.call: answer
            for order, end in ends.items()
            if order.call not in earlier and (answer := _answer(order, end)) is not None
        }
        if kept and await self._idempotency.keep_all(transaction, kept):
            raise _Overtaken
        return ends

    async def _movements(
        self,
        transaction: Transaction,
        orders: Sequence[MovementRequest],
        ends: dict[MovementRequest, _End],
    ) -> Mapping[MovementRequest, Movement]:
        """Return the movements to make; what is refused before goes into `ends`."""
        users = await users_store.users_by_id(
            transaction, {(order.caller.business_id, order.user_id) for order in orders}
        )
        wallets = await store.wallets_of_users(
            transaction, {(order.caller.business_id, order.user_id, order.env) for order in orders}
        )
        movements: dict[MovementRequest, Movement] = {}
        # In the order of the wallets' owners, so that two cores that make new wallets cannot
        # deadlock.
        for order in sorted(orders, key=lambda o: (o.caller.business_id, o.user_id, o.env)):
            owner = (order.caller.business_id, order.user_id)
            try:
                user = users.get(owner)
                if user is None:
                    raise user_not_found()
                check_active(user)
                wallet = wallets.get((*owner, order.env)) or await store.wallet_of_user(
                    transaction,
                    business_id=order.caller.business_id,
                    user_id=order.user_id,
                    env=order.env,
                    currency=user.currency,
                )
                amount = amount_in_currency(order.money, wallet.currency)
            except Refusal as refusal:
                ends[order] = refusal
                continue
            movements[order] = _movement(order, wallet, amount)
        return {order: movements[order] for order in orders if order in movements}


def _movement(order: MovementRequest, wallet: store.Wallet, amount: Amount) -> Movement:
    source, reason = _WORDS[order.direction]
    return Movement(
        business_id=order.caller.business_id,
        wallet_id=wallet.wallet_id,
        transaction_id=new_wallet_transaction_id(),
        direction=order.direction,
        amount_minor=amount.minor,
        source=source,
        reason=reason,
        description=order.description,
    )


def _answer(order: MovementRequest, end: _End) -> Answer | None:
    """Return what to keep of an order, or None where it may be tried again."""
    match end:
        case Refusal():
            return Answer.refusal(end) if order.call.is_keyed and is_kept(end) else None
        case Replay():
            return None
        case _:
            return Answer.response(end)


def amount_in_currency(money: money_pb2.Money, currency: str) -> Amount:
    """Return the amount in minor units of the wallet's currency.

    Raises:
        InvalidFields: it names another currency, or has too many decimals.
    """
    if money.currency_code and money.currency_code.lower() != currency:
        raise InvalidFields.of("amount.currency_code", f"must be the wallet's currency, {currency}")
    return amount_from_message(money, currency)


def refusal_of(refusal: MovementRefusal) -> Refusal:
    """Return what a caller is told of a movement that was not made."""
    match refusal:
        case MovementRefusal.WALLET_TOO_LOW:
            return Refusal(
                Reason.ERROR_REASON_WALLET_TOO_LOW, "The wallet's balance is below the amount"
            )
        case MovementRefusal.WALLET_LIMIT:
            return Refusal(
                Reason.ERROR_REASON_WALLET_LIMIT,
                "The credit would lift the wallet's balance above its limit",
            )
        case _:
            assert_never(refusal)
