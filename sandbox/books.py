"""The sandbox's books: what it holds and what it answered, kept in one SQLite file.

An effect and the idempotency record of its answer commit in one transaction, so that a process
killed at any moment leaves both or neither. Never holds a card number or a secret key.
One process, one connection, used from the event loop's thread only; commits are local and small.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sandbox.stripe.errors import Answer, Json
from sandbox.stripe.keys import KeyRecord, Scope

IDEMPOTENCY_LIFE_SECONDS: Final = 24 * 60 * 60  # docs.stripe.com/api/idempotent_requests

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    livemode INTEGER NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    customer TEXT,
    email TEXT,
    created INTEGER NOT NULL,
    body TEXT NOT NULL,
    private TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS objects_in_order ON objects (account, livemode, kind, seq);
CREATE INDEX IF NOT EXISTS objects_of_customer ON objects (customer, kind, seq);
CREATE TABLE IF NOT EXISTS idempotency (
    account TEXT NOT NULL,
    livemode INTEGER NOT NULL,
    key TEXT NOT NULL,
    path TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    request_id TEXT NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL,
    stored_at REAL NOT NULL,
    PRIMARY KEY (account, livemode, key)
) STRICT;
CREATE INDEX IF NOT EXISTS idempotency_by_age ON idempotency (stored_at);
CREATE TABLE IF NOT EXISTS keys (
    digest TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    revoked INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS sent (
    account TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    id TEXT NOT NULL,
    sent_at REAL NOT NULL,
    PRIMARY KEY (account, fingerprint)
) STRICT;
"""
_TABLES: Final = ("objects", "idempotency", "keys", "sent")


@dataclass
class Record:
    """One stored object: `body` is what the API shows, `private` what only the sandbox knows."""

    kind: str
    body: Json
    private: Json = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The object's id."""
        return str(self.body["id"])


@dataclass(frozen=True)
class StoredAnswer:
    """The first answer to an idempotency key, and which request it answered."""

    path: str
    fingerprint: str
    request_id: str
    answer: Answer


@dataclass(frozen=True)
class PageQuery:
    """Which part of a list is asked for; cursors are ids, times Unix seconds."""

    limit: int = 10
    starting_after: str | None = None
    ending_before: str | None = None
    customer: str | None = None
    email: str | None = None
    created_from: int | None = None
    created_to: int | None = None


class Books:
    """Opens, or makes, the books at `path`; `clock` gives Unix seconds."""

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.on_commit: Callable[[list[tuple[Scope, Record]]], None] = lambda _written: None
        """RecordedEvent of the objects that a transaction wrote, once it has committed."""
        self._written: list[tuple[Scope, Record]] = []
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(":memory:" if path is None else path, isolation_level=None)
        try:
            self._open()
        except sqlite3.OperationalError as error:
            self._db.close()
            raise OSError(f"cannot use the sandbox's books at {path}: {error}") from error

    def _open(self) -> None:
        """Takes the file for this process alone, so that two sandboxes never share one."""
        self._db.execute("PRAGMA busy_timeout=0")
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Closes the file; everything is in it already."""
        self._db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commits what happens inside, or none of it."""
        self._db.execute("BEGIN IMMEDIATE")
        self._written = []
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._undo("ROLLBACK")
            raise
        self.on_commit(self._written)

    @contextlib.contextmanager
    def effect(self) -> Iterator[None]:
        """Undoes what happens inside if it raises, within the transaction that goes on."""
        self._db.execute("SAVEPOINT effect")
        before = list(self._written)
        try:
            yield
        except BaseException:
            self._written = before
            self._undo("ROLLBACK TO effect")
            self._undo("RELEASE effect")
            raise
        self._db.execute("RELEASE effect")

    def _undo(self, statement: str) -> None:
        """Rolls back, unless SQLite already did, as it does on a full disk."""
        if self._db.in_transaction:
            self._db.execute(statement)

    def add(self, scope: Scope, record: Record) -> None:
        """Writes a new object."""
        self._written.append((scope, record))
        self._db.execute(
            "INSERT INTO objects (account, livemode, kind, id, customer, email, created, body,"
            " private) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                scope.account,
                scope.livemode,
                record.kind,
                record.id,
                record.body.get("customer"),
                record.body.get("email"),
                record.body["created"],
                json.dumps(record.body),
                json.dumps(record.private),
            ),
        )

    def change(self, record: Record) -> None:
        """Writes an object's new state."""
        row = self._db.execute(
            "SELECT account, livemode FROM objects WHERE id = ?", (record.id,)
        ).fetchone()
        if row:
            self._written.append((Scope(row[0], bool(row[1])), record))
        self._db.execute(
            "UPDATE objects SET customer = ?, email = ?, body = ?, private = ? WHERE id = ?",
            (
                record.body.get("customer"),
                record.body.get("email"),
                json.dumps(record.body),
                json.dumps(record.private),
                record.id,
            ),
        )

    def find(self, scope: Scope, kind: str, identifier: str) -> Record | None:
        """The object of this kind and id within the scope."""
        row = self._db.execute(
            "SELECT kind, body, private FROM objects"
            " WHERE id = ? AND kind = ? AND account = ? AND livemode = ?",
            (identifier, kind, scope.account, scope.livemode),
        ).fetchone()
        return _record(row) if row else None

    def find_any_kind(self, scope: Scope, identifier: str) -> Record | None:
        """The object with this id within the scope, whatever it is."""
        row = self._db.execute(
            "SELECT kind, body, private FROM objects WHERE id = ? AND account = ? AND livemode = ?",
            (identifier, scope.account, scope.livemode),
        ).fetchone()
        return _record(row) if row else None

    def page(self, scope: Scope, kind: str, query: PageQuery) -> tuple[list[Record], bool]:
        """Objects newest first, and whether more follow in the direction asked for."""
        where = ["account = ?", "livemode = ?", "kind = ?"]
        values: list[Any] = [scope.account, scope.livemode, kind]
        backwards = query.ending_before is not None
        conditions = (
            ("customer = ?", query.customer),
            ("email = ?", query.email),
            ("created >= ?", query.created_from),
            ("created <= ?", query.created_to),
            ("seq < (SELECT seq FROM objects WHERE id = ?)", query.starting_after),
            ("seq > (SELECT seq FROM objects WHERE id = ?)", query.ending_before),
        )
        for condition, value in conditions:
            if value is not None:
                where.append(condition)
                values.append(value)
        # Only fixed conditions are joined here; every value is bound.
        rows = self._db.execute(
            f"SELECT kind, body, private FROM objects WHERE {' AND '.join(where)}"  # noqa: S608
            f" ORDER BY seq {'ASC' if backwards else 'DESC'} LIMIT ?",
            (*values, query.limit + 1),
        ).fetchall()
        found = [_record(row) for row in rows[: query.limit]]
        return (found[::-1] if backwards else found), len(rows) > query.limit

    def answer_stored_for(self, scope: Scope, key: str) -> StoredAnswer | None:
        """The answer that an idempotency key stands for, unless its day is over."""
        row = self._db.execute(
            "SELECT path, fingerprint, request_id, status, body FROM idempotency"
            " WHERE account = ? AND livemode = ? AND key = ? AND stored_at > ?",
            (scope.account, scope.livemode, key, self.clock() - IDEMPOTENCY_LIFE_SECONDS),
        ).fetchone()
        if row is None:
            return None
        return StoredAnswer(row[0], row[1], row[2], Answer(row[3], json.loads(row[4])))

    def store_answer(self, scope: Scope, key: str, stored: StoredAnswer) -> None:
        """Keeps the answer for the key, and drops those whose day is over."""
        now = self.clock()
        self._db.execute(
            "DELETE FROM idempotency WHERE stored_at <= ?", (now - IDEMPOTENCY_LIFE_SECONDS,)
        )
        self._db.execute(
            "INSERT INTO idempotency VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                scope.account,
                scope.livemode,
                key,
                stored.path,
                stored.fingerprint,
                stored.request_id,
                stored.answer.status,
                json.dumps(stored.answer.body),
                now,
            ),
        )

    def note_sent(self, scope: Scope, fingerprint: str, identifier: str, now: float) -> None:
        """Remembers what a request that is known by its fields has made."""
        self._db.execute(
            "INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?)",
            (scope.account, fingerprint, identifier, now),
        )

    def last_sent(self, scope: Scope, fingerprint: str, since: float) -> str | None:
        """The id of what the same request made since then."""
        row = self._db.execute(
            "SELECT id FROM sent WHERE account = ? AND fingerprint = ? AND sent_at > ?",
            (scope.account, fingerprint, since),
        ).fetchone()
        return str(row[0]) if row else None

    def find_key(self, digest: str) -> KeyRecord | None:
        """What was registered about the secret key with this SHA-256 digest."""
        row = self._db.execute(
            "SELECT account, revoked FROM keys WHERE digest = ?", (digest,)
        ).fetchone()
        return KeyRecord(row[0], bool(row[1])) if row else None

    def register_key(self, digest: str, record: KeyRecord) -> None:
        """Says which account a key opens, or that it opens none any more."""
        self._db.execute(
            "INSERT OR REPLACE INTO keys VALUES (?, ?, ?)",
            (digest, record.account, record.revoked),
        )

    def accounts(self) -> list[Scope]:
        """Every account and mode that holds anything."""
        rows = self._db.execute(
            "SELECT account, livemode FROM objects UNION SELECT account, livemode FROM idempotency"
            " ORDER BY account, livemode"
        ).fetchall()
        return [Scope(row[0], bool(row[1])) for row in rows]

    def idempotency_keys(self, scope: Scope, limit: int) -> list[Json]:
        """The keys seen in a scope, newest first."""
        rows = self._db.execute(
            "SELECT key, path, status, request_id, stored_at FROM idempotency"
            " WHERE account = ? AND livemode = ? ORDER BY stored_at DESC LIMIT ?",
            (scope.account, scope.livemode, limit),
        ).fetchall()
        names = ("key", "path", "status", "request_id", "stored_at")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def empty(self) -> None:
        """Forgets everything."""
        with self.transaction():
            for table in _TABLES:
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - a fixed list


def _record(row: tuple[str, str, str]) -> Record:
    return Record(row[0], json.loads(row[1]), json.loads(row[2]))
