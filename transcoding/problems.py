"""Collects what is wrong with a request's fields, and joins it with what the core found.

It never keeps, shows or logs a field's value.
"""

import difflib
from collections.abc import Iterable, Sequence

from rpc.error_details import MAX_FIELD_PROBLEMS, FieldProblem
from transcoding.parsing import MalformedValue

MAX_NAME_LENGTH = 64
"""How much of an unknown field's name an answer repeats, in characters."""
MAX_SENT_BYTES = 3072
"""How much of the problems travels to the core, in bytes. gRPC refuses metadata above 8 KiB; the
core needs one problem to refuse the call, and the whole list stays here."""


class InvalidValue(ValueError):
    """A value does not have the form that its field needs; the message says which form that is."""


class Problems:
    """The problems of one request, in the order of its fields, at most 20."""

    __slots__ = ("_mistyped", "found")

    def __init__(self) -> None:
        self.found: list[FieldProblem] = []
        self._mistyped: set[str] = set()

    def add_invalid(self, field: str, value: object, description: str) -> None:
        """Record that `field` is known but holds a value that was left out of the message."""
        if len(self.found) < MAX_FIELD_PROBLEMS:
            self._mistyped.add(field)
            shown = value.description if isinstance(value, MalformedValue) else description
            self.found.append(FieldProblem(field, shown))

    def add_unknown(self, prefix: str, name: str, known: Iterable[str]) -> None:
        """Record that no field has this name, with the known name that it resembles."""
        if len(self.found) < MAX_FIELD_PROBLEMS:
            description = "is not a field of this request" + did_you_mean(name, known)
            self.found.append(FieldProblem(prefix + printable(name), description))

    def to_send(self) -> list[FieldProblem]:
        """Return as many of the problems, from the first, as fit in a call's metadata."""
        sent: list[FieldProblem] = []
        size = 0
        for problem in self.found:
            size += len(problem.field.encode()) + len(problem.description.encode()) + 8
            if sent and size > MAX_SENT_BYTES:
                break
            sent.append(problem)
        return sent

    def joined_with(self, from_core: Sequence[FieldProblem]) -> list[FieldProblem]:
        """Return these problems, then the core's that say something new, at most 20 in all.

        What the core says of a field that was left out here, of what lies inside it, or of the
        object around it, follows from leaving it out, so it is dropped.
        """
        joined = dict.fromkeys(self.found)
        for problem in from_core:
            if not self._explains(problem.field):
                joined.setdefault(problem)
        return list(joined)[:MAX_FIELD_PROBLEMS]

    def _explains(self, field: str) -> bool:
        return any(
            field == mistyped or _lies_in(field, mistyped) or _lies_in(mistyped, field)
            for mistyped in self._mistyped
        )


def _lies_in(inner: str, outer: str) -> bool:
    return inner.startswith((f"{outer}.", f"{outer}["))


def printable(name: str) -> str:
    """Return an outsider's name as an answer may show it: no control characters, 64 at most."""
    cut = name[:MAX_NAME_LENGTH]
    return cut if cut.isprintable() else "".join(c if c.isprintable() else "?" for c in cut)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` with the known name that resembles `name`, or nothing."""
    close = difflib.get_close_matches(name[:MAX_NAME_LENGTH].lower(), known, n=1, cutoff=0.7)
    return f"; did you mean `{close[0]}`?" if close else ""
