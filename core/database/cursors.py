"""Cursors: the position after a page as text, which belongs to one list with one filter.

    base64url( digest | [rows passed, total, position …] )

The digest covers the list, the business, the filter and the position, so that a cursor of another
list or a changed one is refused. It is not a signature: whoever computes it gains a position in
their own list only, because a list is always restricted to the caller's business.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_DIGEST_BYTES = 9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST_ID = 64
_LARGEST_NUMBER = 2**63 - 1

Value = datetime | str | int
"""A value that lists are ordered by: a time, an id or a number from 0."""


@dataclass(frozen=True, slots=True)
class Position:
    """The position after a page."""

    after: tuple[Value, ...]
    """What the list is ordered by, of the page's last row."""
    passed: int
    """Number of rows up to that one."""
    total: int | None
    """Estimated total of a list that is not counted."""


def write_cursor(scope: str, position: Position) -> str:
    """Return the cursor of a position; `scope` is the text of list, business and filter."""
    after = [_to_json(value) for value in position.after]
    fields = json.dumps([position.passed, position.total, *after], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_digest(scope, fields) + fields).decode().rstrip("=")


def read_cursor(scope: str, cursor: str, kinds: Sequence[type[Value]]) -> Position:
    """Return the position of a cursor whose values have these types.

    Raises:
        ValueError: the cursor is not of this scope, or malformed.
    """
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    digest, fields = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
    if not hmac.compare_digest(digest, _digest(scope, fields)):
        raise ValueError("another list or filter")
    try:
        passed, total, *after = json.loads(fields)
        return Position(
            tuple(_of_json(value, kind) for value, kind in zip(after, kinds, strict=True)),
            _number(passed),
            None if total is None else _number(total),
        )
    except (TypeError, OverflowError) as error:
        raise ValueError("another version's cursor") from error


def _digest(scope: str, fields: bytes) -> bytes:
    return hashlib.sha256(scope.encode() + b"\0" + fields).digest()[:_DIGEST_BYTES]


def _to_json(value: Value) -> str | int:
    return (value - _EPOCH) // timedelta(microseconds=1) if isinstance(value, datetime) else value


def _of_json(value: object, kind: type[Value]) -> Value:
    """Return a value that a database accepts for a column of this kind.

    Raises:
        ValueError, OverflowError: it is no such value.
    """
    if kind is str:
        if type(value) is str and len(value) <= _LARGEST_ID and value.isprintable():
            return value
    elif kind is datetime:
        return _EPOCH + timedelta(microseconds=_number(value))
    else:
        return _number(value)
    raise ValueError("no id")


def _number(value: object) -> int:
    if type(value) is int and 0 <= value <= _LARGEST_NUMBER:
        return value
    raise ValueError("no number")
