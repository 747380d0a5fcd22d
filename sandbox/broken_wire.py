"""What a fault does to an answer on the wire: none of it arrives, or half."""

from __future__ import annotations

import socket
import struct
from typing import Final

from aiohttp import web

_LINGER_NOT: Final = struct.pack("ii", 1, 0)  # close() then resets the connection, see socket(7)


def reset(request: web.Request) -> web.Response:
    """Resets the TCP connection; what is returned is never sent."""
    if request.transport is not None:
        wire = request.transport.get_extra_info("socket")
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        request.transport.abort()
    return web.Response()


async def cut(request: web.Request, whole: web.Response) -> web.StreamResponse:
    """Announces the whole body, sends half of it and closes."""
    body = whole.body if isinstance(whole.body, bytes) else b""
    response = web.StreamResponse(status=whole.status, headers=whole.headers)
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
