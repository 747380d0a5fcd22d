"""The nouns of the reference, plain and frozen; it derives nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from transcoding.schema import ENV_KEY


class Kind(StrEnum):
    """What a JSON value is."""

    STRING = "string"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    AMOUNT = "amount"
    """An exact decimal number; in a request also a string of the same digits."""
    CURRENCY = "currency"
    """An ISO 4217 code, beside the amounts that it belongs to."""
    TIME = "time"
    """In a request ISO 8601, in an answer `YYYY-MM-DD HH:MM:SS` in UTC."""
    WORD = "word"
    """One of the field's words."""
    OBJECT = "object"
    """Has the field's fields."""


@dataclass(frozen=True, slots=True)
class Word:
    """One of the words that a field may hold."""

    word: str
    description: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request's field may hold beyond its kind. None: no limit of that sort."""

    minimum: int | None = None
    """The least whole number, itself allowed."""
    maximum: int | None = None
    """The greatest whole number, itself allowed."""
    min_length: int | None = None
    """In characters."""
    max_length: int | None = None
    """In characters."""
    pattern: str | None = None
    r"""A regular expression that has to be found, in the syntax of RE2, ECMA 262 and Python alike.

    Python's `$` fits before a last newline too, which the rule does not allow.
    """
    pattern_sentence: str | None = None
    """The pattern in words, such as `must be 3 or 4 digits`."""
    email: bool = False
    """Whether it has to be an e-mail address."""

    def sentences(self) -> tuple[str, ...]:
        """Return the limits in words, each beginning with `must`."""
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
        return tuple(found)


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a JSON object, in a request or an answer."""

    name: str
    path: str
    """Where it is from the top, for example `user.name` or, within a list, `payments[].amount`."""
    kind: Kind
    """What the value is, or with `repeated` each item of the list."""
    description: str
    required: bool = False
    """In a request whether it must be given. In an answer every field is there."""
    nullable: bool = False
    """In a response whether it may be null. In a request whether null clears the stored value;
    otherwise null in a request is the same as absent."""
    repeated: bool = False
    """Whether it is a list."""
    words: tuple[Word, ...] = ()
    """What a word may be."""
    limits: Limits = NO_LIMITS
    amounts: tuple[str, ...] = ()
    """The names of the amounts beside it that a currency belongs to."""
    includes_the_day: bool = False
    """Of a time, whether a date without a time means the end of that day."""
    fields: tuple["Field", ...] = ()
    """What an object has in it."""

    def flattened(self) -> tuple["Field", ...]:
        """Return this field and all that lie in it, from the outside in."""
        return (self, *(inner for field in self.fields for inner in field.flattened()))


@dataclass(frozen=True, slots=True)
class TransportError:
    """A refusal with a fixed body and no `code`, from before any action was looked at."""

    when: str
    http_status: int
    body: str
    """The JSON text, to the byte but for the id in a 500's `details`."""


@dataclass(frozen=True, slots=True)
class Example:
    """A request that the suite executes, and its answer, as JSON texts to show."""

    request: str
    """The fields of the action, without credentials and `action`."""
    response: str | None
    """None while the action is announced only: it answers 501."""
    action: str


@dataclass(frozen=True, slots=True)
class Error:
    """A reason to refuse a request."""

    reason: str
    """The body's `code` in JSON, ErrorInfo's `reason` in gRPC."""
    http_status: int
    grpc_code: str
    """The name of the gRPC status code, for example `NOT_FOUND`."""
    description: str
    has_code: bool
    """False where JSON has a fixed body, one of the transport errors, without a `code`."""
    example: Example | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """One action: what it does, takes, answers and fails with."""

    name: str
    category: str
    rpc: str
    """The gRPC method, `nivisco.payments.v1.PaymentsService/ChargeCustomer` for example."""
    summary: str
    """One sentence."""
    description: str
    """The whole comment but for its errors; it begins with the summary."""
    mutates: bool
    """Whether it changes something, and so takes an `idempotency_key`."""
    admin_only: bool
    request: tuple[Field, ...]
    response: tuple[Field, ...]
    """What follows `success: true`."""
    errors: tuple[Error, ...]
    """What it fails with by its own nature, in the order of its comment."""
    general_errors: tuple[Error, ...]
    """What it shares with the other actions of its sort."""
    example: Example | None
    """None for an action so new that it has none."""

    @property
    def has_env(self) -> bool:
        """Whether the request chooses between TEST and LIVE."""
        return any(f.name == ENV_KEY for top in self.request for f in top.flattened())

    @property
    def moves_money(self) -> bool:
        """Whether it changes something and names an amount."""
        fields = (f for top in self.request for f in top.flattened())
        return self.mutates and any(f.kind is Kind.AMOUNT for f in fields)


@dataclass(frozen=True, slots=True)
class Category:
    """The actions of one service."""

    name: str
    description: str
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Convention:
    """What holds for every action. Backticks in a paragraph enclose code."""

    anchor: str
    title: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """The whole of it."""

    envelope: tuple[Field, ...]
    """What every request begins with."""
    categories: tuple[Category, ...]
    errors: tuple[Error, ...]
    """Every reason of the schema but those that no client of the JSON endpoint can get."""
    transport_errors: tuple[TransportError, ...]
    conventions: tuple[Convention, ...]

    def actions(self) -> Mapping[str, Action]:
        """Return every action by its name."""
        return {action.name: action for each in self.categories for action in each.actions}


def _characters(count: int) -> str:
    return "1 character" if count == 1 else f"{count} characters"
