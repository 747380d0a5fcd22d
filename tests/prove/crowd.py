"""A crowd of clients at the same few wallets, and a core that is killed in the middle.

All clients run at the same time, each with operations of its own: credits, debits, transfers,
holds, card fundings, refunds and settlements. What they were answered is the model; the checks
are those of a scenario, and that a wallet as of a time is the replay of its postings.
"""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import cycle
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money

from nivisco.payments.v1 import wallet_pb2
from rpc.errors import CoreError
from tests.prove.checks import Books, violations, waiting
from tests.prove.clients import Clients
from tests.prove.environment import IDLE_TURNS, Environment
from tests.prove.gateway_side import GatewaySide
from tests.prove.operations import Operation
from tests.prove.requests import TEST
from tests.prove.scenario import CHARGES_ONLY
from tests.prove.triggers import LEASE_OVER_SECONDS
from tests.prove.wallets import CLOSING, create_debtor

WRITERS: Final = 64
USERS: Final = 6
KINDS: Final = (
    *("credit", "debit", "debit", "transfer", "transfer", "hold", "hold", "capture_hold"),
    *("capture_hold", "release_hold", "fund", "give_back", "give_back", "settle"),
)
_FUNDED_UNITS: Final = 300
PATIENCE_SECONDS: Final = 120.0
"""Longest time for all writers; on an idle machine it takes two."""
WATCH_SECONDS: Final = 0.01
_MOMENTS: Final = 6
"""As of how many times each wallet is read."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a writer. Amounts are whole units."""

    kind: str
    user: int
    other: int
    units: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a crowd does: the steps are dealt to the writers in turns."""

    steps: Sequence[Step]
    kill_after: int
    """Number of final responses before the core is killed."""


class Crowd:
    """One run of a plan."""

    def __init__(self, environment: Environment, plan: Plan) -> None:
        self._environment = environment
        self._plan = plan
        rng = random.Random(plan.kill_after)  # noqa: S311 - no secret
        self._clients = Clients(environment, rng, "stripe")
        self._clients.uses_json = False
        self._users: list[str] = []
        self._funded: list[str] = []
        """A payment of each user that refunds are of."""
        self._holds: list[str] = []
        self.reads = 0

    async def run(self) -> list[str]:
        """Run the plan, and return what is wrong after it."""
        clients = self._clients
        try:
            await clients.set_up((), CHARGES_ONLY)
            await self._add_user(await create_debtor(clients))
            for _ in range(USERS - 1):
                await self._add_user(await clients.create_user("pm_card_visa"))
            before = len(clients.operations)
            watching = asyncio.ensure_future(self._watch())
            try:
                async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
                    group.create_task(self._kill(before))
                    for first in range(WRITERS):
                        group.create_task(self._write(first))
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            self._environment.clock.advance(LEASE_OVER_SECONDS)
            await self._environment.idle_turns(IDLE_TURNS)
            await clients.replay()
            return [*clients.violations, *await self._violations()]
        finally:
            await clients.close()
            await self._environment.close_retired()

    async def _add_user(self, user_id: str) -> None:
        """Fund a user's wallet, and hold a part of it."""
        funded = self._clients.new("fund", user_id=user_id, is_keyed=True)
        funded.request.amount.CopyFrom(Money(units=_FUNDED_UNITS))
        hold = self._clients.new("hold", user_id=user_id, is_keyed=True)
        for each in (funded, hold):
            await self._clients.run(each)
        self._users.append(user_id)
        self._funded.append(funded.response().payment_id)
        self._holds.append(hold.response().hold_id)

    async def _kill(self, before: int) -> None:
        """Kill the core in the middle, and start another one."""
        operations = self._clients.operations
        while sum(bool(each.final) for each in operations[before:]) < self._plan.kill_after:
            await asyncio.sleep(0)
        await self._environment.kill_core()
        self._environment.clock.advance(LEASE_OVER_SECONDS)
        await self._environment.start_core()

    async def _watch(self) -> None:
        """Read the wallets all the time: never is more held than there is."""
        for user_id in cycle(self._users):
            request = wallet_pb2.GetUserWalletRequest(user_id=user_id, env=TEST)
            shop = self._clients.merchants.shop.credentials
            await asyncio.sleep(WATCH_SECONDS)
            with suppress(CoreError):
                told = (await self._environment.call(shop, request)).wallet
                self.reads += 1
                if not _minor(told.balance) >= _minor(told.available) >= 0:
                    self._clients.violations.append(f"{told} is less than nothing")

    async def _write(self, first: int) -> None:
        for step in self._plan.steps[first::WRITERS]:
            operation = self._operation(step)
            await asyncio.gather(
                *(self._clients.run(operation) for _ in range(1 + operation.is_concurrent))
            )
            if operation.kind == "hold" and operation.was_executed:
                self._holds.append(operation.response().hold_id)

    def _operation(self, step: Step) -> Operation:
        """Return the operation of a step. Others may close the same hold at the same time."""
        kind = step.kind
        other = self._users[(step.user + step.other) % USERS]
        if kind in CLOSING:
            other = self._holds[-1 - step.other % len(self._holds)]
        operation = self._clients.new(
            kind, user_id=self._users[step.user], is_keyed=True, other_id=other
        )
        if kind == "settle":
            operation.request.user_id = self._users[step.user if step.units % 2 else 0]
        if kind == "give_back":
            operation.request.payment_id = self._funded[step.user]
            operation.request.allow_receivable = step.units % 2 == 0
        if kind not in (*CLOSING, "settle"):
            operation.request.amount.CopyFrom(Money(units=step.units))
        return operation

    async def _violations(self) -> list[str]:
        core = await self._environment.serving()
        shop = self._clients.merchants.shop.business_id
        dumped = await core.process.send(command="dump", business_ids=[shop], names=[])
        side = GatewaySide(self._environment, self._clients.merchants, random.Random(1))  # noqa: S311
        rows: dict[str, list[Row]] = dumped["rows"]
        stuck = waiting(rows, self._environment.clock.now())
        return [
            *violations(self._clients.operations, Books(rows, *await side.books()), shop),
            *(f"stuck: {each}" for each in stuck),
            *await self._history_differences(rows),
        ]

    async def _history_differences(self, rows: dict[str, list[Row]]) -> list[str]:
        """Compare the wallets as of some times with the replay of their postings."""
        times = sorted({row["created_at"] for row in rows["wallet_transactions"]})
        moments = times[:: max(1, len(times) // _MOMENTS)]
        found: list[str] = []
        for wallet in rows["wallets"]:
            for moment in moments:
                at = Timestamp()
                at.FromDatetime(datetime.fromisoformat(moment))
                told = await self._environment.call(
                    self._clients.merchants.shop.credentials,
                    wallet_pb2.GetUserWalletRequest(user_id=wallet["user_id"], env=TEST, as_of=at),
                )
                shown = (_minor(told.wallet.balance), _minor(told.wallet.available))
                if shown != (expected := _as_of(wallet, rows, moment)):
                    found.append(f"{wallet['wallet_id']} was {expected} at {moment}, not {shown}")
                if min(shown) < 0:
                    found.append(f"less than nothing of {wallet['wallet_id']} was available")
        return found


def _as_of(wallet: Row, rows: dict[str, list[Row]], moment: str) -> tuple[int, int]:
    """Return balance and what was available, from the postings up to the last one by a time."""
    movements = [
        row for row in rows["wallet_transactions"] if row["wallet_id"] == wallet["wallet_id"]
    ]
    at = datetime.fromisoformat(moment)
    version = max(
        (row["version"] for row in movements if datetime.fromisoformat(row["created_at"]) <= at),
        default=0,
    )
    until = {row["transaction_id"] for row in movements if row["version"] <= version}
    balance = sum(
        row["amount_minor"]
        for row in rows["postings"]
        if row["transaction_id"] in until and row["account"] == wallet["wallet_id"]
    )
    held = sum(
        row["amount_minor"]
        for row in rows["wallet_holds"]
        if row["wallet_id"] == wallet["wallet_id"]
        and datetime.fromisoformat(row["created_at"]) <= at
        and (row["closed_at"] is None or datetime.fromisoformat(row["closed_at"]) > at)
    )
    return balance, balance - min(held, balance)


def _minor(money: Money) -> int:
    return int(money.units * 100 + money.nanos // 10**7)
