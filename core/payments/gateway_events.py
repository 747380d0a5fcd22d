"""Has a payment follow what its gateway told of it, whenever it told; opens no transaction.

Called where a payment's row is held: by the transaction that writes its outcome, and by the one
that brings an event. Both read all events of the payment, so what came too early is not lost.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from core.database.transactions import Transaction
from core.gateways.events import FactKind
from core.gateways.gateway import ChargeOutcome, Declined, HeldForReview, Succeeded
from core.idempotency.service import Idempotency
from core.payments import event_rules, event_store, rules, store
from core.payments.event_rules import CHARGED, PaymentState, RecordedEvent
from core.payments.event_store import Source
from core.payments.funding import charge_result_of, credit_wallet, debit_refunded
from core.payments.in_flight import ChargeResult
from core.payments.messages import success_answer
from core.payments.outcomes import write_outcome
from core.payments.store import Payment
from core.wallet import store as wallet_store

logger = logging.getLogger("core.payments")


async def apply_gateway_events(
    transaction: Transaction, idempotency: Idempotency, payment: Payment
) -> ChargeResult | None:
    """Write what the gateway's events make of a payment; return what a success's caller is told.

    While a core works on the payment its events wait: it writes the outcome, and calls this.
    """
    if payment.lease is not None and payment.lease.until > transaction.now:
        return None
    source = Source(payment.business_id, payment.gateway, payment.env)
    every = await event_store.events_of(
        transaction,
        source,
        payment_id=payment.payment_id,
        transaction_id=payment.transaction_id,
    )
    if not every:
        return await _charged(transaction, payment)
    transaction_id, told, others = event_rules.of_payment(
        every,
        transaction_id=payment.transaction_id,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
    )
    if others:
        logger.error(
            "events contradict their payment and are not followed: compare them in the gateway's "
            "dashboard",
            extra={
                "payment_id": payment.payment_id,
                "events": [each.event_id for each in others][:20],
            },
        )
    if payment.status == "pending":
        outcome = _outcome(told)
        if outcome is None:
            await store.look_now(transaction, payment)
            return None
        payment, _ = await write_outcome(
            transaction, idempotency, payment, outcome, rules.settle(outcome)
        )
    await _stand(transaction, idempotency, replace(payment, transaction_id=transaction_id), told)
    await event_store.set_applied(transaction, source, every)
    payment = await store.payment_by_id(
        transaction, business_id=payment.business_id, payment_id=payment.payment_id
    )
    return await _charged(transaction, payment)


async def _charged(transaction: Transaction, payment: Payment) -> ChargeResult | None:
    return await charge_result_of(transaction, payment) if payment.status in CHARGED else None


def _outcome(told: Sequence[RecordedEvent]) -> ChargeOutcome | None:
    """Return the outcome of a pending payment, where the events tell all that its caller needs.

    Authentication needs a client secret, which is not kept: the gateway is asked for it.
    """
    best = event_rules.outcome_of(told)
    match best:
        case RecordedEvent(fact=fact) if fact.kind is FactKind.SUCCEEDED:
            return Succeeded(best.transaction_id)
        case RecordedEvent(fact=fact) if fact.kind is FactKind.HELD:
            return HeldForReview(best.transaction_id)
        case RecordedEvent(fact=fact) if fact.kind is FactKind.FAILED:
            code = fact.decline_code or "card_declined"
            return Declined(best.transaction_id, code, fact.message or "The card was declined.")
        case _:
            return None


async def _stand(
    transaction: Transaction,
    idempotency: Idempotency,
    payment: Payment,
    told: Sequence[RecordedEvent],
) -> None:
    """Bring the row, and a funding's wallet, to where all events of the payment leave them."""
    wallet_id, taken_minor = await wallet_store.moved_by_payment(
        transaction, business_id=payment.business_id, payment_id=payment.payment_id
    )
    before = PaymentState(
        payment.status,
        payment.transaction_id,
        payment.decline_code,
        payment.amount_refunded_minor,
        taken_minor,
        is_charged=wallet_id is not None,
    )
    after = event_rules.next_state(before, told, amount_minor=payment.amount_minor)
    assert after.taken_back_minor >= taken_minor, "what was taken back stays so"
    if after == before:
        return
    assert not after.is_charged or after.transaction_id, "what was charged has a transaction"
    await store.write_state(
        transaction,
        payment,
        status=after.status,
        transaction_id=after.transaction_id,
        decline_code=after.decline_code,
        amount_refunded_minor=after.amount_refunded_minor,
    )
    logger.info(
        "payment follows its gateway",
        extra={"payment_id": payment.payment_id, "was": before.status, "is": after.status},
    )
    payment = replace(payment, status=after.status)
    if not after.is_charged:
        return
    if payment.kind == "fund" and wallet_id is None:
        await credit_wallet(transaction, payment)
    charged = await charge_result_of(transaction, payment)
    if payment.idempotency_key is not None:
        # Only where the call was never answered for good: what was told stays told.
        await idempotency.keep_for_payment(
            transaction,
            business_id=payment.business_id,
            idempotency_key=payment.idempotency_key,
            payment_id=payment.payment_id,
            answer=success_answer(charged),
        )
    if charged.wallet is not None:
        await debit_refunded(
            transaction,
            payment,
            wallet_id=charged.wallet.wallet_id,
            taken_minor=taken_minor,
            until_minor=after.taken_back_minor,
        )
