"""Reads numbers and addresses from the environment, for every process.

An absent or empty variable means the default; a wrong one is refused by its name.
"""

import math
from collections.abc import Mapping

_MAX_PORT = 65_535


def host_and_port(name: str, address: str) -> tuple[str, int]:
    """Return host and port of the address in the setting `name`.

    Raises:
        ValueError: it is not an address; the message names the setting.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdecimal() and int(port[:6]) <= _MAX_PORT):
        raise ValueError(f"{name} must be host:port such as 127.0.0.1:8080, or [::1]:8080")
    return host, int(port)


def metrics_address(environ: Mapping[str, str]) -> tuple[str, int] | None:
    """Return where to serve health and metrics, from NIVISCO_METRICS; None: nowhere.

    Raises:
        ValueError: it is not an address.
    """
    address = environ.get("NIVISCO_METRICS")
    return host_and_port("NIVISCO_METRICS", address) if address else None


def seconds(
    environ: Mapping[str, str],
    name: str,
    default: float,
    *,
    most: float = 300,
    allow_zero: bool = False,
) -> float:
    """Return the number of seconds in the setting `name`: above 0 (or 0 if allowed), up to `most`.

    Raises:
        ValueError: it is not such a number; the message names the setting.
    """
    text = environ.get(name)
    if not text:
        return default
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not (0 < found <= most or (allow_zero and found == 0)):
        least = "from 0" if allow_zero else "above 0"
        raise ValueError(f"{name} is not a number of seconds {least} and at most {most:g}")
    return found


def count(
    environ: Mapping[str, str],
    name: str,
    default: int,
    *,
    least: int = 1,
    most: int = 1_000_000,
) -> int:
    """Return the whole number in the setting `name`, from `least` to `most`.

    Raises:
        ValueError: it is not such a number; the message names the setting.
    """
    text = environ.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and least <= int(text[:10]) <= most):
        raise ValueError(f"{name} is not a whole number from {least} to {most}")
    return int(text)
