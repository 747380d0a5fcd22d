"""Lists, exports and verifies the audit trail."""

import asyncio
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from core.audit import rules, store
from core.audit.rules import End, Problem
from core.audit.sequencer import opened_key
from core.audit.store import Chain, Listed
from core.caller import Caller
from core.database.paging import Page, PageRequest
from core.database.transactions import Database, Transaction
from core.errors import InvalidFields
from core.security.keyring import Keyring, SealBrokenError

logger = logging.getLogger("core.audit")

PAGE_EVENTS = 1000
NO_KEY = "the key of the chain is missing or does not open with this core's keyring"


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Conditions for the events to list; None is no condition."""

    user_id: str | None = None
    payment_id: str | None = None
    action: str | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """Events of one business."""

    business_id: str
    events: Sequence[Listed]
    next_position: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found in a page."""

    events: int
    problems: Sequence[Problem]
    next_position: str


class AuditService:
    """The use cases."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        """Read from `database` what is chained with keys that `keyring` sealed."""
        self._database = database
        self._keyring = keyring

    async def list_events(
        self, caller: Caller, which: EventFilter, page: PageRequest
    ) -> Page[Listed]:
        """Return a page of the business's events, newest first.

        Raises:
            InvalidFields: as `PagedList.read` does.
        """
        async with self._database.listing() as transaction:
            found = await store.page(
                transaction,
                business_id=caller.business_id,
                user_id=which.user_id,
                payment_id=which.payment_id,
                action=which.action,
                page=page,
            )
            addresses = await store.addresses(
                transaction, caller.business_id, [each.event.event_id for each in found.rows]
            )
        rows = [replace(each, address=addresses.get(each.event.event_id)) for each in found.rows]
        return replace(found, rows=rows)

    async def export(self, business_id: str | None, position: str) -> Exported:
        """Return a page of events, of one business after the other, oldest first.

        Raises:
            InvalidFields: the position is none of ours.
        """
        async with self._database.listing() as transaction:
            of, after = await _start(transaction, business_id, position)
            events = await store.events(transaction, of, after, PAGE_EVENTS)
            following = await _following(transaction, business_id, of, events)
        return Exported(of, events, following)

    async def verify(
        self,
        business_id: str | None,
        position: str,
        checkpoints: Mapping[str, Collection[End]],
    ) -> Verified:
        """Verify a page of events, and where a chain ends, that it ends as it should.

        The first page also compares the checkpoints, by business.

        Raises:
            InvalidFields: the position is none of ours.
        """
        problems: list[Problem] = []
        async with self._database.listing() as transaction:
            if not position:
                problems += await _contradicting(transaction, business_id, checkpoints)
            of, after = await _start(transaction, business_id, position)
            events = await store.events(transaction, of, after, PAGE_EVENTS)
            hashes = await store.hashes(transaction, of, [after])
            chain = await store.chain(transaction, of)
            following = await _following(transaction, business_id, of, events)
        start = End(after, hashes.get(after, rules.NO_HASH))
        last = End(events[-1].event.sequence, events[-1].hash) if events else start
        if chain is None and not events:
            return Verified(0, problems, following)
        key = None if chain is None else self._key(of, chain)
        if chain is None or key is None:
            problems.append(Problem(of, last.sequence, NO_KEY))
            return Verified(len(events), problems, following)
        hashed = [(each.event, each.hash) for each in events]
        problems += await asyncio.to_thread(rules.broken, key, start, hashed)
        if len(events) < PAGE_EVENTS:
            problems += rules.wrong_end(of, last, chain.end)
        return Verified(len(events), problems, following)

    def _key(self, business_id: str, chain: Chain) -> bytes | None:
        """Return the key of a chain; None if it does not open."""
        try:
            return opened_key(self._keyring, business_id, chain)
        except SealBrokenError as error:
            extra = {"business_id": business_id, "reason": str(error)}
            logger.error("key of an audit chain does not open", extra=extra)  # noqa: TRY400
            return None


async def _start(
    transaction: Transaction, business_id: str | None, position: str
) -> tuple[str, int]:
    """Return the business of a page and the position in its chain that it begins after.

    Raises:
        InvalidFields: the position is none of ours.
    """
    if not position:
        return business_id or await store.next_chained(transaction, "") or "", 0
    try:
        of, after = json.loads(position)
        return str(of), int(after)
    except (ValueError, TypeError):
        raise InvalidFields.of("position", "is not the next_position of a response") from None


async def _following(
    transaction: Transaction, business_id: str | None, of: str, events: Sequence[Listed]
) -> str:
    """Return the position of the page after this one, empty after the last one."""
    if len(events) == PAGE_EVENTS:
        return json.dumps([of, events[-1].event.sequence])
    if business_id is not None:
        return ""
    found = await store.next_chained(transaction, of)
    return json.dumps([found, 0]) if found else ""


async def _contradicting(
    transaction: Transaction,
    business_id: str | None,
    checkpoints: Mapping[str, Collection[End]],
) -> list[Problem]:
    problems = []
    for of, ends in sorted(checkpoints.items()):
        if business_id in (None, of):
            found = await store.hashes(transaction, of, [each.sequence for each in ends])
            problems += rules.contradicting(of, ends, found)
    return problems
