"""Each check finds the row that breaks its invariant, and no other check finds anything."""

import asyncio
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.engine import make_url

from core.database.schema import postings, wallets
from core.database.transactions import Database, DatabaseUnavailableError
from core.doctor import store
from core.doctor.checks import AUDIT, CHECKS, CLOCK
from core.doctor.rules import Examination, Verdict
from core.doctor.service import DoctorService
from core.errors import Refusal
from tests.core.doctor.books import RING, unguarded, write_books
from tests.core.doctor.cases import CASES, LONG_AGO, Case, payment, record, wallet
from tests.core.running import ShiftedClock


@pytest.fixture(scope="module")
def sqlite_books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file that each test copies: migrating takes longer than examining."""
    path = tmp_path_factory.mktemp("books") / "nivisco.db"
    asyncio.run(write_books(f"sqlite:///{path}", new=True))
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def books(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A consistent database of each kind, for this test alone."""
    if request.param == "sqlite":
        path = shutil.copy(request.getfixturevalue("sqlite_books"), tmp_path)
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("postgresql_database")
    asyncio.run(write_books(url, new=False))
    return url


async def examine(url: str, **more: Any) -> Examination:
    database = Database(url)
    limit = more.pop("limit", 10)
    doctor = DoctorService(database, **({"key_ids": RING.keys} | more))
    examination = await doctor.examine(limit)
    await database.close()
    return examination


def changed(url: str, username: str) -> str:
    return make_url(url).set(username=username).render_as_string(hide_password=False)


def wrong(examination: Examination) -> dict[str, Verdict]:
    return {f.name: f.verdict for f in examination.findings if f.verdict is not Verdict.OK}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_a_row_that_breaks_an_invariant_is_found(books: str, case: Case) -> None:
    async with unguarded(books) as connection:
        for statement in case.change:
            changed = await connection.execute(statement)
            assert changed.rowcount, "the case changes something"
    examination = await examine(books)
    found = wrong(examination)
    assert found == {case.check: case.verdict} | dict.fromkeys(case.also, Verdict.BROKEN)
    (finding,) = [f for f in examination.findings if f.name == case.check]
    assert (finding.count, [dict(row) for row in finding.rows]) == (1, [case.row])


async def test_consistent_books_break_no_check(books: str) -> None:
    examination = await examine(books)
    assert wrong(examination) == {}


async def test_every_check_has_a_case_that_breaks_it() -> None:
    assert {case.check for case in CASES} | {CLOCK.name, AUDIT.name} == {
        check.name for check in (*CHECKS, AUDIT, CLOCK)
    }


async def test_unusual_but_consistent_books_break_no_check(books: str) -> None:
    async with unguarded(books) as connection:
        for statement in (
            record("P-FAILED", payment_id="P-OPEN"),  # the next attempt under a key that failed
            record("P-OPEN", key="key:again"),
            payment("P-OPEN", idempotency_key="again"),
            record("P-CHARGE", payment_id=None, created_at=datetime.now(UTC) + timedelta(days=1)),
            payment("P-FUND", status="refunded"),
        ):
            await connection.execute(statement)
    assert wrong(await examine(books)) == {}


async def test_all_rows_are_counted_and_the_first_ones_are_shown(
    books: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "CHUNK_ROWS", 1)  # so that every table has many chunks
    monkeypatch.setattr(store, "CHUNK_WALLETS", 1)
    assert wrong(await examine(books)) == {}
    async with unguarded(books) as connection:
        await connection.execute(update(postings).values(currency="eur"))
    for limit, named in ((3, 3), (10, 4)):
        examination = await examine(books, limit=limit)
        assert wrong(examination) == {"postings": Verdict.BROKEN}
        (finding,) = [f for f in examination.findings if f.name == "postings"]
        assert (finding.count, len(finding.rows)) == (4, named)
        ids = [row["transaction_id"] for row in finding.rows]
        assert ids == ["WTX-1", "WTX-2", "WTX-3", "WTX-4"][:named]


async def test_checks_that_need_a_core_only_warn_without_one(
    books: str,
) -> None:
    async with unguarded(books) as connection:
        await connection.execute(payment("P-OPEN", look_at=LONG_AGO))
    found = wrong(await examine(books, has_core=False))
    assert found == {"overdue_checks": Verdict.WARNING}


async def test_without_the_keyring_its_check_is_skipped(books: str) -> None:
    skipped = {"keyring": Verdict.SKIPPED, "old_keys": Verdict.SKIPPED}
    assert wrong(await examine(books, key_ids=None)) == skipped


@pytest.mark.parametrize(
    ("ahead", "verdict"),
    [(-70, Verdict.BROKEN), (-5, Verdict.WARNING), (5, Verdict.WARNING), (70, Verdict.BROKEN)],
)
async def test_a_difference_to_postgresqls_clock_is_found(
    postgresql_database: str, ahead: int, verdict: Verdict
) -> None:
    clock = ShiftedClock()
    clock.ahead = timedelta(seconds=ahead)
    examination = await examine(postgresql_database, clock=clock)
    assert wrong(examination) == {"clock": verdict}
    assert int(float(examination.findings[-1].rows[0]["database_ahead_seconds"]) / 5) == -ahead / 5


async def test_a_snapshot_is_read_only_and_sees_one_state(postgresql_database: str) -> None:
    await write_books(postgresql_database, new=False)
    database = Database(postgresql_database)
    async with database.snapshot() as snapshot:
        before = (await snapshot.connection.execute(select(wallets))).all()
        async with database.transaction() as transaction:
            await transaction.connection.execute(wallet(version=9))
        assert (await snapshot.connection.execute(select(wallets))).all() == before
    with pytest.raises(DatabaseUnavailableError, match="read-only transaction"):
        async with database.snapshot() as snapshot:
            await snapshot.connection.execute(wallet(version=9))
    await database.close()


async def test_a_missing_permission_is_reported(postgresql: str, postgresql_database: str) -> None:
    async with unguarded(postgresql_database) as connection:
        await connection.execute(text("CREATE ROLE auditor LOGIN"))
    try:
        database = Database(changed(postgresql_database, username="auditor"))
        with pytest.raises(Refusal, match="permission denied for table"):
            await DoctorService(database, key_ids=None).examine()
        await database.close()
    finally:
        async with unguarded(postgresql_database) as connection:
            await connection.execute(text("DROP ROLE auditor"))
