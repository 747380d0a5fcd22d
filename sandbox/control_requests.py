"""What the sandbox's own endpoints ask of a request: a peer on this machine, and a JSON object."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from sandbox.faults import SECONDS_MAX

Handler = Callable[[web.Request], Awaitable[web.Response]]
Route = tuple[str, str, Handler]
"""Method, path and who answers."""


class ControlRefusal(Exception):
    """What the caller should do instead."""


def guarded(handler: Handler) -> Handler:
    """Refuses peers that are not on this machine, and words refusals as JSON."""

    async def answer(request: web.Request) -> web.Response:
        if not _is_loopback(request.remote):
            return _refusal(403, "The control endpoint answers callers on this machine only.")
        try:
            return await handler(request)
        except ControlRefusal as refusal:
            return _refusal(400, str(refusal))

    return answer


def _is_loopback(peer: str | None) -> bool:
    try:
        address = ipaddress.ip_address((peer or "").partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)


async def json_object(request: web.Request) -> dict[str, Any]:
    """The request's body."""
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        body = None
    except web.HTTPRequestEntityTooLarge:
        raise ControlRefusal("Send a shorter body.") from None
    if not isinstance(body, dict):
        raise ControlRefusal("Send a JSON object as the body.")
    return body


def refuse_others(given: dict[str, Any], known: tuple[str, ...]) -> None:
    """Refuses what the endpoint does not know, by name."""
    for name in given:
        if name not in known:
            raise ControlRefusal(f"Leave {name!r} out; known here: {', '.join(known)}.")


def seconds_of(value: object, name: str) -> float:
    """A number of seconds that a request gives."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ControlRefusal(f'Give "{name}" as a number.')
    if not 0 <= value <= SECONDS_MAX:
        raise ControlRefusal(f'Give "{name}" from 0 to {SECONDS_MAX:.0f}.')
    return float(value)
