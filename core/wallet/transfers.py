"""Transfers money between the wallets of two users of one business."""

from dataclasses import dataclass

from google.type import money_pb2

from core.business import caps
from core.caller import Caller
from core.database.transactions import Database, Transaction
from core.errors import InvalidFields, Reason, Refusal
from core.ids import new_transfer_id, new_wallet_transaction_id
from core.money import Amount
from core.stops import payments_stopped
from core.users.service import check_active, user_not_found
from core.wallet import batch_store, ledger, store
from core.wallet.batch import amount_in_currency, refusal_of
from core.wallet.batch_store import Applied, Found, Owner
from core.wallet.rules import Direction, Movement, MovementRefusal
from core.wallet.settling import settlements


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """A request to transfer an amount between the wallets of an environment."""

    from_user_id: str
    to_user_id: str
    env: str
    money: money_pb2.Money
    description: str | None


class Transfers:
    """The use case of transfers."""

    def __init__(self, database: Database) -> None:
        """Move money in `database`."""
        self._database = database

    async def transfer(self, caller: Caller, request: TransferRequest) -> tuple[Applied, Applied]:
        """Transfer the amount and return the debit and the credit.

        What the receiver owes is settled after the credit, if the business wants that.
        It creates the receiver's wallet if that is missing, then locks both wallets in the order of
        their keys, as a batch does, so that it cannot deadlock with one or with another transfer.

        Raises:
            InvalidFields: both users are the same, or the amount is not in the wallets' currency.
            Refusal: USER_NOT_FOUND, PAYMENTS_STOPPED, USER_INACTIVE, WALLET_CURRENCY,
                WALLET_TOO_LOW, WALLET_LIMIT or API_KEY_CAPPED.
        """
        if request.from_user_id == request.to_user_id:
            raise InvalidFields.of("to_user_id", "must be another user than from_user_id")
        sender, receiver = (
            (caller.business_id, user_id, request.env)
            for user_id in (request.from_user_id, request.to_user_id)
        )
        async with self._database.transaction() as transaction:
            await _create_wallet(transaction, receiver)
            found = Found()
            await batch_store.read(transaction, found, (sender, receiver), ())
            wallets = {
                (owner[0], wallet.wallet_id): wallet.state
                for owner, wallet in found.wallets.items()
            }
            moves = _movements(request, found, sender, receiver)
            decided = ledger.decide(wallets, moves)
            owing = [(receiver[0], moves[1].wallet_id)] if caller.settles_receivables else []
            if settled := await settlements(transaction, owing, decided):
                decided = ledger.decide(wallets, [*moves, *settled])
            for result in decided.results:
                if isinstance(result, MovementRefusal):
                    raise refusal_of(result)
            await ledger.write(transaction, decided)
            moved = Amount(moves[0].amount_minor, found.users[sender[:2]].currency)
            await caps.reserve(transaction, caller, moved)
        debit, credit, *_ = decided.applied
        return debit, credit


async def _create_wallet(transaction: Transaction, owner: Owner) -> None:
    """Create the wallet of an owner who exists and has none. Locks no wallet that exists."""
    business_id, user_id, env = owner
    of = {"business_id": business_id, "user_id": user_id, "env": env}
    found = await store.currency_and_wallet(transaction, **of)
    if found is not None and found[1] is None:
        await store.wallet_of_user(transaction, **of, currency=found[0])


def _movements(
    request: TransferRequest, found: Found, sender: Owner, receiver: Owner
) -> tuple[Movement, Movement]:
    """Return the debit of the sender's wallet and the credit of the receiver's.

    Both are posted against the business's account for transfers, whose postings sum to zero.

    Raises:
        InvalidFields: the amount is not in the wallets' currency.
        Refusal: the transfer is not possible, whatever the balances.
    """
    users = [found.users.get(owner[:2]) for owner in (sender, receiver)]
    known = [user for user in users if user is not None]
    if len(known) < len(users):
        raise user_not_found()
    if known[0].is_stopped:  # both are of one business
        raise payments_stopped()
    for user in known:
        check_active(user)
    currency, other_currency = (user.currency for user in known)
    if currency != other_currency:
        raise _currencies_differ(currency, other_currency)
    amount = amount_in_currency(request.money, currency)
    if sender not in found.wallets:  # it was never used
        raise refusal_of(MovementRefusal.WALLET_TOO_LOW)
    debit = Movement(
        business_id=sender[0],
        wallet_id=found.wallets[sender].wallet_id,
        transaction_id=new_wallet_transaction_id(),
        direction=Direction.DEBIT,
        amount_minor=amount.minor,
        source="system",
        reason="transfer",
        description=request.description,
        account="transfers",
        transfer_id=new_transfer_id(),
        other_user_id=request.to_user_id,
    )
    credit = debit._replace(
        wallet_id=found.wallets[receiver].wallet_id,
        transaction_id=new_wallet_transaction_id(),
        direction=Direction.CREDIT,
        other_user_id=request.from_user_id,
    )
    return debit, credit


def _currencies_differ(currency: str, other_currency: str) -> Refusal:
    return Refusal(
        Reason.ERROR_REASON_WALLET_CURRENCY,
        f"The wallets have different currencies, {currency} and {other_currency}",
    )
