"""Moves a wallet's money for the payments that fund it, in the caller's transaction."""

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
    """Credit the user's wallet with the charged amount."""
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
    assert isinstance(credited, WalletState), "a credit with a payment has no limit"


async def debit_refunded(
    transaction: Transaction,
    payment: Payment,
    *,
    wallet_id: str,
    taken_minor: int,
    total_minor: int,
) -> None:
    """Debit a wallet for refunds and lost disputes: from `taken_minor` up to `total_minor`.

    What the balance does not cover is credited first from the business's receivables, so that no
    wallet is below zero.
    """
    amount_minor = total_minor - taken_minor
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
        receivable = replace(
            movement,
            transaction_id=new_wallet_transaction_id(),
            direction=Direction.CREDIT,
            amount_minor=lacking_minor,
            reason="receivable",
            account="receivables",
        )
        movements = [receivable, movement]
        logger.warning(
            "wallet does not cover a refund, receivable posted",
            extra={
                "payment_id": payment.payment_id,
                "wallet_id": wallet_id,
                "lacking_minor": lacking_minor,
            },
        )
    results = await ledger.move(transaction, movements)
    assert all(isinstance(each, WalletState) for each in results), "the receivable covers the debit"


async def charge_result_of(transaction: Transaction, payment: Payment) -> ChargeResult:
    """Return the result of a payment whose card was charged."""
    wallet = None
    if payment.kind == "fund":
        wallet = await wallet_store.wallet_after_credit(
            transaction, business_id=payment.business_id, payment_id=payment.payment_id
        )
    return ChargeResult(payment, wallet)
