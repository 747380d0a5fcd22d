"""The chain of a business's audit events: what its hashes are made of, and what breaks it. Pure.

    hash(n) = HMAC-SHA256(key of the chain, hash(n - 1) | event n)          hash(0) is empty

Whoever lacks the key can neither alter, insert nor reorder a chained event without a wrong hash. A
missing one leaves a gap. Only the end can be cut off: checkpoints outside of the database show
that. For the second or two before an event is chained it has no hash, and nothing shows what was
inserted, altered or removed then.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

NO_HASH = ""
"""Before the first event."""


class Event(NamedTuple):
    """An event in the chain, without its hash. No field is personal data beyond an id."""

    business_id: str
    sequence: int
    event_id: str
    occurred_at: datetime
    actor: str
    actor_id: str
    action: str
    transition: str
    change: str
    subject: str
    subject_id: str
    request_id: str
    user_id: str | None
    payment_id: str | None
    before_hash: str | None
    """`after_hash` of the event before about the same object."""
    after_hash: str


@dataclass(frozen=True, slots=True)
class End:
    """The last event of a chain, or of a part of it."""

    sequence: int = 0
    hash: str = NO_HASH


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong in a chain."""

    business_id: str
    sequence: int
    problem: str


def link(key: bytes, previous: str, event: Event) -> str:
    """Return the hash of an event after the one whose hash is `previous`."""
    values = [
        each.astimezone(UTC).isoformat() if isinstance(each, datetime) else each for each in event
    ]
    content = json.dumps([previous, *values], separators=(",", ":")).encode()
    return hmac.digest(key, content, hashlib.sha256).hex()


def append(key: bytes, end: End, events: Iterable[Event]) -> list[str]:
    """Return the hashes of events that follow the end of a chain."""
    hashes, previous = [], end.hash
    for event in events:
        previous = link(key, previous, event)
        hashes.append(previous)
    return hashes


def broken(key: bytes, end: End, events: Sequence[tuple[Event, str]]) -> list[Problem]:
    """Return what is wrong with events and their hashes, which should follow `end`.

    An event is compared with the hash that is stored before it, so that one altered event does not
    hide that the rest is whole.
    """
    problems = []
    for event, stored in events:
        if event.sequence != end.sequence + 1:
            missing = f"{event.sequence - end.sequence - 1} events before it are missing"
            problems.append(Problem(event.business_id, event.sequence, missing))
        elif not hmac.compare_digest(link(key, end.hash, event), stored):
            altered = "its hash is wrong: it, or the one before it, was altered or inserted"
            problems.append(Problem(event.business_id, event.sequence, altered))
        end = End(event.sequence, stored)
    return problems


def wrong_end(business_id: str, last: End, recorded: End) -> list[Problem]:
    """Return the problem of a chain that does not end where it is recorded to."""
    if last == recorded:
        return []
    problem = f"the chain should end with event {recorded.sequence}: events are missing or added"
    return [Problem(business_id, last.sequence, problem)]


def contradicting(
    business_id: str, checkpoints: Iterable[End], hashes: Mapping[int, str]
) -> list[Problem]:
    """Return the checkpoints that the chain's events, as hashes by sequence, do not have."""
    return [
        Problem(
            business_id,
            each.sequence,
            "a checkpoint has another hash"
            if each.sequence in hashes
            else "a checkpoint has this event, and the trail does not: its end was cut off",
        )
        for each in checkpoints
        if hashes.get(each.sequence) != each.hash
    ]
