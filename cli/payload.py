"""Turns `key=value` arguments into a JSON payload, typed by the fields of the action's request."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from portal.reference.model import Field, Kind
from transcoding.actions import ACTION_KEY, API_KEY_KEY, BUSINESS_ID_KEY
from transcoding.exact_json import Number, read
from transcoding.field_problems import did_you_mean

ENVELOPE_KEYS = (BUSINESS_ID_KEY, API_KEY_KEY, ACTION_KEY)
_TYPES = {
    Kind.AMOUNT: "number",
    Kind.INTEGER: "whole number",
    Kind.BOOLEAN: "true or false",
    Kind.TIME: "time",
    Kind.MAP: "texts by their keys",
}


def describe(field: Field) -> str:
    """Return a field's type in words."""
    if field.words:
        return f"one of {', '.join(each.word for each in field.words)}"
    if field.repeated:
        return f"{_TYPES.get(field.kind, 'text')}s, separated by commas"
    return _TYPES.get(field.kind, "text")


def paths(fields: Iterable[Field]) -> dict[str, Field]:
    """Return the fields that are not objects by dotted path, for example `user.name`."""
    every = (each for top in fields for each in top.flattened())
    return {each.path: each for each in every if each.kind is not Kind.OBJECT}


def build_payload(arguments: Sequence[str], fields: Iterable[Field]) -> dict[str, Any]:
    """Return the payload: the object in `@FILE` or `-` (stdin), with every `key=value` set in it.

    Fields of a file are sent unchecked, also those that the action does not have.

    Raises:
        click.UsageError: an argument has another form, names no field, or has the wrong type.
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
        if outer := _map_around(key, known):
            if key in given:
                raise click.UsageError(f"{key} is given twice.")
            given.add(key)
            _object_at(payload, outer)[key.removeprefix(f"{outer}.")] = text
            continue
        if key not in known:
            raise click.UsageError(_unknown_field(key, known))
        if known[key].kind is Kind.MAP and text in ("", "null"):
            _put(payload, key, {})
            continue
        if known[key].kind is Kind.MAP:
            raise click.UsageError(
                f"{key} is an object of texts. Give {key}.KEY=… for each, or {key}= for none."
            )
        if key in given:
            raise click.UsageError(f"{key} is given twice.")
        given.add(key)
        parts = text.split(",") if known[key].repeated else [text]
        values = [typed(key, part, known[key]) for part in parts]
        _put(payload, key, values if known[key].repeated else values[0])
    return payload


def _map_around(key: str, known: Mapping[str, Field]) -> str | None:
    """Return the path of the map that a key such as `metadata.order_id` is a pair of, or None."""
    maps = (path for path, field in known.items() if field.kind is Kind.MAP)
    return next((path for path in maps if key.startswith(f"{path}.")), None)


def typed(key: str, text: str, expected: Field) -> object:
    """Return the text as a JSON value of the field's type.

    Raises:
        click.UsageError: the text is not of that type; the message names the type.
    """
    if expected.kind is Kind.BOOLEAN:
        if text in ("true", "false"):
            return text == "true"
    elif expected.kind is Kind.WORD:
        for each in expected.words:
            if text.lower() == each.word.lower():
                return each.word
    elif expected.kind in (Kind.AMOUNT, Kind.INTEGER):
        try:
            number = Number.parse(text)
        except ValueError:
            pass
        else:
            if expected.kind is Kind.AMOUNT or number.removeprefix("-").isdecimal():
                return number
    else:
        return text
    example = ", such as 25.50" if expected.kind is Kind.AMOUNT else ""
    raise click.UsageError(f"{key} must be {_article(describe(expected))}{example}.")


def _article(description: str) -> str:
    return f"a {description}" if description.endswith("number") else description


def _put(payload: dict[str, Any], key: str, value: object) -> None:
    outer, _, name = key.rpartition(".")
    (_object_at(payload, outer) if outer else payload)[name] = value


def _object_at(payload: dict[str, Any], path: str) -> dict[str, Any]:
    for step in path.split("."):
        payload = payload.setdefault(step, {})
        if not isinstance(payload, dict):
            raise click.UsageError(f"{path}: {step} is not an object in the file.")
    return payload


def _read_object(argument: str) -> dict[str, Any]:
    name = "standard input" if argument == "-" else argument[1:]
    try:
        value = read(sys.stdin.buffer.read() if argument == "-" else Path(name).read_bytes())
    except OSError as error:
        raise click.UsageError(f"Cannot read {name}: {error.strerror}.") from None
    except ValueError as error:
        raise click.UsageError(f"{name} is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise click.UsageError(f"{name} is not a JSON object.")
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
    # 0.6: `name` resembles `user.name`.
    hint = did_you_mean(key, names, cutoff=0.6) or "."
    return f"There is no field {key}{hint} Fields: {', '.join(names)}."
