"""Reads an HTTP request body within a size limit and a timeout."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import aiohttp

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
    content: aiohttp.StreamReader,
    content_length: int | None,
    *,
    max_bytes: int,
    timeout_seconds: float,
    take: Callable[[int], None] = _take_any,
) -> bytes:
    """Return the whole body; reads at most one byte more than `max_bytes`.

    `take` is called with the size of each part.

    Raises:
        TooManyBodies: raised by `take`.
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
                take(len(part))
                parts.append(part)
                room -= len(part)
                if not room:
                    raise BodyTooLarge
    except TimeoutError:
        raise BodyTooSlow from None
    except (ConnectionError, aiohttp.ClientError, aiohttp.http.HttpProcessingError):
        raise InvalidJson from None
    return b"".join(parts)
