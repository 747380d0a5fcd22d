"""What the database is asked and told about payments."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, insert, or_, select, update

from core.database import Transaction
from core.page_store import page_of
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
    answered: bool
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
    payments.c.answered,
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


async def unanswered_payments(
    transaction: Transaction,
    *,
    business_id: str,
    user_id: str,
    env: str,
    kind: str,
    amount_minor: int,
    currency: str,
    gateway: str | None,
    description: str | None,
    succeeded_since: datetime,
) -> list[Payment]:
    """Return what equal requests without a key left behind unanswered, oldest first.

    That is every pending payment, and those that succeeded since then. What failed moved no money.
    """
    conditions: list[ColumnElement[bool]] = [
        payments.c.business_id == business_id,
        payments.c.user_id == user_id,
        ~payments.c.answered,
        payments.c.env == env,
        payments.c.kind == kind,
        payments.c.amount_minor == amount_minor,
        payments.c.currency == currency,
        payments.c.description.is_not_distinct_from(description),
        payments.c.idempotency_key.is_(None),
        or_(
            payments.c.status == "pending",
            and_(payments.c.status == "succeeded", payments.c.updated_at >= succeeded_since),
        ),
    ]
    if gateway is not None:
        conditions.append(payments.c.gateway == gateway)
    rows = await transaction.connection.execute(
        select(*_COLUMNS)
        .where(*conditions)
        .order_by(payments.c.created_at, payments.c.payment_id)
        .with_for_update()
    )
    return [Payment(*row) for row in rows]


async def payment_of_key(
    transaction: Transaction, *, business_id: str, idempotency_key: str
) -> Payment | None:
    """Return the payment that was asked for under the key, or None; hold the key meanwhile.

    Of several, one that charged or may charge comes before those that were refused.
    """
    if transaction.connection.dialect.name == "postgresql":  # SQLite has one transaction at a time
        key = func.hashtextextended(f"{business_id}/{idempotency_key}", 0)
        await transaction.connection.execute(select(func.pg_advisory_xact_lock(key)))
    rows = await transaction.connection.execute(
        select(*_COLUMNS)
        .where(
            payments.c.business_id == business_id,
            payments.c.idempotency_key == idempotency_key,
        )
        .order_by(
            payments.c.status.in_(["pending", "succeeded"]).desc(),
            payments.c.created_at.desc(),
            payments.c.payment_id.desc(),
        )
        .limit(1)
        .with_for_update()
    )
    row = rows.one_or_none()
    return Payment(*row) if row else None


async def payment_by_id(transaction: Transaction, *, business_id: str, payment_id: str) -> Payment:
    """Return a payment that exists, and hold its row to the end of the transaction."""
    rows = await transaction.connection.execute(
        select(*_COLUMNS)
        .where(payments.c.business_id == business_id, payments.c.payment_id == payment_id)
        .with_for_update()
    )
    return Payment(*rows.one())


async def take_attempt(transaction: Transaction, payment: Payment) -> None:
    """Take over an attempt that nobody works on."""
    await _change(transaction, payment, {"attempt": "running"})


async def settle_payment(
    transaction: Transaction, payment: Payment, settled: Settled, *, answered: bool
) -> None:
    """Write what became of an attempt, and whether a caller is there to be told."""
    await _change(transaction, payment, {**asdict(settled), "answered": answered})


async def set_answered(transaction: Transaction, payment: Payment, *, answered: bool) -> None:
    """Remember whether a caller was told the outcome."""
    await _change(transaction, payment, {"answered": answered})


async def _change(
    transaction: Transaction, payment: Payment, columns: Mapping[str, object]
) -> None:
    result = await transaction.connection.execute(
        update(payments)
        .where(
            payments.c.business_id == payment.business_id,
            payments.c.payment_id == payment.payment_id,
        )
        .values(updated_at=transaction.now, **columns)
    )
    assert result.rowcount == 1, "a payment's row is never deleted"


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
    rows, total = await page_of(
        transaction,
        _COLUMNS,
        where=conditions,
        moment=payments.c.created_at,
        newest_first=[payments.c.created_at, payments.c.payment_id],
        page=page,
    )
    return [Payment(*row) for row in rows], total
