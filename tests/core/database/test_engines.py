"""Database URLs: options, TLS, and errors that show no password."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from core.database.engines import engine_for
from core.database.postgresql import PostgresqlConnection
from core.database.transactions import Database, DatabaseUnavailableError
from tests.core.database.tls_proxy import tls_proxy, write_certificate


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("sslmode=on", "sslmode is not one of disable, allow, prefer, require, verify-ca, verify-"),
        ("ssl=yes", "sslmode is not one of"),
        ("sslrootcert=/no/such/ca.pem", "the file of sslrootcert does not exist"),
        ("channel_binding=require", "the option channel_binding is not supported; those are host"),
        ("sslmode=require&options=-csearch_path%3Dx", "the option options is not supported"),
    ],
)
def test_an_unusable_option_is_refused_by_its_name(query: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        engine_for(f"postgresql://u:obviously-fake@127.0.0.1/x?{query}")
    assert str(refused.value).startswith("NIVISCO_DATABASE_URL: ")
    assert "obviously-fake" not in str(refused.value)


@pytest.mark.parametrize("url", ["x", "postgresql://u:obviously-fake@host:port/x"])
def test_a_malformed_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="NIVISCO_DATABASE_URL is not a database URL") as refused:
        engine_for(url)
    assert "obviously-fake" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "needs a file"),
        ("mysql://root@localhost/x", "mysql is not supported"),
    ],
)
def test_an_unusable_database_url_is_refused(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        engine_for(url)


def test_a_sqlite_file_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="folder of the SQLite file does not exist"):
        engine_for(f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}")


async def test_a_file_that_is_not_a_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "n.db").write_bytes(b"not a database" * 100)
    database = Database(f"sqlite:///{tmp_path / 'n.db'}")
    with pytest.raises(DatabaseUnavailableError, match="not a database"):
        await database.ping()
    await database.close()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Key and certificate of the proxy."""
    path = tmp_path / "server.pem"
    write_certificate(path)
    return path


@pytest.fixture
async def tls_url(postgresql: str, certificate: Path) -> AsyncIterator[str]:
    """The URL of a PostgreSQL that speaks TLS."""
    async with tls_proxy(socket_of(postgresql), certificate) as port:
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
async def test_tls_options_mean_what_they_mean_in_libpq(
    tls_url: str, certificate: Path, query: str
) -> None:
    database = Database(tls_url + query.format(certificate=certificate))
    async with database.transaction() as transaction:
        assert await transaction.connection.scalar(text("SELECT 1")) == 1
        assert isinstance(transaction.connection, PostgresqlConnection)
        transport = transaction.connection._driver._transport
        encrypted = transport.get_extra_info("ssl_object") is not None
    await database.close()
    assert encrypted == ("disable" not in query)


async def test_a_certificate_of_another_authority_is_refused(tls_url: str, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    write_certificate(other)
    database = Database(f"{tls_url}?sslmode=verify-full&sslrootcert={other}")
    with pytest.raises(DatabaseUnavailableError, match="certificate verify failed"):
        await database.ping()
    await database.close()


async def test_a_server_without_tls_is_refused_if_tls_is_required(postgresql: str) -> None:
    async with tls_proxy(socket_of(postgresql), None) as port:
        database = Database(f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=require")
        with pytest.raises(DatabaseUnavailableError, match="rejected SSL upgrade"):
            await database.ping()
        await database.close()
