"""The data types of the reference."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from transcoding.schema import ENV_KEY

_MOVE_MONEY = frozenset({"Payments", "Refunds", "Wallet", "Recurring"})
"""Categories whose writes move money, unless they are in `_MOVES_NOTHING`."""
_MOVES_NOTHING = frozenset({"pause_recurring", "cancel_recurring", "skip_next"})
_NUMBER = re.compile(r"\d+")


class Kind(StrEnum):
    """Kind of a JSON value."""

    STRING = "string"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    AMOUNT = "amount"
    """An exact decimal number; in a request also a decimal string."""
    CURRENCY = "currency"
    """An ISO 4217 code, beside its amounts."""
    TIME = "time"
    """In a request ISO 8601, in a response `YYYY-MM-DD HH:MM:SS` in UTC."""
    WORD = "word"
    """One of the field's words: an enum."""
    OBJECT = "object"
    """An object with the field's fields."""
    MAP = "map"
    """An object of strings, by any keys."""


@dataclass(frozen=True, slots=True)
class Word:
    """A value of an enum."""

    word: str
    description: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a request's field. None: no such limit."""

    minimum: int | None = None
    """Lowest allowed integer."""
    maximum: int | None = None
    """Highest allowed integer."""
    min_length: int | None = None
    """In characters."""
    max_length: int | None = None
    """In characters."""
    pattern: str | None = None
    r"""A regular expression that must match, in the common syntax of RE2, ECMA 262 and Python.

    Python's `$` also matches before a final newline, which the rule does not allow.
    """
    pattern_sentence: str | None = None
    """The pattern in words, such as `must be 3 or 4 digits`."""
    email: bool = False
    """Whether it must be an e-mail address."""
    max_pairs: int | None = None
    """Of a map."""
    keys: "Limits | None" = None
    """Limits of each key of a map."""
    values: "Limits | None" = None
    """Limits of each value of a map."""

    def sentences(self) -> tuple[str, ...]:
        """Return the limits as sentences that begin with `must`, or with what must."""
        found: list[str] = []
        if self.minimum is not None and self.maximum is not None:
            found.append(f"must be between {self.minimum} and {self.maximum}")
        elif self.minimum is not None:
            found.append(f"must be at least {self.minimum}")
        elif self.maximum is not None:
            found.append(f"must be at most {self.maximum}")
        if self.min_length is not None:
            found.append(f"must have at least {_characters(self.min_length)}")
        if self.max_length is not None:
            found.append(f"must have at most {_characters(self.max_length)}")
        if self.pattern_sentence is not None:
            found.append(self.pattern_sentence)
        elif self.pattern is not None:
            found.append(f"must fit {self.pattern}")
        if self.email:
            found.append("must be an e-mail address")
        return (*found, *self._of_map())

    def _of_map(self) -> Iterator[str]:
        if self.max_pairs is not None:
            yield f"must have at most {self.max_pairs} {'pair' if self.max_pairs == 1 else 'pairs'}"
        for name, limits in (("each key", self.keys), ("each value", self.values)):
            if limits is not None:
                yield from (f"{name} {sentence}" for sentence in limits.sentences())


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Field:
    """A key of a JSON object in a request or a response."""

    name: str
    path: str
    """Path from the top, for example `user.name` or, in a list, `payments[].amount`."""
    kind: Kind
    """Kind of the value, or with `repeated` of each item."""
    description: str
    required: bool = False
    """In a request, whether the field is required. A response contains every field."""
    nullable: bool = False
    """In a response, whether the value may be null. In a request, whether null clears the stored
    value; otherwise null in a request means absent."""
    repeated: bool = False
    """Whether it is a list."""
    words: tuple[Word, ...] = ()
    """The values of an enum."""
    limits: Limits = NO_LIMITS
    amounts: tuple[str, ...] = ()
    """Names of the amounts that a currency belongs to."""
    includes_the_day: bool = False
    """Whether a date without a time means the end of that day."""
    fields: tuple["Field", ...] = ()
    """Fields of an object."""
    type_name: str = ""
    """Full name of the schema's message or enum, for an object or a word."""

    def flattened(self) -> tuple["Field", ...]:
        """Return this field and all nested ones, outer ones first."""
        return (self, *(inner for field in self.fields for inner in field.flattened()))

    def other_limits(self) -> tuple[str, ...]:
        """Return the sentences of the limits, without those whose numbers the description has."""
        said = set(_NUMBER.findall(self.description))
        return tuple(
            each
            for each in self.limits.sentences()
            if not (found := set(_NUMBER.findall(each))) or found - said
        )


@dataclass(frozen=True, slots=True)
class TransportError:
    """An error with a fixed body, whose code is only in the header `X-Error-Code`."""

    when: str
    code: str
    http_status: int
    body: str
    """The exact JSON text, except for the id in a 500's `details`."""


@dataclass(frozen=True, slots=True)
class Example:
    """An executed request and its response, as JSON text."""

    request: str
    """The fields of the action, without credentials and `action`."""
    response: str | None
    """None while the action is only announced and returns 501."""
    action: str


@dataclass(frozen=True, slots=True)
class Error:
    """A reason for an error."""

    reason: str
    """`code` in JSON, `ErrorInfo.reason` in gRPC."""
    http_status: int
    grpc_code: str
    """Name of the gRPC status code, for example `NOT_FOUND`."""
    description: str
    has_code: bool
    """False for errors whose JSON body is fixed and has no `code`."""
    example: Example | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """An action of the API."""

    name: str
    category: str
    rpc: str
    """The gRPC method, for example `nivisco.payments.v1.PaymentsService/ChargeCustomer`."""
    summary: str
    """One sentence."""
    description: str
    """The whole comment; it begins with the summary."""
    mutates: bool
    """Whether it changes anything. If so, it accepts an `idempotency_key`."""
    admin_only: bool
    key_scope: str | None
    """Scope that the API key needs; None: any key will do."""
    request: tuple[Field, ...]
    response: tuple[Field, ...]
    """Fields after `success`."""
    errors: tuple[Error, ...]
    """Its own errors, in the order of `method_errors`."""
    general_errors: tuple[Error, ...]
    """Errors that every action, or every mutating action, can return."""
    example: Example | None
    """None if there is no example file."""

    @property
    def has_env(self) -> bool:
        """Whether the request has an environment."""
        return any(f.name == ENV_KEY for top in self.request for f in top.flattened())

    @property
    def moves_money(self) -> bool:
        """Whether it can move money, at once or later."""
        return self.mutates and self.category in _MOVE_MONEY and self.name not in _MOVES_NOTHING


@dataclass(frozen=True, slots=True)
class Category:
    """The actions of one service."""

    name: str
    description: str
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Convention:
    """A rule that applies to every action. Backticks in a paragraph enclose code."""

    anchor: str
    title: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """The whole reference."""

    envelope: tuple[Field, ...]
    """Fields of every request."""
    categories: tuple[Category, ...]
    errors: tuple[Error, ...]
    """Every reason that the JSON endpoint can return."""
    transport_errors: tuple[TransportError, ...]
    conventions: tuple[Convention, ...]

    def actions(self) -> Mapping[str, Action]:
        """Return every action by its name."""
        return {action.name: action for each in self.categories for action in each.actions}


def _characters(count: int) -> str:
    return "1 character" if count == 1 else f"{count} characters"
