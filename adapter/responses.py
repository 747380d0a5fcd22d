"""HTTP responses, each sent in one piece: aiohttp's own, for bodies of every kind, cost more."""

import asyncio
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPMethod

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion10, HttpVersion11

from adapter.tls import HSTS
from transcoding import json_responses
from transcoding.json_responses import JsonResponse

REQUEST_ID_HEADER = "X-Request-Id"
REPLAYED_HEADER = "Idempotency-Replayed"
ERROR_CODE_HEADER = "X-Error-Code"
SERVER = "Nivisco"
"""The Server header, without versions."""
_JSON = "application/json; charset=utf-8"
_CLOSE_TURNS = 3
"""Turns of the event loop within which a close that the kernel has received is seen: asyncio reads
sockets after what was ready before, and TLS closes its transport one turn later."""


class Response(web.StreamResponse):
    """A response whose body is complete. An empty body is that of a 304."""

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        acknowledge: Callable[[bool], None] | None = None,
    ) -> None:
        """`acknowledge` is called with whether the connection took the response."""
        super().__init__(status=status, headers=headers)
        self._bytes = body
        self._must_close = False
        self._acknowledge = acknowledge
        self._transport: asyncio.Transport | None = None

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open; final once the response is prepared."""
        return not self._must_close

    def force_close(self) -> None:
        """Close the connection after this response."""
        self._must_close = True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Complete the headers, and give them to the connection's writer, which keeps them back."""
        headers, version = self.headers, request.version
        if self._bytes:
            headers[hdrs.CONTENT_LENGTH] = str(len(self._bytes))
        headers[hdrs.DATE] = _date(int(time.time()))
        if not request.keep_alive:
            self._must_close = True
        if self._must_close:
            if version == HttpVersion11:
                headers[hdrs.CONNECTION] = "close"
        elif version == HttpVersion10:
            headers[hdrs.CONNECTION] = "keep-alive"
        if request.method == HTTPMethod.HEAD:
            self._bytes = b""
        writer = self._payload_writer = request.writer
        self._transport = request.transport
        status_line = f"HTTP/{version.major}.{version.minor} {self.status} {self.reason}"
        await writer.write_headers(status_line, headers)
        return writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Send headers and body at once."""
        assert not data, "the body is complete"
        assert self._payload_writer is not None, "prepared"
        if self._acknowledge is None:
            await self._payload_writer.write_eof(self._bytes)
        else:
            await self._write_and_acknowledge(self._acknowledge)

    async def _write_and_acknowledge(self, acknowledge: Callable[[bool], None]) -> None:
        """Send headers and body, and report whether the connection took them.

        A client that has closed its end before the write took nothing. Nothing is awaited between
        the write and the report, unless the client does not read: so the report comes before any
        later request of the client.
        """
        assert self._payload_writer is not None, "prepared"
        is_sent = False
        try:
            for _ in range(_CLOSE_TURNS):
                await asyncio.sleep(0)
            await self._payload_writer.write_eof(self._bytes)
            is_sent = self._transport is not None and not self._transport.is_closing()
        finally:
            acknowledge(is_sent)


def json_response(content: JsonResponse) -> Response:
    """Return the response with this content."""
    headers: dict[str, str] = {hdrs.CONTENT_TYPE: _JSON}
    if content.retry_after_seconds is not None:
        headers[hdrs.RETRY_AFTER] = str(content.retry_after_seconds)
    if content.is_replayed:
        headers[REPLAYED_HEADER] = "true"
    if content.error_code is not None:
        headers[ERROR_CODE_HEADER] = content.error_code
    response = Response(content.status, headers, content.body.encode(), content.acknowledge)
    if content is json_responses.REQUEST_TIMEOUT:
        response.force_close()  # RFC 9110, section 15.5.9: the rest of the request is not awaited
    return response


def method_not_allowed(*allowed: str) -> Response:
    """Return the 405 that lists the allowed methods."""
    response = json_response(json_responses.METHOD_NOT_ALLOWED)
    response.headers[hdrs.ALLOW] = ", ".join(sorted(allowed))
    return response


def set_common_headers(response: web.StreamResponse, identity: str, *, secure: bool) -> None:
    """Set the headers of every response; over TLS also Strict-Transport-Security."""
    headers = response.headers
    headers[REQUEST_ID_HEADER] = identity
    headers[hdrs.SERVER] = SERVER
    headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
    if secure:
        headers["Strict-Transport-Security"] = HSTS


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    """Return the Date header of a second since 1970."""
    return formatdate(second, usegmt=True)
