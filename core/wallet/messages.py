"""What the caller of a movement by hand is answered, as messages; for servicer and record."""

from core.messages import transaction_reason_value, transaction_source_value, transaction_type_value
from core.money import Amount, money_message
from core.wallet.rules import Direction, Movement, WalletState
from nivisco.payments.v1 import wallet_pb2 as pb

_UPDATED = "Wallet updated successfully"


def moved_response(
    movement: Movement, after: WalletState
) -> pb.ChargeWalletResponse | pb.AddWalletFundsResponse:
    """Return the response to a debit or a credit that was made."""
    response_class: type[pb.ChargeWalletResponse | pb.AddWalletFundsResponse] = (
        pb.ChargeWalletResponse
        if movement.direction is Direction.DEBIT
        else pb.AddWalletFundsResponse
    )
    return response_class(
        wallet_id=movement.wallet_id,
        new_balance=money_message(Amount(after.balance_minor, after.currency)),
        type=transaction_type_value(movement.direction.value),
        source=transaction_source_value(movement.source),
        reason=transaction_reason_value(movement.reason),
        message=_UPDATED,
        transaction_id=movement.transaction_id,
    )
