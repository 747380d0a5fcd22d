"""What of the schema is audited: a new table must be named, with a reason if it is not."""

from datetime import UTC, datetime

from sqlalchemy import bindparam, case, delete, func, insert, update

from core.database.changes import AUDITED, BOOKKEEPING, NOT_AUDITED, Change
from core.database.connections import Connection
from core.database.schema import UtcDateTime, cards, metadata, payments, users, wallets
from core.database.sqlite import SqliteConnection


def test_every_table_is_audited_or_says_why_not() -> None:
    assert set(metadata.tables) == set(AUDITED) | set(NOT_AUDITED)
    assert not set(AUDITED) & set(NOT_AUDITED)


def test_the_named_columns_exist() -> None:
    for table, column in AUDITED.items():
        assert column in metadata.tables[table].columns, table
    audited = {each.name for name in AUDITED for each in metadata.tables[name].columns}
    assert audited >= BOOKKEEPING


async def changes_of(connection: Connection) -> list[tuple[str, str, str, str]]:
    found = [
        (each.table, each.word, each.business_id, each.subject_id) for each in connection.changes
    ]
    connection.changes.clear()
    return found


async def test_statements_are_recorded_with_the_rows_that_they_name() -> None:
    connection = await SqliteConnection.open(":memory:", 1.0)
    try:
        for table in (users, cards, payments, wallets):
            names = ", ".join(table.columns.keys())
            await connection.run(f"CREATE TABLE {table.name} ({names})")
        user = {"business_id": "B", "user_id": "U1", "name": "Alicia"}
        await connection.execute(insert(users).values(**user))
        await connection.execute(insert(users), [user | {"user_id": f"U{n}"} for n in (2, 3)])
        assert await changes_of(connection) == [
            ("users", "created", "B", f"U{n}") for n in (1, 2, 3)
        ]
        named = update(users).where(
            users.c.business_id == bindparam("of_business"),
            users.c.user_id == bindparam("of_user"),
        )
        key = {"of_business": "B", "of_user": "U2"}
        await connection.execute(named, key | {"name": "Bruno"})
        await connection.execute(named.values(email=bindparam("mail")), key | {"mail": "b@x"})
        assert await changes_of(connection) == [("users", "updated", "B", "U2")] * 2
        # Nothing matched, only the work of cores, another table, undone: none is a change.
        await connection.execute(named, key | {"of_user": "none", "name": "Bruno"})
        await connection.execute(
            update(payments).where(payments.c.business_id == "B").values(checks=1)
        )
        saves = update(users).where(users.c.business_id == "B", users.c.user_id == "U2")
        await connection.execute(saves.values(card_saves=users.c.card_saves + 1))
        await connection.execute(insert(wallets).values(business_id="B", wallet_id="WAL-1"))
        savepoint = await connection.begin_nested()
        await connection.execute(insert(users).values(**user))
        await savepoint.rollback()
        assert await changes_of(connection) == []
        await connection.execute(insert(cards), [{"business_id": "B", "card_id": c} for c in "XYZ"])
        connection.changes.clear()
        await connection.execute(
            delete(cards).where(cards.c.business_id == "B", cards.c.card_id == "X")
        )
        some = update(cards).where(cards.c.business_id == "B", cards.c.card_id.in_(["Y", "Z"]))
        await connection.execute(some.values(brand="visa"))
        all_of_user = update(cards).where(cards.c.business_id == "B").values(is_primary=False)
        await connection.execute(all_of_user)
        assert await changes_of(connection) == [
            ("cards", "deleted", "B", "X"),
            ("cards", "updated", "B", "Y"),
            ("cards", "updated", "B", "Z"),
            ("cards", "updated", "B", ""),
        ]
    finally:
        await connection.close()


async def test_what_was_written_is_the_content_whatever_the_form_of_the_statement() -> None:
    connection = await SqliteConnection.open(":memory:", 1.0)
    try:
        await connection.run(f"CREATE TABLE users ({', '.join(users.columns.keys())})")
        await connection.execute(insert(users).values(business_id="B", user_id="U", name="Alicia"))
        of_user = (users.c.business_id == "B", users.c.user_id == "U")
        await connection.execute(update(users).where(*of_user).values(name="Bruno", active=False))
        contents = [each.content for each in connection.changes if isinstance(each, Change)]
        assert contents == [("B", "U", "Alicia"), ("Bruno", 0)]
        connection.changes.clear()
        # A computed value has those that it is computed from.
        since = datetime(2026, 1, 2, tzinfo=UTC)
        for value in (
            func.coalesce(users.c.suspended_at, since),
            case((users.c.active, bindparam("since", since, UtcDateTime)), else_=None),
        ):
            await connection.execute(update(users).where(*of_user).values(suspended_at=value))
        contents = [each.content for each in connection.changes]
        assert len(contents) == 2
        assert all("2026" in str(content) for content in contents), contents
    finally:
        await connection.close()
