"""Reads an HTTP request body within a size limit and a timeout."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import aiohttp
from aiohttp import hdrs, web

from transcoding.parsing import InvalidJson


class BodyTooSlow(Exception):
    """The body did not arrive in time."""


class BodyTooLarge(Exception):
    """The body is longer than its limit."""


class TooManyBodies(Exception):
    """The bodies in memory have reached their limit."""


class BodyMemory:
    """Limits the bytes of all bodies that are in memory at once.

    Counted are the bytes that arrived, so that slow senders cannot lock others out.
    """

    def __init__(self, max_bytes: int) -> None:
        self._free = max_bytes

    @contextmanager
    def lease(self) -> Iterator[Callable[[int], None]]:
        """Give a function that takes bytes, and return them when the block ends.

        It raises TooManyBodies if there are not so many.
        """
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            if size > self._free:
                raise TooManyBodies
            self._free -= size
            taken += size

        try:
            yield take
        finally:
            self._free += taken


def _take_any(_size: int) -> None:
    """Limit nothing."""


async def read_body(
    request: web.BaseRequest,
    *,
    max_bytes: int,
    timeout_seconds: float,
    take: Callable[[int], None] = _take_any,
) -> bytes:
    """Return the whole body; waits for at most one byte more than `max_bytes`.

    A client that waits for `100 Continue` gets it unless its body is too large. `take` is called
    with the size of each part.

    Raises:
        TooManyBodies: raised by `take`.
        BodyTooLarge: the body, or its Content-Length, is above `max_bytes`.
        BodyTooSlow: the body did not arrive in time.
        InvalidJson: the body was cut off.
    """
    if (request.content_length or 0) > max_bytes:
        raise BodyTooLarge
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    try:
        if request.content.is_eof():  # the usual case: it has arrived with the headers
            body = request.content.read_nowait()
            take(len(body))
        else:
            async with asyncio.timeout(timeout_seconds):
                body = await _receive(request.content, max_bytes + 1, take)
    except TimeoutError:
        raise BodyTooSlow from None
    except (ConnectionError, aiohttp.ClientError, aiohttp.http.HttpProcessingError):
        raise InvalidJson from None
    if len(body) > max_bytes:
        raise BodyTooLarge
    return body


async def _receive(
    content: aiohttp.StreamReader, most_bytes: int, take: Callable[[int], None]
) -> bytes:
    """Return the body until it ends, or until it has this size."""
    parts: list[bytes] = []
    while most_bytes and (part := await content.read(most_bytes)):
        take(len(part))
        parts.append(part)
        most_bytes -= len(part)
    return b"".join(parts)
