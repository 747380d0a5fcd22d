"""Reads numbers and addresses of the environment for adapter and scheduler; imports no core.

What is absent or empty is the default; what cannot be used is refused with the variable's name.
"""

import math
from collections.abc import Mapping

_MAX_PORT = 65_535
_LONGEST_SECONDS = 300
"""Beyond five minutes a timeout protects nothing any more."""
_MOST = 1_000_000


def host_and_port(name: str, address: str) -> tuple[str, int]:
    """Return host and port of an address that the setting `name` holds.

    Raises:
        ValueError: it is none; the message names the setting.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdecimal() and int(port[:6]) <= _MAX_PORT):
        raise ValueError(f"{name} must be host:port such as 127.0.0.1:8080, or [::1]:8080")
    return host, int(port)


def seconds(
    environ: Mapping[str, str], name: str, default: float, *, or_none: bool = False
) -> float:
    """Return how many seconds the setting `name` says, up to five minutes.

    Raises:
        ValueError: it says none above 0 (or 0, with `or_none`); the message names the setting.
    """
    text = environ.get(name)
    if not text:
        return default
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not (0 < found <= _LONGEST_SECONDS or (or_none and found == 0)):
        least = "from 0" if or_none else "above 0"
        raise ValueError(f"{name} must be a number of seconds {least}, at most {_LONGEST_SECONDS}")
    return found


def count(environ: Mapping[str, str], name: str, default: int) -> int:
    """Return how many the setting `name` says, from 1.

    Raises:
        ValueError: it says no whole number, or too many; the message names the setting.
    """
    text = environ.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:10]) <= _MOST):
        raise ValueError(f"{name} must be a whole number from 1 to {_MOST}")
    return int(text)
