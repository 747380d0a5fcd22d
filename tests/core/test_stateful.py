"""Stateful property test: wallets, ledger and idempotency agree with a small model.

One core serves all runs on a database. Each run registers its own business, so its model starts
empty. Time passes on the core's clock.
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
    """What all runs on one database share. Coroutines run in its loop, between the rules."""

    runner: asyncio.Runner
    client: CoreClient
    clock: ShiftedClock
    gateway: Gateway


@dataclass(frozen=True)
class Request:
    """A request. The amount is in whole units."""

    action: str
    user: int
    amount: int


@dataclass
class Record:
    """The idempotency record of a key."""

    request: Request
    answer: Any
    until: datetime


@dataclass
class Model:
    """Expected balances, charges and idempotency records."""

    balances: list[int] = field(default_factory=lambda: [0, 0])
    charges: list[int] = field(default_factory=list)
    records: dict[str, Record] = field(default_factory=dict)

    def live(self, key: str | None, now: datetime) -> Record | None:
        """Return the record of a key that has not expired."""
        record = self.records.get(key) if key else None
        return record if record and record.until > now else None

    def apply(self, request: Request) -> str | int:
        """Return the user's new balance, or the reason of a refusal."""
        if request.action == "debit" and self.balances[request.user] < request.amount:
            return TOO_LOW
        self.balances[request.user] += request.amount * (-1 if request.action == "debit" else 1)
        if request.action == "fund":
            self.charges.append(request.amount * 100)
        return self.balances[request.user]


class Bank(RuleBasedStateMachine):
    """Sends the same requests to the core and the model."""

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
    def call(self, action: str, user: int, amount: int, key: str | None) -> None:
        self._call(Request(action, user, amount), key)

    @precondition(lambda self: self.model.records)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.model.records)))
        self._call(self.model.records[key].request, key)

    @rule(user=USERS, amount=AMOUNTS, key=KEYS.filter(bool))
    def call_concurrently(self, user: int, amount: int, key: str) -> None:
        self._call(Request("credit", user, amount), key, times=2)

    @rule(user=USERS, amount=AMOUNTS, key=KEYS)
    def fund_with_a_connection_reset(self, user: int, amount: int, key: str | None) -> None:
        self.served.runner.run(self.served.gateway.fault("reset_after", INTENTS))
        self._call(Request("fund", user, amount), key)
        self.served.runner.run(self.served.gateway.clear())

    @rule(hours=st.sampled_from([1, 13]))
    def wait(self, hours: int) -> None:
        self.served.clock.ahead += timedelta(hours=hours)

    def _call(self, request: Request, key: str | None, times: int = 1) -> None:
        """Send the request `times` times concurrently and compare the result with the model."""
        now = self.served.clock.now()
        answers = self.served.runner.run(self._answers(request, key, times))
        assert all(answer == answers[0] for answer in answers), "one key has one answer"
        answer = answers[0]
        record = self.model.live(key, now)
        if record and record.request != request:
            assert answer == REUSED
        elif record:
            assert answer == record.answer
        else:
            expected = self.model.apply(request)
            assert expected == (answer if isinstance(answer, str) else _balance(answer))
            if key:
                self.model.records[key] = Record(request, answer, now + KEY_LIFE)

    async def _answers(self, request: Request, key: str | None, times: int) -> list[Any]:
        return await asyncio.gather(*(self._answer(request, key) for _ in range(times)))

    async def _answer(self, request: Request, key: str | None) -> Any:
        """Return the response, or the reason of a refusal."""
        message = ACTIONS[request.action](
            user_id=self.user_ids[request.user],
            amount=Money(units=request.amount),
            idempotency_key=key,
        )
        try:
            return await self.business.call(message)
        except CoreError as error:
            return error.reason

    def teardown(self) -> None:
        if hasattr(self, "model"):
            self.served.runner.run(self._check_books())

    async def _check_books(self) -> None:
        """Check balances, ledger and the gateway's charges against the model."""
        rows = await InspectableDatabase.serving.rows([self.business.credentials.business_id], [])
        stored = {row["user_id"]: row["balance_minor"] for row in rows["wallets"]}
        assert [stored[user_id] for user_id in self.user_ids] == [
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


def test_wallets_ledger_and_idempotency_agree_with_the_model(served: Served) -> None:
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
