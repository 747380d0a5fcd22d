"""Wallets, ledger and idempotency against a small model: whatever is asked in whatever order.

One core serves each database for all runs; every run registers a business of its own, so that its
model begins empty. Time passes by the core's clock.
"""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from google.type.money_pb2 import Money
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from core.idempotency.service import KEY_LIFE
from core.server import composition
from nivisco.payments.v1 import payments_pb2, wallet_pb2
from rpc.client import CoreClient
from rpc.errors import CoreError
from tests.core.payments.charging import INTENTS
from tests.core.running import (
    Business,
    Gateway,
    ShiftedClock,
    create_user,
    register,
    running_core,
    running_sandbox,
    save_card,
    settings_for,
    with_stripe,
)
from tests.prove.checks import ledger
from tests.prove.core_process import InspectableDatabase

USERS = st.sampled_from([0, 1])
AMOUNTS = st.sampled_from([1, 2, 3, 40])
KEYS = st.sampled_from([None, "one", "two", "three"])
ACTIONS = {
    "credit": wallet_pb2.AddWalletFundsRequest,
    "debit": wallet_pb2.ChargeWalletRequest,
    "fund": payments_pb2.FundCustomerRequest,
}
REUSED = "IDEMPOTENCY_KEY_REUSED"
TOO_LOW = "WALLET_TOO_LOW"


@dataclass
class Served:
    """What all runs on one database share; coroutines run in its loop, between the rules."""

    runner: asyncio.Runner
    client: CoreClient
    clock: ShiftedClock
    gateway: Gateway


@dataclass(frozen=True)
class Asked:
    """One request, as the model sees it. Amounts are whole units."""

    action: str
    user: int
    amount: int


@dataclass
class Kept:
    """What a key stands for, and until when."""

    asked: Asked
    answer: Any
    until: datetime


@dataclass
class Model:
    """What must be so."""

    balances: list[int] = field(default_factory=lambda: [0, 0])
    charges: list[int] = field(default_factory=list)
    keys: dict[str, Kept] = field(default_factory=dict)

    def live(self, key: str | None, now: datetime) -> Kept | None:
        """Return what the key stands for, unless its life is over."""
        kept = self.keys.get(key) if key else None
        return kept if kept and kept.until > now else None

    def carry_out(self, asked: Asked) -> str | int:
        """Return the user's new balance, or the reason why nothing happens."""
        if asked.action == "debit" and self.balances[asked.user] < asked.amount:
            return TOO_LOW
        self.balances[asked.user] += asked.amount * (-1 if asked.action == "debit" else 1)
        if asked.action == "fund":
            self.charges.append(asked.amount * 100)
        return self.balances[asked.user]


class Bank(RuleBasedStateMachine):
    """Asks the core and the model the same."""

    served: ClassVar[Served]

    @initialize()
    def open(self) -> None:
        self.model = Model()
        self.business, self.user_ids = self.served.runner.run(self._opened())

    async def _opened(self) -> tuple[Business, list[str]]:
        business = await with_stripe(await register(self.served.client))
        user_ids = [await create_user(business) for _ in range(2)]
        for user_id in user_ids:
            await save_card(business, user_id)
        return business, user_ids

    @rule(action=st.sampled_from(list(ACTIONS)), user=USERS, amount=AMOUNTS, key=KEYS)
    def ask(self, action: str, user: int, amount: int, key: str | None) -> None:
        self._ask(Asked(action, user, amount), key)

    @precondition(lambda self: self.model.keys)
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.model.keys)))
        self._ask(self.model.keys[key].asked, key)

    @rule(user=USERS, amount=AMOUNTS, key=KEYS.filter(bool))
    def ask_twice_at_once(self, user: int, amount: int, key: str) -> None:
        self._ask(Asked("credit", user, amount), key, at_once=2)

    @rule(user=USERS, amount=AMOUNTS, key=KEYS)
    def fund_over_a_connection_that_breaks(self, user: int, amount: int, key: str | None) -> None:
        self.served.runner.run(self.served.gateway.fault("reset_after", INTENTS))
        self._ask(Asked("fund", user, amount), key)
        self.served.runner.run(self.served.gateway.clear())

    @rule(hours=st.sampled_from([1, 13]))
    def wait(self, hours: int) -> None:
        self.served.clock.ahead += timedelta(hours=hours)

    def _ask(self, asked: Asked, key: str | None, at_once: int = 1) -> None:
        """Send the request, as often as said, and compare with the model."""
        now = self.served.clock.now()
        answers = self.served.runner.run(self._answers(asked, key, at_once))
        assert all(answer == answers[0] for answer in answers), "one key, one answer"
        answer = answers[0]
        kept = self.model.live(key, now)
        if kept and kept.asked != asked:
            assert answer == REUSED
        elif kept:
            assert answer == kept.answer
        else:
            expected = self.model.carry_out(asked)
            assert expected == (answer if isinstance(answer, str) else _balance(answer))
            if key:
                self.model.keys[key] = Kept(asked, answer, now + KEY_LIFE)

    async def _answers(self, asked: Asked, key: str | None, at_once: int) -> list[Any]:
        return await asyncio.gather(*(self._answer(asked, key) for _ in range(at_once)))

    async def _answer(self, asked: Asked, key: str | None) -> Any:
        """Return the response, or the reason of a refusal."""
        request = ACTIONS[asked.action](
            user_id=self.user_ids[asked.user], amount=Money(units=asked.amount), idempotency_key=key
        )
        try:
            return await self.business.call(request)
        except CoreError as error:
            return error.reason

    def teardown(self) -> None:
        if hasattr(self, "model"):
            self.served.runner.run(self._books_hold())

    async def _books_hold(self) -> None:
        """Balances, ledger and the gateway's charges are what the model says."""
        rows = await InspectableDatabase.serving.rows([self.business.credentials.business_id], [])
        held = {row["user_id"]: row["balance_minor"] for row in rows["wallets"]}
        assert [held[user_id] for user_id in self.user_ids] == [
            100 * balance for balance in self.model.balances
        ]
        assert list(ledger(rows)) == []
        account = self.business.stripe_key.split("_")[2]
        taken = [
            charge["amount"] for charge in await self.served.gateway.charges(f"acct_{account}")
        ]
        assert sorted(taken) == sorted(self.model.charges)


def _balance(answer: Any) -> int:
    balance = answer.wallet.balance if hasattr(answer, "wallet") else answer.new_balance
    return int(balance.units)


@pytest.fixture
def served(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(composition, "Database", InspectableDatabase)
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        clock = ShiftedClock()

        async def start() -> Served:
            url = await stack.enter_async_context(running_sandbox(tmp_path))
            core_settings = settings_for(
                tmp_path, database_url=database_url, stripe_urls={"TEST": url, "LIVE": url}
            )
            client = await stack.enter_async_context(running_core(core_settings, clock))
            return Served(runner, client, clock, Gateway(url))

        try:
            yield runner.run(start())
        finally:
            runner.run(stack.aclose())


def test_wallets_ledger_and_idempotency_do_what_the_model_does(served: Served) -> None:
    class BankOfThisTest(Bank):
        pass

    BankOfThisTest.served = served
    run_state_machine_as_test(
        BankOfThisTest,
        settings=settings(
            max_examples=15,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
