"""Runs one scenario: clients call, cores are killed, clients retry, the sweep runs, books match."""

import asyncio
import time
import traceback

from tests.prove.checks import Books, violations
from tests.prove.clients import Clients
from tests.prove.environment import Environment
from tests.prove.gateway_faults import LOST_AND_UNLISTED
from tests.prove.kills import Kills
from tests.prove.mutants import MUTANTS
from tests.prove.scenario import Result, Scenario
from tests.prove.triggers import LEASE_OVER_SECONDS, trigger_of

WITH_AUTHORIZE = 0.3
"""Share of scenarios that charge at Authorize.Net too."""
SWEEP_TURN_SECONDS = 0.4
"""How long the sweep may take to reach a pending charge while the gateway still fails."""
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
        self.clients = Clients(environment, self.rng, self._gateway())
        self.kills = Kills(environment, self.clients, scenario, self.rng, self.result)

    def _gateway(self) -> str:
        """Return the only gateway to charge at; empty if operations choose."""
        if self.scenario.mutant:
            return MUTANTS[self.scenario.mutant].gateway
        needs_authorize = self.scenario.fault == LOST_AND_UNLISTED or any(
            trigger.loses_request for trigger in self.triggers
        )
        return "" if needs_authorize or self.rng.random() < WITH_AUTHORIZE else "stripe"

    async def execute(self) -> Result:
        """Run the scenario and check it; every error is a violation, not an exception."""
        started = time.monotonic()
        self.environment.new_journal()
        applied_before = (await self.environment.call_sandbox("GET", "faults"))["struck"]
        try:
            await self.clients.set_up(self.triggers)
            await self.kills.schedule_faults()
            if self.scenario.fault == LOST_AND_UNLISTED:
                await self.environment.call_sandbox(
                    "POST", "authorize/duplicates", {"known": False}
                )
                self.clients.release(self.clients.new("fund_authorize", is_keyed=True))
            else:
                await self.kills.run()
            await self._settle()
            await self.clients.replay()
            await self._check()
        except Exception as error:  # noqa: BLE001 - reported with the seed
            where = traceback.extract_tb(error.__traceback__)[-1]
            self.result.violations.append(
                f"failed: {type(error).__name__}: {error}, {where.name} {where.lineno}"
            )
        finally:
            await self.clients.close()
            await self.environment.call_sandbox("DELETE", "faults")
            await self.environment.call_sandbox("POST", "authorize/duplicates", {"known": True})
            faults = await self.environment.call_sandbox("GET", "faults")
            self.result.struck = faults["struck"] - applied_before
            await self.environment.close_retired()
        self.result.violations += self.clients.violations
        self.result.violations += [
            f"a write without a name: {line}"
            for line in self.environment.journal().splitlines()
            if " UNNAMED " in line
        ]
        if self.result.violations:
            self.result.story = self.environment.journal().splitlines()
        self.result.operations = len(self.clients.operations)
        self.result.replays = self.clients.replays
        self.result.seconds = time.monotonic() - started
        return self.result

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
        self.clients.raise_errors()
        stuck = [each for each in self.clients.operations if not (each.final or each.was_found)]
        self.result.violations += [
            f"{each.kind} {each.number} got no final response: {each.lost[-1:]}"
            for each in stuck
            if not each.gives_up
        ]
        for seconds in (LEASE_OVER_SECONDS, 16 * 60.0, 20 * 60.0, REVIEWED_SECONDS):
            self.environment.clock.advance(seconds)
            if await self._nothing_pending():
                break

    async def _nothing_pending(self) -> bool:
        core = await self.environment.serving()
        for _ in range(30):
            rows = (
                await core.process.send(
                    command="dump", business_ids=[self.clients.shop.business_id], names=[]
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
        core = await self.environment.serving()
        dumped = await core.process.send(
            command="dump", business_ids=self.clients.business_ids(), names=names
        )
        shown = await self.environment.call_sandbox("GET", "books", key=self.clients.stripe_key)
        gateway = shown["books"][0] if shown["books"] else {}
        account = self.clients.accounts.authorize
        shown = await self.environment.call_sandbox("GET", f"books?account={account}")
        authorize = shown["books"][0] if shown["books"] else {}
        books = Books(dumped["rows"], gateway, authorize)
        self.result.violations += violations(
            self.clients.operations, books, self.clients.shop.business_id
        )
        self.result.charges = books.charges_count()
