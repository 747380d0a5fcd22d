"""A card gateway that answers every charge like Stripe, after GATEWAY_SECONDS, and counts them.

The sandbox keeps books, which costs more than what is measured. It runs by path, like echo.py.
"""

import asyncio
import os
from collections.abc import Callable
from itertools import count
from urllib.parse import parse_qs

from aiohttp import web

from cli.foreground import Serve, run

_SECONDS = float(os.environ["GATEWAY_SECONDS"])
_numbers = count(1)


async def charge(request: web.Request) -> web.Response:
    """POST /v1/payment_intents: charge at once (https://docs.stripe.com/api/payment_intents)."""
    given = {name: values[0] for name, values in parse_qs((await request.read()).decode()).items()}
    await asyncio.sleep(_SECONDS)
    metadata = {
        name.removeprefix("metadata[").removesuffix("]"): value
        for name, value in given.items()
        if name.startswith("metadata[")
    }
    return web.json_response(
        {
            "id": f"pi_{next(_numbers):024d}",
            "object": "payment_intent",
            "amount": int(given["amount"]),
            "currency": given["currency"],
            "customer": given["customer"],
            "payment_method": given["payment_method"],
            "metadata": metadata,
            "status": "succeeded",
        }
    )


async def serve(ready: Callable[[str], None], stop: asyncio.Event) -> None:
    """Serve on a free port of 127.0.0.1 until `stop` is set."""
    app = web.Application()
    app.router.add_post("/v1/payment_intents", charge)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        ready(f"http://{host}:{port}")
        await stop.wait()
    finally:
        await runner.cleanup()


def prepare() -> Serve:
    """Return the function that serves."""
    return serve


if __name__ == "__main__":
    run("card_gateway", prepare)
