"""Collects the problems of a request's fields and merges them with those that the core found.

It never keeps a field's value.
"""

import difflib
from collections.abc import Iterable, Sequence

from rpc.error_details import (
    MAX_FIELD_PROBLEMS,
    MAX_NAME_LENGTH,
    FieldProblem,
    as_many_as_fit,
    printable,
)
from transcoding.parsing import MalformedValue


class InvalidValue(ValueError):
    """A value does not have the form of its field; the message says which form that is."""


class FieldProblems:
    """The problems of one request in the order of its fields, at most 20."""

    __slots__ = ("_invalid", "found")

    def __init__(self) -> None:
        self.found: list[FieldProblem] = []
        self._invalid: set[str] = set()

    def add_invalid(self, field: str, value: object, description: str) -> None:
        """Add a problem of a known field, whose value is then not part of the message."""
        if len(self.found) < MAX_FIELD_PROBLEMS:
            self._invalid.add(field)
            shown = value.description if isinstance(value, MalformedValue) else description
            self.found.append(FieldProblem(field, shown))

    def add_unknown(self, prefix: str, name: str, known: Iterable[str]) -> None:
        """Add an unknown field, with the known name that it resembles."""
        if len(self.found) < MAX_FIELD_PROBLEMS:
            description = "is not a field of this request" + did_you_mean(name, known)
            self.found.append(FieldProblem(prefix + printable(name), description))

    def to_send(self) -> list[FieldProblem]:
        """Return the problems for the core, which rejects the call for one: the list stays here."""
        return as_many_as_fit(self.found)

    def merged_with(self, from_core: Sequence[FieldProblem]) -> list[FieldProblem]:
        """Return these problems, then the core's new ones, at most 20 in all.

        The core's problems of an invalid field, of its parts, and of the object around it are
        dropped: they only follow from its absence in the message.
        """
        merged = dict.fromkeys(self.found)
        for problem in from_core:
            if not self._explains(problem.field):
                merged.setdefault(problem)
        return list(merged)[:MAX_FIELD_PROBLEMS]

    def _explains(self, field: str) -> bool:
        return any(
            field == invalid or _is_within(field, invalid) or _is_within(invalid, field)
            for invalid in self._invalid
        )


def _is_within(inner: str, outer: str) -> bool:
    return inner.startswith((f"{outer}.", f"{outer}["))


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.7) -> str:
    """Return `; did you mean ...?` with the known name that resembles `name`, or nothing.

    `cutoff` is the least similarity, from 0 to 1 (difflib).
    """
    close = difflib.get_close_matches(name[:MAX_NAME_LENGTH].lower(), known, n=1, cutoff=cutoff)
    return f"; did you mean `{close[0]}`?" if close else ""
