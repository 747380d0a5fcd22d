"""Fixtures for all tests: processes and databases."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import drop_database, fresh_database, fresh_sqlite, running_postgresql
from tests.optional_programs import pytest_configure, pytest_runtest_setup, pytest_terminal_summary
from tests.processes import Running, Start, start_process

__all__ = ["pytest_configure", "pytest_runtest_setup", "pytest_terminal_summary"]
"""Hooks of tests/optional_programs.py, which pytest looks up here."""


@pytest.fixture(scope="session", autouse=True)
def _quiet_poller() -> None:
    """Keep out of all logs what gRPC's poller says of the closed loops of earlier tests.

    It serves all loops. A test that looks for the one error in the log would find it by chance.
    """
    logging.getLogger("asyncio").addFilter(
        lambda record: "PollerCompletionQueue" not in record.getMessage()
    )


@pytest.fixture
def start() -> Iterator[Start]:
    """A function that starts `python <arguments>`; processes end with the test."""
    running: list[Running] = []

    def start_one(*arguments: str, **variables: str) -> Running:
        process = start_process(*arguments, **variables)
        running.append(process)
        return process

    yield start_one
    for process in running:
        process.end()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The PostgreSQL server of the run."""
    with running_postgresql() as url:
        yield url


@pytest.fixture
def postgresql_database(postgresql: str) -> Iterator[str]:
    """A new migrated PostgreSQL database."""
    url = fresh_database(postgresql)
    yield url
    drop_database(postgresql, url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database of each kind."""
    if request.param == "sqlite":
        return fresh_sqlite(tmp_path / "nivisco.db")
    url: str = request.getfixturevalue("postgresql_database")
    return url
