"""What the database is asked and told about payments."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, and_, insert, or_, select, tuple_, update

from core.database.paging import PageRequest, page_of
from core.database.schema import payments
from core.database.transactions import Transaction
from core.payments.rules import PaymentUpdate, pause_after


@dataclass(frozen=True, slots=True)
class Lease:
    """Which core works on a running attempt, and until when it does."""

    owner: str
    until: datetime


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
    lease: Lease | None
    joinable: bool
    checks: int
    """How often an outcome was asked for that the gateway did not tell."""
    transaction_id: str | None
    decline_code: str | None
    answered: bool
    created_at: datetime
    updated_at: datetime
    sent_at: datetime | None = None
    """When the order went to the gateway last, where it went again after the payment was made."""
    amount_refunded_minor: int = 0
    answering_core: str | None = None
    """Of a success that nobody is known to be told of: the core that tells it now, if it lives."""


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    """Which payments to list; what is None does not matter."""

    env: str
    user_id: str | None = None
    status: str | None = None
    gateway: str | None = None


_COLUMNS: tuple[Column[Any], ...] = (
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
    payments.c.lease_owner,
    payments.c.leased_until,
    payments.c.joinable,
    payments.c.checks,
    payments.c.transaction_id,
    payments.c.decline_code,
    payments.c.answered,
    payments.c.created_at,
    payments.c.sent_at,
    payments.c.amount_refunded_minor,
    payments.c.updated_at,
)


_COLUMN_NAMES = tuple(column.key for column in _COLUMNS)


async def insert_payment(transaction: Transaction, payment: Payment) -> None:
    """Store a payment that is about to be submitted."""
    columns = asdict(payment)
    for name in ("lease", "answering_core"):
        del columns[name]
    await transaction.connection.execute(
        insert(payments).values(**columns, **_columns_of(payment.lease))
    )


def _columns_of(lease: Lease | None) -> dict[str, object]:
    return {"lease_owner": lease and lease.owner, "leased_until": lease and lease.until}


def _payment(row: Iterable[Any]) -> Payment:
    columns = dict(zip(_COLUMN_NAMES, row, strict=True))
    owner, until = columns.pop("lease_owner"), columns.pop("leased_until")
    lease = Lease(owner, until) if until else None
    return Payment(**columns, lease=lease, answering_core=None if until else owner)


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
    return [_payment(row) for row in rows]


async def payment_by_id(
    transaction: Transaction, *, business_id: str, payment_id: str, lock: bool = True
) -> Payment:
    """Return a payment that exists; `lock` holds its row to the end of the transaction."""
    query = select(*_COLUMNS).where(
        payments.c.business_id == business_id, payments.c.payment_id == payment_id
    )
    rows = await transaction.connection.execute(query.with_for_update() if lock else query)
    return _payment(rows.one())


async def find_payment(
    transaction: Transaction,
    *,
    business_id: str,
    gateway: str,
    env: str,
    payment_id: str | None,
    transaction_id: str | None,
) -> Payment | None:
    """Return the payment of our id or of the gateway's, if there is one; it is not held."""
    is_it = [payments.c.payment_id == payment_id] if payment_id else []
    if transaction_id and not payment_id:
        is_it = [payments.c.transaction_id == transaction_id]
    if not is_it:
        return None
    rows = await transaction.connection.execute(
        select(*_COLUMNS)
        .where(
            payments.c.business_id == business_id,
            payments.c.gateway == gateway,
            payments.c.env == env,
            *is_it,
        )
        .order_by(payments.c.created_at)
        .limit(1)
    )
    row = rows.one_or_none()
    return _payment(row) if row else None


async def write_state(
    transaction: Transaction,
    payment: Payment,
    *,
    status: str,
    transaction_id: str | None,
    decline_code: str | None,
    amount_refunded_minor: int,
) -> None:
    """Write what became of a payment after its outcome."""
    assert payment.attempt is None, "a pending payment gets its outcome first"
    await _change(
        transaction,
        payment,
        {
            "status": status,
            "transaction_id": transaction_id,
            "decline_code": decline_code,
            "amount_refunded_minor": amount_refunded_minor,
        },
    )


async def look_now(transaction: Transaction, payment: Payment) -> None:
    """Have the sweep look at an open payment now."""
    if payment.attempt in ("unknown", "not_sent"):
        await _change(transaction, payment, {"check_at": transaction.now, "attempt": "unknown"})


async def take_attempt(
    transaction: Transaction, payment: Payment, lease: Lease, *, is_sent: bool
) -> None:
    """Take over an attempt that nobody works on. Equal requests mean this one from now on.

    `is_sent` where the order goes to the gateway at once.
    """
    columns = {"attempt": "running", "joinable": True, "check_at": None, **_columns_of(lease)}
    if is_sent:
        columns["sent_at"] = transaction.now
    await _change(transaction, payment, columns)


async def note_sent(transaction: Transaction, payment: Payment, owner: str) -> bool:
    """Note that the order goes to the gateway again, and tell whether it is `owner`'s to send."""
    result = await transaction.connection.execute(
        update(payments)
        .where(
            payments.c.business_id == payment.business_id,
            payments.c.payment_id == payment.payment_id,
            payments.c.attempt == "running",
            payments.c.lease_owner == owner,
        )
        .values(sent_at=transaction.now, updated_at=transaction.now)
    )
    return result.rowcount == 1


async def renew_leases(
    transaction: Transaction,
    keys: Sequence[tuple[str, str]],
    lease: Lease,
    *,
    joinable: bool,
) -> None:
    """Renew the owner's leases on running attempts, by business id and payment id.

    Rows that somebody holds just now are passed over, to be renewed next time: nobody waits here,
    so nobody waits in a circle.
    """
    key = tuple_(payments.c.business_id, payments.c.payment_id)
    free = (
        select(payments.c.business_id, payments.c.payment_id)
        .where(
            key.in_(keys),
            payments.c.lease_owner == lease.owner,
            payments.c.attempt == "running",  # and not one whose outcome is just being told
        )
        .with_for_update(skip_locked=True)
    )
    if keys:
        await transaction.connection.execute(
            update(payments)
            .where(key.in_(free))
            .values(leased_until=lease.until, joinable=joinable)
        )


async def update_payment(
    transaction: Transaction,
    payment: Payment,
    settled: PaymentUpdate,
    *,
    answered: bool,
    answering_core: str | None = None,
) -> None:
    """Write what became of an attempt, and whether a caller has been or is being told."""
    columns = asdict(settled)
    pause = columns.pop("check_after")
    columns |= {"answered": answered, "lease_owner": answering_core, "leased_until": None}
    columns |= {"check_at": pause and transaction.now + pause, "checks": payment.checks + 1}
    await _change(transaction, payment, columns)


async def due_payments(transaction: Transaction, *, limit: int) -> list[Payment]:
    """Return open payments that it is time to look at, and hold them; none that are held already.

    Those whose pause is over, and those whose core renewed no lease.
    """
    rows = await transaction.connection.execute(
        select(*_COLUMNS)
        .where(
            payments.c.status == "pending",
            or_(payments.c.check_at <= transaction.now, payments.c.leased_until <= transaction.now),
        )
        .order_by(payments.c.created_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [_payment(row) for row in rows]


async def look_later(transaction: Transaction, payment: Payment) -> None:
    """Leave an open payment that cannot be looked at now until later."""
    columns: dict[str, object] = {
        "attempt": "unknown",
        "check_at": transaction.now + pause_after(payment.checks),
        "checks": payment.checks + 1,
    }
    await _change(transaction, payment, columns | _columns_of(None))


async def set_answered(transaction: Transaction, payment: Payment, *, answered: bool) -> None:
    """Remember whether a caller was told the outcome; nobody tells it any more."""
    await _change(transaction, payment, {"answered": answered, "lease_owner": None})


async def take_answering(transaction: Transaction, payment: Payment, answering_core: str) -> None:
    """Remember which core tells the outcome from now on."""
    await _change(transaction, payment, {"lease_owner": answering_core})


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
    return [_payment(row) for row in rows], total
