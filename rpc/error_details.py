"""Field problems and the error domain. Imports no gRPC, so that core.errors can use it."""

from collections.abc import Sequence
from dataclasses import dataclass

LIMIT_METADATA = "limit"
"""In the metadata of ErrorInfo: the name of the limit that refused a call."""
ERROR_DOMAIN = "payments.nivisco"

MAX_FIELD_PROBLEMS = 20
MAX_SENT_BYTES = 3072
"""Most bytes of problems in the metadata of a call: gRPC rejects more than 8 KiB of it."""

MAX_NAME_LENGTH = 64
"""Most characters of a client's field name that a response repeats."""
MAX_KEY_LENGTH = 40
"""Most characters of a map's key that a response repeats: as many as a valid key can have."""
_NAMED_FIELDS = 5


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """A problem of one field of a request, without the field's value.

    `field` is the path in the message, for example `user.email` or `amount.currency_code`.
    """

    field: str
    description: str


def printable(name: str, length: int = MAX_NAME_LENGTH) -> str:
    """Return a client's field name without control characters, cut to a number of characters."""
    cut = name[:length]
    return cut if cut.isprintable() else "".join(c if c.isprintable() else "?" for c in cut)


def printable_key(key: str) -> str:
    """Return a map's key as the path of its problem has it."""
    return printable(key, MAX_KEY_LENGTH)


def as_many_as_fit(problems: Sequence[FieldProblem]) -> list[FieldProblem]:
    """Return the first problems, as many as fit in the metadata of a call."""
    sent: list[FieldProblem] = []
    size = 0
    for problem in problems:
        size += len(problem.field.encode()) + len(problem.description.encode()) + 8
        if sent and size > MAX_SENT_BYTES:
            break
        sent.append(problem)
    return sent


def fields_sentence(problems: Sequence[FieldProblem]) -> str:
    """Return the error message for invalid fields, the same in JSON and gRPC."""
    names = list(dict.fromkeys(problem.field for problem in problems))
    if len(problems) == 1:
        return f"Invalid field {names[0]}: {problems[0].description}"
    more = len(names) - _NAMED_FIELDS
    rest = f" and {more} more" if more > 0 else ""
    return f"Invalid fields: {', '.join(names[:_NAMED_FIELDS])}{rest}"
