"""Cursors: what is written is read again, and nothing else is."""

import base64
import hashlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.database.cursors import Position, Value, read_cursor, write_cursor

IDS = st.from_regex(r"\A[A-Za-z0-9_-]{1,64}\Z")
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
NUMBERS = st.integers(0, 2**63 - 1)
TOTALS = st.none() | NUMBERS
OF_TIME: list[type[Value]] = [datetime, str]


def is_refused(cursor: str) -> bool:
    try:
        read_cursor("scope", cursor, OF_TIME)
    except ValueError:
        return True
    return False


@given(TIMES, IDS, NUMBERS, TOTALS, st.text())
def test_a_cursor_is_read_as_it_was_written(
    moment: datetime, id_: str, passed: int, total: int | None, scope: str
) -> None:
    position = Position((moment, id_), passed, total)
    cursor = write_cursor(scope, position)
    assert read_cursor(scope, cursor, OF_TIME) == position
    assert len(cursor) <= 256
    assert cursor.replace("-", "").replace("_", "").isalnum()


@given(NUMBERS, NUMBERS)
def test_a_position_may_be_a_number(version: int, passed: int) -> None:
    position = Position((version,), passed, None)
    assert read_cursor("s", write_cursor("s", position), [int]) == position


@given(st.data(), IDS)
def test_a_changed_cursor_is_refused(data: st.DataObject, id_: str) -> None:
    position = Position((datetime(2026, 1, 31, tzinfo=UTC), id_), 25, None)
    cursor = write_cursor("scope", position)
    index = data.draw(st.integers(0, len(cursor) - 1))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    changed = cursor[:index] + data.draw(st.sampled_from(alphabet)) + cursor[index + 1 :]
    # The last character may have bits that mean nothing.
    is_same = base64.urlsafe_b64decode(changed + "==") == base64.urlsafe_b64decode(cursor + "==")
    assert is_refused(changed) != is_same


@given(st.from_regex(r"\A[A-Za-z0-9_-]{1,256}\Z"))
def test_any_text_is_refused(text: str) -> None:
    assert is_refused(text)


def test_a_cursor_of_another_scope_is_refused() -> None:
    cursor = write_cursor("one", Position((1,), 0, None))
    with pytest.raises(ValueError, match="another list or filter"):
        read_cursor("other", cursor, [int])


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [1],
        [1, None],
        [1, None, 5],
        [1, None, 5, "a", "b"],
        [1, None, "5", "a"],
        [1, None, 5, 6],
        [1, None, -1, "a"],
        [1, None, 2**63, "a"],
        [1, None, 10**18, "a"],
        [1, None, 5.5, "a"],
        [1, None, True, "a"],
        [1, None, 5, "a\0"],
        [1, None, 5, "a" * 65],
        [-1, None, 5, "a"],
        [None, None, 5, "a"],
        [1, -1, 5, "a"],
        [1, "9", 5, "a"],
        {"a": 1},
        7,
        None,
    ],
)
def test_a_forged_position_that_no_database_accepts_is_refused(fields: object) -> None:
    """The digest can be computed by anyone who reads the code, so values are checked, too."""
    text = json.dumps(fields).encode()
    digest = hashlib.sha256(b"scope\0" + text).digest()[:9]
    cursor = base64.urlsafe_b64encode(digest + text).decode().rstrip("=")
    assert is_refused(cursor)
