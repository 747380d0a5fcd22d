"""What a charge that succeeded brings: the wallet's credit, and what its caller is told.

Opens no transaction: the credit commits with the payment's outcome.
"""

from core.database import Transaction
from core.ids import new_wallet_transaction_id
from core.payments.store import Payment
from core.payments.under_way import Charged
from core.wallet import ledger
from core.wallet import store as wallet_store
from core.wallet.rules import Direction, Movement, WalletState

_FUNDING_DESCRIPTIONS = {
    "stripe": "Stripe wallet funding",
    "authorize": "Authorize.Net wallet funding",
}


async def credit_wallet(transaction: Transaction, payment: Payment) -> None:
    """Credit the user's wallet with what their card was charged."""
    wallet = await wallet_store.wallet_of_user(
        transaction,
        business_id=payment.business_id,
        user_id=payment.user_id,
        env=payment.env,
        currency=payment.currency,
    )
    assert wallet.currency == payment.currency, "a wallet never changes its currency"
    (credited,) = await ledger.move(
        transaction,
        [
            Movement(
                business_id=payment.business_id,
                wallet_id=wallet.wallet_id,
                transaction_id=new_wallet_transaction_id(),
                direction=Direction.CREDIT,
                amount_minor=payment.amount_minor,
                source=payment.gateway,
                reason="wallet_fund",
                description=payment.description or _FUNDING_DESCRIPTIONS[payment.gateway],
                payment_id=payment.payment_id,
            )
        ],
    )
    assert isinstance(credited, WalletState), "money that was charged for always arrives"


async def charged_of(transaction: Transaction, payment: Payment) -> Charged:
    """Read back what the caller of a payment that succeeded is told."""
    assert payment.transaction_id is not None, "a payment that succeeded has the gateway's id"
    wallet_id, balance_minor = None, None
    if payment.kind == "fund":
        wallet_id, balance_minor = await wallet_store.credit_of_payment(
            transaction, business_id=payment.business_id, payment_id=payment.payment_id
        )
    return Charged(
        payment.transaction_id, payment.amount_minor, payment.currency, wallet_id, balance_minor
    )
