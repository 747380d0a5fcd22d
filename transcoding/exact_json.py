"""Reads and writes JSON whose numbers keep their text, which the standard library cannot write."""

import json
import re
from collections.abc import Iterator
from typing import Any

_TOKEN = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*"(?=\s*:))|(?P<string>"(?:[^"\\]|\\.)*")'
    r"|(?P<number>-?[0-9][0-9.eE+-]*)|(?P<word>true|false|null)"
)
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


class Number(str):
    """A JSON number as it was written, for example `25.50`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> "Number":
        """Return the number that a text is.

        Raises:
            ValueError: the text is not a JSON number.
        """
        if not _NUMBER.fullmatch(text):
            raise ValueError("not a number")
        return cls(text)


def read(text: str | bytes) -> Any:
    """Return the JSON value with every number as a `Number`.

    Raises:
        ValueError: the text is not JSON, contains NaN or Infinity, or is nested too deeply.
    """
    try:
        return json.loads(text, parse_float=Number, parse_int=Number, parse_constant=_reject)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _reject(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def write(value: Any, indent: int | None = None) -> str:
    """Return the value as JSON: on one line, or with `indent` spaces for each level."""
    return _write(value, indent, 0)


def tokens(text: str) -> Iterator[tuple[str, str]]:
    """Return the tokens of JSON text in order, each with its kind.

    Kinds are `key`, `string`, `number`, `word` (true, false, null), and empty for the rest.
    """
    end = 0
    for found in _TOKEN.finditer(text):
        if end < found.start():
            yield "", text[end : found.start()]
        assert found.lastgroup is not None, "every alternative has a name"
        yield found.lastgroup, found[0]
        end = found.end()
    if end < len(text):
        yield "", text[end:]


def _write(value: Any, indent: int | None, level: int) -> str:
    if isinstance(value, Number):
        return str.__str__(value)
    if isinstance(value, str):
        # Control characters of others must not reach a terminal.
        return json.dumps(value, ensure_ascii=indent is None or not value.isprintable())
    if isinstance(value, dict):
        items = [f"{json.dumps(k)}: {_write(v, indent, level + 1)}" for k, v in value.items()]
        return _enclose("{", items, "}", indent, level)
    if isinstance(value, list):
        items = [_write(item, indent, level + 1) for item in value]
        return _enclose("[", items, "]", indent, level)
    return json.dumps(value)


def _enclose(first: str, items: list[str], last: str, indent: int | None, level: int) -> str:
    if indent is None or not items:
        return first + ", ".join(items) + last
    inner = "\n" + " " * indent * (level + 1)
    return first + inner + f",{inner}".join(items) + "\n" + " " * indent * level + last
