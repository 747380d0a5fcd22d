"""Puts recorded changes into the chain of their business, one batch after the other.

Changes are recorded by the transactions that make them, in any order. A transaction that commits
late is found late, and gets a later position, so that positions have no gap. The row of a chain is
locked while a batch is appended: whichever core locks it first appends, and the others pass it by,
so that a chain never forks. A batch is one transaction: a core that is killed leaves all of it, or
nothing. Requests never wait for it: it locks no row that they write.
"""

import asyncio
import json
import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core.audit import rules, store
from core.audit.rules import End, Event
from core.audit.store import Chain, Known, Listed, Pending, SubjectKey
from core.database.changes import AUDITED
from core.database.transactions import (
    CommitUnknownError,
    Database,
    DatabaseUnavailableError,
    Transaction,
)
from core.security.keyring import Keyring

logger = logging.getLogger("core.audit")

SEQUENCE_SECONDS = 1.0
BATCH = 500
"""Events of one transaction: on SQLite every other transaction waits for it."""
CHECKPOINT_EVERY = timedelta(seconds=60)
"""Least time between two checkpoints of a chain."""
_NEVER = datetime.min.replace(tzinfo=UTC)
LOG = "log"
"""The setting of checkpoints that go to the log."""
_REUSED = frozenset(table for table, column in AUDITED.items() if column in ("env", "what"))
"""Kinds whose ids are created again."""


class Sequencer:
    """The sequencer of a core."""

    def __init__(self, database: Database, keyring: Keyring, checkpoints: str | None) -> None:
        """Append to the chains in `database`, whose keys `keyring` seals.

        `checkpoints` is a file to append to, `log`, or None.
        """
        self._database = database
        self._keyring = keyring
        self._checkpoints = checkpoints
        self._due: dict[str, End] = {}
        """Ends of chains that grew since their last checkpoint, by business."""
        self._checked: dict[str, datetime] = {}
        self._failed: dict[str, str] = {}
        """Why a chain could not be appended to at the last pass, by business."""

    async def run(self) -> None:
        """Append what is recorded, of one business after the other, and write checkpoints.

        A chain that cannot be appended to is logged, and tried again by the next pass.

        Raises:
            DatabaseUnavailableError, CommitUnknownError: as `Database.transaction` does.
        """
        now = await self._append_all()
        if self._checkpoints is not None:
            await self._write_checkpoints(now, least=CHECKPOINT_EVERY)

    async def finish(self) -> None:
        """Append what is recorded, and write the checkpoints of all chains that grew."""
        now = await self._append_all()
        if self._checkpoints is not None:
            await self._write_checkpoints(now, least=timedelta())

    async def _append_all(self) -> datetime:
        business_id = ""
        while True:
            async with self._database.read() as transaction:
                now = transaction.now
                found = await store.next_pending(transaction, business_id)
            if found is None:
                return now
            business_id = found
            try:
                while await self._append_some(business_id) == BATCH:
                    pass
            except (DatabaseUnavailableError, CommitUnknownError):
                raise
            except Exception as error:  # noqa: BLE001 - the chains of others go on
                self._note_failure(business_id, f"{type(error).__name__}: {error}")
            else:
                self._failed.pop(business_id, None)

    def _note_failure(self, business_id: str, reason: str) -> None:
        """Log once, not at each pass, why a chain cannot go on."""
        if self._failed.get(business_id) != reason:
            self._failed[business_id] = reason
            extra = {"business_id": business_id, "reason": reason}
            logger.error("audit chain not appended", extra=extra)

    async def _append_some(self, business_id: str) -> int:
        """Append a batch, unless another core does, and return how many events it has."""
        async with self._database.transaction("audit.append") as transaction:
            chain = await store.chain(transaction, business_id, lock=True)
            if chain is None:
                await store.begin_chain(transaction, business_id, self._keyring)
                chain = await store.chain(transaction, business_id, lock=True)
            if chain is None:
                return 0
            taken = await store.pending(transaction, business_id, BATCH)
            if not taken:
                return 0
            end = await self._append(transaction, business_id, chain, taken)
        self._due[business_id] = end
        return len(taken)

    async def _append(
        self, transaction: Transaction, business_id: str, chain: Chain, taken: Sequence[Pending]
    ) -> End:
        known = await _known(transaction, business_id, taken)
        events = []
        for sequence, each in enumerate(taken, start=chain.end.sequence + 1):
            key = (each.subject, each.subject_id)
            before = known.get(key, Known(None, None, None))
            event = _event(each, sequence, before)
            events.append(event)
            known[key] = Known(event.after_hash, event.user_id, event.payment_id)
        hashes = rules.append(opened_key(self._keyring, business_id, chain), chain.end, events)
        listed = [
            Listed(event, hashed, each.address)
            for event, hashed, each in zip(events, hashes, taken, strict=True)
        ]
        await store.append(transaction, listed, taken)
        end = End(events[-1].sequence, hashes[-1])
        await store.save_end(transaction, business_id, end)
        return end

    async def _write_checkpoints(self, now: datetime, *, least: timedelta) -> None:
        """Write the ends of chains that grew, and whose last checkpoint is `least` ago."""
        due = {
            business_id: end
            for business_id, end in self._due.items()
            if now - self._checked.get(business_id, _NEVER) >= least
        }
        if not due:
            return
        lines = [
            {
                "business_id": business_id,
                "sequence": end.sequence,
                "hash": end.hash,
                "at": now.isoformat(),
            }
            for business_id, end in due.items()
        ]
        if self._checkpoints == LOG:
            for line in lines:
                logger.info("audit checkpoint", extra=line)
        elif self._checkpoints is not None:
            text = "".join(f"{json.dumps(line)}\n" for line in lines)
            try:
                await asyncio.to_thread(_append_to, Path(self._checkpoints), text)
            except OSError as error:
                logger.error(  # noqa: TRY400 - the reason says it all
                    "audit checkpoints not written", extra={"reason": str(error)}
                )
                return
        for business_id in due:
            self._checked[business_id] = now
            del self._due[business_id]


def opened_key(keyring: Keyring, business_id: str, chain: Chain) -> bytes:
    """Return the key of a chain.

    Raises:
        SealBrokenError: it does not open with this keyring.
    """
    return keyring.open_bytes(
        chain.sealed_key, business_id=business_id, purpose=store.key_purpose()
    )


async def _known(
    transaction: Transaction, business_id: str, taken: Sequence[Pending]
) -> dict[SubjectKey, Known]:
    """Return what is known of the objects of changes: by events before, or else by their rows."""
    is_new = {(each.subject, each.subject_id): each.change == "created" for each in reversed(taken)}
    earlier = [key for key, new in is_new.items() if key[1] and not (new and key[0] not in _REUSED)]
    known = await store.known(transaction, business_id, earlier)
    missing: dict[str, list[str]] = defaultdict(list)
    for subject, subject_id in is_new:
        if subject_id and (subject, subject_id) not in known:
            missing[subject].append(subject_id)
    for subject, ids in sorted(missing.items()):
        known |= await store.owners(transaction, business_id, subject, ids)
    return known


def _event(pending: Pending, sequence: int, before: Known) -> Event:
    is_user, is_payment = pending.subject == "users", pending.subject == "payments"
    return Event(
        business_id=pending.business_id,
        sequence=sequence,
        event_id=pending.event_id,
        occurred_at=pending.occurred_at,
        actor=pending.actor,
        actor_id=pending.actor_id,
        action=pending.action,
        transition=pending.transition,
        change=pending.change,
        subject=pending.subject,
        subject_id=pending.subject_id,
        request_id=pending.request_id,
        user_id=pending.subject_id if is_user else pending.user_id or before.user_id,
        payment_id=pending.subject_id if is_payment else before.payment_id,
        before_hash=before.after_hash,
        after_hash=pending.after_hash,
    )


def _append_to(path: Path, text: str) -> None:
    """Append lines in one write, which has reached the disk when this returns."""
    with path.open("a", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
