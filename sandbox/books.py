"""Stores accounts, gateway objects and idempotent responses in one SQLite file.

An effect and the stored response of its idempotency key commit in one transaction: a process killed
at any moment leaves both or neither. No card number and no secret key is ever stored. One process,
one connection, used from the event loop's thread only; commits are local and small.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]

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
CREATE INDEX IF NOT EXISTS objects_of_charge ON objects (json_extract(body, '$.charge'));
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


@dataclass(frozen=True)
class Scope:
    """The account and mode of an object; a request sees no other account and no other mode."""

    account: str
    livemode: bool


@dataclass(frozen=True)
class KeyRecord:
    """The account that an API key was registered for, and whether the key is revoked."""

    account: str
    revoked: bool


def hash_key(key: str) -> str:
    """Return the SHA-256 digest under which an API key is stored."""
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass
class Record:
    """A stored object: the API shows `body`; `private` stays inside the sandbox."""

    kind: str
    body: Json
    private: Json = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The object's id in the API."""
        return str(self.body["id"])


@dataclass(frozen=True)
class Change:
    """A write to an object: its body as JSON before, None for a new object, and after."""

    scope: Scope
    kind: str
    before: str | None
    after: str


@dataclass(frozen=True)
class StoredResponse:
    """The first response for an idempotency key, and the request that it belongs to."""

    path: str
    fingerprint: str
    request_id: str
    status: int
    body: Json


@dataclass(frozen=True)
class PageQuery:
    """Selects part of a list; cursors are ids, times Unix seconds."""

    limit: int = 10
    starting_after: str | None = None
    ending_before: str | None = None
    customer: str | None = None
    email: str | None = None
    charge: str | None = None
    payment_intent: str | None = None
    payment_method: str | None = None
    created_from: int | None = None
    created_to: int | None = None


class Books:
    """The store at `path`, created if missing, in memory for None; `clock` gives Unix seconds."""

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.on_commit: Callable[[list[Change]], None] = lambda _changes: None
        """Called after each commit with the transaction's writes, in order."""
        self._changes: list[Change] = []
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(":memory:" if path is None else path, isolation_level=None)
        try:
            self._open()
        except sqlite3.OperationalError as error:
            self._db.close()
            raise OSError(f"cannot use the sandbox's books at {path}: {error}") from error

    def _open(self) -> None:
        """Lock the file for this process, so that no other sandbox can use it."""
        self._db.execute("PRAGMA busy_timeout=0")
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit the block's writes, or none of them if it raises."""
        self._db.execute("BEGIN IMMEDIATE")
        self._changes = []
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._roll_back("ROLLBACK")
            raise
        self.on_commit(self._changes)

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[None]:
        """Roll back the block's writes if it raises; the transaction stays open."""
        self._db.execute("SAVEPOINT effect")
        before = list(self._changes)
        try:
            yield
        except BaseException:
            self._changes = before
            self._roll_back("ROLLBACK TO effect")
            self._roll_back("RELEASE effect")
            raise
        self._db.execute("RELEASE effect")

    def _roll_back(self, statement: str) -> None:
        """Execute the statement, unless SQLite has rolled back itself, as on a full disk."""
        if self._db.in_transaction:
            self._db.execute(statement)

    def add(self, scope: Scope, record: Record) -> None:
        """Insert an object."""
        body = json.dumps(record.body)
        self._changes.append(Change(scope, record.kind, None, body))
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
                body,
                json.dumps(record.private),
            ),
        )

    def update(self, record: Record) -> None:
        """Write an object's changed body and private part."""
        body = json.dumps(record.body)
        row = self._db.execute(
            "SELECT account, livemode, body FROM objects WHERE id = ?", (record.id,)
        ).fetchone()
        if row:
            scope = Scope(row[0], bool(row[1]))
            self._changes.append(Change(scope, record.kind, row[2], body))
        self._db.execute(
            "UPDATE objects SET customer = ?, email = ?, body = ?, private = ? WHERE id = ?",
            (
                record.body.get("customer"),
                record.body.get("email"),
                body,
                json.dumps(record.private),
                record.id,
            ),
        )

    def delete(self, record: Record) -> None:
        """Delete an object; no event tells of it."""
        self._db.execute("DELETE FROM objects WHERE id = ?", (record.id,))

    def find(self, scope: Scope, kind: str, identifier: str) -> Record | None:
        """Return the scope's object with this kind and id."""
        row = self._db.execute(
            "SELECT kind, body, private FROM objects"
            " WHERE id = ? AND kind = ? AND account = ? AND livemode = ?",
            (identifier, kind, scope.account, scope.livemode),
        ).fetchone()
        return _record(row) if row else None

    def find_any_kind(self, scope: Scope, identifier: str) -> Record | None:
        """Return the scope's object with this id."""
        row = self._db.execute(
            "SELECT kind, body, private FROM objects WHERE id = ? AND account = ? AND livemode = ?",
            (identifier, scope.account, scope.livemode),
        ).fetchone()
        return _record(row) if row else None

    def find_in_any_scope(self, kind: str, identifier: str) -> tuple[Scope, Record] | None:
        """Return the object with this kind and id, and its scope."""
        row = self._db.execute(
            "SELECT kind, body, private, account, livemode FROM objects WHERE id = ? AND kind = ?",
            (identifier, kind),
        ).fetchone()
        return (Scope(row[3], bool(row[4])), _record(row[:3])) if row else None

    def list_page(self, scope: Scope, kind: str, query: PageQuery) -> tuple[list[Record], bool]:
        """Return objects, newest first, and whether more follow in the query's direction."""
        where = ["account = ?", "livemode = ?", "kind = ?"]
        values: list[Any] = [scope.account, scope.livemode, kind]
        backwards = query.ending_before is not None
        conditions = (
            ("customer = ?", query.customer),
            ("email = ?", query.email),
            ("json_extract(body, '$.charge') = ?", query.charge),
            ("json_extract(body, '$.payment_intent') = ?", query.payment_intent),
            ("json_extract(body, '$.payment_method') = ?", query.payment_method),
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

    def find_response(self, scope: Scope, key: str) -> StoredResponse | None:
        """Return the stored response of an idempotency key, unless it has expired."""
        row = self._db.execute(
            "SELECT path, fingerprint, request_id, status, body FROM idempotency"
            " WHERE account = ? AND livemode = ? AND key = ? AND stored_at > ?",
            (scope.account, scope.livemode, key, self.clock() - IDEMPOTENCY_LIFE_SECONDS),
        ).fetchone()
        if row is None:
            return None
        return StoredResponse(row[0], row[1], row[2], row[3], json.loads(row[4]))

    def store_response(self, scope: Scope, key: str, response: StoredResponse) -> None:
        """Store the response for the key, and delete expired ones."""
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
                response.path,
                response.fingerprint,
                response.request_id,
                response.status,
                json.dumps(response.body),
                now,
            ),
        )

    def store_fingerprint(
        self, scope: Scope, fingerprint: str, identifier: str, now: float
    ) -> None:
        """Store which object a request with this fingerprint created."""
        self._db.execute(
            "INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?)",
            (scope.account, fingerprint, identifier, now),
        )

    def find_by_fingerprint(self, scope: Scope, fingerprint: str, since: float) -> str | None:
        """Return the id of the object that a request with this fingerprint created since then."""
        row = self._db.execute(
            "SELECT id FROM sent WHERE account = ? AND fingerprint = ? AND sent_at > ?",
            (scope.account, fingerprint, since),
        ).fetchone()
        return str(row[0]) if row else None

    def find_key(self, digest: str) -> KeyRecord | None:
        """Return what was registered for the key with this digest."""
        row = self._db.execute(
            "SELECT account, revoked FROM keys WHERE digest = ?", (digest,)
        ).fetchone()
        return KeyRecord(row[0], bool(row[1])) if row else None

    def register_key(self, digest: str, record: KeyRecord) -> None:
        """Register the account of the key with this digest, or revoke the key."""
        self._db.execute(
            "INSERT OR REPLACE INTO keys VALUES (?, ?, ?)", (digest, record.account, record.revoked)
        )

    def list_scopes(self) -> list[Scope]:
        """Return every account and mode that has objects or idempotency keys."""
        rows = self._db.execute(
            "SELECT account, livemode FROM objects UNION SELECT account, livemode FROM idempotency"
            " ORDER BY account, livemode"
        ).fetchall()
        return [Scope(row[0], bool(row[1])) for row in rows]

    def list_idempotency_keys(self, scope: Scope, limit: int) -> list[Json]:
        """Return a scope's idempotency keys, newest first."""
        rows = self._db.execute(
            "SELECT key, path, status, request_id, stored_at FROM idempotency"
            " WHERE account = ? AND livemode = ? ORDER BY stored_at DESC LIMIT ?",
            (scope.account, scope.livemode, limit),
        ).fetchall()
        names = ("key", "path", "status", "request_id", "stored_at")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def clear(self) -> None:
        """Delete everything."""
        with self.transaction():
            for table in _TABLES:
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - a fixed list


def _record(row: tuple[str, str, str]) -> Record:
    return Record(row[0], json.loads(row[1]), json.loads(row[2]))
