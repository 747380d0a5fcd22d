"""What the database is asked and told about payments."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, insert, select, update

from core.database import Transaction
from core.pages import PageRequest
from core.payments.rules import Settled
from core.schema import payments


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as stored."""

    business_id: str
    payment_id: str
    user_id: str
    env: str
    gateway: str
    kind: str
    amount_minor: int
    currency: str
    description: str | None
    idempotency_key: str | None
    customer_id: str
    gateway_card_id: str
    gateway_key: str
    status: str
    attempt: str | None
    transaction_id: str | None
    decline_code: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    """Which payments to list; what is None does not matter."""

    env: str
    user_id: str | None = None
    status: str | None = None
    gateway: str | None = None


_COLUMNS: tuple[ColumnElement[Any], ...] = (
    payments.c.business_id,
    payments.c.payment_id,
    payments.c.user_id,
    payments.c.env,
    payments.c.gateway,
    payments.c.kind,
    payments.c.amount_minor,
    payments.c.currency,
    payments.c.description,
    payments.c.idempotency_key,
    payments.c.customer_id,
    payments.c.gateway_card_id,
    payments.c.gateway_key,
    payments.c.status,
    payments.c.attempt,
    payments.c.transaction_id,
    payments.c.decline_code,
    payments.c.created_at,
)


async def insert_payment(transaction: Transaction, payment: Payment) -> None:
    """Store a payment that is about to be submitted."""
    await transaction.connection.execute(
        insert(payments).values(
            **asdict(payment),
            updated_at=transaction.now,
        )
    )


async def payment_exists(transaction: Transaction, *, business_id: str, payment_id: str) -> bool:
    """Tell whether the business has a payment of that id."""
    result = await transaction.connection.execute(
        select(payments.c.payment_id).where(
            payments.c.business_id == business_id, payments.c.payment_id == payment_id
        )
    )
    return result.one_or_none() is not None


async def take_open_attempt(transaction: Transaction, like: Payment) -> Payment | None:
    """Take over the oldest open attempt that the same request left behind, or return None.

    Only one caller gets it: a payment that someone works on is not open.
    """
    row = (
        await transaction.connection.execute(
            select(*_COLUMNS)
            .where(
                payments.c.business_id == like.business_id,
                payments.c.user_id == like.user_id,
                payments.c.attempt.in_(["unknown", "not_sent"]),
                payments.c.env == like.env,
                payments.c.gateway == like.gateway,
                payments.c.kind == like.kind,
                payments.c.amount_minor == like.amount_minor,
                payments.c.currency == like.currency,
                payments.c.description.is_not_distinct_from(like.description),
                payments.c.idempotency_key.is_not_distinct_from(like.idempotency_key),
            )
            .order_by(payments.c.created_at, payments.c.payment_id)
            .limit(1)
            .with_for_update()
        )
    ).one_or_none()
    if row is None:
        return None
    payment = Payment(*row)
    await transaction.connection.execute(
        update(payments)
        .where(
            payments.c.business_id == payment.business_id,
            payments.c.payment_id == payment.payment_id,
        )
        .values(attempt="running", updated_at=transaction.now)
    )
    return payment


async def settle_payment(transaction: Transaction, payment: Payment, settled: Settled) -> None:
    """Write what became of an attempt. Only the one who works on a payment may."""
    result = await transaction.connection.execute(
        update(payments)
        .where(
            payments.c.business_id == payment.business_id,
            payments.c.payment_id == payment.payment_id,
            payments.c.attempt == "running",
        )
        .values(
            status=settled.status,
            attempt=settled.attempt,
            transaction_id=settled.transaction_id,
            decline_code=settled.decline_code,
            updated_at=transaction.now,
        )
    )
    assert result.rowcount == 1, "a payment is settled once, by the one who works on it"


async def release_attempts(transaction: Transaction) -> int:
    """Mark the attempts that a dead process left running as unknown; return how many.

    Right only where one process serves the database, at its start.
    """
    result = await transaction.connection.execute(
        update(payments)
        .where(payments.c.attempt == "running")
        .values(attempt="unknown", updated_at=transaction.now)
    )
    return result.rowcount


async def payment_page(
    transaction: Transaction, *, business_id: str, which: PaymentFilter, page: PageRequest
) -> tuple[list[Payment], int]:
    """Return a page of the business's payments, newest first, and how many there are."""
    conditions: list[ColumnElement[bool]] = [
        payments.c.business_id == business_id,
        payments.c.env == which.env,
    ]
    for column, value in (
        (payments.c.user_id, which.user_id),
        (payments.c.status, which.status),
        (payments.c.gateway, which.gateway),
    ):
        if value is not None:
            conditions.append(column == value)
    if page.from_date is not None:
        conditions.append(payments.c.created_at >= page.from_date)
    if page.to_date is not None:
        conditions.append(payments.c.created_at <= page.to_date)
    total = await transaction.connection.execute(
        select(func.count()).select_from(payments).where(*conditions)
    )
    rows = await transaction.connection.execute(
        select(*_COLUMNS)
        .where(*conditions)
        .order_by(payments.c.created_at.desc(), payments.c.payment_id.desc())
        .limit(page.limit)
        .offset(page.offset)
    )
    return [Payment(*row) for row in rows], total.scalar_one()
