"""Empty databases."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from core.database.transactions import Database
from tests.databases import drop_database, empty_database


@pytest.fixture
def empty_postgresql(postgresql: str) -> Iterator[str]:
    """An empty PostgreSQL database."""
    url = empty_database(postgresql)
    yield url
    drop_database(postgresql, url)


@pytest.fixture
def second_postgresql(postgresql: str) -> Iterator[str]:
    """Another one."""
    url = empty_database(postgresql)
    yield url
    drop_database(postgresql, url)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url: str = request.getfixturevalue("empty_postgresql")
    return url


@pytest.fixture
def second_url(empty_url: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Another one of the same kind."""
    if empty_url.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'second.db'}"
    url: str = request.getfixturevalue("second_postgresql")
    return url


@pytest.fixture
async def database(empty_url: str) -> AsyncIterator[Database]:
    """An open, empty database of each kind."""
    opened = Database(empty_url)
    yield opened
    await opened.close()


@pytest.fixture
async def second_database(second_url: str) -> AsyncIterator[Database]:
    """Another one of the same kind."""
    opened = Database(second_url)
    yield opened
    await opened.close()
