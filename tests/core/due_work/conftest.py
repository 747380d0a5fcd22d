"""Fixtures: a migrated database of each kind."""

from collections.abc import AsyncIterator

import pytest

from core.database.migrations.upgrade import migrate
from core.database.transactions import Database
from tests.core.running import ShiftedClock


@pytest.fixture
def clock() -> ShiftedClock:
    """The database's clock, which a test can move."""
    return ShiftedClock()


@pytest.fixture
async def database(database_url: str, clock: ShiftedClock) -> AsyncIterator[Database]:
    """A migrated database of each kind."""
    database = Database(database_url, clock)
    await migrate(database)
    yield database
    await database.close()
