"""SQL of successes without a key: which are unanswered, and which core sends the response."""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, or_, select, update

from core.database.schema import payments
from core.database.transactions import Transaction
from core.payments.store import COLUMNS, Payment, payment_of, update_columns

_succeeded_at = func.coalesce(payments.c.succeeded_at, payments.c.updated_at)
"""When a payment succeeded. Later events and the delivery of the response move `updated_at`."""


async def unanswered_payments(
    transaction: Transaction,
    *,
    business_id: str,
    user_id: str,
    env: str | None,
    kind: str,
    amount_minor: int,
    currency: str,
    gateway: str | None,
    description: str | None,
    succeeded_since: datetime,
) -> list[Payment]:
    """Return and lock the unanswered payments of equal requests without a key, oldest first.

    These are the pending ones, and those that succeeded since `succeeded_since`. Without `env` or
    `gateway`, those of any.
    """
    conditions: list[ColumnElement[bool]] = [
        payments.c.business_id == business_id,
        payments.c.user_id == user_id,
        ~payments.c.answered,
        payments.c.kind == kind,
        payments.c.amount_minor == amount_minor,
        payments.c.currency == currency,
        payments.c.description.is_not_distinct_from(description),
        payments.c.idempotency_key.is_(None),
        or_(
            payments.c.status == "pending",
            and_(payments.c.status == "succeeded", _succeeded_at >= succeeded_since),
        ),
    ]
    if env is not None:
        conditions.append(payments.c.env == env)
    if gateway is not None:
        conditions.append(payments.c.gateway == gateway)
    rows = await transaction.connection.execute(
        select(*COLUMNS)
        .where(*conditions)
        .order_by(payments.c.created_at, payments.c.payment_id)
        .with_for_update()
    )
    return [payment_of(row) for row in rows]


async def set_responding_core(transaction: Transaction, payment: Payment, core_id: str) -> None:
    """Store which core sends the response of an unanswered success."""
    await update_columns(transaction, payment, {"lease_owner": core_id})


async def set_answered(transaction: Transaction, payment: Payment) -> None:
    """Store that a caller received the response; no core sends it any more."""
    await update_columns(transaction, payment, {"answered": True, "lease_owner": None})


async def end_response(transaction: Transaction, payment: Payment, core_id: str) -> None:
    """Store that the core no longer sends the response, unless another core does."""
    await transaction.connection.execute(
        update(payments)
        .where(
            payments.c.business_id == payment.business_id,
            payments.c.payment_id == payment.payment_id,
            payments.c.lease_owner == core_id,
            payments.c.attempt.is_(None),
        )
        .values(lease_owner=None)
    )
