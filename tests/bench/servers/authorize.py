"""A stand-in for Authorize.Net that approves every charge, after the milliseconds in the path.

It runs by path, like echo.py.
"""

import asyncio
import re
from collections.abc import Callable

from aiohttp import web

from cli.foreground import Serve, run
from core.gateways.authorize.transport import PATH

_REFERENCE = re.compile(rb"<refId>([^<]+)")
_ANSWER = (
    '\ufeff<?xml version="1.0" encoding="utf-8"?><createTransactionResponse '
    'xmlns="AnetApi/xml/v1/schema/AnetApiSchema.xsd"><refId>{reference}</refId><messages>'
    "<resultCode>Ok</resultCode><message><code>I00001</code><text>Successful.</text></message>"
    "</messages><transactionResponse><responseCode>1</responseCode><authCode>QWX20S</authCode>"
    "<avsResultCode>Y</avsResultCode><cvvResultCode>P</cvvResultCode><cavvResultCode>2"
    "</cavvResultCode><transId>2228446239</transId><refTransID /><transHash /><testRequest>0"
    "</testRequest><accountNumber>XXXX1111</accountNumber><accountType>Visa</accountType>"
    "<messages><message><code>1</code><description>This transaction has been approved."
    "</description></message></messages><transHashSha2 /></transactionResponse>"
    "</createTransactionResponse>"
)


async def charge(request: web.Request) -> web.Response:
    """Answer createTransactionRequest."""
    reference = _REFERENCE.search(await request.read())
    await asyncio.sleep(int(request.match_info["delay"]) / 1000)
    body = _ANSWER.format(reference=reference[1].decode() if reference else "")
    return web.Response(body=body.encode(), content_type="application/xml")


async def serve(ready: Callable[[str], None], stop: asyncio.Event) -> None:
    """Serve on a free port of 127.0.0.1 until `stop` is set."""
    app = web.Application()
    app.router.add_post("/{delay}" + PATH, charge)
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
    run("authorize", prepare)
