"""Reads an HTTP request body within a size limit and a timeout."""

import asyncio

import aiohttp

from transcoding.parsing import InvalidJson


class BodyTooSlow(Exception):
    """The body did not arrive in time."""


class BodyTooLarge(Exception):
    """The body is longer than its limit."""


async def read_body(
    content: aiohttp.StreamReader,
    content_length: int | None,
    *,
    max_bytes: int,
    timeout_seconds: float,
) -> bytes:
    """Return the whole body; reads at most one byte more than `max_bytes`.

    Raises:
        BodyTooLarge: the body, or its Content-Length, is above `max_bytes`.
        BodyTooSlow: the body did not arrive in time.
        InvalidJson: the body was cut off.
    """
    if content_length is not None and content_length > max_bytes:
        raise BodyTooLarge
    parts: list[bytes] = []
    room = max_bytes + 1
    try:
        async with asyncio.timeout(timeout_seconds):
            while part := await content.read(room):
                parts.append(part)
                room -= len(part)
                if not room:
                    raise BodyTooLarge
    except TimeoutError:
        raise BodyTooSlow from None
    except (ConnectionError, aiohttp.ClientError, aiohttp.http.HttpProcessingError):
        raise InvalidJson from None
    return b"".join(parts)
