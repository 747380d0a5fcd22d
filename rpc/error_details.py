"""Field problems and the error domain. Imports no gRPC, so that core.errors can use it."""

from collections.abc import Sequence
from dataclasses import dataclass

ERROR_DOMAIN = "payments.nivisco"

MAX_FIELD_PROBLEMS = 20

MAX_NAME_LENGTH = 64
"""Most characters of a client's field name that a response repeats."""
_NAMED_FIELDS = 5


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """A problem of one field of a request, without the field's value.

    `field` is the path in the message, for example `user.email` or `amount.currency_code`.
    """

    field: str
    description: str


def printable(name: str) -> str:
    """Return a client's field name without control characters, cut to 64 characters."""
    cut = name[:MAX_NAME_LENGTH]
    return cut if cut.isprintable() else "".join(c if c.isprintable() else "?" for c in cut)


def fields_sentence(problems: Sequence[FieldProblem]) -> str:
    """Return the error message for invalid fields, the same in JSON and gRPC."""
    names = list(dict.fromkeys(problem.field for problem in problems))
    if len(problems) == 1:
        return f"Invalid field {names[0]}: {problems[0].description}"
    more = len(names) - _NAMED_FIELDS
    rest = f" and {more} more" if more > 0 else ""
    return f"Invalid fields: {', '.join(names[:_NAMED_FIELDS])}{rest}"
