"""Decodes Stripe's request encoding: form pairs with brackets for nesting.

`card[number]=4242&expand[0]=customer` becomes `{"card": {"number": "4242"}, "expand": {"0":
"customer"}}`. Lists are dictionaries keyed by position until `params` reads them. Every malformed
input raises Stripe's 400.
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
    """Return the parameters of a form body or query string."""
    form: Form = {}
    pairs = [pair for pair in encoded.split(b"&") if pair]
    if len(pairs) > PARAMETERS_MAX:
        raise _malformed(f"more than {PARAMETERS_MAX} parameters")
    for pair in pairs:
        name, _, value = pair.partition(b"=")
        _insert(form, _parse_name(_decode_part(name)), _decode_part(value))
    return form


def _decode_part(part: bytes) -> str:
    if _BAD_PERCENT.search(part):
        raise _malformed("a % that is not followed by two hexadecimal digits")
    try:
        text = unquote_to_bytes(part.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise _malformed("text that is not UTF-8") from None
    if "\0" in text:
        raise _malformed("a NUL character")
    return text


def _parse_name(name: str) -> list[str]:
    found = _NAME.fullmatch(name)
    if not found:
        raise _malformed("a parameter name whose brackets do not pair")
    path = [found[1], *re.findall(r"\[([^\[\]]*)\]", found[2])]
    if len(path) > NESTING_MAX:
        raise _malformed(f"parameters nested more than {NESTING_MAX} deep")
    return path


def _insert(form: Form, path: list[str], value: str) -> None:
    """Insert a value at its path; an empty bracket is the next position of a list."""
    group = form
    for step in path[:-1]:
        inner = group.setdefault(step or str(len(group)), {})
        if isinstance(inner, str):
            raise _malformed("a parameter that is both a value and a group")
        group = inner
    last = path[-1] or str(len(group))
    if isinstance(group.get(last), dict):
        raise _malformed("a parameter that is both a value and a group")
    group[last] = value


def _malformed(what: str) -> StripeError:
    return invalid_request(
        "Invalid request (check that your POST content type is application/x-www-form-urlencoded "
        f"and its body well-formed): it holds {what}."
    )
