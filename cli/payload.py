"""Turns `key=value` arguments into a JSON payload, typed by the action's request; sends nothing."""

import difflib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from adapter.exact_json import Number, read
from adapter.schema import CURRENCY_KEY, enum_words, is_money, is_timestamp

ENVELOPE_KEYS = ("business_id", "api_key", "action")
_WHOLE = (
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a request as JSON shows it."""

    type: str
    """`text`, `number`, `whole number`, `true or false`, `time`, `word` or `object`."""
    words: tuple[str, ...] = ()
    """What a `word` may be."""
    fields: Mapping[str, "Field"] = field(default_factory=dict)
    """What an `object` has in it."""

    def describe(self) -> str:
        """Return the type for a person."""
        return f"one of {', '.join(self.words)}" if self.words else self.type


def fields_of(request: Descriptor) -> dict[str, Field]:
    """Return the fields of a request message, by their JSON names."""
    found: dict[str, Field] = {}
    for descriptor in request.fields:
        found[descriptor.name] = _field(descriptor)
        if is_money(descriptor):
            found[CURRENCY_KEY] = Field("text")
    return found


def _field(descriptor: FieldDescriptor) -> Field:
    if is_money(descriptor):
        return Field("number")
    if is_timestamp(descriptor):
        return Field("time")
    if descriptor.message_type is not None:
        return Field("object", fields=fields_of(descriptor.message_type))
    if descriptor.enum_type is not None:
        return Field("word", words=tuple(enum_words(descriptor.enum_type)))
    if descriptor.cpp_type in _WHOLE:
        return Field("whole number")
    if descriptor.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return Field("true or false")
    return Field("text")


def paths(fields: Mapping[str, Field], prefix: str = "") -> dict[str, Field]:
    """Return every field that holds a value by its dotted path, `user.name` for example."""
    found: dict[str, Field] = {}
    for name, each in fields.items():
        if each.fields:
            found |= paths(each.fields, f"{prefix}{name}.")
        else:
            found[prefix + name] = each
    return found


def build_payload(arguments: Sequence[str], fields: Mapping[str, Field]) -> dict[str, Any]:
    """Return the payload: that of `@FILE` or `-` (stdin), then every `key=value` put into it.

    A file's content is sent as it is, also what the action does not know.

    Raises:
        click.UsageError: an argument is none of these, names no field, or does not fit its type.
    """
    payload: dict[str, Any] = {}
    given: set[str] = set()
    known = paths(fields)
    for argument in arguments:
        if argument == "-" or argument.startswith("@"):
            payload |= _read_object(argument)
            continue
        key, equals, text = argument.partition("=")
        if not equals:
            raise click.UsageError(f"'{argument}' is not key=value, @FILE or -.")
        if key not in known:
            raise click.UsageError(_unknown_field(key, known))
        if key in given:
            raise click.UsageError(f"{key} is given twice.")
        given.add(key)
        _put(payload, key, typed(key, text, known[key]))
    return payload


def typed(key: str, text: str, expected: Field) -> object:
    """Return the value that the text is for a field of this type.

    Raises:
        click.UsageError: it is none; the message says what would be.
    """
    if expected.type == "true or false":
        if text in ("true", "false"):
            return text == "true"
    elif expected.type == "word":
        for word in expected.words:
            if text.lower() == word.lower():
                return word
    elif expected.type in ("number", "whole number"):
        try:
            number = Number.parse(text)
        except ValueError:
            pass
        else:
            if expected.type == "number" or number.removeprefix("-").isdecimal():
                return number
    else:
        return text
    example = ", such as 25.50" if expected.type == "number" else ""
    raise click.UsageError(f"{key} must be {_article(expected.describe())}{example}.")


def _article(description: str) -> str:
    return f"a {description}" if description.endswith("number") else description


def _put(payload: dict[str, Any], key: str, value: object) -> None:
    *outer, name = key.split(".")
    for step in outer:
        payload = payload.setdefault(step, {})
        if not isinstance(payload, dict):
            raise click.UsageError(f"{key}: {step} is not an object in the file.")
    payload[name] = value


def _read_object(argument: str) -> dict[str, Any]:
    name = "standard input" if argument == "-" else argument[1:]
    try:
        value = read(sys.stdin.buffer.read() if argument == "-" else Path(name).read_bytes())
    except OSError as error:
        raise click.UsageError(f"Cannot read {name}: {error.strerror}.") from None
    except ValueError as error:
        raise click.UsageError(f"{name} is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise click.UsageError(f"{name} does not hold a JSON object.")
    stray = [key for key in ENVELOPE_KEYS if key in value]
    if stray:
        raise click.UsageError(
            f"Leave {', '.join(stray)} out of {name}: action and credentials are given elsewhere."
        )
    return value


def _unknown_field(key: str, known: Iterable[str]) -> str:
    names = list(known)
    inside = [name for name in names if name.startswith(f"{key}.")]
    if inside:
        return f"{key} is an object. Give {', '.join(f'{name}=…' for name in inside)}."
    if not names:
        return f"There is no field {key}: the action takes none."
    return f"There is no field {key}{did_you_mean(key, names)} Fields: {', '.join(names)}."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return what to put after an unknown name: the known one that it resembles, if any."""
    close = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else "."
