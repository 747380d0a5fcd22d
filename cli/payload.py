"""Turns `key=value` arguments into a JSON payload, typed by the action's request; sends nothing."""

import difflib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from portal.reference.model import Field, Kind
from transcoding.actions import ACTION_KEY, API_KEY_KEY, BUSINESS_ID_KEY
from transcoding.exact_json import Number, read

ENVELOPE_KEYS = (BUSINESS_ID_KEY, API_KEY_KEY, ACTION_KEY)
_TYPES = {
    Kind.AMOUNT: "number",
    Kind.INTEGER: "whole number",
    Kind.BOOLEAN: "true or false",
    Kind.TIME: "time",
}


def describe(field: Field) -> str:
    """Return what a field holds, for a person."""
    if field.words:
        return f"one of {', '.join(each.word for each in field.words)}"
    return _TYPES.get(field.kind, "text")


def paths(fields: Iterable[Field]) -> dict[str, Field]:
    """Return every field that holds a value by its dotted path, `user.name` for example."""
    every = (each for top in fields for each in top.flattened())
    return {each.path: each for each in every if each.kind is not Kind.OBJECT}


def build_payload(arguments: Sequence[str], fields: Iterable[Field]) -> dict[str, Any]:
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
