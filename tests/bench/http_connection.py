"""One keep-alive HTTP connection that costs the client next to nothing; it follows no redirect.

aiohttp's client takes more CPU for a request than the echo server does, so that it would hide the
difference that is measured. One request at a time, answers with a Content-Length only.
"""

import asyncio
import re
from typing import cast

_HEAD_END = b"\r\n\r\n"
_CONTENT_LENGTH = re.compile(rb"\r\nContent-Length: *([0-9]+)\r\n", re.IGNORECASE)
_OK = b"HTTP/1.1 200 "


class UnexpectedAnswer(Exception):
    """An answer that is no success: a run with failures measures nothing."""


class HttpConnection(asyncio.Protocol):
    """A connection to one server."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answer: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, host: str, port: int) -> "HttpConnection":
        """Connect to a server."""
        _, protocol = await asyncio.get_running_loop().create_connection(cls, host, port)
        return protocol

    async def post(self, request: bytes) -> bytes:
        """Send a whole request, head and body, and return the body of its answer.

        Raises:
            UnexpectedAnswer: the status is not 200, or the connection was lost.
        """
        assert self._transport is not None, "open"
        assert self._answer is None, "one request at a time"
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            self._answer = None

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to write."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Hand out the answer once it is complete."""
        self._received += data
        head, separator, body = self._received.partition(_HEAD_END)
        if not separator:
            return
        length = _CONTENT_LENGTH.search(head + b"\r\n")
        if length is not None and len(body) < int(length[1]):
            return
        self._received.clear()
        if self._answer is None or self._answer.done():
            return
        if length is None or not head.startswith(_OK):
            status = head.partition(b"\r\n")[0].decode()
            self._answer.set_exception(UnexpectedAnswer(f"{status}: {body[:500].decode()}"))
        else:
            self._answer.set_result(bytes(body))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Fail the request that waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(UnexpectedAnswer("the connection was lost"))


def post_request(host: str, port: int, body: bytes) -> bytes:
    """Return the bytes of a POST to `/`."""
    head = (
        f"POST / HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
