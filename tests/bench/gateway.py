"""Benchmark of charges at Authorize.Net: `python -m tests.bench.gateway`, part of `make bench`.

A server process on 127.0.0.1 answers every charge, at once or after a delay. The CPU time of a
charge in this process is compared with a bare aiohttp POST of the same bytes, in turns. Then 100
concurrent charges of one account at a delay of 300 ms are compared with one. Numbers of other runs
or machines are not comparable.
"""

import asyncio
import contextlib
import itertools
import re
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import click
import uvloop
from aiohttp import web

from core.gateways.authorize import requests
from core.gateways.authorize.gateway import AuthorizeGateway
from core.gateways.authorize.transport import PATH
from core.gateways.gateway import Account, GatewayCharge, Succeeded
from core.money import Amount

CPU_MILLISECONDS_MAX = 3.0
IN_FLIGHT = 100
IN_FLIGHT_RATIO_MAX = 2.0
DELAY_MILLISECONDS = 300
_ACCOUNT = Account("TEST", "346HZ32z3fP4hTG2", login_id="5KP3u95bQpv")
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
_numbers = itertools.count(1)


def _order() -> GatewayCharge:
    return GatewayCharge(
        payment_id=f"PAY-{next(_numbers):016d}",
        gateway_key="unused",
        amount=Amount(2550, "usd"),
        customer_id="51589781991",
        gateway_card_id="52258876476",
        description="Order 17",
    )


async def _serve() -> None:
    """Answer charges after the milliseconds in the path, until stdin closes."""

    async def answer(request: web.Request) -> web.Response:
        reference = _REFERENCE.search(await request.read())
        await asyncio.sleep(int(request.match_info["delay"]) / 1000)
        body = _ANSWER.format(reference=reference[1].decode() if reference else "")
        return web.Response(body=body.encode(), content_type="application/xml")

    app = web.Application()
    app.router.add_post("/{delay}" + PATH, answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    click.echo(runner.addresses[0][1])
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


@contextlib.asynccontextmanager
async def _server() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.gateway", "--serve",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None, "it was asked for"
    assert process.stdout is not None, "it was asked for"
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.stdin.close()
        await process.wait()


async def _cpu_milliseconds(call: Callable[[], Awaitable[None]], calls: int) -> float:
    began = time.process_time()
    for _ in range(calls):
        await call()
    return (time.process_time() - began) * 1000 / calls


async def _measure_cpu(url: str, turns: int, calls: int) -> tuple[list[float], list[float]]:
    """Return the CPU milliseconds of a charge and of a bare POST, by turn."""
    gateway = AuthorizeGateway({"TEST": f"{url}/0"})
    body = requests.charge(_ACCOUNT, _order()).body
    charges, posts = [], []
    async with aiohttp.ClientSession() as session:

        async def charge() -> None:
            outcome = await gateway.charge(_ACCOUNT, _order())
            assert isinstance(outcome, Succeeded), outcome

        async def post() -> None:
            async with session.post(f"{url}/0{PATH}", data=body) as response:
                assert len(await response.read()) > len(_ANSWER) / 2

        for _ in range(turns + 1):
            posts.append(await _cpu_milliseconds(post, calls))
            charges.append(await _cpu_milliseconds(charge, calls))
    await gateway.close()
    return charges[1:], posts[1:]  # the first turn connects and fills caches


async def _measure_in_flight(url: str, turns: int) -> list[float]:
    """Return the time of many concurrent charges / the time of one, by turn."""
    ratios = []
    for _ in range(turns):
        gateway = AuthorizeGateway({"TEST": f"{url}/{DELAY_MILLISECONDS}"})

        async def seconds_of(count: int, gateway: AuthorizeGateway = gateway) -> float:
            began = time.perf_counter()
            charges = (gateway.charge(_ACCOUNT, _order()) for _ in range(count))
            outcomes = await asyncio.gather(*charges)
            assert all(isinstance(outcome, Succeeded) for outcome in outcomes), outcomes
            return time.perf_counter() - began

        one = await seconds_of(1)
        ratios.append(await seconds_of(IN_FLIGHT) / one)
        await gateway.close()
    return ratios


async def _report(turns: int, calls: int) -> bool:
    async with _server() as url:
        charges, posts = await _measure_cpu(url, turns, calls)
        ratios = await _measure_in_flight(url, turns)
    own = [charge - post for charge, post in zip(charges, posts, strict=True)]
    cpu, many = statistics.median(own), statistics.median(ratios)
    click.echo("charge at Authorize.Net, CPU of this process, medians of turns")
    click.echo(f"  charge                         {statistics.median(charges):6.2f} ms")
    click.echo(f"  bare aiohttp POST of its bytes {statistics.median(posts):6.2f} ms")
    click.echo(f"  ours                           {cpu:6.2f} ms   (at most {CPU_MILLISECONDS_MAX})")
    click.echo(f"{IN_FLIGHT} charges in flight / one, at {DELAY_MILLISECONDS} ms")
    click.echo(f"  time                           {many:6.2f}      (below {IN_FLIGHT_RATIO_MAX})")
    return cpu <= CPU_MILLISECONDS_MAX and many < IN_FLIGHT_RATIO_MAX


@click.command()
@click.option("--small", is_flag=True, help="Measure next to nothing: a test of the bench itself.")
@click.option("--serve", is_flag=True, hidden=True)
def main(*, small: bool, serve: bool) -> None:
    """Measure charges at Authorize.Net; exit with 1 if a limit is exceeded."""
    if serve:
        uvloop.run(_serve())
        return
    held = uvloop.run(_report(turns=1, calls=5) if small else _report(turns=9, calls=200))
    if not held and not small:
        sys.exit(1)


if __name__ == "__main__":
    main()
