"""Validates a request's parameters against the shape of its endpoint.

A shape maps a name to its type; nested shapes are objects. Unknown names are refused, as at Stripe,
so that a misspelt parameter is never silently ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, assert_never

from sandbox.stripe import errors
from sandbox.stripe.forms import Form

TEXT_CHARACTERS_MAX: Final = 5000
METADATA_KEYS_MAX: Final = 50  # https://docs.stripe.com/api/metadata
METADATA_KEY_CHARACTERS_MAX: Final = 40
METADATA_VALUE_CHARACTERS_MAX: Final = 500

_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True)
class Text:
    """A string; an empty one is None if the parameter can be cleared, otherwise refused."""

    characters_max: int = TEXT_CHARACTERS_MAX
    clearable: bool = False


@dataclass(frozen=True)
class Integer:
    """A whole number within 64 bits."""

    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True)
class Boolean:
    """`true` or `false`."""


@dataclass(frozen=True)
class Choice:
    """One of a fixed set of words."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class TextList:
    """A list of strings."""


@dataclass(frozen=True)
class Metadata:
    """The merchant's own key-value pairs."""


@dataclass(frozen=True)
class NotModelled:
    """A parameter of the real Stripe that the sandbox refuses by name."""


@dataclass(frozen=True)
class BooleanOr:
    """A boolean, or one of the words that mean true; for `off_session`."""

    words: tuple[str, ...]


Kind = Text | Integer | Boolean | Choice | TextList | Metadata | NotModelled | BooleanOr
Shape = Mapping[str, "Kind | Shape"]

EXPAND: Final[Shape] = {"expand": TextList()}
PAGE: Final[Shape] = {
    **EXPAND,
    "limit": Integer(minimum=1, maximum=100),
    "starting_after": Text(),
    "ending_before": Text(),
}
ADDRESS: Final[Shape] = {
    part: Text(clearable=True)
    for part in ("city", "country", "line1", "line2", "postal_code", "state")
}


def read(form: Form, shape: Shape, *, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the typed parameters; refuses unknown names first, then missing ones, then values."""
    _refuse_unknown(form, shape, prefix="")
    for name in required:
        if name not in form:
            raise errors.parameter_missing(name)
    return _read_group(form, shape, prefix="")


def _refuse_unknown(form: Form, shape: Shape, prefix: str) -> None:
    for name, value in form.items():
        param = f"{prefix}[{name}]" if prefix else name
        kind = shape.get(name)
        if kind is None:
            raise errors.parameter_unknown(param)
        if isinstance(kind, Mapping) and isinstance(value, dict):
            _refuse_unknown(value, kind, param)


def _read_group(form: Form, shape: Shape, prefix: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in form.items():
        param = f"{prefix}[{name}]" if prefix else name
        kind = shape[name]
        if isinstance(kind, Mapping):
            if isinstance(value, str):
                if value:
                    raise errors.invalid_request("Invalid object", param=param)
                values[name] = None
            else:
                values[name] = _read_group(value, kind, param)
        else:
            values[name] = _read_value(value, kind, param)
    return values


def _read_value(value: str | Form, kind: Kind, param: str) -> Any:
    match kind:
        case NotModelled():
            raise errors.not_modelled(param)
        case Metadata():
            return _read_metadata(value, param)
        case TextList():
            return _read_text_list(value, param)
        case Text():
            return _read_text(_require_scalar(value, "string", param), kind, param)
        case Integer():
            return _read_integer(_require_scalar(value, "integer", param), kind, param)
        case Boolean():
            return _read_boolean(_require_scalar(value, "boolean", param), param)
        case BooleanOr():
            word = _require_scalar(value, "boolean", param)
            return True if word in kind.words else _read_boolean(word, param)
        case Choice():
            return _read_choice(_require_scalar(value, "string", param), kind, param)
        case _:
            assert_never(kind)


def _require_scalar(value: str | Form, expected: str, param: str) -> str:
    if isinstance(value, str):
        return value
    raise errors.invalid_request(f"Invalid {expected}: a group of values", param=param)


def _read_text(value: str, kind: Text, param: str) -> str | None:
    if not value:
        if kind.clearable:
            return None
        raise errors.parameter_empty(param)
    if len(value) > kind.characters_max:
        raise errors.invalid_request(
            f"Invalid string: {value[:8]}...; must be at most {kind.characters_max} characters",
            param=param,
        )
    return value


def _read_integer(value: str, kind: Integer, param: str) -> int:
    if not value:
        raise errors.parameter_empty(param)
    if not _INTEGER.fullmatch(value):
        raise _invalid_integer(f"Invalid integer: {value[:40]}", param)
    number = int(value)
    if kind.minimum is not None and number < kind.minimum:
        raise _invalid_integer(
            f"This value must be greater than or equal to {kind.minimum}.", param
        )
    if kind.maximum is not None and number > kind.maximum:
        raise _invalid_integer(f"This value must be less than or equal to {kind.maximum}.", param)
    return number


def _invalid_integer(message: str, param: str) -> errors.StripeError:
    return errors.invalid_request(message, code="parameter_invalid_integer", param=param)


def _read_boolean(value: str, param: str) -> bool:
    if value in ("true", "false"):
        return value == "true"
    if not value:
        raise errors.parameter_empty(param)
    raise errors.invalid_request(f"Invalid boolean: {value[:40]}", param=param)


def _read_choice(value: str, kind: Choice, param: str) -> str:
    if value in kind.words:
        return value
    if not value:
        raise errors.parameter_empty(param)
    *others, last = kind.words
    words = f"{', '.join(others)} or {last}" if others else last
    raise errors.invalid_request(f"Invalid {param}: must be one of {words}", param=param)


def _read_text_list(value: str | Form, param: str) -> list[str]:
    if isinstance(value, str):
        raise errors.invalid_request("Invalid array", param=param)
    entries = [entry for entry in value.values() if isinstance(entry, str) and entry]
    if len(entries) != len(value) or not all(index.isdecimal() for index in value):
        raise errors.invalid_request("Invalid array", param=param)
    return entries


def _read_metadata(value: str | Form, param: str) -> dict[str, str]:
    if value == "":
        return {}
    if isinstance(value, str) or not all(isinstance(entry, str) for entry in value.values()):
        raise errors.invalid_request("Invalid object: metadata holds pairs of strings", param=param)
    if len(value) > METADATA_KEYS_MAX:
        raise errors.invalid_request(
            f"You can have up to {METADATA_KEYS_MAX} keys in metadata.", param=param
        )
    pairs = {name: str(entry) for name, entry in value.items()}
    for name, entry in pairs.items():
        if len(name) > METADATA_KEY_CHARACTERS_MAX:
            raise errors.invalid_request(
                f"Metadata keys can have up to {METADATA_KEY_CHARACTERS_MAX} characters, but you "
                f"passed in a key that is {len(name)} characters.",
                param=param,
            )
        if len(entry) > METADATA_VALUE_CHARACTERS_MAX:
            raise errors.invalid_request(
                f"Metadata values can have up to {METADATA_VALUE_CHARACTERS_MAX} characters, but "
                f"you passed in a value that is {len(entry)} characters.",
                param=f"{param}[{name}]",
            )
    return pairs


def merge_metadata(current: Mapping[str, str], change: Mapping[str, str] | None) -> dict[str, str]:
    """Return the metadata after an update; an empty value removes its key."""
    merged = {**current, **(change or {})}
    return {name: value for name, value in merged.items() if value}
