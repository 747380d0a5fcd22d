"""The baseline of the adapter: an aiohttp server that answers every POST with a fixed JSON text.

It runs by path like `nivisco adapter`, with the same event loop and pipes to its parent.
"""

import asyncio
from collections.abc import Callable

from aiohttp import web

from cli.foreground import Serve, run

ANSWER = (
    b'{"success":true,"wallet":{"wallet_id":"WAL-01HZZZZZZZZZZZZZZZZZZZZZZZ",'
    b'"user_id":"USR-01HZZZZZZZZZZZZZZZZZZZZZZZ","balance":999999.5,"currency":"usd",'
    b'"updated_at":"2024-02-20 14:20:00"}}'
)


async def answer(request: web.Request) -> web.Response:
    """Respond when the body is complete."""
    await request.read()
    return web.Response(body=ANSWER, content_type="application/json", charset="utf-8")


async def serve(ready: Callable[[str], None], stop: asyncio.Event) -> None:
    """Serve on a free port of 127.0.0.1 until `stop` is set."""
    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        ready(f"http://{host}:{port}")
        await stop.wait()
    finally:
        await runner.cleanup()


def prepare() -> Serve:
    """Return the function that serves."""
    return serve


if __name__ == "__main__":
    run("echo", prepare)
