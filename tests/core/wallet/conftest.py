"""Migrated databases for tests of the ledger."""

from collections.abc import AsyncIterator

import pytest

from core.database.migrations.upgrade import migrate
from core.database.transactions import Database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database of each kind."""
    async for opened in migrated(database_url):
        yield opened


@pytest.fixture
async def postgresql_only(postgresql_database: str) -> AsyncIterator[Database]:
    """A migrated PostgreSQL, where transactions run side by side."""
    async for opened in migrated(postgresql_database):
        yield opened


async def migrated(url: str) -> AsyncIterator[Database]:
    opened = Database(url)
    await migrate(opened)
    yield opened
    await opened.close()
