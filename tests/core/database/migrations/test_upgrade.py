"""A database of any version is migrated to this version's schema, or refused."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, bindparam, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from core.database.migrations import upgrade
from core.database.migrations.upgrade import check_schema, head_revision, migrate
from core.database.schema import UtcDateTime, payments, wallets
from core.database.transactions import Database, DatabaseUnavailableError, DeadlockError
from tests.core.database.migrations.rows import NOW, OLD_ROWS, ROWS, write

LATER = NOW + timedelta(hours=1)


async def to_revision(database: Database, revision: str) -> None:
    """Migrate the database to a revision."""

    def run(connection: Connection) -> None:
        config = upgrade._config()
        config.attributes["connection"] = connection
        move = command.downgrade if revision == "base" else command.upgrade
        move(config, revision)

    async with database.migration() as connection:
        await connection.run_sync(run)


async def with_old_rows(database: Database) -> None:
    await to_revision(database, "0001_first_light")
    for table, row in OLD_ROWS.items():
        await write(database, table, row)


async def rows(database: Database) -> dict[str, list[dict[str, Any]]]:
    async with database.transaction() as transaction:
        found = {}
        for table in OLD_ROWS:
            result = await transaction.connection.execute(text(f"SELECT * FROM {table}"))  # noqa: S608
            found[table] = [row._asdict() for row in result]
        return found


async def revision_of(database: Database) -> str:
    async with database.transaction() as transaction:
        query = text("SELECT version_num FROM alembic_version")
        return str(await transaction.connection.scalar(query))


async def test_an_upgrade_from_the_first_revision_keeps_every_row(database: Database) -> None:
    await with_old_rows(database)
    before = await rows(database)
    assert all(len(found) == 1 for found in before.values())
    assert await migrate(database) == head_revision()
    for table, (after,) in (await rows(database)).items():
        (old,) = before[table]
        assert {name: after[name] for name in old} == old
    await check_schema(database)


@pytest.mark.parametrize(
    ("status", "is_asked"),
    [("requires_action", True), ("held_for_review", True), ("declined", False)],
)
async def test_payments_that_wait_are_asked_for_after_an_upgrade(
    database: Database, status: str, is_asked: bool
) -> None:
    await to_revision(database, "0001_first_light")
    for table, row in OLD_ROWS.items():
        await write(database, table, row | ({"status": status} if table == "payments" else {}))
    await migrate(database)
    async with database.transaction() as transaction:
        look_at = await transaction.connection.scalar(text("SELECT look_at FROM payments"))
    assert (look_at is not None) == is_asked


async def test_open_payments_are_looked_at_after_an_upgrade_as_before(database: Database) -> None:
    await with_old_rows(database)
    await to_revision(database, "0008_cycles")
    changes = {"status": "pending", "answered": False, "joinable": False, "checks": 1}
    old = OLD_ROWS["payments"] | changes | {"transaction_id": None}
    columns = ", ".join([*old, "attempt", "lease_owner", "leased_until", "check_at"])
    names = [f":{name}" for name in columns.split(", ")]
    query = f"INSERT INTO payments ({columns}) VALUES ({', '.join(names)})"  # noqa: S608
    moments = {"lease_owner": None, "leased_until": None, "check_at": None}
    async with database.transaction() as transaction:
        for payment_id, attempt in (
            ("PAY-2", {"attempt": "running", "lease_owner": "core", "leased_until": NOW}),
            ("PAY-3", {"attempt": "unknown", "check_at": LATER}),
        ):
            row = old | moments | attempt | {"payment_id": payment_id}
            types = [
                bindparam(name, type_=UtcDateTime)
                for name in ("created_at", "updated_at", "leased_until", "check_at")
            ]
            await transaction.connection.execute(text(query).bindparams(*types), row)
    await migrate(database)
    async with database.transaction() as transaction:
        found = await transaction.connection.execute(
            select(payments.c.payment_id, payments.c.look_at).order_by(payments.c.payment_id)
        )
        expected = [("PAY-1", None), ("PAY-2", NOW), ("PAY-3", LATER)]
        assert [tuple(row) for row in found] == expected


async def test_what_users_owe_is_summed_up_by_an_upgrade(database: Database) -> None:
    await with_old_rows(database)
    await to_revision(database, "0012_decisions")
    old = OLD_ROWS["wallet_transactions"] | {"reason": "receivable", "payment_id": None}
    for version, (direction, amount_minor) in enumerate(
        [("credit", 500), ("credit", 100), ("debit", 200)], start=2
    ):
        changes = {"type": direction, "amount_minor": amount_minor, "version": version}
        row = old | changes | {"transaction_id": f"WTX-{version}"}
        await write(database, "wallet_transactions", row)
    await migrate(database)
    async with database.transaction() as transaction:
        query = select(wallets.c.receivable_minor, wallets.c.receivable_since)
        found = (await transaction.connection.execute(query)).one()
    assert tuple(found) == (400, NOW)


@pytest.mark.parametrize(
    ("table", "changes"),
    [
        ("cards", {"user_id": "USR-2", "card_id": "CRD-2", "gateway_card_id": "pm_2"}),
        ("payments", {"user_id": "USR-2", "payment_id": "PAY-2"}),
        ("wallets", {"user_id": "USR-2", "wallet_id": "WAL-2"}),
        ("wallet_transactions", {"wallet_id": "WAL-2", "transaction_id": "W", "payment_id": None}),
        ("postings", {"transaction_id": "WTX-2"}),
    ],
)
async def test_foreign_keys_are_enforced_after_an_upgrade(
    database: Database, table: str, changes: dict[str, Any]
) -> None:
    await with_old_rows(database)
    await migrate(database)
    with pytest.raises(IntegrityError, match=re.compile("foreign key", re.IGNORECASE)):
        await write(database, table, ROWS[table] | changes)


async def test_a_failed_upgrade_changes_nothing(database: Database) -> None:
    await with_old_rows(database)
    impossible = {"account": "WAL-0", "amount_minor": 0}
    await write(database, "postings", OLD_ROWS["postings"] | impossible)
    before = await rows(database)
    with pytest.raises(IntegrityError, match="ck_postings_amount_is_not_zero"):
        await migrate(database)
    assert await rows(database) == before
    assert await revision_of(database) == "0001_first_light"


async def test_a_downgrade_can_be_upgraded_again(
    database: Database,
) -> None:
    await migrate(database)
    await to_revision(database, "base")
    assert await migrate(database) == head_revision()


async def test_a_constraint_that_a_killed_migration_left_unchecked_is_validated(
    empty_postgresql: str,
) -> None:
    database = Database(empty_postgresql)
    await migrate(database)
    added = "ALTER TABLE users ADD CONSTRAINT ck_users_later CHECK (name <> '') NOT VALID"
    async with database.transaction() as transaction:
        await transaction.connection.run(added)
    await migrate(database)
    async with database.transaction() as transaction:
        query = text("SELECT bool_and(convalidated) FROM pg_constraint")
        assert await transaction.connection.scalar(query)
    await database.close()


@pytest.mark.parametrize(
    "interruption",
    [
        "DROP INDEX ix_webhook_events_received, ix_wallet_transactions_by_time",
        "UPDATE pg_index SET indisvalid = false"
        " WHERE indexrelid = 'ix_webhook_events_received'::regclass",
    ],
)
async def test_the_indexes_that_a_killed_migration_left_are_built(
    empty_postgresql: str, interruption: str
) -> None:
    database = Database(empty_postgresql)
    valid = text("SELECT indexrelid::regclass::text FROM pg_index WHERE indisvalid ORDER BY 1")

    async def indexes() -> list[str]:
        async with database.read() as transaction:
            return [row[0] for row in await transaction.connection.execute(valid)]

    await migrate(database)
    before = await indexes()
    async with database.transaction() as transaction:
        await transaction.connection.run(interruption)
    assert await indexes() != before
    await check_schema(database)  # a core may start meanwhile
    await asyncio.gather(*(migrate(Database(empty_postgresql)) for _ in range(3)))
    assert await indexes() == before
    await database.close()


async def test_a_migration_that_ends_in_a_deadlock_is_tried_again(
    empty_postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(empty_postgresql)
    migration, left = database.migration, [DeadlockError("x")] * 4

    def failing() -> AbstractAsyncContextManager[AsyncConnection]:
        if left:
            raise left.pop()
        return migration()

    monkeypatch.setattr(database, "migration", failing)
    assert await migrate(database) == head_revision()
    left.extend([DeadlockError("x")] * 5)
    with pytest.raises(DeadlockError):
        await migrate(database)
    await database.close()


@pytest.mark.parametrize("count", [2, 5])
async def test_concurrent_migrations_of_an_empty_database_all_succeed(
    empty_postgresql: str, count: int
) -> None:
    databases = [Database(empty_postgresql) for _ in range(count)]
    reached = await asyncio.gather(*(migrate(database) for database in databases))
    assert reached == [head_revision()] * count
    for database in databases:
        await check_schema(database)
        assert await revision_of(database) == head_revision()
        await database.close()


async def nothing(_database: Database) -> None:
    """Leave the database empty."""


async def first_revision(database: Database) -> None:
    await to_revision(database, "0001_first_light")


async def newer_revision(database: Database) -> None:
    await migrate(database)
    async with database.transaction() as transaction:
        await transaction.connection.run("UPDATE alembic_version SET version_num = '9999_future'")


NEWER = "9999_future, which this version does not know: a newer version migrated it"


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (nothing, "the database has no schema yet: run `nivisco migrate`"),
        (first_revision, "at revision 0001_first_light, this version needs .*: run `nivisco migr"),
        (newer_revision, NEWER),
    ],
)
async def test_a_schema_of_another_version_is_refused(
    database: Database, prepare: Callable[[Database], Awaitable[None]], message: str
) -> None:
    await prepare(database)
    with pytest.raises(DatabaseUnavailableError, match=message):
        await check_schema(database)


async def test_a_newer_schema_is_not_migrated(database: Database) -> None:
    await newer_revision(database)
    with pytest.raises(DatabaseUnavailableError, match=NEWER):
        await migrate(database)
    assert await revision_of(database) == "9999_future"


async def test_a_database_with_tables_of_another_application_is_refused(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.connection.execute(text("CREATE TABLE users (login TEXT)"))
    with pytest.raises(DatabaseUnavailableError, match=r"tables of another application \(users\)"):
        await migrate(database)


async def test_a_role_that_may_not_create_tables_is_reported(empty_postgresql: str) -> None:
    async with a_role(empty_postgresql) as url:
        database = Database(url)
        with pytest.raises(DatabaseUnavailableError, match="the role has to own the schema"):
            await migrate(database)
        await database.close()


@asynccontextmanager
async def a_role(url: str) -> AsyncIterator[str]:
    """Create a role that may only connect."""
    role = make_url(url).database
    owner = Database(url)
    async with owner.transaction() as transaction:
        await transaction.connection.run(f"CREATE ROLE {role} LOGIN")
    yield make_url(url).set(username=role).render_as_string(hide_password=False)
    async with owner.transaction() as transaction:
        await transaction.connection.run(f"DROP ROLE {role}")
    await owner.close()
