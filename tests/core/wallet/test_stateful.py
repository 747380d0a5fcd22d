"""Stateful property test: wallets, transfers and holds agree with a small model.

All runs on a database share it; each has a business of its own. Time passes on a test's clock.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from core.doctor.rules import Verdict
from core.doctor.service import DoctorService
from tests.core.wallet.banking import Bank, reason_of

USERS = ("ana", "bob", "cleo")
USER = st.sampled_from(USERS)
UNITS = st.sampled_from([1, 2, 3, 7])
TOO_LOW = "WALLET_TOO_LOW"
CHECKS = (
    *("ledger_sums", "postings", "wallets_below_zero", "wallet_balances", "wallet_histories"),
    *("wallet_holds", "wallet_transfers", "orphans"),
)


@dataclass
class HoldModel:
    """A hold as it should be."""

    user: str
    units: int
    expires_at: datetime
    status: str = "open"


class Model(RuleBasedStateMachine):
    """Makes the same calls of the core and of a dictionary."""

    runner: ClassVar[asyncio.Runner]
    opened: ClassVar[Bank]
    placed = Bundle("placed")

    @initialize()
    def open(self) -> None:
        self.bank = Bank(self.opened.database, self.opened.clock)
        self.balances = dict.fromkeys(USERS, 0)
        self.credited = 0
        self.holds: dict[str, HoldModel] = {}
        self.noted: list[tuple[datetime, str, tuple[int, int]]] = []
        self._run(self.bank.open(USERS))

    def _run(self, call: Any) -> Any:
        return self.runner.run(call)

    def _refused(self, call: Any) -> str | None:
        return self.runner.run(reason_of(call))

    def _available(self, user: str) -> int:
        held = (
            each.units for each in self.holds.values() if (each.user, each.status) == (user, "open")
        )
        return self.balances[user] - sum(held)

    @rule(user=USER, units=UNITS)
    def credit(self, user: str, units: int) -> None:
        self._run(self.bank.credit(user, units))
        self.balances[user] += units
        self.credited += units

    @rule(user=USER, units=UNITS)
    def debit(self, user: str, units: int) -> None:
        is_covered = units <= self._available(user)
        assert self._refused(self.bank.debit(user, units)) == (None if is_covered else TOO_LOW)
        if is_covered:
            self.balances[user] -= units
            self.credited -= units

    @rule(users=st.permutations(USERS), units=UNITS)
    def transfer(self, users: list[str], units: int) -> None:
        sender, receiver, _ = users
        is_covered = units <= self._available(sender)
        refused = self._refused(self.bank.transfer(sender, receiver, units))
        assert refused == (None if is_covered else TOO_LOW)
        if is_covered:
            self.balances[sender] -= units
            self.balances[receiver] += units

    @rule(target=placed, user=USER, units=UNITS, seconds=st.sampled_from([60, 3600]))
    def hold(self, user: str, units: int, seconds: int) -> str:
        if units > self._available(user):
            assert self._refused(self.bank.hold(user, units, seconds)) == TOO_LOW
            return ""
        hold = self._run(self.bank.hold(user, units, seconds))
        self.holds[hold.hold_id] = HoldModel(user, units, hold.expires_at)
        return str(hold.hold_id)

    @rule(hold_id=placed, units=st.sampled_from([None, 1, 3]))
    def capture(self, hold_id: str, units: int | None) -> None:
        hold = self.holds.get(hold_id)
        expected = self._refusal(hold)
        if hold and expected is None and (units or 0) > hold.units:
            expected = "HOLD_TOO_LOW"
        assert self._refused(self.bank.capture(hold_id, units)) == expected
        if hold and expected is None:
            hold.status = "captured"
            self.balances[hold.user] -= units or hold.units
            self.credited -= units or hold.units

    @rule(hold_id=placed)
    def release(self, hold_id: str) -> None:
        hold = self.holds.get(hold_id)
        expected = self._refusal(hold)
        assert self._refused(self.bank.release(hold_id)) == expected
        if hold and expected is None:
            hold.status = "released"

    def _refusal(self, hold: HoldModel | None) -> str | None:
        if hold is None:
            return "HOLD_NOT_FOUND"
        if hold.status in ("captured", "released"):
            return "HOLD_STATE"
        is_over = hold.status == "expired" or hold.expires_at <= self.bank.clock.now()
        return "HOLD_EXPIRED" if is_over else None

    @rule()
    def expire(self) -> None:
        self._run(self.bank.expire())
        for hold in self.holds.values():
            if hold.status == "open" and hold.expires_at <= self.bank.clock.now():
                hold.status = "expired"

    @rule(user=USER, minutes=st.sampled_from([3, 30]))
    def note(self, user: str, minutes: int) -> None:
        """Note what a wallet shows between two calls, minutes after one and before the other."""
        self.bank.clock.ahead += timedelta(minutes=minutes)
        shown = self._run(self.bank.shown(user))
        assert shown == (self.balances[user], self._available(user))
        self.noted.append((self.bank.clock.now(), user, shown))
        self.bank.clock.ahead += timedelta(minutes=minutes)

    def teardown(self) -> None:
        if hasattr(self, "noted"):
            self._run(self._check())

    async def _check(self) -> None:
        """Check that each wallet is as in the model, now and as of each time that was noted."""
        shown = {user: await self.bank.shown(user) for user in USERS}
        assert shown == {user: (self.balances[user], self._available(user)) for user in USERS}
        assert sum(balance for balance, _ in shown.values()) == self.credited
        assert min(available for _, available in shown.values()) >= 0
        for moment, user, expected in self.noted:
            wallet = await self.bank.wallets.get_at(self.bank.caller, user, "TEST", moment)
            available = (wallet.balance_minor - wallet.held_minor) // 100
            assert (wallet.balance_minor // 100, available) == expected


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for all runs, as the database's connections belong to it."""
    with asyncio.Runner() as started:
        yield started


def test_wallets_transfers_and_holds_agree_with_the_model(
    runner: asyncio.Runner, database_url: str
) -> None:
    bank = runner.run(Bank.opened(database_url))

    class ModelOfThisTest(Model):
        pass

    ModelOfThisTest.runner, ModelOfThisTest.opened = runner, bank
    run_state_machine_as_test(
        ModelOfThisTest,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    examination = runner.run(DoctorService(bank.database, key_ids=None).examine())
    found = {each.name: each.verdict for each in examination.findings}
    assert {name: found[name] for name in CHECKS} == dict.fromkeys(CHECKS, Verdict.OK)
    runner.run(bank.database.close())
