"""Runs one scenario: clients ask, cores die, clients come back, the sweep runs, books match."""

import asyncio
import time
import traceback
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.prove.checks import Books, violations
from tests.prove.clients import BAITS_MAX, DAY_SECONDS, PAUSE_SECONDS, Clients
from tests.prove.faults import (
    DELAY,
    HOLD,
    HOLD_AUTHORIZE,
    LOSE_AUTHORIZE,
    TORN_NETS,
    orders_of,
)
from tests.prove.mutants import MUTANTS
from tests.prove.scenario import MOMENT, Scenario
from tests.prove.stage import (
    KEY_FORGOTTEN_SECONDS,
    LEASE_OVER_SECONDS,
    UNKEYED_OVER_SECONDS,
    Bait,
    bait_of,
)
from tests.prove.world import SIGKILL, World

BY_JSON = 0.1
"""In how many scenarios there is an adapter, which half of those who move money ask."""
WITH_AUTHORIZE = 0.3
"""In how many scenarios clients charge at Authorize.Net too."""
FIRST_OPERATIONS = 4
ALL_OPERATIONS = 12
"""What clients do where nothing is killed, and only the gateway misbehaves."""
PATIENCE_SECONDS = 12.0
"""How long all clients together may take to their last word after the last kill."""
REVIEWED_SECONDS = 3.5 * 3600
"""How much later what was only looked up since 23 hours is a person's to find out."""


@dataclass
class Result:
    """What became of a scenario."""

    seed: str
    killed: list[str] = field(default_factory=list)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    fault: str = ""
    struck: int = 0
    operations: int = 0
    charges: int = 0
    replays: int = 0
    """Charges taken again from clients without a key, told in the moment of a kill."""
    violations: list[str] = field(default_factory=list)
    story: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Run:
    """A scenario while it runs."""

    def __init__(self, world: World, scenario: Scenario) -> None:
        self.world = world
        self.scenario = scenario
        self.dice = scenario.dice()
        self.result = Result(scenario.seed, fault=scenario.fault)
        self.baits = [bait_of(kill) for kill in scenario.kills]
        self.clients = Clients(world, self.dice, self._gateway())
        self.is_holding = False
        self.looks_up = any(kill.startswith("gateway.look_up") for kill in scenario.kills)

    def _gateway(self) -> str:
        """Return the only gateway that clients charge at, or nothing where they choose."""
        if self.scenario.mutant:
            return MUTANTS[self.scenario.mutant].gateway
        needs_authorize = self.scenario.fault == TORN_NETS or any(
            bait.loses_charge for bait in self.baits
        )
        return "" if needs_authorize or self.dice.random() < WITH_AUTHORIZE else "stripe"

    async def carry_out(self) -> Result:
        """Run it and check everything; whatever goes wrong is a violation, not an exception."""
        started = time.monotonic()
        self.world.new_journal()
        struck = (await self.world.ask_gateway("GET", "faults"))["struck"]
        try:
            if self.dice.random() < BY_JSON:
                await self.world.open_door()
            await self.clients.set_up(self.baits)
            await self._order_faults()
            if self.scenario.fault == TORN_NETS:
                await self.world.ask_gateway("POST", "authorize/duplicates", {"known": False})
                self.clients.release(self.clients.new("fund_authorize", is_keyed=True))
            else:
                await self._kills()
            await self._settle()
            await self.clients.replay()
            await self._check()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told with the seed
            where = traceback.extract_tb(error.__traceback__)[-1]
            self.result.violations.append(
                f"it broke off: {type(error).__name__}: {error}, {where.name} {where.lineno}"
            )
        finally:
            await self.clients.close()
            await self.world.close_door()
            await self.world.ask_gateway("DELETE", "faults")
            await self.world.ask_gateway("POST", "authorize/duplicates", {"known": True})
            faults = await self.world.ask_gateway("GET", "faults")
            self.result.struck = faults["struck"] - struck
            await self.world.close_retired()
        self.result.violations += self.clients.violations
        if self.result.violations:
            self.result.story = self.world.journal().splitlines()
        self.result.operations = len(self.clients.operations)
        self.result.replays = self.clients.replays
        self.result.seconds = time.monotonic() - started
        return self.result

    async def _order_faults(self) -> None:
        for order in orders_of(self.scenario.fault, self.clients.accounts, self.dice):
            await self.world.ask_gateway("POST", "faults", order)

    # The kills

    async def _kills(self) -> None:
        """Carry the chain of kills out, each in the recovery from the one before."""
        for _ in range(FIRST_OPERATIONS if self.scenario.kills else ALL_OPERATIONS):
            self.clients.release(self.clients.any())
        last: str | None = None
        for place, (kill, bait) in enumerate(zip(self.scenario.kills, self.baits, strict=True)):
            following = self._holder_after(place)
            if place == 0 and (bait.needs_held or bait.needs_start):
                await self._kill_before(bait)
            died = await self._kill(kill, bait, following, in_recovery=self.world.core is None)
            if died:
                self.result.killed.append(kill)
                if last is not None:
                    self.result.pairs.append((last, kill))
                last = kill
            else:
                self.result.missed.append(kill)
                last = None
                if following or self._starts_after(place):
                    await self._kill_before(following or bait)
        if self.world.core is None:
            await self._restart(None, LEASE_OVER_SECONDS)

    def _starts_after(self, place: int) -> bool:
        return place + 1 < len(self.baits) and self.baits[place + 1].needs_start

    def _holder_after(self, place: int) -> Bait | None:
        """Return the next kill's bait where it needs a charge held before this kill.

        A kill at a start cannot hold one, and one that had it held leaves it as it was.
        """
        if self.baits[place].needs_start or self.baits[place].needs_held:
            return None
        rest = [bait for bait in self.baits[place + 1 :] if not bait.needs_start]
        return rest[0] if rest and rest[0].needs_held else None

    async def _kill_before(self, bait: Bait) -> None:
        """Kill a core in the middle of a charge, where the next kill needs one that recovers."""
        if bait.needs_held:
            await self._hold(bait)
        await self.world.kill_core()
        self.result.killed.append(MOMENT)

    async def _hold(self, bait: Bait) -> None:
        """Have a charge at the gateway that nobody is told of, and whose client will not ask."""
        if bait.jump_seconds > DAY_SECONDS:
            await self._drained()
        if self.scenario.fault != "none":
            await self.world.ask_gateway("DELETE", "faults")
        kind = self.clients.at_a_gateway(bait.kind)
        order = HOLD_AUTHORIZE if kind.endswith("_authorize") else HOLD
        await self.world.ask_gateway("POST", "faults", order.as_json(self.clients.accounts))
        operation = self.clients.new(kind, leaves=True)
        operation.is_twin = False
        self.is_holding = True
        self.clients.release(operation)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (await self.world.ask_gateway("GET", "faults"))["holding"]:
                await asyncio.sleep(PAUSE_SECONDS)

    async def _restart(
        self, armed: tuple[str, int] | None, jump_seconds: float, *, may_wait: bool = True
    ) -> bool:
        """Start the next core after some time, or let the time pass once it is there."""
        if self.is_holding:
            await self.world.ask_gateway("DELETE", "faults")
            self.is_holding = False
        if self.dice.random() < 0.7:
            await self._order_faults()
        if jump_seconds == LEASE_OVER_SECONDS and may_wait and self.dice.random() < 0.5:
            self.clients.beside(asyncio.ensure_future(self._time_passes(jump_seconds)))
            jump_seconds = 0.0
        if jump_seconds > LEASE_OVER_SECONDS:
            await self.world.has_landed()
        self.world.clock.advance(jump_seconds)
        self.world.note(f"starts a core {jump_seconds:.0f} s later, armed {armed}")
        return await self.world.start_core(armed)

    async def _time_passes(self, seconds: float) -> None:
        """Let clients come back first while the dead core's leases last, and then the sweep."""
        await self.world.serving()
        await asyncio.sleep(self.dice.random() * 0.4)
        self.world.clock.advance(seconds)

    async def _kill(
        self, kill: str, bait: Bait, following: Bait | None, *, in_recovery: bool
    ) -> bool:
        """Have a core die at a failpoint; tell whether it did."""
        hits = 2 if not bait.is_alone and self.dice.random() < 0.2 else 1
        armed = None if kill == MOMENT else (kill, hits)
        jump = self._jump(bait)
        if bait.needs_expired:
            return await self._kill_at_reaping(kill, following, in_recovery=in_recovery)
        if in_recovery:
            if following:
                await self._restart(None, jump)
                await self._hold(following)
                await self._arm(armed)
            elif not await self._restart(armed, jump, may_wait=not bait.needs_held):
                return True
        else:
            if following:
                await self._hold(following)
            await self._arm(armed)
        if bait.slows_gateway:
            await self.world.ask_gateway("POST", "faults", DELAY.as_json(self.clients.accounts))
        if kill == MOMENT:
            self.clients.bait(bait)
            await asyncio.sleep(self.dice.random() * 0.15)
            await self.world.kill_core()
            return True
        return await self._dies(bait, baits=0 if bait.needs_held or bait.needs_start else BAITS_MAX)

    async def _kill_at_reaping(
        self, kill: str, following: Bait | None, *, in_recovery: bool
    ) -> bool:
        if in_recovery:
            await self._restart(None, LEASE_OVER_SECONDS)
        await self._drained()
        await self.clients.at_rest("credit")
        if following:
            await self._hold(following)
        await self._arm((kill, 1))
        await self.world.has_landed()
        self.world.clock.advance(UNKEYED_OVER_SECONDS)
        return await self._dies(None, baits=0)

    def _jump(self, bait: Bait) -> float:
        """Return how long to be away: no longer than the oldest request without a word can wait."""
        open_since = [
            each.began_at for each in self.clients.operations if not (each.told or each.leaves)
        ]
        if not open_since:
            return bait.jump_seconds
        room = DAY_SECONDS - (self.world.clock.seconds() - min(open_since))
        shorter = min(bait.jump_seconds, KEY_FORGOTTEN_SECONDS)
        return shorter if shorter < room else LEASE_OVER_SECONDS

    async def _arm(self, armed: tuple[str, int] | None) -> None:
        if armed:
            core = await self.world.serving()
            self.world.note(f"arms {armed}")
            with suppress(ConnectionError):
                await core.process.ask(order="arm", point=armed[0], hits=armed[1])

    async def _dies(self, bait: Bait | None, *, baits: int) -> bool:
        """Lead the core to its end, and tell whether it came to it."""
        died = asyncio.ensure_future(self.world.core_ended())
        try:
            for _ in range(max(1, baits)):
                if baits and bait:
                    if bait.loses_charge:
                        order = LOSE_AUTHORIZE.as_json(self.clients.accounts)
                        await self.world.ask_gateway("POST", "faults", order)
                    self.clients.bait(bait)
                if await _within(died, self._quiet(needs_background=baits == 0)):
                    signal = died.result()
                    if signal != SIGKILL:
                        self.result.violations.append(f"a core ended by itself: {signal}")
                    return True
        finally:
            if not died.done():
                died.cancel()
        await self._disarm()
        if self.world.core is not None and not self.world.core.process.is_alive:
            await self.world.core_ended()
            return True
        return False

    async def _disarm(self) -> None:
        if self.world.core is not None:
            with suppress(ConnectionError):
                await self.world.core.process.ask(order="arm", point=None, hits=0)

    async def _quiet(self, *, needs_background: bool) -> None:
        """Return when all clients have their last word, and what runs beside them had a turn."""
        while any(not task.done() for task in self.clients.asking()):
            await asyncio.wait(self.clients.asking(), timeout=PATIENCE_SECONDS)
            break
        await asyncio.sleep(1.0 if needs_background else 0.05)

    async def _drained(self) -> None:
        """Wait until every client has its last word, or time must pass, for a while."""
        patience = 2.0 if self.looks_up or self.scenario.mutant else PATIENCE_SECONDS
        is_caught = self.scenario.mutant and self.result.violations
        if self.clients.asking() and not is_caught:
            await asyncio.wait(self.clients.asking(), timeout=patience)

    # After the kills

    async def _settle(self) -> None:
        """Let the clients come to an end and the sweep to its own."""
        await self._disarm()
        await self._drained()
        await self.world.ask_gateway("DELETE", "faults")
        await self._drained()
        if self.clients.asking() and self.looks_up:
            self.world.clock.advance(REVIEWED_SECONDS)
            await self._drained()
        self.clients.raise_faults()
        stuck = [each for each in self.clients.operations if not (each.told or each.was_found)]
        self.result.violations += [
            f"{each.kind} {each.number} got no last word: {each.lost[-1:]}"
            for each in stuck
            if not each.leaves
        ]
        for seconds in (LEASE_OVER_SECONDS, 16 * 60.0, 20 * 60.0, REVIEWED_SECONDS):
            self.world.clock.advance(seconds)
            if await self._nothing_pending():
                break

    async def _nothing_pending(self) -> bool:
        core = await self.world.serving()
        for _ in range(30):
            rows = (
                await core.process.ask(
                    order="dump", business_ids=[self.clients.shop.business_id], names=[]
                )
            )["rows"]
            if all(row["status"] != "pending" for row in rows["payments"]):
                return True
            await asyncio.sleep(0.05)
        return False

    async def _check(self) -> None:
        names = [
            each.request.new_business.name
            for each in self.clients.operations
            if each.kind == "register"
        ]
        core = await self.world.serving()
        dumped = await core.process.ask(
            order="dump", business_ids=self.clients.business_ids(), names=names
        )
        shown = await self.world.ask_gateway("GET", "books", key=self.clients.stripe_key)
        gateway = shown["books"][0] if shown["books"] else {}
        account = self.clients.accounts.authorize
        shown = await self.world.ask_gateway("GET", f"books?account={account}")
        authorize = shown["books"][0] if shown["books"] else {}
        books = Books(dumped["rows"], gateway, authorize)
        self.result.violations += violations(
            self.clients.operations, books, self.clients.shop.business_id
        )
        self.result.charges = books.charges_count()


async def _within(wanted: asyncio.Future[Any], other: Awaitable[None]) -> bool:
    """Wait for one or the other; tell whether it was the wanted one."""
    beside = asyncio.ensure_future(other)
    await asyncio.wait([wanted, beside], return_when=asyncio.FIRST_COMPLETED)
    beside.cancel()
    await asyncio.gather(beside, return_exceptions=True)
    return wanted.done()
