"""The interface of a client library in any language, from the reference.

The reference has the fields; the names of types come from messages and enums.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor import Descriptor
from iso4217 import Currency

from portal.comments import comments
from portal.reference.build import reference
from portal.reference.model import (
    Action,
    Error,
    Field,
    Kind,
    Word,
)
from rpc.catalogue import IDEMPOTENCY_KEY, secret_names
from transcoding.actions import build_catalogue

ROOT = Path(__file__).parents[2]

_USUAL_DECIMALS = 2
_WITHDRAWN = {"byr": 0}
"""Those that left ISO 4217, and that old amounts may be in."""
_SIZE = re.compile(r"\d+ characters$")
_RANGE = re.compile(r"between (\d+) and (\d+)$")


def _is_described(limit: str, description: str) -> bool:
    """Return whether a field's description has the limit's numbers."""
    size, between = _SIZE.search(limit), _RANGE.search(limit)
    return (size is not None and size[0] in description) or (
        between is not None and f"{between[1]} to {between[2]}" in description
    )


@dataclass(frozen=True, slots=True)
class Property:
    """A field, with the name of its type if it is an object or an enum."""

    field: Field
    type_name: str | None

    @property
    def name(self) -> str:
        """Name in JSON."""
        return self.field.name

    @property
    def is_secret(self) -> bool:
        """Whether its value must not be printed."""
        return self.field.name in secret_names()

    @property
    def is_amount(self) -> bool:
        """Whether its value has the decimals of a currency beside it."""
        return self.field.kind is Kind.AMOUNT

    @property
    def is_formatted(self) -> bool:
        """Whether a client gives its value back in another form than the response has."""
        return self.field.kind in {Kind.AMOUNT, Kind.TIME}

    @property
    def sentences(self) -> str:
        """Description, format and limits of the field, for a comment."""
        limits = [
            f"{each[0].upper()}{each[1:]}."
            for each in self.field.limits.sentences()
            if not _is_described(each, self.field.description)
        ]
        form = []
        if self.field.kind is Kind.TIME:
            form = ["In UTC." if not self.is_given else "ISO 8601, in UTC unless it has an offset."]
        if self.field.kind is Kind.AMOUNT:
            form = [
                "A decimal string."
                if self.is_given
                else "A decimal string with the currency's decimals."
            ]
        return " ".join([" ".join(self.field.description.split()), *form, *limits])

    is_given: bool = True
    """Whether it is in a request."""


@dataclass(frozen=True, slots=True)
class ObjectType:
    """An object in a request or a response."""

    name: str
    description: str
    properties: tuple[Property, ...]
    is_request: bool


@dataclass(frozen=True, slots=True)
class WordType:
    """An enum."""

    name: str
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a client: an action."""

    action: Action
    request: tuple[Property, ...]
    """Required fields first, without the idempotency key."""
    response: ObjectType

    @property
    def page(self) -> Property | None:
        """The list of a response of which there are more pages, by cursor."""
        if not any(each.name == "cursor" for each in self.request):
            return None
        (found,) = (each for each in self.response.properties if each.field.repeated)
        return found

    @property
    def iteration(self) -> str:
        """Name of the method that goes through all pages."""
        return f"iterate_{self.action.name.removeprefix('get_').removeprefix('list_')}"

    @property
    def iterated(self) -> tuple[Property, ...]:
        """Fields of the request that all pages have."""
        return tuple(each for each in self.request if each.name not in {"cursor", "page"})


@dataclass(frozen=True, slots=True)
class Interface:
    """The whole interface."""

    version: str
    methods: tuple[Method, ...]
    objects: tuple[ObjectType, ...]
    """Nested types of requests and responses, each after those that it uses."""
    words: tuple[WordType, ...]
    errors: tuple[Error, ...]

    @property
    def decimals(self) -> dict[str, int]:
        """Currencies, in lower case, whose number of decimals is not two (ISO 4217)."""
        known = {each.code.lower(): each.exponent for each in Currency} | _WITHDRAWN
        found = {code: digits for code, digits in known.items() if isinstance(digits, int)}
        return {code: found[code] for code in sorted(found) if found[code] != _USUAL_DECIMALS}

    @property
    def without_code(self) -> tuple[Error, ...]:
        """Errors whose response has no `code`; the status determines them."""
        return tuple(error for error in self.errors if not error.has_code)


def interface() -> Interface:
    """Return the interface of this version's schema."""
    return _Reader().interface()


_REQUEST_ID = Property(
    Field("request_id", "request_id", Kind.STRING, "Id of the request, to quote to support."),
    None,
    is_given=False,
)
"""What a client adds to every response, from its header."""


class _Reader:
    """Reads fields and descriptors in parallel."""

    def __init__(self) -> None:
        self._catalogue = build_catalogue()
        self._shared = Counter(
            message.name for message in {m.full_name: m for m in self._messages()}.values()
        )
        self._objects: dict[str, ObjectType] = {}
        self._words: dict[str, WordType] = {}

    def _messages(self) -> Iterator[Descriptor]:
        def within(message: Descriptor) -> Iterator[Descriptor]:
            for field in message.fields:
                if field.message_type is not None:
                    yield field.message_type
                    yield from within(field.message_type)

        for action in self._catalogue.values():
            yield from within(action.method.input_type)
            yield from within(action.method.output_type)

    def interface(self) -> Interface:
        methods = tuple(self._method(each) for each in reference().actions().values())
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        return Interface(
            version=project["version"],
            methods=methods,
            objects=tuple(self._objects.values()),
            words=tuple(self._words.values()),
            errors=reference().errors,
        )

    def _method(self, action: Action) -> Method:
        method = self._catalogue[action.name].method
        given = tuple(field for field in action.request if field.name != IDEMPOTENCY_KEY)
        request = self._properties(given, method.input_type, method.name, is_request=True)
        response = self._properties(
            action.response, method.output_type, method.name, is_request=False
        )
        return Method(
            action,
            tuple(sorted(request, key=lambda each: not each.field.required)),
            ObjectType(
                f"{method.name}Result",
                f"Response of `{action.name}`.",
                (*response, _REQUEST_ID),
                is_request=False,
            ),
        )

    def _properties(
        self, fields: tuple[Field, ...], message: Descriptor, prefix: str, *, is_request: bool
    ) -> tuple[Property, ...]:
        found = []
        for field in fields:
            type_name = None
            if field.kind is Kind.OBJECT:
                inner = message.fields_by_name[field.name].message_type
                assert inner is not None, "an object has a message"
                type_name = self._object(field, inner, prefix, is_request=is_request)
            elif field.kind is Kind.WORD:
                enum = message.fields_by_name[field.name].enum_type
                assert enum is not None, "a word has an enum"
                type_name = enum.name
                self._words.setdefault(enum.name, WordType(enum.name, field.words))
            found.append(Property(field, type_name, is_given=is_request))
        return tuple(found)

    def _object(self, field: Field, message: Descriptor, prefix: str, *, is_request: bool) -> str:
        name = message.name
        if self._shared[name] > 1:
            is_repeated = is_request and prefix.endswith(name)
            name = prefix if is_repeated else prefix + name
        if name not in self._objects:
            properties = self._properties(field.fields, message, prefix, is_request=is_request)
            properties = tuple(
                sorted(properties, key=lambda p: p.is_given and not p.field.required)
            )
            description = comments().get(message.full_name, field.description)
            self._objects[name] = ObjectType(name, description, properties, is_request)
        return name
