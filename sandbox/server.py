"""Runs the sandbox: opens its books, listens, and stops without losing an answer under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aiohttp import web

from sandbox.app import build_app
from sandbox.books import Books

BOOKS_FILE: Final = "sandbox.db"
SHUTDOWN_SECONDS: Final = 2.0


async def serve(host: str, port: int, data_dir: Path, on_ready: Callable[[str], None]) -> None:
    """Serves until cancelled; `on_ready` gets the base URL once requests are taken.

    Port 0 takes a free one. Raises OSError, in words for a person, where the port or the books
    cannot be had. Cancelled, it lets requests under way finish, for at most two seconds.
    """
    books = Books(data_dir / BOOKS_FILE)
    try:
        runner = web.AppRunner(build_app(books), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            await _listen(runner, host, port)
            on_ready(_base_url(host, runner))
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()
    finally:
        books.close()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise OSError(
            error.errno,
            f"the sandbox cannot listen on {host} port {port}: {error.strerror or error}",
        ) from error


def _base_url(host: str, runner: web.AppRunner) -> str:
    port = runner.addresses[0][1]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"
