"""SQL of the log entries of recurring jobs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from sqlalchemy import ColumnElement

from core.database.bulk_sql import BulkInsert
from core.database.paging import PageRequest, page_of
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
_INSERT = BulkInsert(logs)


async def insert_logs(transaction: Transaction, rows: Sequence[Log]) -> None:
    """Store log entries, if there are any."""
    if rows:
        await _INSERT.execute(transaction.connection, [asdict(row) for row in rows])


async def log_page(
    transaction: Transaction, *, business_id: str, which: LogFilter, page: PageRequest
) -> tuple[list[Log], int]:
    """Return a page of the business's log entries, newest first, and how many there are."""
    conditions: list[ColumnElement[bool]] = [logs.c.business_id == business_id]
    for column, value in (
        (logs.c.recurring_id, which.recurring_id),
        (logs.c.user_id, which.user_id),
        (logs.c.status, which.status),
    ):
        if value is not None:
            conditions.append(column == value)
    rows, total = await page_of(
        transaction,
        _COLUMNS,
        where=conditions,
        moment=logs.c.attempted_at,
        newest_first=[logs.c.attempted_at, logs.c.log_id],
        page=page,
    )
    return [Log(*row) for row in rows], total
