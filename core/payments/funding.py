"""What a charge that succeeded brings, and what is taken back; and what its caller is told.

Opens no transaction: what moves commits with what the payment's row says.
"""

import logging
from dataclasses import replace

from core.database.transactions import Transaction
from core.ids import new_wallet_transaction_id
from core.payments.in_flight import ChargeResult
from core.payments.store import Payment
from core.wallet import ledger
from core.wallet import store as wallet_store
from core.wallet.rules import Direction, Movement, WalletState

logger = logging.getLogger("core.payments")

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


async def debit_refunded(
    transaction: Transaction,
    payment: Payment,
    *,
    wallet_id: str,
    taken_minor: int,
    until_minor: int,
) -> None:
    """Take back from a wallet what its funding lost, up to `until_minor` of it in all.

    What the balance does not cover the business bears: it is credited from its receivables, which
    is what the user owes it, so that a wallet is never below zero.
    """
    amount_minor = until_minor - taken_minor
    if amount_minor <= 0:
        return
    (wallet,) = (
        await wallet_store.lock_wallets(transaction, [(payment.business_id, wallet_id)])
    ).values()
    lacking_minor = max(0, amount_minor - wallet.balance_minor)
    movement = Movement(
        business_id=payment.business_id,
        wallet_id=wallet_id,
        transaction_id=new_wallet_transaction_id(),
        direction=Direction.DEBIT,
        amount_minor=amount_minor,
        source=payment.gateway,
        reason="dispute" if payment.status == "disputed" else "refund",
        description=payment.description,
        payment_id=payment.payment_id,
        account="funding",
        taken_before_minor=taken_minor,
    )
    movements = [movement]
    if lacking_minor:
        borne = replace(
            movement,
            transaction_id=new_wallet_transaction_id(),
            direction=Direction.CREDIT,
            amount_minor=lacking_minor,
            reason="receivable",
            account="receivables",
        )
        movements = [borne, movement]
        logger.warning(
            "a wallet does not cover what was taken back",
            extra={
                "payment_id": payment.payment_id,
                "wallet_id": wallet_id,
                "lacking_minor": lacking_minor,
            },
        )
    results = await ledger.move(transaction, movements)
    assert all(isinstance(each, WalletState) for each in results), "the balance was made to cover"


async def charge_result_of(transaction: Transaction, payment: Payment) -> ChargeResult:
    """Return the result of a payment whose card was charged."""
    wallet = None
    if payment.kind == "fund":
        wallet = await wallet_store.wallet_after_credit(
            transaction, business_id=payment.business_id, payment_id=payment.payment_id
        )
    return ChargeResult(payment, wallet)
