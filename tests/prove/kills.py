"""The kills of a scenario: a chain of failpoints, each reached during recovery from the last."""

import asyncio
import random
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from typing import Any

from tests.prove.authorizations import closes
from tests.prove.clients import DAY_SECONDS, PAUSE_SECONDS, TRIGGERS_MAX, Clients
from tests.prove.environment import IDLE_TURNS, SIGKILL, Environment
from tests.prove.failed_cycles import retry_a_cycle
from tests.prove.gateway_cards import change_a_card
from tests.prove.gateway_faults import (
    DELAY,
    DELAY_REFUND,
    HOLD,
    HOLD_AUTHORIZE,
    HOLD_REFUND,
    LOSE_AUTHORIZE,
    fault_orders,
)
from tests.prove.gateway_side import GatewaySide
from tests.prove.scenario import ANY_MOMENT, Result, Scenario
from tests.prove.triggers import (
    CARD_CHANGES,
    FOREIGN_EVENT,
    GATEWAY_EVENT,
    KEY_FORGOTTEN_SECONDS,
    LEASE_OVER_SECONDS,
    POISON_CLAIM,
    REFUND_EVENT,
    RETRIES,
    UNKEYED_OVER_SECONDS,
    Trigger,
    trigger_of,
)

FIRST_OPERATIONS = 4
ALL_OPERATIONS = 12
"""Number of operations in a scenario without kills."""
PATIENCE_SECONDS = 12.0
"""How long clients may take until the next one has its final response, after the last kill."""
BACKGROUND_SECONDS = 1.0
"""Time for what a core does in the background besides due work, as renewals of leases."""


class Kills:
    """Runs cores into the failpoints of a scenario, and starts the next one each time."""

    def __init__(
        self,
        environment: Environment,
        clients: Clients,
        scenario: Scenario,
        gateway_side: GatewaySide,
        rng: random.Random,
        result: Result,
    ) -> None:
        """Note kills and misses in `result`."""
        self.environment = environment
        self.clients = clients
        self.gateway_side = gateway_side
        self.armed_point = ANY_MOMENT
        self.scenario = scenario
        self.rng = rng
        self.result = result
        self.triggers = [trigger_of(kill) for kill in scenario.kills]
        self.has_pending_charge = False
        self.looks_up = any(kill.startswith("gateway.look_up") for kill in scenario.kills)

    async def schedule_faults(self) -> None:
        for order in fault_orders(self.scenario.fault, self.clients.merchants.accounts, self.rng):
            await self.environment.call_sandbox("POST", "faults", order)

    async def run(self) -> None:
        """Run the chain of kills, each during the recovery from the one before."""
        for _ in range(FIRST_OPERATIONS if self.scenario.kills else ALL_OPERATIONS):
            self.clients.release(self.clients.any())
        last: str | None = None
        for place, (kill, trigger) in enumerate(
            zip(self.scenario.kills, self.triggers, strict=True)
        ):
            following = self._pending_charge_after(place)
            if place == 0 and (trigger.needs_pending_charge or trigger.at_start):
                await self._kill_before(trigger)
            await self._hold_webhooks(hold=trigger.loses_request or trigger.needs_pending_charge)
            died = await self._kill(
                kill, trigger, following, in_recovery=self.environment.core is None
            )
            if died:
                self.result.killed.append(kill)
                if last is not None:
                    self.result.pairs.append((last, kill))
                last = kill
            else:
                self.result.missed.append(kill)
                last = None
                if following or self._starts_after(place):
                    await self._kill_before(following or trigger)
        await self._hold_webhooks(hold=False)
        if self.environment.core is None:
            await self.restart(None, LEASE_OVER_SECONDS)

    async def _hold_webhooks(self, *, hold: bool) -> None:
        """Hold webhooks, which would end a pending charge before the failpoint is reached."""
        await self.environment.call_sandbox("POST", "webhooks/hold", {"hold": hold})

    def _starts_after(self, place: int) -> bool:
        return place + 1 < len(self.triggers) and self.triggers[place + 1].at_start

    def _pending_charge_after(self, place: int) -> Trigger | None:
        """Return the next kill's trigger if it needs a pending charge from before this kill.

        A kill at a start cannot leave one; a kill that needed one itself leaves it as it is.
        """
        if self.triggers[place].at_start or self.triggers[place].needs_pending_charge:
            return None
        rest = [trigger for trigger in self.triggers[place + 1 :] if not trigger.at_start]
        return rest[0] if rest and rest[0].needs_pending_charge else None

    async def _kill_before(self, trigger: Trigger) -> None:
        """Kill a core so that the next one recovers, during a charge if the trigger needs that."""
        if trigger.needs_pending_charge:
            await self._leave_charge_pending(trigger)
        await self.environment.kill_core()
        self.result.killed.append(ANY_MOMENT)

    async def _leave_charge_pending(self, trigger: Trigger) -> None:
        """Leave a charge at the gateway without a response, and its client without a retry."""
        await self._hold_webhooks(hold=True)
        if trigger.advance_seconds > DAY_SECONDS or closes(trigger.kind):
            await self.wait_for_clients()  # whose charges would be held in its place
        if self.scenario.fault != "none":
            await self.environment.call_sandbox("DELETE", "faults")
        kind = self.clients.at_a_gateway(trigger.kind)
        order = HOLD_AUTHORIZE if kind.endswith("_authorize") else HOLD
        order = HOLD_REFUND if kind == "give_back" else order
        if not self.clients.authorizations.can(kind):
            await self.clients.complete(kind.replace("capture", "reserve"))
        await self.environment.call_sandbox(
            "POST", "faults", order.as_json(self.clients.merchants.accounts)
        )
        operation = self.clients.new(kind, gives_up=True)
        operation.is_concurrent = False
        self.has_pending_charge = True
        self.clients.release(operation)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (await self.environment.call_sandbox("GET", "faults"))["holding"]:
                await asyncio.sleep(PAUSE_SECONDS)

    async def restart(
        self, armed: tuple[str, int] | None, advance_seconds: float, *, may_wait: bool = True
    ) -> bool:
        """Start the next core after some time, or let the time pass after its start."""
        if self.has_pending_charge:
            await self.environment.call_sandbox("DELETE", "faults")
            self.has_pending_charge = False
        if self.rng.random() < 0.7:
            await self.schedule_faults()
        if advance_seconds == LEASE_OVER_SECONDS and may_wait and self.rng.random() < 0.5:
            self.clients.add_task(asyncio.ensure_future(self._expire_leases(advance_seconds)))
            advance_seconds = 0.0
        if advance_seconds > LEASE_OVER_SECONDS:
            await self.environment.wait_until_landed()
        self.environment.clock.advance(advance_seconds)
        self.environment.note(f"start of a core {advance_seconds:.0f} s later, armed {armed}")
        return await self.environment.start_core(armed)

    async def _expire_leases(self, seconds: float) -> None:
        """Let clients retry while the dead core's leases last, and expire them then."""
        await self.environment.serving()
        await asyncio.sleep(self.rng.random() * 0.4)
        self.environment.clock.advance(seconds)

    async def _kill(
        self, kill: str, trigger: Trigger, following: Trigger | None, *, in_recovery: bool
    ) -> bool:
        """Run a core into a failpoint; return whether it was killed there."""
        hits = 2 if not trigger.is_exclusive and self.rng.random() < 0.2 else 1
        armed = None if kill == ANY_MOMENT else (kill, hits)
        advance = self._advance_of(trigger)
        if trigger.needs_expired:
            return await self._kill_at_reaping(kill, following, in_recovery=in_recovery)
        if in_recovery:
            if following:
                await self.restart(None, advance)
                await self._leave_charge_pending(following)
                await self.arm(armed)
            elif not await self.restart(armed, advance, may_wait=not trigger.needs_pending_charge):
                return True
        else:
            if following:
                await self._leave_charge_pending(following)
            await self.arm(armed)
        if trigger.slows_gateway:
            order = DELAY_REFUND if trigger.kind == "give_back" else DELAY
            await self.environment.call_sandbox(
                "POST", "faults", order.as_json(self.clients.merchants.accounts)
            )
        if kill == ANY_MOMENT:
            self.clients.trigger(trigger)
            await asyncio.sleep(self.rng.random() * 0.15)
            await self.environment.kill_core()
            return True
        return await self._wait_for_kill(
            trigger,
            triggers=0 if trigger.needs_pending_charge or trigger.at_start else TRIGGERS_MAX,
        )

    async def _kill_at_reaping(
        self, kill: str, following: Trigger | None, *, in_recovery: bool
    ) -> bool:
        if in_recovery:
            await self.restart(None, LEASE_OVER_SECONDS)
        await self.wait_for_clients()
        await self.clients.complete("credit")
        if following:
            await self._leave_charge_pending(following)
        await self.arm((kill, 1))
        await self.environment.wait_until_landed()
        self.environment.clock.advance(UNKEYED_OVER_SECONDS)
        return await self._wait_for_kill(None, triggers=0)

    def _advance_of(self, trigger: Trigger) -> float:
        """Return how far to advance: open requests without a response must not expire."""
        open_since = [
            each.began_at for each in self.clients.operations if not (each.final or each.gives_up)
        ]
        if not open_since:
            return trigger.advance_seconds
        room = DAY_SECONDS - (self.environment.clock.seconds() - min(open_since))
        shorter = min(trigger.advance_seconds, KEY_FORGOTTEN_SECONDS)
        return shorter if shorter < room else LEASE_OVER_SECONDS

    def _trigger(self, trigger: Trigger) -> None:
        """Have something happen that leads a core to the failpoint."""
        happening: Coroutine[Any, Any, None]
        if trigger.has_poison:
            happening = self._spread_poison(trigger)
        elif trigger.kind == GATEWAY_EVENT:
            happening = self.gateway_side.act()
        elif trigger.kind == FOREIGN_EVENT:
            happening = self.gateway_side.charge_foreign()
        elif trigger.kind == REFUND_EVENT:
            happening = self._charge_and_refund()
        elif trigger.kind in CARD_CHANGES:
            happening = change_a_card(self.environment, self.clients, trigger.kind)
        elif trigger.kind in RETRIES:
            happening = retry_a_cycle(self.environment, self.clients, trigger.kind)
        elif trigger.passes_seconds:
            happening = self._complete_and_wait(trigger)
        else:
            self.clients.trigger(trigger)
            return
        self.clients.add_task(asyncio.ensure_future(happening))

    async def _spread_poison(self, trigger: Trigger) -> None:
        """Have a row be due that cannot be carried out, and with a job also one that can."""
        poison = self.clients.merchants.poison
        assert poison is not None, "the mode has poison"
        await poison.spread(trigger.kind)
        if trigger.kind == POISON_CLAIM:
            await self.clients.complete("job_wallet")

    async def _charge_and_refund(self) -> None:
        await self.clients.complete("charge_authorize")
        await self.gateway_side.refund_a_transaction()

    async def _complete_and_wait(self, trigger: Trigger) -> None:
        """Run the trigger's operation, and let time pass; a day only if no request is open.

        Its key would be forgotten, and a retry be a new request. So would the gateway forget the
        key of a charge while a core waits, or before a request lands that a core has sent again,
        which takes seconds in production.
        """
        await self.clients.complete(trigger.kind)
        has_landed = await self.environment.wait_until_landed()
        is_open = self.has_pending_charge or any(
            not each.final and (each.is_payment or not each.gives_up)
            for each in self.clients.operations
        )
        if trigger.passes_seconds < DAY_SECONDS or (has_landed and not is_open):
            self.environment.clock.advance(trigger.passes_seconds)

    async def arm(self, armed: tuple[str, int] | None) -> None:
        """Kill the serving core at a failpoint, at the given pass of it."""
        if armed:
            self.armed_point = armed[0]
            core = await self.environment.serving()
            self.environment.note(f"armed {armed}")
            with suppress(ConnectionError):
                await core.process.send(command="arm", point=armed[0], hits=armed[1])

    async def _wait_for_kill(self, trigger: Trigger | None, *, triggers: int) -> bool:
        """Run the trigger up to `triggers` times; return whether the core was killed."""
        died = asyncio.ensure_future(self.environment.core_ended())
        try:
            for _ in range(max(1, triggers)):
                if triggers and trigger:
                    if trigger.loses_request:
                        order = LOSE_AUTHORIZE.as_json(self.clients.merchants.accounts)
                        await self.environment.call_sandbox("POST", "faults", order)
                    self._trigger(trigger)
                needs_background = triggers == 0 or (trigger is not None and trigger.is_background)
                if await _within(died, self._wait_until_idle(needs_background=needs_background)):
                    signal = died.result()
                    if signal != SIGKILL:
                        self.result.violations.append(f"a core crashed: {signal}")
                    return True
        finally:
            if not died.done():
                died.cancel()
        await self.disarm()
        if self.environment.core is not None and not self.environment.core.process.is_alive:
            await self.environment.core_ended()
            return True
        return False

    async def disarm(self) -> None:
        if self.environment.core is not None:
            with suppress(ConnectionError):
                await self.environment.core.process.send(command="arm", point=None, hits=0)

    async def _wait_until_idle(self, *, needs_background: bool) -> None:
        """Return when no client is active and background tasks had a turn."""
        while any(not task.done() for task in self.clients.active()):
            await asyncio.wait(self.clients.active(), timeout=PATIENCE_SECONDS)
            break
        if needs_background:
            turns = self.environment.idle_turns(IDLE_TURNS)
            await asyncio.gather(asyncio.sleep(BACKGROUND_SECONDS), turns)
        else:
            await asyncio.sleep(0.05)

    async def wait_for_clients(self) -> None:
        """Wait until no client is active, or none has ended for a while."""
        patience = 2.0 if self.looks_up or self.scenario.mutant else PATIENCE_SECONDS
        is_caught = self.scenario.mutant and self.result.violations
        while self.clients.active() and not is_caught:
            left = self.clients.active()
            done, _ = await asyncio.wait(
                left, timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                return


async def _within(wanted: asyncio.Future[Any], other: Awaitable[None]) -> bool:
    """Wait for either; return whether it was the wanted one."""
    waiting = asyncio.ensure_future(other)
    await asyncio.wait([wanted, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return wanted.done()
