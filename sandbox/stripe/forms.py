"""Reads Stripe's request encoding: form pairs whose names nest by brackets.

`card[number]=4242&expand[0]=customer` becomes `{"card": {"number": "4242"}, "expand": {"0":
"customer"}}`. Lists stay dictionaries keyed by position until a parameter's shape says that they
are lists. Never raises anything but a Stripe-shaped 400.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from sandbox.stripe.errors import StripeError, invalid_request

Form = dict[str, "str | Form"]

BODY_BYTES_MAX: Final = 256 * 1024
PARAMETERS_MAX: Final = 1000
NESTING_MAX: Final = 8

_NAME: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_BAD_PERCENT: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def decode(encoded: bytes) -> Form:
    """The parameters of a form body or query string."""
    form: Form = {}
    pairs = [pair for pair in encoded.split(b"&") if pair]
    if len(pairs) > PARAMETERS_MAX:
        raise _malformed(f"more than {PARAMETERS_MAX} parameters")
    for pair in pairs:
        name, _, value = pair.partition(b"=")
        _place(form, _path(_text(name)), _text(value))
    return form


def _text(part: bytes) -> str:
    if _BAD_PERCENT.search(part):
        raise _malformed("a % that is not followed by two hexadecimal digits")
    try:
        text = unquote_to_bytes(part.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise _malformed("text that is not UTF-8") from None
    if "\0" in text:
        raise _malformed("a NUL character")
    return text


def _path(name: str) -> list[str]:
    found = _NAME.fullmatch(name)
    if not found:
        raise _malformed("a parameter name whose brackets do not pair")
    path = [found[1], *re.findall(r"\[([^\[\]]*)\]", found[2])]
    if len(path) > NESTING_MAX:
        raise _malformed(f"parameters nested more than {NESTING_MAX} deep")
    return path


def _place(form: Form, path: list[str], value: str) -> None:
    """Puts a value where its path says; an empty bracket takes the next position."""
    inner = form
    for step in path[:-1]:
        below = inner.setdefault(step or str(len(inner)), {})
        if isinstance(below, str):
            raise _malformed("a parameter that is both a value and a group")
        inner = below
    last = path[-1] or str(len(inner))
    if isinstance(inner.get(last), dict):
        raise _malformed("a parameter that is both a value and a group")
    inner[last] = value


def _malformed(what: str) -> StripeError:
    return invalid_request(
        "Invalid request (check that your POST content type is application/x-www-form-urlencoded "
        f"and its body well-formed): it holds {what}."
    )
