"""Moves a wallet's money for the payments that fund it, in the caller's transaction."""

import logging
from dataclasses import replace

from core.business.store import business_by_id
from core.database.transactions import Transaction
from core.ids import new_wallet_transaction_id
from core.payments.in_flight import ChargeResult
from core.payments.store import Payment
from core.wallet import ledger, receivable_store
from core.wallet import store as wallet_store
from core.wallet.batch import refusal_of
from core.wallet.rules import RECEIVABLES, Direction, Movement, MovementRefusal, WalletState
from core.wallet.settling import settle_after_credit
from core.wallet.store import TakenBack, Wallet

logger = logging.getLogger("core.payments")


async def credit_wallet(transaction: Transaction, payment: Payment) -> Wallet:
    """Credit the user's wallet with the charged amount, and return it as it is then.

    What the user owes is settled after that, if the business wants so.
    """
    wallet = await wallet_store.lock_wallet_of_user(
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
                description=payment.description,
                payment_id=payment.payment_id,
            )
        ],
    )
    assert isinstance(credited, WalletState), "a credit with a payment has no limit"
    if wallet.receivable_minor:
        business = await business_by_id(transaction, payment.business_id)
        if business is not None and business.settle_receivables:
            await settle_after_credit(
                transaction, (payment.business_id, wallet.wallet_id), credited
            )
    return replace(
        wallet,
        balance_minor=credited.balance_minor,
        held_minor=credited.held_minor,
        updated_at=transaction.now,
    )


async def move_taken_back(
    transaction: Transaction,
    payment: Payment,
    *,
    wallet_id: str,
    taken: TakenBack,
    total_minor: int,
    reason: str,
    allow_receivable: bool = True,
) -> None:
    """Debit or credit a wallet from what was `taken` back to a total of `total_minor`.

    movement     available or receivable                     movements
    debit        what is available covers it                 debit
    debit        otherwise                                   credit the rest from the receivables,
                                                             debit
    credit       the user owes the business nothing          credit
    credit       otherwise                                   credit, debit up to the receivables

    Raises:
        Refusal: WALLET_TOO_LOW if the balance does not cover a debit, without `allow_receivable`.
    """
    change_minor = total_minor - taken.net_minor
    if change_minor == 0:
        return
    (wallet,) = (
        await wallet_store.lock_wallets(transaction, [(payment.business_id, wallet_id)])
    ).values()
    is_debit = change_minor > 0
    movement = Movement(
        business_id=payment.business_id,
        wallet_id=wallet_id,
        transaction_id=new_wallet_transaction_id(),
        direction=Direction.DEBIT if is_debit else Direction.CREDIT,
        amount_minor=abs(change_minor),
        source=payment.gateway,
        reason=reason,
        description=payment.description,
        payment_id=payment.payment_id,
        account="funding",
        taken_before_minor=taken.moved_minor,
    )
    if is_debit:
        receivable_minor = max(0, change_minor - wallet.available_minor)
        if receivable_minor and not allow_receivable:
            raise refusal_of(MovementRefusal.WALLET_TOO_LOW)
    else:
        owed_minor = await receivable_store.receivable_of_wallet(
            transaction, business_id=payment.business_id, wallet_id=wallet_id
        )
        receivable_minor = min(-change_minor, owed_minor)
    movements = [movement]
    if receivable_minor:
        receivable = movement._replace(
            transaction_id=new_wallet_transaction_id(),
            direction=Direction.CREDIT if is_debit else Direction.DEBIT,
            amount_minor=receivable_minor,
            reason="receivable",
            account=RECEIVABLES,
        )
        movements = [receivable, movement] if is_debit else [movement, receivable]
        logger.warning(
            "wallet does not cover a refund, receivable posted"
            if is_debit
            else "refund or dispute reversed, receivable repaid",
            extra={
                "payment_id": payment.payment_id,
                "wallet_id": wallet_id,
                "receivable_minor": receivable_minor,
            },
        )
    results = await ledger.move(transaction, movements)
    assert all(isinstance(each, WalletState) for each in results), "each debit is covered"


async def charge_result_of(transaction: Transaction, payment: Payment) -> ChargeResult:
    """Return the result of a payment whose card was charged."""
    wallet = None
    if payment.kind == "fund":
        wallet = await wallet_store.wallet_after_credit(
            transaction, business_id=payment.business_id, payment_id=payment.payment_id
        )
    return ChargeResult(payment, wallet)
