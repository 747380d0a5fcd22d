"""The chain of audit events: whatever happens to one of them is found."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.audit.rules import End, Event, Problem, append, broken, contradicting, wrong_end

KEY = b"k" * 32
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(sequence: int) -> Event:
    return Event(
        business_id="B",
        sequence=sequence,
        event_id=f"AUD-{sequence}",
        occurred_at=NOW + timedelta(seconds=sequence),
        actor="api_key",
        actor_id="default",
        action="update_user",
        transition="",
        change="updated",
        subject="users",
        subject_id="USR-1",
        request_id="R",
        user_id="USR-1",
        payment_id=None,
        before_hash=None,
        after_hash=f"{sequence:064x}",
    )


def chain(count: int) -> list[tuple[Event, str]]:
    events = [event(each) for each in range(1, count + 1)]
    return list(zip(events, append(KEY, End(), events), strict=True))


def places(problems: Sequence[Problem]) -> set[int]:
    return {each.sequence for each in problems}


@given(count=st.integers(0, 8), cut=st.integers(0, 8))
def test_a_chain_verifies_in_any_two_parts(count: int, cut: int) -> None:
    events = chain(count)
    first, rest = events[:cut], events[cut:]
    end = End(first[-1][0].sequence, first[-1][1]) if first else End()
    assert broken(KEY, End(), first) + broken(KEY, end, rest) == []


@pytest.mark.parametrize("name", [each for each in Event._fields if each != "sequence"])
def test_each_altered_field_is_found_at_its_event_alone(name: str) -> None:
    events = chain(4)
    altered, stored = events[1]
    value: Any = getattr(altered, name)
    other: Any = f"{value}x"
    if isinstance(value, datetime):
        other = value + timedelta(microseconds=1)
    changes: dict[str, Any] = {name: other}
    events[1] = (altered._replace(**changes), stored)
    assert places(broken(KEY, End(), events)) == {2}


@given(st.data())
def test_what_is_removed_inserted_or_reordered_is_found(data: st.DataObject) -> None:
    events = chain(6)
    place = data.draw(st.integers(0, 4))
    forged = events[place][0]._replace(event_id="AUD-forged")
    renumbered = [
        (each._replace(sequence=number), stored)
        for number, (each, stored) in enumerate(events[:place] + events[place + 1 :], start=1)
    ]
    swapped = list(events)
    swapped[place], swapped[place + 1] = (
        (events[place + 1][0]._replace(sequence=place + 1), events[place + 1][1]),
        (events[place][0]._replace(sequence=place + 2), events[place][1]),
    )
    cases = {
        "removed": events[:place] + events[place + 1 :],
        "removed and renumbered": renumbered,
        "reordered": swapped,
        "rehashed with another key": [
            *events[:place],
            (forged, append(b"x" * 32, End(), [forged])[0]),
            *events[place + 1 :],
        ],
    }
    for name, altered in cases.items():
        assert broken(KEY, End(), altered), name


def test_an_end_that_is_cut_off_is_found_by_the_recorded_end_and_by_a_checkpoint() -> None:
    events = chain(3)
    ends = [End(each.sequence, stored) for each, stored in events]
    hashes = {end.sequence: end.hash for end in ends}
    assert wrong_end("B", ends[2], ends[2]) == []
    assert places(wrong_end("B", ends[1], ends[2])) == {2}
    assert contradicting("B", ends, hashes) == []
    assert places(contradicting("B", ends, {1: ends[0].hash, 2: ends[1].hash})) == {3}
    assert places(contradicting("B", [End(2, "other")], hashes)) == {2}
