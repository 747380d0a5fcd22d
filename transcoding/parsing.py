"""Parses a request body strictly into Python values.

A value that no field can hold (`NaN`, a number out of range, a duplicate key) becomes a
`MalformedValue` in its place, so that the error names the field.
"""

import json
import re
from decimal import Decimal, InvalidOperation

MAX_DEPTH = 32
"""Deepest nesting of objects and lists; a real request has two or three levels."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_STRINGS_AND_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


class InvalidJson(Exception):
    """The body is not UTF-8, not JSON, nested too deeply, or not an object."""


class MalformedValue:
    """A value that no field can hold; `description` says what is wrong with it."""

    __slots__ = ("description",)

    def __init__(self, description: str) -> None:
        self.description = description


def parse_object(body: bytes) -> dict[str, object]:
    """Return the JSON object in `body`, with numbers as Decimal.

    A byte order mark at the start is skipped, as RFC 8259 section 8.1 allows.

    Raises:
        InvalidJson: `body` is not a JSON object in UTF-8, or is nested too deeply.
    """
    try:
        text = body.removeprefix(_BYTE_ORDER_MARK).decode()
    except UnicodeDecodeError:
        raise InvalidJson from None
    if _is_too_deep(text):
        raise InvalidJson
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise InvalidJson from None
    if not isinstance(value, dict):
        raise InvalidJson
    return value


def _is_too_deep(text: str) -> bool:
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    depth = 0
    for mark in _STRINGS_AND_BRACKETS.findall(text):
        if mark in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif mark in "]}":
            depth -= 1
    return False


def _number(text: str) -> Decimal | MalformedValue:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond what decimal numbers can hold
        return MalformedValue("is a number that is out of range")


def _constant(_name: str) -> MalformedValue:
    return MalformedValue("must not be NaN or infinite")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                found[name] = MalformedValue("is given more than once")
            seen.add(name)
    return found


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_number, parse_int=_number, parse_constant=_constant
)
