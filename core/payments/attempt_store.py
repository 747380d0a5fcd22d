"""SQL of attempts: their leases, their ends, and the looks at them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    and_,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
    update,
)

from core.database.bulk_sql import BulkSelect, BulkUpdate
from core.database.schema import UtcDateTime, payments
from core.database.transactions import Transaction
from core.due_work.rules import Key
from core.due_work.store import PAYMENTS, RELEASED
from core.payments.rules import PaymentUpdate
from core.payments.store import (
    COLUMNS,
    Lease,
    Payment,
    PaymentKey,
    follow_caps,
    lease_columns,
    payment_of,
    update_columns,
)

_ENDED = (
    "status",
    "attempt",
    "transaction_id",
    "decline_code",
    "answered",
    "lease_owner",
    "look_at",
    "checks",
)
_STATUS = bindparam("new_status", type_=payments.c.status.type)
_NOW = bindparam("now", type_=UtcDateTime)
_OWNER = bindparam("of_owner", type_=payments.c.lease_owner.type)


def _unless_pending(column: Column[Any], value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return what a column of the first outcome is then: `value` at first, and never another."""
    return case((_STATUS == "pending", column), else_=func.coalesce(column, value))


_END_ATTEMPT = (
    update(payments)
    .where(
        payments.c.business_id == bindparam("of_business"),
        payments.c.payment_id == bindparam("of_payment"),
        or_(
            _OWNER.is_(None),
            and_(payments.c.attempt == "running", payments.c.lease_owner == _OWNER),
        ),
    )
    .values(
        {name: bindparam(f"new_{name}", type_=payments.c[name].type) for name in _ENDED}
        | {
            "leased_until": None,
            "updated_at": _NOW,
            "succeeded_at": case(
                (_STATUS == "succeeded", func.coalesce(payments.c.succeeded_at, _NOW)),
                else_=payments.c.succeeded_at,
            ),
            "first_outcome": _unless_pending(payments.c.first_outcome, _STATUS),
            "first_outcome_at": _unless_pending(payments.c.first_outcome_at, _NOW),
        }
        | {
            name: case(
                (_STATUS == "pending", payments.c[name]),
                else_=literal(released, payments.c[name].type),
            )
            for name, released in RELEASED.items()
        }
    )
)

_KEY = ("business_id", "payment_id")
_LOCK_FREE_LEASES = BulkSelect(
    select(
        payments.c.business_id, payments.c.payment_id, payments.c.attempt, payments.c.lease_owner
    ).with_for_update(of=payments, skip_locked=True),
    payments,
    key=_KEY,
)
_RENEW_LEASES = BulkUpdate(payments, key=_KEY, changed=("leased_until", "look_at", "joinable"))


async def due_payment(transaction: Transaction, key: Key) -> Payment | None:
    """Lock and return a payment that is due; None if it is not, or is locked by others."""
    rows = await transaction.connection.execute(
        select(*COLUMNS)
        .where(PAYMENTS.is_key(key), PAYMENTS.is_due(transaction.now))
        .with_for_update(skip_locked=True)
    )
    row = rows.one_or_none()
    return payment_of(row) if row else None


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
        **lease_columns(lease),
    }
    if is_sent:
        columns["sent_at"] = transaction.now
    await update_columns(transaction, payment, columns)


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
    transaction: Transaction, joinable: Mapping[PaymentKey, bool], lease: Lease
) -> None:
    """Renew the owner's leases on running attempts, and store which of them are joinable.

    Skips rows that are locked, to be renewed next time, so that renewals cannot deadlock.
    """
    free = await _LOCK_FREE_LEASES.execute(transaction.connection, list(joinable))
    renewed = [
        {
            "business_id": row.business_id,
            "payment_id": row.payment_id,
            "joinable": joinable[row.business_id, row.payment_id],
            "leased_until": lease.until,
            "look_at": lease.until,
        }
        for row in free
        # A responding core is no lease owner.
        if row.attempt == "running" and row.lease_owner == lease.owner
    ]
    if renewed:
        await _RENEW_LEASES.execute(transaction.connection, renewed)


async def end_attempt(
    transaction: Transaction,
    payment: Payment,
    changes: PaymentUpdate,
    *,
    answered: bool,
    responding_core: str | None = None,
    owner: str | None = None,
) -> bool:
    """End an attempt: write its outcome, and whether a caller has the response or gets it now.

    With `owner`, only if that core has the attempt's lease; returns whether it is written. Without,
    the transaction has locked the payment.
    """
    pause, is_pending = changes.check_after, changes.status == "pending"
    result = await transaction.connection.execute(
        _END_ATTEMPT,
        {
            "of_business": payment.business_id,
            "of_payment": payment.payment_id,
            "of_owner": owner,
            "new_status": changes.status,
            "new_attempt": changes.attempt,
            "new_transaction_id": changes.transaction_id,
            "new_decline_code": changes.decline_code,
            "new_answered": answered,
            "new_lease_owner": responding_core,
            "new_look_at": transaction.now + pause if pause else None,
            "new_checks": payment.checks + 1 if is_pending else 0,
            "now": transaction.now,
        },
    )
    is_ended = result.rowcount == 1
    assert owner is not None or is_ended, "a payment's row is never deleted"
    if is_ended:
        await follow_caps(transaction, payment, changes.status)
    return is_ended
