"""SQL of the log entries of recurring jobs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime

from sqlalchemy import and_, or_, select, update

from core.database.bulk_sql import BulkInsert
from core.database.paging import Page, PagedList, PageRequest
from core.database.schema import LOG_STATUSES
from core.database.schema import recurring_logs as logs
from core.database.transactions import Transaction


@dataclass(frozen=True, slots=True)
class Log:
    """A log entry as stored."""

    business_id: str
    log_id: str
    recurring_id: str
    user_id: str
    occurrence: datetime
    attempt: int
    """From 1; 0 for an occurrence that the catch-up rule skipped."""
    status: str
    message: str
    transaction_id: str | None
    payment_id: str | None
    attempted_at: datetime


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Conditions for the log entries to list; None is no condition."""

    recurring_id: str | None = None
    user_id: str | None = None
    status: str | None = None


_COLUMNS = tuple(logs.c[each.name] for each in fields(Log))
_LOGS = PagedList(
    "recurring_logs",
    columns=_COLUMNS,
    row=Log,
    key=(logs.c.business_id, logs.c.log_id),
    moment=logs.c.attempted_at,
    order=(logs.c.attempted_at, logs.c.log_id),
)
_INSERT = BulkInsert(logs)


async def insert_logs(transaction: Transaction, rows: Sequence[Log]) -> None:
    """Store log entries, if there are any."""
    if rows:
        await _INSERT.execute(transaction.connection, [asdict(row) for row in rows])


async def put_log(transaction: Transaction, log: Log) -> Log:
    """Store the log entry of an attempt in place of the one that it has, whose id it keeps."""
    stored = await log_of_attempt(
        transaction, log.business_id, log.recurring_id, log.occurrence, log.attempt
    )
    if stored is None:
        await insert_logs(transaction, [log])
        return log
    changed = replace(log, log_id=stored.log_id, attempted_at=stored.attempted_at)
    if changed != stored:
        await transaction.connection.execute(
            update(logs)
            .where(logs.c.business_id == log.business_id, logs.c.log_id == stored.log_id)
            .values(
                status=log.status,
                message=log.message,
                transaction_id=log.transaction_id,
                payment_id=log.payment_id,
            )
        )
    return changed


async def log_of_attempt(
    transaction: Transaction,
    business_id: str,
    recurring_id: str,
    occurrence: datetime,
    attempt: int,
) -> Log | None:
    """Return the log entry of an attempt, or None if it has no outcome yet."""
    rows = await transaction.connection.execute(
        select(*_COLUMNS).where(
            logs.c.business_id == business_id,
            logs.c.recurring_id == recurring_id,
            logs.c.occurrence == occurrence,
            logs.c.attempt == attempt,
        )
    )
    row = rows.one_or_none()
    return Log(*row) if row else None


async def charged_payment(
    transaction: Transaction, business_id: str, recurring_id: str, occurrence: datetime
) -> str | None:
    """Return the payment of an occurrence's attempt that is logged as succeeded, or None."""
    rows = await transaction.connection.execute(
        select(logs.c.payment_id)
        .where(
            logs.c.business_id == business_id,
            logs.c.recurring_id == recurring_id,
            logs.c.occurrence == occurrence,
            logs.c.status == "succeeded",
            logs.c.payment_id.is_not(None),
        )
        .order_by(logs.c.attempt)
        .limit(1)
    )
    return rows.scalar_one_or_none()


async def open_payments(
    transaction: Transaction,
    business_id: str,
    recurring_id: str,
    open_occurrence: datetime | None,
) -> list[str]:
    """Return the payments of a job that customers could still complete, by its log.

    Those that wait for their customer or a review, and the declined ones of the open occurrence.
    """
    is_declined = and_(logs.c.status == "declined", logs.c.occurrence == open_occurrence)
    rows = await transaction.connection.execute(
        select(logs.c.payment_id).where(
            logs.c.business_id == business_id,
            logs.c.recurring_id == recurring_id,
            logs.c.payment_id.is_not(None),
            or_(logs.c.status == "requires_action", is_declined),
        )
    )
    return [row.payment_id for row in rows]


async def unpaid_payments(
    transaction: Transaction, business_id: str, recurring_id: str, occurrence: datetime
) -> list[str]:
    """Return the payments of an occurrence that customers could still complete, by its log."""
    rows = await transaction.connection.execute(
        select(logs.c.payment_id).where(
            logs.c.business_id == business_id,
            logs.c.recurring_id == recurring_id,
            logs.c.occurrence == occurrence,
            logs.c.payment_id.is_not(None),
            logs.c.status.in_(("requires_action", "declined")),
        )
    )
    return [row.payment_id for row in rows]


async def log_page(
    transaction: Transaction, *, business_id: str, which: LogFilter, page: PageRequest
) -> Page[Log]:
    """Return a page of the business's log entries, newest first."""
    equal = {
        logs.c.business_id: business_id,
        logs.c.recurring_id: which.recurring_id,
        logs.c.user_id: which.user_id,
        logs.c.status: which.status,
    }
    return await _LOGS.read(transaction, page, equal=equal, words={logs.c.status: LOG_STATUSES})
