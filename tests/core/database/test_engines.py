"""Which database URLs work, and what is told of those that cannot."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from core.database.engines import engine_for
from core.database.transactions import Database, DatabaseUnavailableError
from tests.core.server.tls_server import tls_door, write_certificate


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("sslmode=on", "sslmode is not one of disable, allow, prefer, require, verify-ca, verify-"),
        ("ssl=yes", "sslmode is not one of"),
        ("sslrootcert=/no/such/ca.pem", "the file of sslrootcert does not exist"),
        ("channel_binding=require", "the option channel_binding is not supported; those are host"),
        ("sslmode=require&options=-csearch_path%3Dx", "the option options is not supported"),
    ],
)
def test_an_option_that_cannot_work_is_refused_by_name(query: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as refused:
        engine_for(f"postgresql://u:obviously-fake@127.0.0.1/x?{query}")
    assert str(refused.value).startswith("NIVISCO_DATABASE_URL: ")
    assert "obviously-fake" not in str(refused.value)


@pytest.mark.parametrize("url", ["x", "postgresql://u:obviously-fake@host:port/x"])
def test_what_is_no_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match="NIVISCO_DATABASE_URL is not a database URL") as refused:
        engine_for(url)
    assert "obviously-fake" not in str(refused.value)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """The door's key and certificate."""
    path = tmp_path / "server.pem"
    write_certificate(path)
    return path


@pytest.fixture
async def door(postgresql: str, certificate: Path) -> AsyncIterator[str]:
    """The URL of a PostgreSQL that speaks TLS."""
    async with tls_door(socket_of(postgresql), certificate) as port:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"


def socket_of(url: str) -> Path:
    return Path(str(make_url(url).query["host"])) / ".s.PGSQL.5432"


@pytest.mark.parametrize(
    "query",
    [
        "?sslmode=require",
        "?ssl=true",
        "?sslmode=verify-full&sslrootcert={certificate}",
        "?sslmode=disable",
        "",
    ],
)
async def test_tls_is_asked_for_as_in_libpq(door: str, certificate: Path, query: str) -> None:
    database = Database(door + query.format(certificate=certificate))
    async with database.transaction() as transaction:
        assert await transaction.connection.scalar(text("SELECT 1")) == 1
        raw = await transaction.connection.get_raw_connection()
        driver = raw.driver_connection
        assert driver is not None
        encrypted = driver._transport.get_extra_info("ssl_object") is not None
    await database.close()
    assert encrypted == ("disable" not in query)


async def test_a_certificate_of_somebody_else_is_refused(door: str, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    write_certificate(other)
    database = Database(f"{door}?sslmode=verify-full&sslrootcert={other}")
    with pytest.raises(DatabaseUnavailableError, match="certificate verify failed"):
        await database.ping()
    await database.close()


async def test_a_server_without_tls_is_refused_where_tls_is_asked_for(postgresql: str) -> None:
    async with tls_door(socket_of(postgresql), None) as port:
        database = Database(f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=require")
        with pytest.raises(DatabaseUnavailableError, match="rejected SSL upgrade"):
            await database.ping()
        await database.close()
