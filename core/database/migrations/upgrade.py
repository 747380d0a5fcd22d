"""Migrates a database to this version's schema, and checks which schema it has."""

from contextlib import suppress
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Index, inspect, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateIndex

from core.database.schema import metadata
from core.database.transactions import Database, DatabaseUnavailableError, DeadlockError

_HAS_REVISION = {
    "postgresql": text("SELECT to_regclass('alembic_version') IS NOT NULL"),
    "sqlite": text("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"),
}
_TRIES = 5
_REVISION = text("SELECT version_num FROM alembic_version")
_NOT_VALIDATED = text("""
    SELECT class.relname, constr.conname FROM pg_constraint AS constr
    JOIN pg_class AS class ON class.oid = constr.conrelid
    WHERE NOT constr.convalidated AND constr.connamespace = current_schema()::regnamespace
    ORDER BY 1, 2
""")
_INDEXES = text("""
    SELECT class.relname, index.indisvalid FROM pg_index AS index
    JOIN pg_class AS class ON class.oid = index.indexrelid
    WHERE class.relnamespace = current_schema()::regnamespace
""")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def head_revision() -> str:
    """Return the newest revision that this version knows."""
    return _revisions()[0]


@cache
def _revisions() -> tuple[str, ...]:
    """Return the revisions that this version knows, newest first; reading them takes a while."""
    scripts = ScriptDirectory.from_config(_config()).walk_revisions()
    return tuple(script.revision for script in scripts)


async def migrate(database: Database) -> str:
    """Run the missing revisions in one transaction, and return the newest.

    Revisions lock tables in another order than requests do. A migration that PostgreSQL ends for a
    deadlock with one has changed nothing, and is tried up to 5 times.

    On PostgreSQL, constraints that a revision adds as NOT VALID apply to all writes once it
    commits. The rows from before are checked after it, each constraint in a transaction whose lock
    admits readers and writers (postgresql.org/docs/current/sql-altertable.html, VALIDATE). Then
    the indexes of the schema that no revision made are built CONCURRENTLY, so that no lock of the
    transaction lasts as long as a build. Cores that start meanwhile work, and lists are slow. What
    a kill leaves, the next call checks and builds.

    Raises:
        DatabaseUnavailableError: the database does not answer, has a newer schema or tables of
            another application, or the role lacks a permission.
    """
    for _ in range(_TRIES - 1):
        with suppress(DeadlockError):
            return await _migrate(database)
    return await _migrate(database)


async def _migrate(database: Database) -> str:
    try:
        async with database.migration() as connection:
            revision = await connection.run_sync(_upgrade)
            unchecked = await connection.run_sync(_not_validated)
            unbuilt = await _unbuilt(connection)
        for table, constraint in unchecked:
            async with database.migration() as connection:
                await connection.execute(
                    text(f'ALTER TABLE "{table}" VALIDATE CONSTRAINT "{constraint}"')
                )
        if unbuilt:
            async with database.building() as connection:
                await _build(connection)
    except ProgrammingError as error:
        raise DatabaseUnavailableError(
            f"the database refuses the migration: {str(error.orig).splitlines()[0]}; "
            "the role has to own the schema"
        ) from error
    return revision


async def check_schema(database: Database) -> None:
    """Check that the database has this version's schema.

    Raises:
        DatabaseUnavailableError: the schema is missing, older or newer.
    """
    async with database.read() as transaction:
        connection = transaction.connection
        has_revision = await connection.scalar(_HAS_REVISION[connection.dialect.name])
        current = await connection.scalar(_REVISION) if has_revision else None
    if current is None:
        raise DatabaseUnavailableError("the database has no schema yet: run `nivisco migrate`")
    _refuse_unknown(current)
    if current != head_revision():
        raise DatabaseUnavailableError(
            f"the database is at revision {current}, this version needs {head_revision()}: "
            "run `nivisco migrate`"
        )


def _upgrade(connection: Connection) -> str:
    current = _current(connection)
    if current == head_revision():
        return current
    if current is not None:
        _refuse_unknown(current)
    elif taken := sorted(metadata.tables.keys() & inspect(connection).get_table_names()):
        raise DatabaseUnavailableError(
            f"the database has tables of another application ({', '.join(taken)}): "
            "give Nivisco a database of its own"
        )
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return head_revision()


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _not_validated(connection: Connection) -> list[tuple[str, str]]:
    """Return table and name of our constraints that were not checked for the rows from before."""
    if connection.dialect.name != "postgresql":
        return []
    rows = connection.execute(_NOT_VALIDATED)
    return [(table, name) for table, name in rows if table in metadata.tables]


async def _unbuilt(connection: AsyncConnection) -> dict[Index, bool]:
    """Return the indexes that are not there or not whole, and whether there is a part of them."""
    if connection.dialect.name != "postgresql":
        return {}
    found = {row.relname: row.indisvalid for row in await connection.execute(_INDEXES)}
    declared = [each for table in metadata.sorted_tables for each in table.indexes]
    by_name = sorted(declared, key=lambda index: str(index.name))
    return {each: each.name in found for each in by_name if not found.get(str(each.name))}


async def _build(connection: AsyncConnection) -> None:
    """Build the indexes. An interrupted build left a part, which is of no use."""
    for index, has_part in (await _unbuilt(connection)).items():
        if has_part:
            await connection.execute(text(f'DROP INDEX CONCURRENTLY "{index.name}"'))
        statement = str(CreateIndex(index).compile(dialect=connection.dialect))
        concurrently = statement.replace(" INDEX ", " INDEX CONCURRENTLY ", 1)
        await connection.exec_driver_sql(concurrently)


def _refuse_unknown(current: str) -> None:
    if current not in _revisions():
        raise DatabaseUnavailableError(
            f"the database is at revision {current}, which this version does not know: "
            "a newer version migrated it; run that one"
        )
