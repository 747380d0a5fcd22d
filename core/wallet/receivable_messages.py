"""Messages of receivables and their settlement."""

from core.messages import env_value, timestamp
from core.money import Amount, money_message
from core.wallet.receivable_store import Receivable
from core.wallet.receivables import Settled
from nivisco.payments.v1 import wallet_pb2 as pb


def receivable_message(receivable: Receivable) -> pb.Receivable:
    """Return the message of what a user owes."""
    return pb.Receivable(
        user_id=receivable.user_id,
        wallet_id=receivable.wallet_id,
        env=env_value(receivable.env),
        amount=money_message(Amount(receivable.receivable_minor, receivable.currency)),
        since=timestamp(receivable.receivable_since),
    )


def settled_response(settled: Settled) -> pb.SettleReceivableResponse:
    """Return the response to a settlement."""
    wallet, movement = settled.wallet, settled.movement
    return pb.SettleReceivableResponse(
        message="Receivable settled successfully",
        wallet_id=movement.wallet_id,
        user_id=settled.user_id,
        env=env_value(wallet.env),
        transaction_id=movement.transaction_id,
        amount=money_message(Amount(movement.amount_minor, wallet.currency)),
        new_balance=money_message(Amount(wallet.balance_minor, wallet.currency)),
        receivable=money_message(Amount(settled.receivable_minor, wallet.currency)),
    )
