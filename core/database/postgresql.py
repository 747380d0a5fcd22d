"""A connection to PostgreSQL: asyncpg's prepared statements."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg
from sqlalchemy import exc
from sqlalchemy.dialects.postgresql import asyncpg as dialects

from core.database import audit_sql
from core.database.connections import Answer, Connection, DriverError, Kind, until_done
from core.database.statements import Columns, Compiler

PREPARED_MAX: Final = 500
"""Prepared statements of a connection."""
PLAN_SECONDS: Final = 10.0
"""How long a connection keeps its plans: one that was made for empty tables is a bad one soon."""
_BEGIN: Final = {
    Kind.SHORT: "BEGIN",
    Kind.LONG: "BEGIN",
    Kind.SNAPSHOT: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
}
_NEVER_SECONDS: Final = 86_400.0
_CLOCK: Final = "SELECT clock_timestamp()"
_KINDS: Final[tuple[tuple[type[Exception], type[exc.DBAPIError]], ...]] = (
    (asyncpg.IntegrityConstraintViolationError, exc.IntegrityError),
    (asyncpg.exceptions.SyntaxOrAccessError, exc.ProgrammingError),
    (asyncpg.exceptions.FeatureNotSupportedError, exc.NotSupportedError),
    (asyncpg.DataError, exc.DataError),
)
_OUTDATED: Final = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)
_Error: Final = (asyncpg.PostgresError, asyncpg.InterfaceError)
_compiler = Compiler(dialects.dialect())  # type: ignore[no-untyped-call]


async def connect(arguments: Mapping[str, Any]) -> asyncpg.Connection:
    """Return a new connection of asyncpg, with these arguments of `asyncpg.connect`.

    Raises:
        DBAPIError, OSError: the server does not accept it.
    """
    try:
        return await asyncpg.connect(**arguments)
    except _Error as error:
        raise _translated(error, None) from None


class PostgresqlConnection(Connection):
    """A connection of asyncpg."""

    _compiler = _compiler

    def __init__(self, driver: asyncpg.Connection, commit_seconds: float) -> None:
        """Own `driver`. A commit that takes longer than `commit_seconds` ends the connection."""
        self._driver = driver
        self._commit_seconds = commit_seconds
        self._prepared: dict[str, Any] = {}
        self._plans_end = asyncio.get_running_loop().time() + PLAN_SECONDS
        self._warning: str | None = None
        self.changes, self.audited = [], ()
        driver.add_log_listener(self._note_warning)

    async def run(self, text: str, arguments: Sequence[Any] = ()) -> Answer:
        """Execute a text, which is prepared at its first execution."""
        try:
            prepared = await self._prepared_for(text)
            records = await prepared.fetch(*arguments)
        except _Error as error:
            raise self._failed(error, text) from None
        return Answer(records, _rowcount(prepared.get_statusmsg()), _columns_of(prepared))

    async def run_many(self, text: str, rows: Sequence[Sequence[Any]]) -> Answer:
        """Execute a text for each row, in one round trip."""
        try:
            prepared = await self._prepared_for(text)
            records = await prepared.fetchmany(rows)
        except _Error as error:
            raise self._failed(error, text) from None
        rowcount = len(records) if prepared.get_attributes() else -1  # asyncpg has no status
        return Answer(records, rowcount, _columns_of(prepared))

    async def _prepared_for(self, text: str) -> Any:
        await self._renew_plans()
        if (prepared := self._prepared.get(text)) is not None:
            return prepared
        if len(self._prepared) >= PREPARED_MAX:
            del self._prepared[next(iter(self._prepared))]
        prepared = self._prepared[text] = await self._driver.prepare(text)
        return prepared

    async def _renew_plans(self) -> None:
        """Have all statements planned anew if the plans are old, between transactions."""
        now = asyncio.get_running_loop().time()
        if now >= self._plans_end and not self._driver.is_in_transaction():
            self._plans_end = now + PLAN_SECONDS
            await self._command("DISCARD PLANS")

    async def begin(self, kind: Kind) -> datetime | None:
        """Begin a transaction and return the server's time."""
        await self._renew_plans()
        await self._command(_BEGIN[kind])
        now = (await self.run(_CLOCK)).records[0][0]
        assert isinstance(now, datetime), "clock_timestamp() is a time"
        return now

    async def commit(self) -> None:
        """Commit, without asyncpg's timeout, which would cancel the COMMIT at the server.

        The rows of the audit trail go with the COMMIT: one message.
        """
        audit = f"{audit_sql.insert_text(self.audited)};" if self.audited else ""
        await until_done(self._commit(f"{audit}COMMIT"))

    async def _commit(self, text: str) -> None:
        self._warning = None
        end = asyncio.get_running_loop().call_later(self._commit_seconds, self.drop)
        try:
            status = await self._command(text, timeout=_NEVER_SECONDS)
        finally:
            end.cancel()
        assert status == "COMMIT", "a transaction whose statement failed is rolled back"
        if self._warning is not None:
            # The server stopped to wait for its standby, which may not have the commit.
            raise exc.OperationalError("COMMIT", None, DriverError(self._warning))

    def _note_warning(self, _driver: object, message: Any) -> None:
        if message.severity_en == "WARNING":
            self._warning = message.message

    async def rollback(self) -> None:
        """Roll back."""
        await self._command("ROLLBACK")

    async def _command(self, text: str, timeout: float | None = None) -> str:
        try:
            return str(await self._driver.execute(text, timeout=timeout))
        except _Error as error:
            raise self._failed(error, text.partition("(")[0]) from None

    def _failed(self, error: Exception, text: str) -> exc.DBAPIError:
        if isinstance(error, _OUTDATED):  # a migration changed the columns
            self._prepared.clear()
        return _translated(error, text, is_closed=self._driver.is_closed())

    @property
    def is_usable(self) -> bool:
        """Whether the connection is open."""
        return not self._driver.is_closed()

    def drop(self) -> None:
        """Abort the connection."""
        self._driver.terminate()

    async def close(self) -> None:
        """Close the connection once the server has confirmed it."""
        self._driver.remove_log_listener(self._note_warning)
        await self._driver.close()


def _columns_of(prepared: Any) -> Callable[[], Columns]:
    return lambda: [(each.name, each.type.oid) for each in prepared.get_attributes()]


def _rowcount(status: str) -> int:
    """Return the number of rows of a status as "UPDATE 3", or -1 if it has none."""
    _, _, count = status.rpartition(" ")
    return int(count) if count.isdecimal() else -1


def _translated(error: Exception, text: str | None, *, is_closed: bool = False) -> exc.DBAPIError:
    message = str(error.args[0]) if error.args else type(error).__name__
    if message.startswith("invalid input for query argument"):
        message, _, _ = message.partition(":")  # the value follows
    kind = next((kind for of, kind in _KINDS if isinstance(error, of)), exc.OperationalError)
    driver_error = DriverError(message, getattr(error, "sqlstate", None))
    return kind(text, None, driver_error, connection_invalidated=is_closed)
