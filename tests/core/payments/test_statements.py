"""How many transactions and statements a charge takes when all goes well."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from core.caller import Presence, set_presence
from core.database.transactions import Database, Transaction
from core.idempotency.call import call_of
from nivisco.payments.v1 import payments_pb2
from tests.core.payments.running_service import running_service
from tests.core.running import Gateway, ShiftedClock


class _Counting:
    """A connection that counts its statements."""

    def __init__(self, connection: Any, counts: dict[str, int], name: str) -> None:
        self._connection = connection
        self._counts = counts
        self._name = name

    async def execute(self, *arguments: Any) -> Any:
        self._counts[self._name] += 1
        return await self._connection.execute(*arguments)

    def __getattr__(self, name: str) -> Any:
        assert name in ("changes", "dialect", "info"), f"{name} is not counted"
        return getattr(self._connection, name)


class CountingDatabase(Database):
    """A database that counts the statements of each transaction, without its time and commit."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.counts: dict[str, int] | None = None

    @asynccontextmanager
    async def transaction(self, name: str = "") -> AsyncIterator[Transaction]:
        """Open a transaction whose statements count, if counting."""
        async with super().transaction(name) as transaction:
            if self.counts is None:
                yield transaction
                return
            assert name not in self.counts, "one transaction of a kind"
            self.counts[name] = 0
            counting: Any = _Counting(transaction.connection, self.counts, name)
            yield replace(transaction, connection=counting)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """Open a transaction that reads, which no charge needs."""
        assert self.counts is None, "a charge reads in the transactions that it writes in"
        async with super().read() as transaction:
            yield transaction


@pytest.mark.parametrize(
    ("kind", "key", "begin", "outcome"),
    [
        ("charge", None, 3, 2),
        ("charge", "order-1", 3, 4),
        ("fund", None, 3, 5),
        ("fund", "order-1", 3, 7),
    ],
)
@pytest.mark.parametrize("name", ["stripe", "authorize"])
async def test_a_charge_begins_and_ends_in_few_statements(
    database_url: str, gateway: Gateway, name: str, kind: str, key: str | None, begin: int,
    outcome: int,
) -> None:  # fmt: skip
    database = CountingDatabase(database_url)
    async with running_service(database, ShiftedClock(), gateway, name) as shop:
        request = payments_pb2.FundCustomerRequest(user_id=shop.user_id, idempotency_key=key)
        call = call_of(shop.caller, "FundCustomer", request)
        caller = Presence()
        set_presence(caller)
        database.counts = {}
        await shop.service.charge(shop.caller, replace(shop.funding(call), kind=kind))
        caller.end()
        await shop.service.drain(20)
        note = {} if key else {"payments.record_delivery": 2}
        if kind == "fund" and database.has_one_process:
            outcome += 2  # SQLite writes a movement in three statements
        assert database.counts == {
            "payments.begin": begin,
            "payments.write_outcome": outcome,
            **note,
        }
        database.counts = None
