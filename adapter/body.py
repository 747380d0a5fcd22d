"""Reads an HTTP request body within a size limit and a timeout."""

import asyncio

import aiohttp

from transcoding.envelope import MAX_BODY_BYTES
from transcoding.parsing import InvalidJson


class BodyTooLarge(Exception):
    """The body is longer than 64 KiB."""


async def read_body(
    content: aiohttp.StreamReader, content_length: int | None, *, timeout_seconds: float
) -> bytes:
    """Return the whole body; reads at most one byte more than the limit.

    Raises:
        BodyTooLarge: the body, or its Content-Length, is above the limit.
        InvalidJson: the body was cut off or did not arrive in time.
    """
    if content_length is not None and content_length > MAX_BODY_BYTES:
        raise BodyTooLarge
    parts: list[bytes] = []
    room = MAX_BODY_BYTES + 1
    try:
        async with asyncio.timeout(timeout_seconds):
            while part := await content.read(room):
                parts.append(part)
                room -= len(part)
                if not room:
                    raise BodyTooLarge
    except (TimeoutError, ConnectionError, aiohttp.ClientError, aiohttp.http.HttpProcessingError):
        raise InvalidJson from None
    return b"".join(parts)
