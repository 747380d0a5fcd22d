"""Records the statements that connections execute."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

from core.database.connections import Answer, Connection
from core.database.postgresql import PostgresqlConnection
from core.database.sqlite import SqliteConnection


class Executed(NamedTuple):
    """A statement with its arguments: those of one execution, or with `is_many` of each."""

    text: str
    arguments: Sequence[Any]
    is_many: bool


@contextmanager
def recorded() -> Iterator[list[Executed]]:
    """Record the statements of all connections, without those that begin and end transactions."""
    executed: list[Executed] = []

    def recording(driver: type[Connection], method: str) -> Any:
        run = getattr(driver, method)

        async def record(self: Connection, text: str, arguments: Sequence[Any] = ()) -> Answer:
            if "clock_timestamp()" not in text:
                executed.append(Executed(text, arguments, method == "run_many"))
            result: Answer = await run(self, text, arguments)
            return result

        return patch.object(driver, method, record)

    with (
        recording(PostgresqlConnection, "run"),
        recording(PostgresqlConnection, "run_many"),
        recording(SqliteConnection, "run"),
        recording(SqliteConnection, "run_many"),
    ):
        yield executed
