"""Everything is sealed again with the newest key, whatever happens meanwhile."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import func, select, update

from core.caller import Caller
from core.credentials.service import check_keyring
from core.database.schema import SEALED_COLUMNS, idempotency_records, stripe_credentials
from core.database.transactions import Database
from core.errors import InvalidFields
from core.idempotency.call import Answer
from core.sealing import service
from core.sealing.service import FINGERPRINTS, Page, SealingService
from core.sealing.store import SealedTable
from tests.core.running import ShiftedClock
from tests.core.sealing.sealed import BUSINESSES, Secrets, call_of, ring

KEYS = tuple(f"order-{number:02}" for number in range(12))
ROWS = 2 * (2 + 2 + len(KEYS) + 1)
OLD, BOTH, NEW = ring("a1"), ring("b2", "a1"), ring("b2")


@pytest.fixture
async def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """A database with secrets of key a1, whose pages and batches are small."""
    monkeypatch.setattr(service, "PAGE_ROWS", 7)
    monkeypatch.setattr(service, "BATCH_ROWS", 3)
    made = Database(database_url)
    await Secrets(made, OLD).store_all(KEYS)
    await check_keyring(made, BOTH)
    yield made
    await made.close()


async def a_pass(sealing: SealingService, *, check_only: bool = False) -> list[Page]:
    pages = [await sealing.rotate("", None, check_only=check_only)]
    while token := pages[-1].next_position:
        pages.append(await sealing.rotate(token, "b2", check_only=check_only))
    return pages


def resealed(pages: list[Page]) -> int:
    return sum(page.resealed for page in pages)


def rows_by_key(pages: list[Page]) -> dict[tuple[str, str], int]:
    counted: dict[tuple[str, str], int] = {}
    for page in pages:
        for what, use in page.uses.items():
            counted[what] = counted.get(what, 0) + use.rows
    return counted


async def prefixes(database: Database) -> set[str]:
    found: set[str] = set()
    async with database.read() as transaction:
        for column in SEALED_COLUMNS:
            rows = await transaction.connection.execute(select(func.substr(column, 1, 6)))
            found |= {row[0] for row in rows}
    return found


async def test_everything_is_sealed_with_the_newest_key_and_opens_as_before(
    database: Database,
) -> None:
    before = await Secrets(database, BOTH).all_opened(KEYS)
    pages = await a_pass(SealingService(database, BOTH))
    assert sum(page.rows for page in pages) == resealed(pages) == ROWS
    assert await prefixes(database) == {"v2:b2:"}
    assert await Secrets(database, BOTH).all_opened(KEYS) == before
    assert resealed(await a_pass(SealingService(database, BOTH))) == 0


async def test_what_an_older_version_sealed_is_sealed_again(database: Database) -> None:
    belongs_to = b"\0\0\0\x02B1\0\0\0\x1dstripe/TEST/stripe_secret_key"
    raw = bytes(12) + AESGCM(NEW.keys["b2"]).encrypt(bytes(12), b"sk_test_old", belongs_to)
    table = stripe_credentials
    async with database.transaction("test.old") as transaction:
        await transaction.connection.execute(
            update(table)
            .where(table.c.business_id == "B1", table.c.env == "TEST")
            .values(sealed_secret_key=f"v1:b2:{b64encode(raw).decode()}")
        )
    await a_pass(SealingService(database, BOTH))
    assert await prefixes(database) == {"v2:b2:"}
    async with database.read() as transaction:
        assert await Secrets(database, BOTH).secret_key(transaction, "B1", "TEST") == "sk_test_old"


async def test_a_check_changes_nothing_and_counts_what_needs_each_key(database: Database) -> None:
    pages = await a_pass(SealingService(database, BOTH), check_only=True)
    assert resealed(pages) == 0
    assert await prefixes(database) == {"v2:a1:"}
    records = len(BUSINESSES) * len(KEYS)
    expected = {
        ("a1", "keyring_canaries"): 1,
        ("b2", "keyring_canaries"): 1,
        ("a1", "stripe_credentials"): 4,
        ("a1", "authorize_credentials"): 4,
        ("a1", "idempotency_records"): records,
        ("a1", "audit_chains"): len(BUSINESSES),
        ("a1", FINGERPRINTS): records,
    }
    assert rows_by_key(pages) == expected
    await a_pass(SealingService(database, BOTH))
    after = rows_by_key(await a_pass(SealingService(database, BOTH), check_only=True))
    of_new = {
        ("b2" if what not in (FINGERPRINTS, "keyring_canaries") else key_id, what): rows
        for (key_id, what), rows in expected.items()
    }
    assert after == of_new


async def test_a_key_is_needed_until_the_last_fingerprint_expires(database: Database) -> None:
    sealing = SealingService(database, BOTH)
    uses = [page.uses["a1", FINGERPRINTS] for page in await a_pass(sealing)]
    last = max(use.last_at for use in uses if use.last_at)
    assert max(use.until for use in uses if use.until) == last + timedelta(hours=24)
    with pytest.raises(ValueError, match="sealed with key 'a1'"):
        await check_keyring(database, NEW)
    clock = ShiftedClock()
    clock.ahead = timedelta(hours=24, seconds=1)
    database._clock = clock  # a day later
    await Secrets(database, BOTH).idempotency.reap()
    assert ("a1", FINGERPRINTS) not in rows_by_key(await a_pass(sealing, check_only=True))
    await check_keyring(database, NEW)
    opened = await Secrets(database, NEW).all_opened(())
    assert len(opened) == 18


@pytest.mark.parametrize("what", ["record", "credentials"])
async def test_a_core_does_not_start_without_a_forgotten_key_that_another_core_seals_with(
    database_url: str, what: str
) -> None:
    """The first core that starts without the key forgets it, while the other one still has it."""
    made = Database(database_url)
    await Secrets(made, NEW).store_all(KEYS)
    await check_keyring(made, BOTH)
    await check_keyring(made, NEW)
    if what == "record":
        await Secrets(made, OLD).keep("B1", "by the other core")
    else:
        keys = {"stripe_secret_key": "sk_test_other"}
        await Secrets(made, OLD).credentials.modify(Caller("B2", "TEST"), "stripe", "TEST", keys)
    with pytest.raises(ValueError, match="sealed with key 'a1'"):
        await check_keyring(made, NEW)
    await check_keyring(made, BOTH)
    await made.close()


async def test_a_secret_that_is_none_does_not_stop_a_core(database: Database) -> None:
    async with database.transaction("test.damage") as transaction:
        await transaction.connection.execute(
            update(stripe_credentials).values(sealed_secret_key="damaged")
        )
    await check_keyring(database, BOTH)


async def test_a_record_without_an_answer_stays_until_its_payment_has_an_outcome(
    database: Database,
) -> None:
    async with database.transaction("test.claim") as transaction:
        call = call_of("B1", "open")
        await Secrets(database, OLD).idempotency.claim(transaction, call, "PAY-1")
    uses = [page.uses["a1", FINGERPRINTS] for page in await a_pass(SealingService(database, BOTH))]
    assert sum(use.open_rows for use in uses) == 1


async def test_a_core_that_seals_with_another_key_or_lacks_one_refuses(database: Database) -> None:
    for keyring, key_id, message in (
        (OLD, None, "other cores seal with 'b2'"),
        (OLD, "b2", "this core seals with, which is 'a1'"),
        (ring("a1", "b2"), "b2", "this core seals with, which is 'a1'"),
    ):
        with pytest.raises(InvalidFields) as refused:
            await SealingService(database, keyring).rotate("", key_id, check_only=False)
        assert message in str(refused.value)
    assert await prefixes(database) == {"v2:a1:"}


@pytest.mark.parametrize("position", ["x", "[]", '["users", "", ""]', "1", '{"a": 1}'])
async def test_a_position_of_nobody_is_refused(database: Database, position: str) -> None:
    with pytest.raises(InvalidFields):
        await SealingService(database, BOTH).rotate(position, None, check_only=True)


async def test_what_does_not_open_is_left_and_counted(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    table = idempotency_records
    async with database.transaction("test.break") as transaction:
        await transaction.connection.execute(
            update(table)
            .where(table.c.business_id == "B1", table.c.key == f"key:{KEYS[0]}")
            .values(sealed_answer="v2:a1:AAAA")
        )
    pages = await a_pass(SealingService(database, BOTH))
    assert (resealed(pages), sum(page.unreadable for page in pages)) == (ROWS - 1, 1)
    assert rows_by_key(pages)["a1", "idempotency_records"] == 1
    (line,) = (each for each in caplog.records if "does not open" in each.message)
    assert vars(line)["business_id"] == "B1"


class KilledError(Exception):
    """The process is gone."""


@pytest.mark.parametrize("batches", [0, 5])
async def test_a_run_that_was_killed_is_continued_by_the_next(
    database: Database, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    before = await Secrets(database, BOTH).all_opened(KEYS)
    write, written = SealedTable.write, 0

    async def killed(*arguments: Any) -> None:
        nonlocal written
        await write(*arguments)
        if written == batches:
            raise KilledError  # before the commit
        written += 1

    monkeypatch.setattr(SealedTable, "write", killed)
    with pytest.raises(KilledError):
        await a_pass(SealingService(database, BOTH))
    monkeypatch.setattr(SealedTable, "write", write)
    assert "v2:a1:" in await prefixes(database)
    assert await Secrets(database, BOTH).all_opened(KEYS) == before
    rest = resealed(await a_pass(SealingService(database, BOTH)))
    assert 0 < rest <= ROWS - batches
    assert await prefixes(database) == {"v2:b2:"}
    assert await Secrets(database, BOTH).all_opened(KEYS) == before


async def test_two_runs_at_once_seal_each_row_once(database: Database) -> None:
    before = await Secrets(database, BOTH).all_opened(KEYS)
    sealing = [SealingService(database, BOTH) for _ in range(2)]
    runs = await asyncio.gather(*(a_pass(each) for each in sealing))
    again = resealed(await a_pass(sealing[0]))  # rows that each run found locked by the other
    assert sum(map(resealed, runs)) + again == ROWS
    assert await prefixes(database) == {"v2:b2:"}
    assert await Secrets(database, BOTH).all_opened(KEYS) == before


async def test_locked_rows_are_skipped_and_found_by_the_next_pass(
    postgresql_database: str,
) -> None:
    database = Database(postgresql_database)
    await Secrets(database, OLD).store_all(KEYS)
    await check_keyring(database, BOTH)
    async with database.transaction("test.lock") as transaction:
        holder = Secrets(database, OLD).idempotency
        await holder.lock(transaction, "B1", KEYS[0])
        pages = await a_pass(SealingService(database, BOTH))
        assert resealed(pages) == ROWS - 1
        assert rows_by_key(pages)["a1", "idempotency_records"] == 1
    assert resealed(await a_pass(SealingService(database, BOTH))) == 1
    await database.close()


async def test_a_change_that_waits_for_the_rotation_is_kept(database: Database) -> None:
    async def change(env: str) -> None:
        keys = {"stripe_secret_key": f"sk_{env.lower()}_changed"}
        await Secrets(database, BOTH).credentials.modify(Caller("B1", "TEST"), "stripe", env, keys)

    changes: list[Awaitable[Any]] = [change("TEST"), change("LIVE")]
    await asyncio.gather(a_pass(SealingService(database, BOTH)), *changes)
    async with database.read() as transaction:
        for env in ("TEST", "LIVE"):
            opened = await Secrets(database, BOTH).secret_key(transaction, "B1", env)
            assert opened == f"sk_{env.lower()}_changed"


async def test_a_commit_is_recognized_whose_answer_was_sealed_again(database: Database) -> None:
    old = Secrets(database, ring("a1", "b2")).idempotency
    calls = [call_of("B1", "again"), call_of("B1", "again")]
    async with database.transaction("test.keep") as transaction:
        await old.keep(transaction, calls[0], Answer(b"1", is_refusal=False))
    await a_pass(SealingService(database, BOTH))
    assert await old.took_place(calls[0])
    old.new_record(transaction, calls[1], Answer(b"2", is_refusal=False))  # another run's answer
    assert not await old.took_place(calls[1])
