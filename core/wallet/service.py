"""Shows wallets, debits and credits them."""

from dataclasses import dataclass
from typing import assert_never

from google.type import money_pb2

from core.caller import Caller
from core.database import Database, Transaction
from core.errors import InvalidFields, Reason, Refusal
from core.ids import new_wallet_transaction_id
from core.money import Amount, from_wire
from core.pages import PageRequest
from core.users.service import active_user, existing_user
from core.users.store import User
from core.wallet import ledger, store
from core.wallet.rules import Direction, Movement, MovementRefusal


@dataclass(frozen=True, slots=True)
class Moved:
    """A movement that was made by hand or by the business's system."""

    wallet_id: str
    transaction_id: str
    new_balance: Amount
    movement: Movement


class WalletService:
    """The use cases of WalletService."""

    def __init__(self, database: Database) -> None:
        """Keep wallets in `database`."""
        self._database = database

    async def get(self, caller: Caller, user_id: str, env: str) -> store.Wallet:
        """Return the user's wallet of an environment, made now if it is first used.

        Raises:
            Refusal: USER_NOT_FOUND.
        """
        async with self._database.transaction() as transaction:
            user = await existing_user(transaction, caller.business_id, user_id)
            return await _wallet_of(transaction, caller, user, env)

    async def history(
        self, caller: Caller, user_id: str, env: str, page: PageRequest
    ) -> tuple[list[store.WalletTransaction], int, str]:
        """Return a page of the wallet's transactions, how many there are, and the currency.

        Raises:
            Refusal: USER_NOT_FOUND.
        """
        async with self._database.transaction() as transaction:
            user = await existing_user(transaction, caller.business_id, user_id)
            wallet = await _wallet_of(transaction, caller, user, env)
            rows, total = await store.history(
                transaction,
                business_id=caller.business_id,
                wallet_id=wallet.wallet_id,
                page=page,
            )
        return rows, total, wallet.currency

    async def charge(
        self,
        caller: Caller,
        user_id: str,
        env: str,
        amount: money_pb2.Money,
        description: str | None,
    ) -> Moved:
        """Debit the user's wallet.

        Raises:
            Refusal: USER_NOT_FOUND, USER_INACTIVE or WALLET_TOO_LOW.
            InvalidFields: the amount is not in the wallet's currency.
        """
        return await self._move(
            caller, user_id, env, amount, description, Direction.DEBIT, "system", "business_charge"
        )

    async def add_funds(
        self,
        caller: Caller,
        user_id: str,
        env: str,
        amount: money_pb2.Money,
        description: str | None,
    ) -> Moved:
        """Credit the user's wallet.

        Raises:
            Refusal: USER_NOT_FOUND, USER_INACTIVE or WALLET_LIMIT.
            InvalidFields: the amount is not in the wallet's currency.
        """
        return await self._move(
            caller, user_id, env, amount, description, Direction.CREDIT, "manual", "manual_credit"
        )

    async def _move(
        self,
        caller: Caller,
        user_id: str,
        env: str,
        money: money_pb2.Money,
        description: str | None,
        direction: Direction,
        source: str,
        reason: str,
    ) -> Moved:
        async with self._database.transaction() as transaction:
            user = await active_user(transaction, caller.business_id, user_id)
            wallet = await _wallet_of(transaction, caller, user, env)
            amount = amount_in_currency(money, wallet.currency)
            movement = Movement(
                business_id=caller.business_id,
                wallet_id=wallet.wallet_id,
                transaction_id=new_wallet_transaction_id(),
                direction=direction,
                amount_minor=amount.minor,
                source=source,
                reason=reason,
                description=description,
            )
            (result,) = await ledger.move(transaction, [movement])
            if isinstance(result, MovementRefusal):
                raise refusal_of(result)
        balance = Amount(result.balance_minor, wallet.currency)
        return Moved(wallet.wallet_id, movement.transaction_id, balance, movement)


def amount_in_currency(money: money_pb2.Money, currency: str) -> Amount:
    """Return the amount in minor units of the wallet's currency.

    Raises:
        InvalidFields: it names another currency, or has too many decimals.
    """
    if money.currency_code and money.currency_code.lower() != currency:
        raise InvalidFields.of("amount.currency_code", f"must be the wallet's currency, {currency}")
    return from_wire(money, currency)


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


async def _wallet_of(
    transaction: Transaction, caller: Caller, user: User, env: str
) -> store.Wallet:
    return await store.wallet_of_user(
        transaction,
        business_id=caller.business_id,
        user_id=user.user_id,
        env=env,
        currency=user.currency,
    )
