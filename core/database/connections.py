"""A connection to a database: executes SQLAlchemy statements on the driver, without its engine."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from enum import Enum
from types import TracebackType
from typing import Any, NamedTuple, TypeVar, TypeVarTuple, cast, overload

from sqlalchemy import Dialect, Executable
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.selectable import TypedReturnsRows

from core.database.changes import Change
from core.database.results import Rows
from core.database.statements import Columns, Compiler, Parameters

AuditRow = Mapping[str, Any]
"""A row of `audit_pending`."""
_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class Kind(Enum):
    """What a transaction is for."""

    SHORT = "short"
    """A few statements that find their rows by an index."""
    LONG = "long"
    """Statements that may take long, and must not delay anything else in this process."""
    SNAPSHOT = "snapshot"
    """Likewise; it only reads, and sees one state of the database."""


class DriverError(Exception):
    """What the driver reported, without values of rows, which its own error may contain."""

    def __init__(self, message: str, sqlstate: str | None = None) -> None:
        """Report `message`, with PostgreSQL's code of the error."""
        super().__init__(message)
        self.sqlstate = sqlstate


class Answer(NamedTuple):
    """What the driver returned for a text."""

    records: Sequence[Any]
    """Rows as tuples of the driver's values."""
    rowcount: int
    columns: Callable[[], Columns]


class Connection(ABC):
    """A connection, used by one task at a time.

    Errors of the database are those of `sqlalchemy.exc`, and TimeoutError. Statements that were
    cancelled or timed out have ended when the call returns.
    """

    _compiler: Compiler
    changes: list[Change]
    """What the open transaction wrote that the audit trail records."""
    audited: Sequence[AuditRow]
    """What its commit stores for the audit trail."""

    @property
    def dialect(self) -> Dialect:
        """SQLAlchemy's dialect of the database."""
        return self._compiler.dialect

    @overload
    async def execute(
        self,
        statement: TypedReturnsRows[*_Ts],
        parameters: Parameters | Sequence[Parameters] | None = None,
    ) -> Rows[*_Ts]: ...

    @overload
    async def execute(
        self, statement: Executable, parameters: Parameters | Sequence[Parameters] | None = None
    ) -> Rows[*tuple[Any, ...]]: ...

    async def execute(
        self, statement: Executable, parameters: Parameters | Sequence[Parameters] | None = None
    ) -> Rows[Any]:
        """Execute a statement, once for each of the `parameters` if they are a sequence.

        Raises:
            IntegrityError: a constraint is violated.
            DBAPIError, TimeoutError: the database cannot execute it, or not in time.
        """
        if isinstance(parameters, Sequence) and len(parameters) == 1:
            (parameters,) = parameters
        if parameters is None or isinstance(parameters, Mapping):
            compiled, extracted = self._compiler.compiled(statement, parameters)
            text, arguments = compiled.bound(parameters, extracted)
            answer = await self.run(text, arguments)
            if compiled.written is not None and answer.rowcount:
                self.changes += compiled.changes(parameters, extracted, arguments)
        else:
            compiled, extracted = self._compiler.compiled(statement, parameters[0])
            text, rows_of_arguments = compiled.bound_rows(parameters, extracted)
            answer = await self.run_many(text, rows_of_arguments)
            if compiled.written is not None and answer.rowcount:
                for each, arguments in zip(parameters, rows_of_arguments, strict=True):
                    self.changes += compiled.changes(each, extracted, arguments)
        rows = compiled.rows(answer.records, answer.columns) if answer.records else []
        return Rows(cast("Any", rows), answer.rowcount)

    async def scalar(self, statement: Executable, parameters: Parameters | None = None) -> Any:
        """Execute a statement and return the first column of its first row, or None."""
        return (await self.execute(statement, parameters)).scalar()

    def begin_nested(self) -> "Savepoint":
        """Return a savepoint: `async with` it, or await it to set it."""
        return Savepoint(self)

    @abstractmethod
    async def run(self, text: str, arguments: Sequence[Any] = ()) -> Answer:
        """Execute a text of the driver's dialect."""

    @abstractmethod
    async def run_many(self, text: str, rows: Sequence[Sequence[Any]]) -> Answer:
        """Execute a text once for each row of arguments."""

    @abstractmethod
    async def begin(self, kind: Kind) -> datetime | None:
        """Begin a transaction and return the database's time, if it has a clock of its own."""

    @abstractmethod
    async def commit(self) -> None:
        """Store the `audited` rows and commit, in one round trip.

        This is never cancelled, but a cancellation is raised once it has ended.

        Raises:
            DBAPIError, TimeoutError: the commit is not confirmed. The connection is unusable.
        """

    @abstractmethod
    async def rollback(self) -> None:
        """Roll back the transaction."""

    @property
    @abstractmethod
    def is_usable(self) -> bool:
        """Whether it is open, as far as this process knows."""

    @abstractmethod
    def drop(self) -> None:
        """End it at once, without waiting for the server."""

    @abstractmethod
    async def close(self) -> None:
        """Close it."""


class Savepoint:
    """A point in a transaction to which it can be rolled back."""

    _NAME = "nested"  # an inner one of the same name hides the outer one until it ends

    def __init__(self, connection: Connection) -> None:
        """Belong to the transaction of `connection`."""
        self._connection = connection
        self._changes = len(connection.changes)

    async def _set(self) -> "Savepoint":
        await self._connection.run(f"SAVEPOINT {self._NAME}")
        return self

    def __await__(self) -> Generator[Any, Any, "Savepoint"]:
        """Set it."""
        return self._set().__await__()

    async def rollback(self) -> None:
        """Undo what the transaction did since."""
        del self._connection.changes[self._changes :]
        await self._connection.run(f"ROLLBACK TO SAVEPOINT {self._NAME}")
        await self._connection.run(f"RELEASE SAVEPOINT {self._NAME}")

    async def __aenter__(self) -> "Savepoint":
        """Set it."""
        return await self._set()

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Keep what the block did, or undo it if the block raised."""
        if error is None:
            await self._connection.run(f"RELEASE SAVEPOINT {self._NAME}")
        elif isinstance(error, Exception) and not isinstance(error, TimeoutError):
            try:
                await self.rollback()
            except (DBAPIError, TimeoutError):
                self._connection.drop()  # the whole transaction fails


async def until_done(work: Awaitable[_T], cancel: Callable[[], None] | None = None) -> _T:
    """Wait until `work` has ended, also when this task is cancelled, which is raised then.

    A cancellation calls `cancel`, which may make the work end earlier.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if cancel is not None:
            cancel()
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # marks it as retrieved
        raise
