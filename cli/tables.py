"""Formats JSON values as a table, for `-o table`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from transcoding import exact_json


def table(values: Mapping[str, Any]) -> str:
    """Return the rows of the response's list as a table, or else its values as lines.

    A column is a field, of an object in it `object.field`. Fields that no row has are left out.
    What is beside the list, for example `total`, is on lines below it.
    """
    lists = {name: each for name, each in values.items() if _is_rows(each)}
    if len(lists) != 1:
        return "\n".join(_lines(values))
    (name, rows), beside = next(iter(lists.items())), dict(values)
    del beside[name]
    body = columns([dict(_cells(row)) for row in rows]) if rows else f"no {name}"
    return "\n".join([body, "", *_lines(beside)]).rstrip("\n")


def columns(rows: Sequence[Mapping[str, str]]) -> str:
    """Return aligned lines below a line of names, without the columns that no row has."""
    every = dict.fromkeys(name for row in rows for name in row)
    names = [name for name in every if any(row.get(name) for row in rows)]
    widths = {name: max(len(name), *(len(row.get(name, "")) for row in rows)) for name in names}
    lines = [{name: name for name in names}, *rows]
    return "\n".join(
        "  ".join(f"{line.get(name, ''):{widths[name]}}" for name in names).rstrip()
        for line in lines
    )


def _is_rows(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _lines(values: Mapping[str, Any]) -> Iterator[str]:
    cells = [(name, cell) for name, cell in _cells(values) if cell]
    width = max((len(name) for name, _ in cells), default=0)
    yield from (f"{name:{width}}  {cell}" for name, cell in cells)


def _cells(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _cells(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _cell(value)


def _cell(value: object) -> str:
    """Return a value on one line; control characters are escaped, and nothing is cut."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else exact_json.write(value)
    return text if text.isprintable() else exact_json.write(text)
