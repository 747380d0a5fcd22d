"""The sequencer and the verification on both databases, with a database of their own."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text, update

from core.audit import sequencer as sequencing
from core.audit import service as auditing
from core.audit import store
from core.audit.rules import End, Problem
from core.audit.sequencer import Sequencer
from core.audit.service import AuditService
from core.database import audit_sql, transactions
from core.database.changes import Change
from core.database.connections import Kind
from core.database.schema import audit_addresses, audit_chains, audit_events, audit_pending
from core.database.transactions import Database, Transaction
from core.ids import new_audit_event_id
from core.security.keyring import Keyring
from tests.core.running import ShiftedClock, keyring

BUSINESS, OTHER = "B", "C"
KEYRING = keyring()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url, digest=KEYRING.digest_of_change)
    yield opened
    await opened.close()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have batches and pages of a few events."""
    monkeypatch.setattr(sequencing, "BATCH", 3)
    monkeypatch.setattr(auditing, "PAGE_EVENTS", 4)


def pending(number: int, business_id: str = BUSINESS, **changes: Any) -> dict[str, Any]:
    row = {
        "business_id": business_id,
        "event_id": f"AUD-{number:04}",
        "actor": "api_key",
        "actor_id": "default",
        "action": "update_user",
        "transition": "",
        "change": "updated",
        "subject": "users",
        "subject_id": f"USR-{number % 2}",
        "request_id": f"R-{number}",
        "after_hash": f"{number:064x}",
        "user_id": None,
        "address": "203.0.113.7",
    }
    return row | changes


async def record(database: Database, *numbers: int, business_id: str = BUSINESS) -> None:
    async with database.transaction() as transaction:
        rows = [pending(each, business_id) for each in numbers]
        await transaction.connection.execute(
            audit_sql.INSERT, [each | {"occurred_at": transaction.now} for each in rows]
        )


async def change(database: Database, *statements: Any) -> None:
    async with database.transaction() as transaction:
        for each in statements:
            await transaction.connection.execute(each)


async def rows_of(database: Database, table: Any) -> list[Any]:
    async with database.read() as transaction:
        found = await transaction.connection.execute(select(table))
        return list(found.all())


async def problems(
    database: Database, checkpoints: dict[str, list[End]] | None = None
) -> list[Problem]:
    """Return what a verification of all pages finds."""
    service = AuditService(database, KEYRING)
    found, position, is_first = list[Problem](), "", True
    while is_first or position:
        page = await service.verify(None, position, checkpoints or {})
        found += page.problems
        position, is_first = page.next_position, False
    return found


def is_event(sequence: int) -> Any:
    return (audit_events.c.business_id == BUSINESS) & (audit_events.c.sequence == sequence)


async def test_the_order_of_ids_is_that_of_commits_whatever_the_clocks_of_machines(
    postgresql_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = ShiftedClock()
    monkeypatch.setattr(transactions, "SystemClock", lambda: machine)
    cores = [Database(postgresql_database, digest=KEYRING.digest_of_change) for _ in range(2)]
    for number, hours in enumerate((5, -5, 5, 0)):
        machine.ahead = timedelta(hours=hours)
        async with cores[number % 2].transaction() as transaction:
            change = Change("users", "updated", BUSINESS, f"USR-{number}", ())
            transaction.connection.changes.append(change)
    found = sorted(await rows_of(cores[0], audit_pending), key=lambda row: str(row.subject_id))
    milliseconds = [each.event_id[:14] for each in found]  # two commits may share one
    assert len(milliseconds) == 4
    assert milliseconds == sorted(milliseconds)
    for core in cores:
        await core.close()


def test_an_id_sorts_after_the_last_one() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    first = new_audit_event_id(now, "")
    second = new_audit_event_id(now, first)
    assert first < second < new_audit_event_id(now - timedelta(hours=1), second)
    assert new_audit_event_id(now + timedelta(seconds=1), second)[:14] > second[:14]


HOSTILE = "'; \\'; $$; $1 \\u0024 \u00fc\U0001f4a5 \""


@pytest.mark.parametrize("strings", ["on", "off"])
async def test_a_commit_stores_any_text_and_prepares_nothing_in_the_session(
    database: Database, strings: str
) -> None:
    async with database.transaction() as transaction:
        connection = transaction.connection
        if not database.has_one_process:
            await connection.run(f"SET LOCAL standard_conforming_strings = {strings}")
        connection.audited = [pending(1, actor_id=HOSTILE) | {"occurred_at": transaction.now}]
        await connection.commit()
        connection.audited = ()
        await connection.begin(Kind.SHORT)
        (stored,) = (await connection.execute(select(audit_pending))).all()
        assert (stored.actor_id, stored.occurred_at) == (HOSTILE, transaction.now)
        if not database.has_one_process:
            prepared = text("SELECT name FROM pg_prepared_statements WHERE from_sql")
            assert (await connection.execute(prepared)).all() == []


async def test_each_business_has_a_chain_without_gaps_that_verifies(database: Database) -> None:
    sequencer = Sequencer(database, KEYRING, None)
    await record(database, *range(8))
    await record(database, 0, 1, business_id=OTHER)
    await sequencer.run()
    # A transaction with earlier ids that committed late is chained late.
    await record(database, 11, 12)
    await sequencer.run()
    await record(database, 10)
    await sequencer.run()
    events = await rows_of(database, audit_events)
    for business_id, count in ((BUSINESS, 11), (OTHER, 2)):
        sequences = [each.sequence for each in events if each.business_id == business_id]
        assert sorted(sequences) == list(range(1, count + 1))
    assert await rows_of(database, audit_pending) == []
    assert await problems(database) == []


async def test_exactly_full_pages_and_batches_verify(database: Database) -> None:
    await record(database, *range(12))
    await Sequencer(database, KEYRING, None).run()
    assert len(await rows_of(database, audit_events)) == 12
    assert await problems(database) == []
    await change(database, delete(audit_events).where(is_event(12)))
    assert [each.sequence for each in await problems(database)] == [11]


TAMPERING = {
    "altered": (update(audit_events).where(is_event(5)).values(actor_id="KEY-other"), {5}),
    "hash altered": (update(audit_events).where(is_event(5)).values(hash="0" * 64), {5, 6}),
    "removed": (delete(audit_events).where(is_event(5)), {6}),
    "removed at the end": (delete(audit_events).where(is_event(7)), {6}),
    "all removed": (delete(audit_events), {0}),
    "chain removed": (delete(audit_chains), {4, 7}),
}


@pytest.mark.parametrize("case", TAMPERING)
async def test_tampering_is_found(database: Database, case: str) -> None:
    statement, found = TAMPERING[case]
    await record(database, *range(7))
    await Sequencer(database, KEYRING, None).run()
    await change(database, statement)
    assert {each.sequence for each in await problems(database)} == found


async def test_reordered_and_inserted_events_are_found(database: Database) -> None:
    await record(database, *range(4))
    await Sequencer(database, KEYRING, None).run()
    events = {each.sequence: each._asdict() for each in await rows_of(database, audit_events)}
    swap = [
        update(audit_events).where(is_event(old)).values(sequence=new)
        for old, new in ((2, 99), (3, 2), (99, 3))
    ]
    await change(database, *swap)
    assert {each.sequence for each in await problems(database)} == {2, 3, 4}
    await change(database, *(swap[0], swap[1], swap[2]))
    assert await problems(database) == []
    forged = events[4] | {"sequence": 5, "event_id": "AUD-forged"}
    await change(database, insert(audit_events).values(**forged))
    assert {each.sequence for each in await problems(database)} == {5}


async def test_an_end_cut_off_with_its_chain_is_found_by_a_checkpoint(
    database: Database, tmp_path: Path
) -> None:
    file = tmp_path / "checkpoints.jsonl"
    sequencer = Sequencer(database, KEYRING, str(file))
    await record(database, *range(5))
    await sequencer.run()
    (line,) = map(json.loads, file.read_text().splitlines())
    events = {each.sequence: each.hash for each in await rows_of(database, audit_events)}
    assert (line["business_id"], line["sequence"], line["hash"]) == (BUSINESS, 5, events[5])
    checkpoints = {BUSINESS: [End(line["sequence"], line["hash"])]}
    assert await problems(database, checkpoints) == []
    await change(
        database,
        delete(audit_events).where(is_event(5)),
        update(audit_chains).values(sequence=4, hash=events[4]),
    )
    assert await problems(database) == []
    assert [each.sequence for each in await problems(database, checkpoints)] == [5]


async def test_checkpoints_are_written_once_a_minute_and_at_the_end(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, clock = tmp_path / "checkpoints.jsonl", ShiftedClock()
    database = Database(database_url, clock)
    try:
        sequencer = Sequencer(database, KEYRING, str(file))
        lines: list[int] = []
        for number, seconds in enumerate((0, 5, 70)):
            clock.ahead = timedelta(seconds=seconds)
            await record(database, number)
            await sequencer.run()
            lines.append(len(file.read_text().splitlines()))
        await record(database, 9)
        await sequencer.finish()
        lines.append(len(file.read_text().splitlines()))
        assert lines == [1, 1, 2, 3]
        with caplog.at_level(logging.INFO, "core.audit"):
            in_log = Sequencer(database, KEYRING, sequencing.LOG)
            await record(database, 10)
            await in_log.run()
            await record(database, 11)
            await Sequencer(database, KEYRING, str(tmp_path)).run()
        messages = [each.message for each in caplog.records]
        assert "audit checkpoint" in messages
        assert "audit checkpoints not written" in messages
    finally:
        await database.close()


async def test_a_transaction_that_is_killed_leaves_all_pending_and_a_chain_that_verifies(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequencer = Sequencer(database, KEYRING, None)
    await record(database, *range(3))
    await sequencer.run()
    await record(database, *range(3, 5))

    async def killed(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(store, "save_end", killed)
        with pytest.raises(asyncio.CancelledError):
            await sequencer.run()
    assert len(await rows_of(database, audit_pending)) == 2
    assert await problems(database) == []
    await Sequencer(database, KEYRING, None).run()
    assert len(await rows_of(database, audit_events)) == 5
    assert await problems(database) == []


async def test_sequencers_at_once_never_fork_a_chain(database: Database) -> None:
    await record(database, *range(30))
    await asyncio.gather(*(Sequencer(database, KEYRING, None).run() for _ in range(4)))
    await Sequencer(database, KEYRING, None).run()  # what was passed by, because it was locked
    events = await rows_of(database, audit_events)
    assert sorted(each.sequence for each in events) == list(range(1, 31))
    assert await problems(database) == []


async def broken_key(database: Database) -> None:
    await change(database, update(audit_chains).values(sealed_key="v1.k9.AAAA"))


async def duplicate(database: Database) -> None:
    await record(database, 0)


@pytest.mark.parametrize("breaks", [broken_key, duplicate])
async def test_a_chain_that_cannot_go_on_is_logged_once_and_stops_no_other(
    database: Database,
    breaks: Callable[[Database], Awaitable[None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    sequencer = Sequencer(database, KEYRING, None)
    await record(database, 0)
    await sequencer.run()
    await breaks(database)
    await record(database, 1)
    await record(database, 0, business_id=OTHER)
    await sequencer.run()
    await sequencer.finish()
    assert {each.business_id for each in await rows_of(database, audit_pending)} == {BUSINESS}
    assert [each.business_id for each in await rows_of(database, audit_chains)] == [BUSINESS, OTHER]
    failures = [vars(each) for each in caplog.records if each.name == "core.audit"]
    assert [(each["message"], each["business_id"]) for each in failures] == [
        ("audit chain not appended", BUSINESS)
    ]


async def test_a_chain_outlives_the_keys_of_the_keyring(database: Database) -> None:
    await record(database, 0)
    await Sequencer(database, KEYRING, None).run()
    (chain,) = await rows_of(database, audit_chains)
    newer = keyring()
    both = Keyring("k2", {"k2": newer.keys["k1"], **KEYRING.keys})
    resealed = both.reseal(chain.sealed_key, business_id=BUSINESS, purpose=store.key_purpose())
    await change(database, update(audit_chains).values(sealed_key=resealed))
    only_new = Keyring("k2", {"k2": newer.keys["k1"]})
    await record(database, 1)
    await Sequencer(database, only_new, None).run()
    assert not (await AuditService(database, only_new).verify(None, "", {})).problems
    assert (await AuditService(database, KEYRING).verify(None, "", {})).problems


async def test_addresses_are_apart_and_erased_by_user(database: Database) -> None:
    await record(database, *range(4))
    await Sequencer(database, KEYRING, None).run()
    await record(database, 4)
    async with database.transaction() as transaction:
        await store.erase_addresses(transaction, BUSINESS, "USR-0", KEYRING)
    await Sequencer(database, KEYRING, None).run()
    left = {each.user_id for each in await rows_of(database, audit_addresses)}
    assert left == {"USR-1"}
    assert await problems(database) == []


CARD: dict[str, Any] = {"subject": "cards", "subject_id": "CARD-1"}
OF_USER: dict[str, list[dict[str, Any]]] = {
    # Several cards, which the statement does not name.
    "a change of no named row": [CARD | {"subject_id": "", "user_id": "USR-0"}],
    "an object that ended before it was chained": [
        CARD | {"change": "created", "user_id": "USR-0"},
        CARD | {"change": "deleted", "user_id": None},
    ],
}


@pytest.mark.parametrize("is_chained", [True, False])
@pytest.mark.parametrize("case", OF_USER)
async def test_an_address_is_the_user_s_whatever_the_change(
    database: Database, case: str, is_chained: bool
) -> None:
    """Also of a business without a chain, and not of another user."""
    other = CARD | {"subject_id": "CARD-2", "user_id": "USR-1"}
    rows = [pending(n, **each) for n, each in enumerate([*OF_USER[case], other])]
    sequencer = Sequencer(database, KEYRING, None)
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            audit_sql.INSERT, [each | {"occurred_at": transaction.now} for each in rows]
        )
    if is_chained:
        await sequencer.run()
    async with database.transaction() as transaction:
        await store.erase_addresses(transaction, BUSINESS, "USR-0", KEYRING)
        assert await store.chain(transaction, BUSINESS) is not None
    await sequencer.run()
    users = [each.user_id for each in await rows_of(database, audit_events)]
    assert users == ["USR-0"] * (len(rows) - 1) + ["USR-1"]
    assert [each.user_id for each in await rows_of(database, audit_addresses)] == ["USR-1"]
    assert await problems(database) == []


async def test_a_value_with_any_characters_reaches_its_row(database: Database) -> None:
    odd = "a'b\\\"c'); DROP TABLE users; -- é\n\t$1"

    async with database.transaction() as transaction:
        transaction.connection.audited = [
            pending(1, actor_id=odd, address=None) | {"occurred_at": transaction.now}
        ]
    (row,) = await rows_of(database, audit_pending)
    assert (row.actor_id, row.address) == (odd, None)
    assert row.occurred_at is not None
    assert isinstance(transaction, Transaction)
