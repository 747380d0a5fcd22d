"""A minimal keep-alive HTTP connection: one request at a time, responses with a Content-Length.

aiohttp's client uses more CPU for a request than the echo server, which would hide the measured
difference.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import cast

from cli.addresses import Address

_HEAD_END = b"\r\n\r\n"
_CONTENT_LENGTH = re.compile(rb"\r\nContent-Length: *([0-9]+)\r\n", re.IGNORECASE)
_OK = b"HTTP/1.1 200 "


class UnexpectedAnswer(Exception):
    """A response other than 200; a run with failures is invalid."""


class SendAgain(UnexpectedAnswer):
    """A 503 or 504, which ask a client to send the same request with its key again."""


class HttpConnection(asyncio.Protocol):
    """A connection to one server."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._received = bytearray()
        self._answer: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, host: str, port: int) -> "HttpConnection":
        """Connect to a server."""
        connection = cls(host, port)
        await connection._connect()
        return connection

    async def send(self, request: bytes) -> bytes:
        """Send a complete request and return the body of the response.

        Reconnects first if the server closed the idle connection.

        Raises:
            UnexpectedAnswer: the status is not 200, or the connection was lost; SendAgain if it is
                503 or 504.
        """
        assert self._answer is None, "one request at a time"
        if self._transport is None or self._transport.is_closing():
            await self._connect()
        assert self._transport is not None, "connected"
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

    async def _connect(self) -> None:
        self._received.clear()
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, self._host, self._port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Resolve the request when the response is complete."""
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
            kind = SendAgain if status.split()[1] in ("503", "504") else UnexpectedAnswer
            self._answer.set_exception(kind(f"{status}: {body[:500].decode()}"))
        else:
            self._answer.set_result(bytes(body))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Fail the waiting request."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(UnexpectedAnswer("the connection was lost"))


def post_request(
    server: Address, body: bytes, path: str = "/", headers: Mapping[str, str] | None = None
) -> bytes:
    """Return the bytes of a POST with a JSON body."""
    content = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    return _head("POST", server, path, content | dict(headers or {})) + body


def get_request(server: Address, path: str, headers: Mapping[str, str]) -> bytes:
    """Return the bytes of a GET."""
    return _head("GET", server, path, headers)


def _head(verb: str, server: Address, path: str, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{verb} {path} HTTP/1.1\r\nHost: {server}\r\n{lines}\r\n".encode()
