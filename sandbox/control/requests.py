"""Reads requests to the control endpoints: a peer on this machine, a JSON object, its fields."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from sandbox.faults import SECONDS_MAX

Handler = Callable[[web.Request], Awaitable[web.Response]]
Route = tuple[str, str, Handler]
"""Method, path and handler."""


class ControlRefusal(Exception):
    """Refuses a request; the message says what to send instead."""


def guard(handler: Handler) -> Handler:
    """Return the handler with 403 for other machines, and refusals as JSON with status 400."""

    async def handle(request: web.Request) -> web.Response:
        if not _is_loopback(request.remote):
            return _refusal(403, "The control endpoint answers callers on this machine only.")
        try:
            return await handler(request)
        except ControlRefusal as refusal:
            return _refusal(400, str(refusal))

    return handle


def _is_loopback(peer: str | None) -> bool:
    try:
        address = ipaddress.ip_address((peer or "").partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)


async def read_body(request: web.Request, *known: str) -> dict[str, Any]:
    """Return the body, a JSON object that has the known fields only."""
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        body = None
    except web.HTTPRequestEntityTooLarge:
        raise ControlRefusal("Send a shorter body.") from None
    if not isinstance(body, dict):
        raise ControlRefusal("Send a JSON object as the body.")
    refuse_unknown(body, known)
    return body


def refuse_unknown(fields: dict[str, Any], known: tuple[str, ...]) -> None:
    """Refuse the first field that is not known, by name."""
    for name in fields:
        if name not in known:
            raise ControlRefusal(f"Leave {name!r} out; known here: {', '.join(known)}.")


def read_seconds(value: object, name: str) -> float:
    """Return the field's value, a number of seconds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ControlRefusal(f'Give "{name}" as a number.')
    if not 0 <= value <= SECONDS_MAX:
        raise ControlRefusal(f'Give "{name}" from 0 to {SECONDS_MAX:.0f}.')
    return float(value)


def read_count(value: object, name: str, maximum: int) -> int:
    """Return the field's value, a whole number from 1 to the maximum."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= maximum:
        raise ControlRefusal(f'Give "{name}" as a whole number from 1 to {maximum}.')
    return value


def read_boolean(value: object, name: str) -> bool:
    """Return the field's value, true or false."""
    if not isinstance(value, bool):
        raise ControlRefusal(f'Give "{name}" as true or false.')
    return value


def read_choice(value: object, name: str, choices: tuple[str, ...]) -> str:
    """Return the field's value, one of the choices."""
    if value not in choices:
        raise ControlRefusal(f'Give "{name}" as one of {", ".join(choices)}.')
    return str(value)
