"""The connection to a SQLite file.

Statements of a short transaction run where they are called, which takes as long as one change of
threads. What waits for the disk or another process (opening, a commit) and what may take long run
on the connection's thread, so that they never delay the event loop.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Final, TypeVar

from sqlalchemy import exc
from sqlalchemy.dialects.sqlite import pysqlite

from core.database import audit_sql
from core.database.connections import Answer, Connection, DriverError, Kind, until_done
from core.database.statements import Compiler

_PREPARED_MAX: Final = 500
PRAGMAS: Final = (
    "locking_mode=EXCLUSIVE",
    "journal_mode=WAL",
    "synchronous=FULL",
)
_compiler = Compiler(pysqlite.dialect())
_T = TypeVar("_T")


class SqliteConnection(Connection):
    """A connection of sqlite3."""

    _compiler = _compiler

    def __init__(self, driver: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        """Own `driver` and its `thread`."""
        self._driver = driver
        self._thread = thread
        self._is_usable = True
        self.changes, self.audited = [], ()
        self._is_long = False
        """Whether statements of this transaction run on the thread."""

    @classmethod
    async def open(cls, path: str, busy_seconds: float) -> "SqliteConnection":
        """Return a new connection; wait `busy_seconds` for another process to release the file.

        Raises:
            DBAPIError: it cannot be opened.
        """

        def opened() -> sqlite3.Connection:
            driver = sqlite3.connect(
                path,
                timeout=busy_seconds,
                isolation_level=None,  # the driver must not begin transactions itself
                check_same_thread=False,
                cached_statements=_PREPARED_MAX,
            )
            try:
                for pragma in (*PRAGMAS, "foreign_keys=ON"):
                    driver.execute(f"PRAGMA {pragma}").fetchall()
                driver.execute("BEGIN IMMEDIATE")  # waits for the lock, which it keeps
                driver.execute("ROLLBACK")
            except BaseException:
                driver.close()
                raise
            made.append(driver)
            return driver

        made: list[sqlite3.Connection] = []
        thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        try:
            driver = await until_done(asyncio.get_running_loop().run_in_executor(thread, opened))
        except BaseException as error:
            for each in made:  # opened, but nobody waits for it: it would keep the file's lock
                thread.submit(each.close)
            thread.shutdown(wait=False)
            if isinstance(error, sqlite3.Error):
                raise _translated(error, None) from None
            raise
        return cls(driver, thread)

    async def run(self, text: str, arguments: Sequence[Any] = ()) -> Answer:
        """Execute a text and read all of its rows."""
        if self._is_long:
            return await self._on_thread(lambda: self._run(text, arguments), self._driver.interrupt)
        return self._run(text, arguments)

    def _run(self, text: str, arguments: Sequence[Any]) -> Answer:
        try:
            cursor = self._driver.execute(text, arguments)
            return _answer(cursor, cursor.fetchall())
        except sqlite3.Error as error:
            raise _translated(error, text) from None

    async def run_many(self, text: str, rows: Sequence[Sequence[Any]]) -> Answer:
        """Execute a text for each row."""
        if self._is_long:
            return await self._on_thread(lambda: self._run_many(text, rows), self._driver.interrupt)
        return self._run_many(text, rows)

    def _run_many(self, text: str, rows: Sequence[Sequence[Any]]) -> Answer:
        first = self._run(text, rows[0])
        if not first.columns():  # it returns no rows, so that sqlite3 repeats it alone
            try:
                rest = self._driver.executemany(text, rows[1:])
            except sqlite3.Error as error:
                raise _translated(error, text) from None
            return first._replace(rowcount=first.rowcount + max(rest.rowcount, 0))
        records, count = list(first.records), first.rowcount
        for row in rows[1:]:
            answer = self._run(text, row)
            records += answer.records
            count += answer.rowcount
        return Answer(records, count, first.columns)

    async def begin(self, kind: Kind) -> datetime | None:
        """Begin a transaction."""
        self._is_long = kind is not Kind.SHORT
        self._run("BEGIN", ())
        return None

    async def commit(self) -> None:
        """Commit; synchronous=FULL waits for the disk."""
        if self.audited:
            await self.execute(audit_sql.INSERT, self.audited)
        await self._on_thread(lambda: self._run("COMMIT", ()))

    async def rollback(self) -> None:
        """Roll back, unless SQLite did, as after some errors."""
        if self._driver.in_transaction:
            self._run("ROLLBACK", ())

    async def _on_thread(
        self, work: Callable[[], _T], cancel: Callable[[], None] | None = None
    ) -> _T:
        loop = asyncio.get_running_loop()
        return await until_done(loop.run_in_executor(self._thread, work), cancel)

    @property
    def is_usable(self) -> bool:
        """Whether it was not closed."""
        return self._is_usable

    def drop(self) -> None:
        """Close it as soon as the thread has nothing else to do."""
        if self._is_usable:
            self._is_usable = False
            self._thread.submit(self._driver.close)
            self._thread.shutdown(wait=False)

    async def close(self) -> None:
        """Close it, which writes the log back to the file."""
        self._is_usable = False
        await self._on_thread(self._driver.close)
        self._thread.shutdown(wait=False)


def _answer(cursor: sqlite3.Cursor, records: list[Any]) -> Answer:
    columns = cursor.description or ()
    rowcount = cursor.rowcount if cursor.rowcount >= 0 else len(records)
    return Answer(records, rowcount, lambda: [(column[0], None) for column in columns])


def _translated(error: sqlite3.Error, text: str | None) -> exc.DBAPIError:
    kind = getattr(exc, type(error).__name__, exc.DBAPIError)
    assert issubclass(kind, exc.DBAPIError), "SQLAlchemy has the errors of the Python DB-API"
    return kind(text, None, DriverError(str(error)))
