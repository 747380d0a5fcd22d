"""Lists by a pair of metadata, and the rows that they read, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import insert, select

from core.database.metadata_pairs import insert_pairs, replace_pairs
from core.database.migrations.upgrade import migrate
from core.database.paging import Page, PageRequest
from core.database.schema import metadata_pairs, payments
from core.database.transactions import Database
from core.errors import InvalidFields
from core.metadata import Kind, digest_of, digests_of, stored_metadata
from core.payments.store import Payment, PaymentFilter, payment_page
from core.users.store import update_user, user_by_id
from tests.core.database.migrations.rows import NOW, ROWS, write
from tests.core.database.recording import recorded

COUNT = 60
GOLD = digest_of(Kind.PAYMENT, "TEST", "tier", "gold")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Sixty payments, of which every third has a pair, one each minute in two equal times."""
    opened = Database(database_url)
    await migrate(opened)
    await write(opened, "businesses", ROWS["businesses"])
    await write(opened, "users", ROWS["users"])
    rows = [
        ROWS["payments"]
        | {
            "payment_id": f"PAY-{number:03}",
            "created_at": NOW + timedelta(minutes=number // 2),
            "metadata": stored_metadata({"tier": "gold", "n": str(number)})
            if number % 3 == 0
            else stored_metadata({"tier": "silver"}),
        }
        for number in range(COUNT)
    ]
    async with opened.transaction() as transaction:
        await transaction.connection.execute(insert(payments), rows)
        for row in rows:
            await insert_pairs(
                transaction,
                Kind.PAYMENT,
                business_id="B",
                env="TEST",
                resource_id=row["payment_id"],
                created_at=row["created_at"],
                metadata=row["metadata"],
            )
    yield opened
    await opened.close()


async def page_of(database: Database, page: PageRequest, digest: str = GOLD) -> Page[Payment]:
    async with database.listing() as transaction:
        return await payment_page(
            transaction,
            business_id="B",
            which=PaymentFilter("TEST", digest=digest),
            page=page,
        )


EXPECTED = [f"PAY-{number:03}" for number in reversed(range(0, COUNT, 3))]


async def test_every_page_has_the_rows_with_the_pair_newest_first(database: Database) -> None:
    by_number: list[str] = []
    for number in range(1, 5):
        page = await page_of(database, PageRequest(page=number, limit=7))
        assert (page.total, page.total_is_estimate) == (len(EXPECTED), False)
        by_number += [each.payment_id for each in page.rows]
    assert by_number == EXPECTED
    by_cursor: list[str] = []
    cursor: str | None = None
    while True:
        page = await page_of(database, PageRequest(limit=7, cursor=cursor))
        by_cursor += [each.payment_id for each in page.rows]
        if (cursor := page.next_cursor) is None:
            break
    assert by_cursor == EXPECTED
    with recorded() as statements:
        await page_of(database, PageRequest(limit=2))
    assert len(statements) == 2
    assert all("metadata_pairs" in text for text, *_ in statements)


async def test_a_list_has_the_rows_of_its_pair_dates_and_cursor_only(database: Database) -> None:
    since, until = NOW + timedelta(minutes=3), NOW + timedelta(minutes=6)
    page = await page_of(database, PageRequest(from_date=since, to_date=until))
    assert [each.payment_id for each in page.rows] == ["PAY-012", "PAY-009", "PAY-006"]
    assert page.total == 3
    page = await page_of(database, PageRequest(limit=2))
    silver = digest_of(Kind.PAYMENT, "TEST", "tier", "silver")
    with pytest.raises(InvalidFields, match="cursor"):
        await page_of(database, PageRequest(limit=2, cursor=page.next_cursor), silver)
    for digest in (
        digest_of(Kind.PAYMENT, "TEST", "tier", "bronze"),
        digest_of(Kind.PAYMENT, "LIVE", "tier", "gold"),
        digest_of(Kind.REFUND, "TEST", "tier", "gold"),
    ):
        page = await page_of(database, PageRequest(), digest)
        assert (page.rows, page.total, page.next_cursor) == ([], 0, None)


async def test_replaced_pairs_are_found_and_the_old_ones_are_not(database: Database) -> None:
    pairs = [{"a": "1", "b": "2"}, {"b": "2", "c": "3"}, {}, {"a": "1"}]
    stored = [stored_metadata(each) for each in pairs]
    for old, new in zip([None, *stored], [*stored, None], strict=True):
        async with database.transaction() as transaction:
            await replace_pairs(
                transaction,
                Kind.USER,
                business_id="B",
                env=None,
                resource_id="USR-9",
                created_at=NOW,
                old=old,
                new=new,
            )
            rows = await transaction.connection.execute(
                select(metadata_pairs.c.digest).where(metadata_pairs.c.resource_id == "USR-9")
            )
            expected = [
                digest_of(Kind.USER, None, *pair)
                for pair in (pairs[stored.index(new)].items() if new else ())
            ]
            assert sorted(rows.scalars()) == sorted(expected)
    async with database.transaction() as transaction:
        with recorded() as statements:
            await replace_pairs(
                transaction,
                Kind.USER,
                business_id="B",
                env=None,
                resource_id="USR-9",
                created_at=NOW,
                old=None,
                new=None,
            )
        assert statements == []


async def test_concurrent_updates_leave_the_pairs_of_the_last_one(database: Database) -> None:
    async def update(number: int) -> None:
        async with database.transaction() as transaction:
            await update_user(
                transaction,
                business_id="B",
                user_id="USR-1",
                updates={
                    "metadata": stored_metadata({"n": str(number), "same": "x"}),
                    "active": number % 3 != 0,
                },
            )

    await asyncio.gather(*(update(number) for number in range(12)))
    async with database.read() as transaction:
        user = await user_by_id(transaction, business_id="B", user_id="USR-1")
        assert user is not None
        rows = await transaction.connection.execute(
            select(metadata_pairs.c.digest).where(metadata_pairs.c.resource_id == "USR-1")
        )
        found = sorted(rows.scalars())
    assert found == sorted(digests_of(Kind.USER, None, user.metadata) if user.active else [])
