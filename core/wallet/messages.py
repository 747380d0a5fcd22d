"""Messages of wallets and their transactions."""

from core.messages import enum_value, env_value, timestamp
from core.metadata import metadata_of
from core.money import Amount, money_message
from core.wallet.batch_store import Applied
from core.wallet.hold_store import Hold
from core.wallet.rules import Direction, Movement, WalletState
from core.wallet.store import Wallet, WalletTransaction
from nivisco.payments.v1 import wallet_pb2 as pb

_GATEWAY_NAMES = {"stripe": "Stripe", "authorize": "Authorize.Net"}
_DEFAULT_DESCRIPTIONS = {
    "business_charge": "Wallet charge",
    "manual_credit": "Manual wallet credit",
    "wallet_fund": "{gateway} wallet funding",
    "refund": "{gateway} wallet refund",
    "dispute": "{gateway} wallet dispute",
    "recurring_charge": "Recurring wallet charge",
    "receivable": "{gateway} wallet receivable",
    "transfer": "Wallet transfer",
    "hold_capture": "Captured wallet hold",
}
"""Descriptions of transactions without one, by reason, in the style of the API reference."""
MovementResponse = pb.ChargeWalletResponse | pb.AddWalletFundsResponse


def wallet_message(wallet: Wallet) -> pb.Wallet:
    """Return the message of a wallet."""
    return pb.Wallet(
        wallet_id=wallet.wallet_id,
        user_id=wallet.user_id,
        balance=money_message(Amount(wallet.balance_minor, wallet.currency)),
        updated_at=timestamp(wallet.updated_at),
        env=env_value(wallet.env),
        created_at=timestamp(wallet.created_at),
        available=money_message(Amount(wallet.available_minor, wallet.currency)),
    )


def hold_message(hold: Hold) -> pb.WalletHold:
    """Return the message of a hold."""
    captured = hold.captured_minor and money_message(Amount(hold.captured_minor, hold.currency))
    return pb.WalletHold(
        hold_id=hold.hold_id,
        status=enum_value(pb.HoldStatus, hold.status),
        amount=money_message(Amount(hold.amount_minor, hold.currency)),
        captured_amount=captured or None,
        description=hold.description,
        expires_at=timestamp(hold.expires_at),
        created_at=timestamp(hold.created_at),
        closed_at=timestamp(hold.closed_at) if hold.closed_at else None,
        transaction_id=hold.transaction_id,
        wallet_id=hold.wallet_id,
        user_id=hold.user_id,
        env=env_value(hold.env),
        metadata=metadata_of(hold.metadata),
    )


def wallet_transaction_message(row: WalletTransaction, wallet: Wallet) -> pb.WalletTransaction:
    """Return the message of a transaction of the wallet."""
    return pb.WalletTransaction(
        transaction_id=row.transaction_id,
        type=enum_value(pb.TransactionType, row.type),
        amount=money_message(Amount(row.amount_minor, wallet.currency)),
        source=enum_value(pb.TransactionSource, row.source),
        reason=enum_value(pb.TransactionReason, row.reason),
        description=row.description or _default_description(row),
        created_at=timestamp(row.created_at),
        wallet_id=wallet.wallet_id,
        new_balance=money_message(Amount(row.balance_after_minor, wallet.currency)),
        payment_id=row.payment_id,
        user_id=wallet.user_id,
        env=env_value(wallet.env),
        transfer_id=row.transfer_id,
        other_user_id=row.other_user_id,
    )


def _default_description(row: WalletTransaction) -> str:
    if row.reason == "receivable" and row.source == "system":
        return "Receivable settled"
    gateway = _GATEWAY_NAMES.get(row.source, row.source)
    return _DEFAULT_DESCRIPTIONS[row.reason].format(gateway=gateway)


def movement_response(movement: Movement, user_id: str, after: WalletState) -> MovementResponse:
    """Return the response to a debit or credit of the user's wallet."""
    response_class: type[MovementResponse] = (
        pb.ChargeWalletResponse
        if movement.direction is Direction.DEBIT
        else pb.AddWalletFundsResponse
    )
    return response_class(
        wallet_id=movement.wallet_id,
        new_balance=money_message(Amount(after.balance_minor, after.currency)),
        type=enum_value(pb.TransactionType, movement.direction.value),
        source=enum_value(pb.TransactionSource, movement.source),
        reason=enum_value(pb.TransactionReason, movement.reason),
        message="Wallet updated successfully",
        transaction_id=movement.transaction_id,
        env=env_value(after.env),
        user_id=user_id,
        amount=money_message(Amount(movement.amount_minor, after.currency)),
        description=movement.description,
    )


def transfer_response(debit: Applied, credit: Applied) -> pb.TransferWalletResponse:
    """Return the response to a transfer."""
    out, into = debit.movement, credit.movement
    currency, env = debit.wallet.currency, debit.wallet.env
    assert into.other_user_id is not None, "a transfer has two users"
    assert out.other_user_id is not None, "a transfer has two users"
    assert out.transfer_id is not None, "a transfer has an id"
    return pb.TransferWalletResponse(
        transfer_id=out.transfer_id,
        message="Transfer completed successfully",
        amount=money_message(Amount(out.amount_minor, currency)),
        description=out.description,
        env=env_value(env),
        from_user_id=into.other_user_id,
        from_wallet_id=out.wallet_id,
        from_transaction_id=out.transaction_id,
        from_new_balance=money_message(Amount(debit.wallet.balance_minor, currency)),
        to_user_id=out.other_user_id,
        to_wallet_id=into.wallet_id,
        to_transaction_id=into.transaction_id,
        to_new_balance=money_message(Amount(credit.wallet.balance_minor, currency)),
    )
