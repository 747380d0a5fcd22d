"""Runs one scenario: clients call, cores are killed, clients retry, the sweep runs, books match."""

import asyncio
import time
import traceback
from contextlib import suppress

from tests.prove.checks import Books, Row, is_open, violations, waiting
from tests.prove.clients import Clients
from tests.prove.environment import IDLE_TURNS, TURN_SECONDS, Environment
from tests.prove.failpoints import CUT
from tests.prove.forked_processes import Stuck, within_patience
from tests.prove.gateway_faults import LOST_AND_UNLISTED
from tests.prove.gateway_side import GatewaySide
from tests.prove.kills import Kills
from tests.prove.mutants import MUTANTS
from tests.prove.operator import Operator
from tests.prove.plays import PLAYS, Stage
from tests.prove.scenario import CHARGES_ONLY, Mode, Result, Scenario
from tests.prove.scheduler import Scheduler
from tests.prove.story import Story
from tests.prove.triggers import LEASE_OVER_SECONDS, trigger_of

WITH_AUTHORIZE = 0.3
"""Share of scenarios that charge at Authorize.Net too."""
SWEEP_TURN_SECONDS = 0.4
"""How long the sweep may take to reach a pending charge while the gateway still fails."""
WITH_WEBHOOKS = 0.2
WITH_JOBS = 0.15
WITH_POISON = 0.05
WITH_STORY = 0.15
WITH_PLAY = 0.15
WITH_HOLDS = 0.3
WITH_CAPTURES = 0.3
"""Shares of scenarios."""
EXTRAS_FROM = 1000
"""Scenarios with a lower number, as in the short form, have only what their kills need."""
AGAIN = 2
AGAIN_SECONDS = 0.7
"""How often, and after what time, differences are looked for again."""
REVIEW_LOOK_SECONDS = 13 * 3600.0
"""After this the core has asked for every open review, as some ends have no event."""
REVIEWED_SECONDS = 3.5 * 3600
"""After so much more time a charge that was looked up for 23 hours needs manual review."""


class Run:
    """A running scenario."""

    def __init__(self, environment: Environment, scenario: Scenario) -> None:
        self.environment = environment
        self.scenario = scenario
        self.rng = scenario.rng()
        self.result = Result(scenario.seed, fault=scenario.fault)
        self.triggers = [trigger_of(kill) for kill in scenario.kills]
        self.mode = self._mode()
        self.clients = Clients(environment, self.rng, self._gateway())
        merchants = self.clients.merchants
        self.gateway_side = GatewaySide(environment, merchants, self.rng)
        self.operator = Operator(environment, self.gateway_side)
        self.scheduler = Scheduler(environment)
        self.is_stuck = False
        """Whether something waited although its time had come."""
        self.failed_before = 0
        """Deliveries of earlier scenarios that the gateways gave up."""
        self.kills = Kills(
            environment, self.clients, scenario, self.gateway_side, self.rng, self.result
        )

    def _gateway(self) -> str:
        """Return the only gateway to charge at; empty if operations choose."""
        if self.scenario.mutant:
            return MUTANTS[self.scenario.mutant].gateway
        needs_authorize = self.scenario.fault == LOST_AND_UNLISTED or any(
            trigger.needs_authorize for trigger in self.triggers
        )
        return "" if needs_authorize or self.rng.random() < WITH_AUTHORIZE else "stripe"

    def _mode(self) -> Mode:
        """Return what happens besides charges; a mutant has what exposes it only."""
        if self.scenario.mutant:
            return MUTANTS[self.scenario.mutant].mode
        extra = self.rng.random if self.scenario.number >= EXTRAS_FROM else lambda: 1.0
        play = self.rng.choice(list(PLAYS)) if extra() < WITH_PLAY else ""
        needed = PLAYS[play][1] if play else CHARGES_ONLY
        has_webhooks = needed.has_webhooks or extra() < WITH_WEBHOOKS
        has_webhooks |= any(trigger.has_webhooks for trigger in self.triggers)
        has_jobs = needed.has_jobs or extra() < WITH_JOBS
        has_jobs |= any(trigger.has_jobs for trigger in self.triggers)
        has_poison = needed.has_poison or extra() < WITH_POISON
        has_poison |= any(trigger.has_poison for trigger in self.triggers)
        has_story = (has_webhooks or has_jobs) and extra() < WITH_STORY
        has_holds = extra() < WITH_HOLDS
        has_captures = extra() < WITH_CAPTURES
        return Mode(has_webhooks, has_jobs, has_poison, play, has_story, has_holds, has_captures)

    async def execute(self) -> Result:
        """Run the scenario and check it; every error is a violation, not an exception."""
        started = time.monotonic()
        self.environment.new_journal()
        applied_before = (await self.environment.call_sandbox("GET", "faults"))["struck"]
        try:
            await self.environment.call_sandbox("POST", "webhooks/hold", {"hold": False})
            self.failed_before = await self.gateway_side.failed_deliveries()
            await self.clients.set_up(self.triggers, self.mode)
            if self.mode.has_jobs:
                self.scheduler.start()
            await self.kills.schedule_faults()
            if self.scenario.fault == LOST_AND_UNLISTED:
                await self.environment.call_sandbox(
                    "POST", "authorize/duplicates", {"known": False}
                )
                self.clients.release(self.clients.new("fund_authorize", is_keyed=True))
            else:
                if not self.mode.play or not self.scenario.mutant:
                    await self.kills.run()
            await self._settle()
            await self.clients.replay()
            if self.mode.play:
                await self._play()
            if self.mode.has_story:
                await self._live_on()
            await self._check()
        except Exception as error:  # noqa: BLE001 - reported with the seed
            where = traceback.extract_tb(error.__traceback__)[-1]
            self.result.violations.append(
                f"failed: {type(error).__name__}: {error}, {where.name} {where.lineno}"
            )
        finally:
            await self._close_clients()
            await self.environment.call_sandbox("DELETE", "faults")
            await self.environment.call_sandbox("POST", "authorize/duplicates", {"known": True})
            faults = await self.environment.call_sandbox("GET", "faults")
            self.result.struck = faults["struck"] - applied_before
        self.result.violations += self.clients.violations
        journal = self.environment.journal().splitlines()
        self.result.violations += [
            f"a write without a name: {line}" for line in journal if " UNNAMED " in line
        ]
        self.result.cuts = sum(CUT in line for line in journal)
        if self.result.violations:
            self.result.story = journal
        self.result.operations = len(self.clients.operations)
        self.result.replays = self.clients.replays
        self.result.seconds = time.monotonic() - started
        return self.result

    async def _close_clients(self) -> None:
        for ending in (
            within_patience("the clients to end", self.clients.close()),
            within_patience("the scheduler to end", self.scheduler.close()),
            self.environment.close_retired(),
        ):
            try:
                await ending
            except Stuck as error:
                self.result.violations.append(f"stuck: {error}")

    async def _settle(self) -> None:
        """Let the clients finish, and then the sweep."""
        await self.kills.disarm()
        await self.kills.wait_for_clients()
        if any(trigger.needs_pending_charge for trigger in self.triggers):
            await asyncio.sleep(SWEEP_TURN_SECONDS)
        await self.environment.call_sandbox("DELETE", "faults")
        await self.kills.wait_for_clients()
        if self.clients.active() and self.kills.looks_up:
            self.environment.clock.advance(REVIEWED_SECONDS)
            await self.kills.wait_for_clients()
        if self.clients.active():
            await self.operator.decide_old((await self._rows())["refunds"])
            await self.kills.wait_for_clients()
        self.clients.raise_errors()
        stuck = [each for each in self.clients.operations if not (each.final or each.was_found)]
        self.result.violations += [
            f"{each.kind} {each.number} got no final response: {each.lost[-1:]}"
            for each in stuck
            if not each.gives_up
        ]
        self.environment.clock.advance(LEASE_OVER_SECONDS)
        await self._drain()

    async def _play(self) -> None:
        stage = Stage(self.environment, self.clients, self.kills, self.gateway_side, self.scheduler)
        self.environment.note(f"play {self.mode.play}")
        await PLAYS[self.mode.play][0](stage)
        await self._drain()

    async def _live_on(self) -> None:
        """Let days pass, and the clients read their responses again."""
        story = Story(
            self.environment,
            self.clients,
            self.kills,
            self.gateway_side,
            self.scheduler,
            self.mode,
            self.rng,
            self.result,
        )
        await story.run(self._drain)
        await self.clients.replay()

    async def _drain(self) -> None:
        """Have the cores finish what is due, later and later, and deliver all webhooks."""
        if self.mode.has_webhooks:
            await self.gateway_side.deliver_held()
        for seconds in (0.0, LEASE_OVER_SECONDS, 16 * 60.0, 20 * 60.0, REVIEWED_SECONDS):
            self.environment.clock.advance(seconds)
            if self.is_stuck or await self._is_drained():
                return
        self.is_stuck = True

    async def _is_drained(self) -> bool:
        """Return whether nothing waits; False once core and scheduler are idle and it still does.

        Raises:
            Stuck: the core is neither idle nor does it change what waits.
        """
        return await within_patience("due work to be done", self._drained())

    async def _drained(self) -> bool:
        left: list[str] = []
        since = 0
        while True:
            with suppress(ConnectionError):
                rows, turns = await self._rows_and_turns()
                found = waiting(rows, self.environment.clock.now())
                if not found:
                    return True
                await self.operator.decide(rows["refunds"])
                if found != left or turns < since:
                    left, since = found, turns
                elif turns >= since + IDLE_TURNS and self.scheduler.is_idle:
                    return False
            await asyncio.sleep(TURN_SECONDS)

    async def _rows(self) -> dict[str, list[Row]]:
        """Return the shop's rows, by table.

        Raises:
            ConnectionError: the core was killed.
        """
        return (await self._rows_and_turns())[0]

    async def _rows_and_turns(self) -> tuple[dict[str, list[Row]], int]:
        """Return the shop's rows, and how often the core has looked for due work without any.

        Raises:
            ConnectionError: the core was killed.
        """
        core = await self.environment.serving()
        shop = self.clients.merchants.shop
        dumped = await core.process.send(command="dump", business_ids=[shop.business_id], names=[])
        rows: dict[str, list[Row]] = dumped["rows"]
        return rows, dumped["turns"]

    async def _check(self) -> None:
        """Compare, and compare again after all events came once more, which changes nothing."""
        if is_open(await self._rows()):
            self.environment.clock.advance(REVIEW_LOOK_SECONDS)
            await self._drain()
        has_all_events = self.failed_before == await self.gateway_side.failed_deliveries()
        if has_all_events:
            await self._compare()
        if self.mode.has_webhooks and not self.result.violations:
            await self.gateway_side.deliver_again()
            await self._drain()
            await self._compare()

    async def _compare(self) -> None:
        """Compare; what a core is just writing, such as a cancellation, is compared again."""
        found = await self._violations()
        for _ in range(0 if self.scenario.mutant else AGAIN):
            if not found:
                break
            await asyncio.sleep(AGAIN_SECONDS)
            found = await self._violations()
        self.result.violations += found

    async def _violations(self) -> list[str]:
        names = [
            each.request.new_business.name
            for each in self.clients.operations
            if each.kind == "register"
        ]
        core = await self.environment.serving()
        dumped = await core.process.send(
            command="dump", business_ids=self.clients.merchants.ids(), names=names
        )
        books = Books(dumped["rows"], *await self.gateway_side.books())
        self.result.charges = books.charges_count()
        shop_id = self.clients.merchants.shop.business_id
        stuck = waiting(dumped["rows"], self.environment.clock.now())
        return [
            *violations(self.clients.operations, books, shop_id),
            *(f"stuck: {each}" for each in stuck),
        ]
