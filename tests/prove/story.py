"""The days after the charges: jobs fall due, gateways take back, cores are killed meanwhile."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from nivisco.payments.v1 import recurring_pb2
from rpc.errors import CoreError
from tests.prove.clients import Clients
from tests.prove.environment import SIGKILL, Environment
from tests.prove.failpoints import failpoints
from tests.prove.gateway_side import GatewaySide
from tests.prove.kills import Kills
from tests.prove.requests import ZONES
from tests.prove.scenario import Mode, Result
from tests.prove.scheduler import Scheduler
from tests.prove.triggers import LEASE_OVER_SECONDS, trigger_of

STEPS = 4
ACTIONS_MAX = 4
"""What happens at the gateways in one step."""
KILLED_STEPS = 0.6
HELD_STEPS = 0.5
"""Share of steps whose webhooks come late, shuffled and repeated."""
DAY = 86_400.0
_PASSING_SECONDS = (0.4 * DAY, 1.1 * DAY, 3.05 * DAY, 7.02 * DAY)
_KILLED_AT = (
    "recurring.",
    "webhooks.",
    "payments.begin",
    "payments.write_outcome",
    "gateway.charge",
)


class Story:
    """Some steps, each of some days."""

    def __init__(
        self,
        environment: Environment,
        clients: Clients,
        kills: Kills,
        gateway_side: GatewaySide,
        scheduler: Scheduler,
        mode: Mode,
        rng: random.Random,
        result: Result,
    ) -> None:
        """Note kills in `result`."""
        self._mode = mode
        self._environment = environment
        self._clients = clients
        self._kills = kills
        self._gateway_side = gateway_side
        self._scheduler = scheduler
        self._rng = rng
        self._result = result
        self._points = [
            each
            for each in failpoints()
            if each.startswith(_KILLED_AT) and not trigger_of(each).has_poison
        ]

    async def run(self, drain: Callable[[], Awaitable[object]]) -> None:
        """Run the steps; `drain` waits until the cores have done all due work."""
        keeper = asyncio.ensure_future(self._keep_a_core())
        try:
            for _ in range(STEPS):
                await self._step(keeper)
                await self._kills.disarm()
                await drain()
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    async def _step(self, keeper: asyncio.Task[None]) -> None:
        if self._rng.random() < KILLED_STEPS:
            point, hits = self._rng.choice(self._points), self._rng.choice((1, 1, 2, 3))
            await self._kills.arm((point, hits))
        is_held = self._rng.random() < HELD_STEPS
        await self._environment.call_sandbox("POST", "webhooks/hold", {"hold": is_held})
        if self._mode.has_webhooks:
            for _ in range(self._rng.randint(1, ACTIONS_MAX)):
                await self._gateway_side.act()
        if self._rng.random() < 0.5:
            await self._change_zone()
        seconds = self._rng.choice(_PASSING_SECONDS)
        self._environment.note(f"{seconds / DAY:.1f} days pass")
        self._environment.clock.advance(seconds)
        await self._scheduler.until_idle()
        await self._gateway_side.deliver_held()
        if keeper.done():
            keeper.result()

    async def _change_zone(self) -> None:
        """Move a job to another time zone, which neither repeats nor loses a cycle."""
        jobs = [
            each
            for each in self._clients.operations
            if each.is_job
            and each.was_executed
            and each.request.interval_type != recurring_pb2.INTERVAL_TYPE_DAY
        ]
        if not jobs:
            return
        job = self._rng.choice(jobs)
        request = recurring_pb2.UpdateRecurringRequest(
            recurring_id=job.response().recurring_id, timezone=self._rng.choice(ZONES)
        )
        try:
            await self._environment.call(job.caller.credentials, request)
        except CoreError as error:  # a completed job, or a core that was killed
            self._environment.note(f"{job} keeps its zone: {error.reason}", who="client")
        else:
            self._environment.note(f"{job} moves to {request.timezone}", who="client")

    async def _keep_a_core(self) -> None:
        """Start another core whenever one is killed."""
        while True:
            signal = await self._environment.core_ended()
            if signal != SIGKILL:
                self._result.violations.append(f"a core crashed: {signal}")
            else:
                self._result.killed.append(self._kills.armed_point)
            self._environment.clock.advance(LEASE_OVER_SECONDS)
            await self._environment.start_core()
