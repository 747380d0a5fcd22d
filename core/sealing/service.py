"""Seals again what older keys of the keyring sealed, and counts what still needs them.

One page of a table at a time: a page is read without locks, and what another key than the first
one sealed is sealed again in short transactions, each of rows of one business. They lock nothing
else, and skip rows that another transaction has locked, so they can wait for nobody. What was done
when a run is killed stays done; the next one begins at the first row, and only reads that again.
A fingerprint cannot be made again, as the request is not stored: it needs its key until it expires.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from core.caller import current_presence
from core.credentials import store as credentials_store
from core.database.transactions import Database
from core.errors import InvalidFields
from core.sealing.store import TABLES, Row, SealedTable, Secrets
from core.security.keyring import Keyring, SealBrokenError, sealing_key_id

logger = logging.getLogger("core")

PAGE_ROWS = 1000
BATCH_ROWS = 100
"""Rows of one transaction: on SQLite every other transaction waits for it."""
FINGERPRINTS = "fingerprints"
CANARIES = "keyring_canaries"


@dataclass(slots=True)
class KeyUse:
    """What needs a key, of one table or of the fingerprints."""

    rows: int = 0
    open_rows: int = 0
    """Those that stay until their payment has an outcome."""
    until: datetime | None = None
    """When the last one expires; None: they do not."""
    last_at: datetime | None = None
    """When the newest one was made, of fingerprints."""


@dataclass(slots=True)
class Page:
    """What was found in a page, after what was sealed again."""

    key_id: str
    read_at: datetime
    rows: int = 0
    resealed: int = 0
    unreadable: int = 0
    """Rows with a secret that does not open."""
    uses: dict[tuple[str, str], KeyUse] = field(default_factory=lambda: defaultdict(KeyUse))
    """By the id of the key, and what needs it."""
    next_position: str = ""


class SealingService:
    """The use cases of `nivisco secrets`."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        """Seal with the first key of `keyring`."""
        self._database = database
        self._keyring = keyring

    async def rotate(self, position: str, key_id: str | None, *, check_only: bool) -> Page:
        """Seal again what other keys sealed in a page, unless `check_only`; return what is left.

        Raises:
            InvalidFields: the position is none of ours; this core does not seal with `key_id`, or
                lacks a key that another core uses.
        """
        table, after = _position(position)
        async with self._database.read() as transaction:
            known = await credentials_store.canaries(transaction)
            self._check_keys(key_id, [] if check_only else known)
            rows = await table.rows(transaction, after, PAGE_ROWS)
            page = Page(self._keyring.primary_id, transaction.now, rows=len(rows))
        if not position:
            for each in known:
                page.uses[each, CANARIES].rows = 1
        resealed: set[tuple[str, str]] = set()
        if not check_only:
            stale = [row for row in rows if self._is_stale(row.prefixes)]
            for business_id, of_business in groupby(stale, lambda row: row.business_id):
                keys = [row.key for row in of_business]
                for begin in range(0, len(keys), BATCH_ROWS):
                    if current_presence().left:
                        return page
                    batch = keys[begin : begin + BATCH_ROWS]
                    done = await self._reseal(table, business_id, batch, page)
                    resealed |= {(business_id, key) for key in done}
        for row in rows:
            self._count(page, table, row, is_resealed=(row.business_id, row.key) in resealed)
        page.resealed = len(resealed)
        page.next_position = _next_position(table, rows)
        if resealed:
            extra = {"table": table.name, "rows": len(resealed), "key_id": page.key_id}
            logger.info("secrets sealed again", extra=extra)
        return page

    def _check_keys(self, key_id: str | None, known: Collection[str]) -> None:
        ours = self._keyring.primary_id
        if key_id is not None and key_id != ours:
            raise InvalidFields.of(
                "key_id",
                f"is not the key that this core seals with, which is {ours!r}: restart it with "
                f"{key_id!r} first in NIVISCO_SECRET_KEYS",
            )
        if missing := sorted(set(known) - set(self._keyring.keys)):
            raise InvalidFields.of(
                "key_id",
                f"cannot be {ours!r}: other cores seal with {missing[0]!r}, which this core has "
                "not got. Restart it with the keyring of the others",
            )

    def _is_stale(self, secrets: Secrets) -> bool:
        return any(
            sealed is not None and not self._keyring.is_newest(sealed)
            for sealed in secrets.values()
        )

    async def _reseal(
        self, table: SealedTable, business_id: str, keys: Sequence[str], page: Page
    ) -> set[str]:
        """Seal rows of a business again and return their keys."""
        changed: dict[str, Secrets] = {}
        async with self._database.transaction("sealing.reseal") as transaction:
            for key, secrets in (await table.lock(transaction, business_id, keys)).items():
                if not self._is_stale(secrets):  # another run was faster
                    continue
                try:
                    changed[key] = {
                        column: sealed
                        if sealed is None or self._keyring.is_newest(sealed)
                        else self._keyring.reseal(
                            sealed, business_id=business_id, purpose=table.purpose(column, key)
                        )
                        for column, sealed in secrets.items()
                    }
                except SealBrokenError as error:
                    page.unreadable += 1
                    extra = {"table": table.name, "business_id": business_id, "reason": str(error)}
                    # Without a traceback: the reason says it all.
                    logger.error(  # noqa: TRY400
                        "secret does not open, not sealed again", extra=extra
                    )
            if changed:
                await table.write(transaction, business_id, changed)
        return set(changed)

    def _count(self, page: Page, table: SealedTable, row: Row, *, is_resealed: bool) -> None:
        key_ids = {sealing_key_id(each) for each in row.prefixes.values() if each is not None}
        for key_id in {page.key_id} if is_resealed else key_ids:
            use = page.uses[key_id, table.name]
            use.rows += 1
            use.until = _later(use.until, row.expires_at)
        if row.fingerprint_key_id is not None:
            use = page.uses[row.fingerprint_key_id, FINGERPRINTS]
            use.rows += 1
            use.open_rows += row.is_open
            use.until = _later(use.until, row.expires_at)
            use.last_at = _later(use.last_at, row.created_at)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(filter(None, (one, other)), default=None)


def _position(position: str) -> tuple[SealedTable, tuple[str, str]]:
    """Return the table of a page and the business and key that it begins after.

    Raises:
        InvalidFields: the position is none of ours.
    """
    if not position:
        return TABLES[0], ("", "")
    try:
        name, business_id, key = json.loads(position)
        (table,) = (each for each in TABLES if each.name == name)
        return table, (str(business_id), str(key))
    except (ValueError, TypeError):
        raise InvalidFields.of("position", "is not the next_position of a response") from None


def _next_position(table: SealedTable, rows: Sequence[Row]) -> str:
    """Return the position of the next page, empty after the last one."""
    if len(rows) == PAGE_ROWS:
        return json.dumps([table.name, rows[-1].business_id, rows[-1].key])
    following = TABLES[TABLES.index(table) + 1 :]
    return json.dumps([following[0].name, "", ""]) if following else ""
