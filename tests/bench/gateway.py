"""Part `gateway`: charges at Authorize.Net, without core and database.

A server process on 127.0.0.1 answers every charge, at once or after a delay. The CPU time of a
charge in this process is compared with a bare aiohttp POST of the same bytes, in turns. Then 100
concurrent charges of one account at a delay of 300 ms are compared with one.
"""

import asyncio
import itertools
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from core.gateways.authorize import requests
from core.gateways.authorize.gateway import AuthorizeGateway
from core.gateways.authorize.transport import PATH
from core.gateways.gateway import Account, GatewayCharge, Succeeded
from core.money import Amount
from tests.bench.figures import Figure, Result, at_most
from tests.bench.run import Run
from tests.bench.samples import Spread
from tests.bench.stack import running, script_process

_CPU_MILLISECONDS_MAX = 3.0
_IN_FLIGHT = 100
_IN_FLIGHT_RATIO_MAX = 2.0
_DELAY_MILLISECONDS = 300
_CALLS = 200
_ANSWER_BYTES_LEAST = 400
_ACCOUNT = Account("TEST", "346HZ32z3fP4hTG2", login_id="5KP3u95bQpv")
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
                assert len(await response.read()) > _ANSWER_BYTES_LEAST

        for _ in range(turns + 1):
            posts.append(await _cpu_milliseconds(post, calls))
            charges.append(await _cpu_milliseconds(charge, calls))
    await gateway.close()
    return charges[1:], posts[1:]  # the first turn connects and fills caches


async def _measure_in_flight(url: str, turns: int) -> list[float]:
    """Return the time of many concurrent charges / the time of one, by turn."""
    ratios = []
    for _ in range(turns):
        gateway = AuthorizeGateway({"TEST": f"{url}/{_DELAY_MILLISECONDS}"})

        async def seconds_of(count: int, gateway: AuthorizeGateway = gateway) -> float:
            began = time.perf_counter()
            charges = (gateway.charge(_ACCOUNT, _order()) for _ in range(count))
            outcomes = await asyncio.gather(*charges)
            assert all(isinstance(outcome, Succeeded) for outcome in outcomes), outcomes
            return time.perf_counter() - began

        one = await seconds_of(1)
        ratios.append(await seconds_of(_IN_FLIGHT) / one)
        await gateway.close()
    return ratios


async def measure(run: Run) -> Result:
    """Measure in turns; no money moves."""
    calls = max(5, round(_CALLS * min(1.0, run.size.turn_seconds)))
    with tempfile.TemporaryDirectory(prefix="nivisco-bench-") as directory:
        async with running(script_process(Path(directory), "authorize")) as (_, address):
            charges, posts = await _measure_cpu(address.url(), run.size.rounds, calls)
            ratios = await _measure_in_flight(address.url(), run.size.rounds)
    own = [charge - post for charge, post in zip(charges, posts, strict=True)]
    return Result(
        [
            Figure(
                "charge at Authorize.Net, CPU time beyond a bare POST of its bytes",
                Spread.of(own),
                "ms",
                at_most(_CPU_MILLISECONDS_MAX),
                f"charge {Spread.of(charges).median:.2f} ms, POST {Spread.of(posts).median:.2f} ms",
            ),
            Figure(
                f"{_IN_FLIGHT} charges in flight at {_DELAY_MILLISECONDS} ms / one, time",
                Spread.of(ratios),
                "x",
                at_most(_IN_FLIGHT_RATIO_MAX),
            ),
        ]
    )
