"""Writes a payment's outcome, its wallet's credit and the kept answer: the one place that does.

Opens no transaction; the payment's row is held, and its idempotency record before it.
"""

from dataclasses import replace

from core.database.transactions import Transaction
from core.gateways.gateway import ChargeOutcome, Succeeded
from core.idempotency.service import Idempotency
from core.payments import store
from core.payments.funding import charge_result_of, credit_wallet
from core.payments.in_flight import ChargeResult
from core.payments.messages import refusal_answer, success_answer
from core.payments.rules import PaymentUpdate
from core.payments.store import Payment


async def write_outcome(
    transaction: Transaction,
    idempotency: Idempotency,
    payment: Payment,
    outcome: ChargeOutcome,
    settled: PaymentUpdate,
    *,
    answering_core: str | None = None,
) -> tuple[Payment, ChargeResult | None]:
    """Write what became of a pending payment; return its row, and what a success's caller is told.

    A keyed payment's answer is kept as the one to its call. `answering_core` is the core that tells a
    caller without a key.
    """
    # A success is answered once somebody is told; a refusal charged nothing.
    answered = settled.status not in ("pending", "succeeded")
    await store.update_payment(
        transaction, payment, settled, answered=answered, answering_core=answering_core
    )
    payment = replace(
        payment,
        status=settled.status,
        attempt=settled.attempt,
        transaction_id=settled.transaction_id,
        decline_code=settled.decline_code,
        lease=None,
    )
    charged = None
    if isinstance(outcome, Succeeded):
        if payment.kind == "fund":
            await credit_wallet(transaction, payment)
        charged = await charge_result_of(transaction, payment)
    answer = success_answer(charged) if charged else refusal_answer(outcome)
    if payment.idempotency_key is not None and answer is not None:
        await idempotency.keep_for_payment(
            transaction,
            business_id=payment.business_id,
            idempotency_key=payment.idempotency_key,
            payment_id=payment.payment_id,
            answer=answer,
        )
    return payment, charged
