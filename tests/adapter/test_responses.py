"""Responses that are acknowledged: whether the client's connection took them."""

import asyncio
import select
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web

from adapter.responses import Response
from tests.certificates import Authority

PATIENCE_SECONDS = 10.0


def close(client: socket.socket) -> None:
    client.close()


def say_goodbye_and_close(client: socket.socket) -> None:
    """Close as TLS wants it, without waiting for the peer."""
    assert isinstance(client, ssl.SSLSocket)
    client.setblocking(False)
    with suppress(ssl.SSLError):  # the peer's goodbye is not there yet
        client.unwrap()
    client.close()


def stay(_client: socket.socket) -> None:
    """Keep the connection."""


@asynccontextmanager
async def responding(
    before_write: Callable[[web.Request], None], tls: ssl.SSLContext | None
) -> AsyncIterator[tuple[tuple[str, int], "asyncio.Future[bool]"]]:
    """Serve a response that is written just after `before_write`; yield its acknowledgement."""
    acknowledged: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def handle(request: web.Request) -> Response:
        before_write(request)
        return Response(200, {}, b"{}", acknowledged.set_result)

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield runner.addresses[0], acknowledged
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("is_tls", "leave", "is_taken"),
    [
        (False, stay, True),
        (False, close, False),
        (True, stay, True),
        (True, close, False),
        (True, say_goodbye_and_close, False),
    ],
)
async def test_a_response_counts_as_taken_unless_its_client_closed_before_the_write(
    tmp_path: Path, is_tls: bool, leave: Callable[[socket.socket], None], is_taken: bool
) -> None:
    tls = None
    if is_tls:
        issued = Authority(tmp_path).issue("server")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(issued.certificate_file, issued.key_file)
    clients: list[socket.socket] = []

    def ask(address: tuple[str, int]) -> None:
        client = socket.create_connection(address, PATIENCE_SECONDS)
        if is_tls:
            trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
            client = trusting.wrap_socket(client)
        clients.append(client)
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    def leave_unseen(request: web.Request) -> None:
        leave(clients[0])
        assert request.transport is not None
        server = request.transport.get_extra_info("socket")
        is_readable = bool(select.select([server], [], [], 0 if is_taken else PATIENCE_SECONDS)[0])
        assert is_readable is not is_taken, "the kernel has the client's close"

    async with responding(leave_unseen, tls) as (address, acknowledged):
        await asyncio.to_thread(ask, address)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await acknowledged is is_taken
    clients[0].close()
