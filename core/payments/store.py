"""SQL of payments."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    and_,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from core.database.bulk_sql import one_of
from core.database.paging import Page, PagedList, PageRequest
from core.database.schema import GATEWAYS, PAYMENT_STATUSES, UtcDateTime, payments
from core.database.transactions import Transaction
from core.due_work.rules import Key
from core.due_work.store import PAYMENTS, RELEASED
from core.payments.rules import CANCELABLE, PaymentUpdate, pause_after

LOOK_TIME = timedelta(minutes=2)
"""Longest time of a look at a payment that is not pending: some calls to its gateway."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The core that owns a running attempt, and the end of its lease unless renewed."""

    owner: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as stored. `attempt`, `lease`, `joinable`: see core.payments.attempts."""

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
    """Number of attempts that ended and of looks since the last outcome; sets the next pause."""
    transaction_id: str | None
    decline_code: str | None
    answered: bool
    created_at: datetime
    updated_at: datetime
    sent_at: datetime | None = None
    """Time of the last resend to the gateway; None if it was never resent."""
    amount_refunded_minor: int = 0
    look_at: datetime | None = None
    """When the core looks at the payment again; None: never."""
    cancel_at: datetime | None = None
    """Since when the payment is to be canceled at its gateway."""
    responding_core: str | None = None
    """Of an unanswered success: the core that is sending the response. Stored in `lease_owner`."""


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    """Payments to list; None matches all."""

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
    payments.c.look_at,
    payments.c.cancel_at,
)


_succeeded_at = func.coalesce(payments.c.succeeded_at, payments.c.updated_at)
"""When a payment succeeded. Later events and the delivery of the response move `updated_at`."""
_COLUMN_NAMES = tuple(column.key for column in _COLUMNS)
_PAYMENTS: PagedList[Payment] = PagedList(
    "payments",
    columns=_COLUMNS,
    row=lambda *row: _payment(row),
    key=(payments.c.business_id, payments.c.payment_id),
    moment=payments.c.created_at,
    order=(payments.c.created_at, payments.c.payment_id),
)
_WORDS = {payments.c.gateway: GATEWAYS, payments.c.status: PAYMENT_STATUSES}


async def insert_payment(transaction: Transaction, payment: Payment) -> None:
    """Insert a payment."""
    columns = asdict(payment)
    for name in ("lease", "responding_core"):
        del columns[name]
    columns["look_at"] = payment.lease and payment.lease.until
    await transaction.connection.execute(
        insert(payments).values(**columns, **_lease_columns(payment.lease))
    )


def _lease_columns(lease: Lease | None) -> dict[str, object]:
    return {"lease_owner": lease and lease.owner, "leased_until": lease and lease.until}


def _payment(row: Iterable[Any]) -> Payment:
    columns = dict(zip(_COLUMN_NAMES, row, strict=True))
    owner, until = columns.pop("lease_owner"), columns.pop("leased_until")
    lease = Lease(owner, until) if until else None
    return Payment(**columns, lease=lease, responding_core=None if until else owner)


async def payment_exists(transaction: Transaction, *, business_id: str, payment_id: str) -> bool:
    """Return whether the business has a payment with this id."""
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
        select(*_COLUMNS)
        .where(*conditions)
        .order_by(payments.c.created_at, payments.c.payment_id)
        .with_for_update()
    )
    return [_payment(row) for row in rows]


async def payment_by_id(
    transaction: Transaction, *, business_id: str, payment_id: str, lock: bool = True
) -> Payment:
    """Return a payment that exists; with `lock`, lock its row until the transaction ends."""
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
    """Return the payment with the gateway's id, or else with our id, without a lock; or None."""
    ids = ((payments.c.transaction_id, transaction_id), (payments.c.payment_id, payment_id))
    for column, value in ids:
        if value is None:
            continue
        rows = await transaction.connection.execute(
            select(*_COLUMNS)
            .where(
                payments.c.business_id == business_id,
                payments.c.gateway == gateway,
                payments.c.env == env,
                column == value,
            )
            .order_by(payments.c.created_at)
            .limit(1)
        )
        if row := rows.one_or_none():
            return _payment(row)
    return None


async def write_state(
    transaction: Transaction,
    payment: Payment,
    *,
    status: str,
    transaction_id: str | None,
    decline_code: str | None,
    amount_refunded_minor: int,
) -> None:
    """Update a payment that has its outcome."""
    assert payment.attempt is None, "a pending payment gets its outcome first"
    await _update(
        transaction,
        payment,
        {
            "status": status,
            "transaction_id": transaction_id,
            "decline_code": decline_code,
            "amount_refunded_minor": amount_refunded_minor,
            "checks": 0,
            **RELEASED,
        },
    )


async def check_now(transaction: Transaction, payment: Payment) -> None:
    """Make an open payment due now."""
    if payment.attempt in ("unknown", "not_sent"):
        await _update(transaction, payment, {"look_at": transaction.now, "attempt": "unknown"})


async def look_later(transaction: Transaction, payment: Payment, at: datetime | None) -> None:
    """Look at a payment with an outcome again at this time; None: never."""
    assert payment.attempt is None, "an open payment is looked at by its attempt's state"
    await _update(transaction, payment, {"look_at": at})


async def put_off_look(transaction: Transaction, payment: Payment) -> None:
    """Put off a payment with an outcome for longer than a look at it takes."""
    pause = max(pause_after(payment.checks), LOOK_TIME)
    columns = {"look_at": transaction.now + pause, "checks": payment.checks + 1}
    await _update(transaction, payment, columns)


async def cancel_payments(
    transaction: Transaction,
    business_id: str,
    payment_ids: Sequence[str | None],
    *,
    only_authentications: bool = False,
) -> None:
    """Have payments canceled at their gateway now, unless they are charged.

    `only_authentications` leaves those alone that the gateway holds for review.
    """
    if payment_ids:
        await transaction.connection.execute(
            update(payments)
            .where(
                payments.c.business_id == business_id,
                payments.c.payment_id.in_(payment_ids),
                payments.c.status.in_(("requires_action",) if only_authentications else CANCELABLE),
            )
            .values(cancel_at=transaction.now, look_at=transaction.now)
        )


async def lease_attempt(
    transaction: Transaction, payment: Payment, lease: Lease, *, is_sent: bool
) -> None:
    """Set an open attempt running again, joinable by equal requests.

    With `is_sent` the charge goes to the gateway at once.
    """
    columns = {
        "attempt": "running",
        "joinable": True,
        "look_at": lease.until,
        **_lease_columns(lease),
    }
    if is_sent:
        columns["sent_at"] = transaction.now
    await _update(transaction, payment, columns)


async def record_resend(transaction: Transaction, payment: Payment, owner: str) -> bool:
    """Store that the charge is sent again, and return whether `owner` still has the lease."""
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

    Skips rows that are locked, to be renewed next time, so that renewals cannot deadlock.
    """
    key = (payments.c.business_id, payments.c.payment_id)
    free = (
        select(payments.c.business_id, payments.c.payment_id)
        .where(
            one_of(transaction.connection, key, keys),
            payments.c.lease_owner == lease.owner,
            payments.c.attempt == "running",  # a responding core is no lease owner
        )
        .with_for_update(skip_locked=True)
    )
    if keys:
        await transaction.connection.execute(
            update(payments)
            .where(tuple_(*key).in_(free))
            .values(leased_until=lease.until, look_at=lease.until, joinable=joinable)
        )


async def update_payment(
    transaction: Transaction,
    payment: Payment,
    changes: PaymentUpdate,
    *,
    answered: bool,
    responding_core: str | None = None,
) -> None:
    """End an attempt: write its outcome, and whether a caller has the response or gets it now."""
    columns = asdict(changes)
    pause = columns.pop("check_after")
    columns |= {"answered": answered, "lease_owner": responding_core, "leased_until": None}
    columns |= {"look_at": pause and transaction.now + pause, "checks": payment.checks + 1}
    if changes.status != "pending":
        columns |= {"checks": 0, **RELEASED}
    await _update(transaction, payment, columns)


async def due_payment(transaction: Transaction, key: Key) -> Payment | None:
    """Lock and return a payment that is due; None if it is not, or is locked by others."""
    rows = await transaction.connection.execute(
        select(*_COLUMNS)
        .where(PAYMENTS.is_key(key), PAYMENTS.is_due(transaction.now))
        .with_for_update(skip_locked=True)
    )
    row = rows.one_or_none()
    return _payment(row) if row else None


async def set_responding_core(transaction: Transaction, payment: Payment, core_id: str) -> None:
    """Store which core sends the response of an unanswered success."""
    await _update(transaction, payment, {"lease_owner": core_id})


async def set_answered(transaction: Transaction, payment: Payment) -> None:
    """Store that a caller received the response; no core sends it any more."""
    await _update(transaction, payment, {"answered": True, "lease_owner": None})


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


async def _update(
    transaction: Transaction, payment: Payment, columns: Mapping[str, object]
) -> None:
    if columns.get("status") == "succeeded":
        now = literal(transaction.now, UtcDateTime)
        columns = {**columns, "succeeded_at": func.coalesce(payments.c.succeeded_at, now)}
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
) -> Page[Payment]:
    """Return a page of the business's payments, newest first."""
    filters = {
        payments.c.user_id: which.user_id,
        payments.c.gateway: which.gateway,
        payments.c.status: which.status,
    }
    return await _PAYMENTS.read(
        transaction,
        page,
        equal={payments.c.business_id: business_id, payments.c.env: which.env, **filters},
        words=_WORDS if any(filters.values()) else None,  # ix_payments_newest has all payments
    )
