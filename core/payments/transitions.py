"""Applies charge outcomes and gateway events to payments, with all that follows from them.

The only writers of a payment's status, its wallet movements and its stored answer. They open no
transaction; their caller has locked the idempotency record first, then the payment.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from core.database.transactions import Transaction
from core.gateways.events import FactKind
from core.gateways.gateway import ChargeOutcome, Declined, HeldForReview, Succeeded
from core.idempotency.call import Answer
from core.idempotency.service import Idempotency
from core.payments import event_rules, event_store, rules, store
from core.payments.event_rules import CHARGED, PaymentState, RecordedEvent
from core.payments.event_store import Source
from core.payments.funding import charge_result_of, credit_wallet, move_taken_back
from core.payments.in_flight import ChargeResult
from core.payments.messages import refusal_answer, success_answer
from core.payments.rules import PaymentUpdate
from core.payments.store import Payment
from core.wallet import store as wallet_store

logger = logging.getLogger("core.payments")


async def write_outcome(
    transaction: Transaction,
    idempotency: Idempotency,
    payment: Payment,
    outcome: ChargeOutcome,
    update: PaymentUpdate,
    *,
    responding_core: str | None = None,
) -> tuple[Payment, ChargeResult | None]:
    """Write the outcome of a pending payment; return the payment, and the result of a success.

    `responding_core` is the core that sends the response to a request without a key.
    """
    # A success is answered once a caller received it; anything else charged nothing.
    answered = update.status not in ("pending", "succeeded")
    await store.update_payment(
        transaction, payment, update, answered=answered, responding_core=responding_core
    )
    payment = replace(
        payment,
        status=update.status,
        attempt=update.attempt,
        transaction_id=update.transaction_id,
        decline_code=update.decline_code,
        lease=None,
    )
    result = None
    if isinstance(outcome, Succeeded):
        if payment.kind == "fund":
            await credit_wallet(transaction, payment)
        result = await charge_result_of(transaction, payment)
    answer = success_answer(result) if result else refusal_answer(outcome)
    if answer is not None:
        await _store_answer(transaction, idempotency, payment, answer)
    return payment, result


async def apply_gateway_events(
    transaction: Transaction, idempotency: Idempotency, payment: Payment
) -> ChargeResult | None:
    """Apply all events of a payment to it, and return the result if its card was charged.

    Called with each new event and after each outcome, so events may come before the outcome. Does
    nothing while a core runs an attempt.
    """
    if payment.lease is not None and payment.lease.until > transaction.now:
        return None
    source = Source(payment.business_id, payment.gateway, payment.env)
    events = await event_store.events_of(
        transaction,
        source,
        payment_id=payment.payment_id,
        transaction_id=payment.transaction_id,
    )
    if not events:
        return await _result_if_charged(transaction, payment)
    transaction_id, agreeing, contradicting = event_rules.events_of_payment(
        events,
        transaction_id=payment.transaction_id,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
    )
    if contradicting:
        logger.error(
            "gateway events contradict their payment and are not applied: compare them in the "
            "gateway's dashboard",
            extra={
                "payment_id": payment.payment_id,
                "events": [each.event_id for each in contradicting][:20],
            },
        )
    if payment.status == "pending":
        outcome = _outcome_of(agreeing)
        if outcome is None:
            await store.check_now(transaction, payment)
            return None
        payment, _ = await write_outcome(
            transaction, idempotency, payment, outcome, rules.payment_update(outcome)
        )
    payment = replace(payment, transaction_id=transaction_id)
    await _write_next_state(transaction, idempotency, payment, agreeing)
    await event_store.set_applied(transaction, source, events)
    payment = await store.payment_by_id(
        transaction, business_id=payment.business_id, payment_id=payment.payment_id
    )
    return await _result_if_charged(transaction, payment)


async def _result_if_charged(transaction: Transaction, payment: Payment) -> ChargeResult | None:
    return await charge_result_of(transaction, payment) if payment.status in CHARGED else None


def _outcome_of(events: Sequence[RecordedEvent]) -> ChargeOutcome | None:
    """Return the outcome of a pending payment, or None if the events do not decide it.

    A required authentication does not: its response needs the client secret, which is not stored,
    so the gateway is asked for it.
    """
    event = event_rules.outcome_event(events)
    match event:
        case RecordedEvent(fact=fact) if fact.kind is FactKind.SUCCEEDED:
            return Succeeded(event.transaction_id)
        case RecordedEvent(fact=fact) if fact.kind is FactKind.HELD:
            return HeldForReview(event.transaction_id)
        case RecordedEvent(fact=fact) if fact.kind in (FactKind.FAILED, FactKind.CANCELED):
            code = fact.decline_code or "card_declined"
            return Declined(event.transaction_id, code, fact.message or "The card was declined.")
        case _:
            return None


async def _write_next_state(
    transaction: Transaction,
    idempotency: Idempotency,
    payment: Payment,
    events: Sequence[RecordedEvent],
) -> None:
    """Write the state of a payment after all its events, and move its wallet's money."""
    wallet_id, taken = await wallet_store.moved_by_payment(
        transaction, business_id=payment.business_id, payment_id=payment.payment_id
    )
    before = PaymentState(
        payment.status,
        payment.transaction_id,
        payment.decline_code,
        payment.amount_refunded_minor,
        taken.net_minor,
        is_charged=wallet_id is not None,
    )
    after = event_rules.next_state(
        before, events, amount_minor=payment.amount_minor, currency=payment.currency
    )
    if after == before:
        return
    assert not after.is_charged or after.transaction_id, "a charged payment has a transaction"
    await store.write_state(
        transaction,
        payment,
        status=after.status,
        transaction_id=after.transaction_id,
        decline_code=after.decline_code,
        amount_refunded_minor=after.amount_refunded_minor,
    )
    logger.info(
        "payment status changed by gateway events",
        extra={
            "payment_id": payment.payment_id,
            "previous_status": before.status,
            "status": after.status,
        },
    )
    payment = replace(payment, status=after.status)
    if not after.is_charged:
        return
    if payment.kind == "fund" and wallet_id is None:
        await credit_wallet(transaction, payment)
    result = await charge_result_of(transaction, payment)
    await _store_answer(transaction, idempotency, payment, success_answer(result))
    if result.wallet is not None:
        await move_taken_back(
            transaction,
            payment,
            wallet_id=result.wallet.wallet_id,
            taken=taken,
            total_minor=after.taken_back_minor,
            reason="dispute" if "disputed" in (before.status, after.status) else "refund",
        )


async def _store_answer(
    transaction: Transaction, idempotency: Idempotency, payment: Payment, answer: Answer
) -> None:
    """Store the answer to the payment's key, unless the key has one already."""
    if payment.idempotency_key is not None:
        await idempotency.keep_for_payment(
            transaction,
            business_id=payment.business_id,
            idempotency_key=payment.idempotency_key,
            payment_id=payment.payment_id,
            answer=answer,
        )
