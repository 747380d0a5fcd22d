"""SQL of the test clocks, and the current time of jobs."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import case, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.database.schema import test_clocks
from core.database.transactions import Transaction

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class JobClock:
    """The time of jobs: the database's, plus the business's test clock offset for TEST jobs."""

    has_test_clocks: bool
    """If false, TEST jobs use the database's time too."""

    async def now_for(self, transaction: Transaction, business_id: str, env: str) -> datetime:
        """Return the current time of a business's jobs in an environment."""
        if env != "TEST" or not self.has_test_clocks:
            return transaction.now
        return transaction.now + await clock_offset(transaction, business_id=business_id)


async def clock_offset(
    transaction: Transaction, *, business_id: str, lock: bool = False
) -> timedelta:
    """Return the offset of a business's test clock; `lock` creates its row and locks it."""
    query = select(test_clocks.c.ahead_microseconds).where(test_clocks.c.business_id == business_id)
    if lock:
        insert_for = postgresql if transaction.connection.dialect.name == "postgresql" else sqlite
        await transaction.connection.execute(
            insert_for.insert(test_clocks)
            .values(
                business_id=business_id,
                env="TEST",
                ahead_microseconds=0,
                updated_at=transaction.now,
            )
            .on_conflict_do_nothing()
        )
        query = query.with_for_update()
    ahead = await transaction.connection.scalar(query)
    return timedelta(microseconds=ahead or 0)


async def advanced_clocks(transaction: Transaction) -> list[tuple[str, timedelta]]:
    """Return business id and offset of every test clock that was advanced."""
    rows = await transaction.connection.execute(
        select(test_clocks.c.business_id, test_clocks.c.ahead_microseconds).where(
            test_clocks.c.ahead_microseconds > 0
        )
    )
    return [(row[0], timedelta(microseconds=row[1])) for row in rows]


async def advance_clock(transaction: Transaction, *, business_id: str, offset: timedelta) -> None:
    """Set the offset of a business's test clock, whose row exists. It never decreases."""
    microseconds = offset // _MICROSECOND
    greater = case(
        (test_clocks.c.ahead_microseconds > microseconds, test_clocks.c.ahead_microseconds),
        else_=microseconds,
    )
    result = await transaction.connection.execute(
        update(test_clocks)
        .where(test_clocks.c.business_id == business_id)
        .values(ahead_microseconds=greater, updated_at=transaction.now)
    )
    assert result.rowcount == 1, "the row was created when it was locked"
