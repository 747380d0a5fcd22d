"""The migrations create the schema of core/database/schema.py on both databases."""

from collections.abc import Iterable, Mapping
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect

from core.database.migrations.upgrade import migrate
from core.database.schema import metadata
from core.database.transactions import Database


async def test_alembic_finds_nothing_to_change_in_a_migrated_database(database: Database) -> None:
    await migrate(database)
    async with database.migration() as connection:
        assert await connection.run_sync(differences) == []


def differences(connection: Connection) -> list[Any]:
    options = {"compare_type": True, "compare_server_default": True}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, metadata))


async def test_the_migrations_create_the_declared_tables(
    database: Database, second_database: Database
) -> None:
    """Compares CHECK constraints and partial indexes too, which Alembic does not."""
    await migrate(database)
    async with second_database.migration() as connection:
        await connection.run_sync(metadata.create_all)
        declared = await connection.run_sync(described)
    async with database.migration() as connection:
        migrated = await connection.run_sync(described)
    assert migrated == declared
    assert {name for name, table in declared.items() if table["checks"]} > {"wallets", "postings"}
    assert "is_primary" in str(declared["cards"]["indexes"])


def described(connection: Connection) -> dict[str, dict[str, object]]:
    inspector = inspect(connection)
    tables = sorted(set(inspector.get_table_names()) - {"alembic_version"})
    assert tables == sorted(metadata.tables)
    return {
        name: {
            "columns": [
                {**column, "type": repr(column["type"])} for column in inspector.get_columns(name)
            ],
            "primary": inspector.get_pk_constraint(name),
            "foreign": by_name(inspector.get_foreign_keys(name)),
            "unique": by_name(inspector.get_unique_constraints(name)),
            "checks": by_name(inspector.get_check_constraints(name)),
            "indexes": by_name(inspector.get_indexes(name)),
        }
        for name in tables
    }


def by_name(constraints: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    found = {str(each["name"]): plain(each) for each in constraints}
    assert "None" not in found, "every constraint has a name"
    return found


def plain(value: Any) -> Any:
    return (
        {key: plain(each) for key, each in value.items()} if hasattr(value, "items") else str(value)
    )
