"""Pages of lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, func, select

from core.database.transactions import Transaction

DEFAULT_LIMIT = 25


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A page of a list: `page` counts from 1; both dates are inclusive."""

    page: int = 1
    limit: int = DEFAULT_LIMIT
    from_date: datetime | None = None
    to_date: datetime | None = None

    @property
    def offset(self) -> int:
        """Number of rows before this page."""
        return (self.page - 1) * self.limit


async def page_of(
    transaction: Transaction,
    columns: Sequence[ColumnElement[Any]],
    *,
    where: Sequence[ColumnElement[bool]],
    moment: Column[datetime],
    newest_first: Sequence[ColumnElement[Any]],
    page: PageRequest,
) -> tuple[list[tuple[Any, ...]], int]:
    """Return the rows of a page and the total; the dates of the page bound the column `moment`."""
    conditions = list(where)
    if page.from_date is not None:
        conditions.append(moment >= page.from_date)
    if page.to_date is not None:
        conditions.append(moment <= page.to_date)
    total = await transaction.connection.execute(
        select(func.count()).select_from(moment.table).where(*conditions)
    )
    rows = await transaction.connection.execute(
        select(*columns)
        .where(*conditions)
        .order_by(*(column.desc() for column in newest_first))
        .limit(page.limit)
        .offset(page.offset)
    )
    return [tuple(row) for row in rows], total.scalar_one()
