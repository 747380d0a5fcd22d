"""Movements that are admitted before an operator stops everything. On each database."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from google.type.money_pb2 import Money

from core.business.stop_store import Stop, put_stop
from core.database.transactions import Database
from core.stops import payments_stopped
from core.wallet.receivables import Receivables
from core.wallet.rules import Direction
from tests.core.wallet.banking import Bank, reason_of
from tests.core.wallet.ledgers import open_wallets
from tests.core.wallet.moving import outcomes, request


@pytest.fixture
async def bank(database_url: str) -> AsyncIterator[Bank]:
    opened = await Bank.opened(database_url)
    await opened.open(["ann", "bob"])
    await opened.credit("ann", 10)
    yield opened
    await opened.database.close()


async def stop(database: Database, business_id: str, what: str, gateway: str = "*") -> None:
    async with database.transaction() as transaction:
        await put_stop(
            transaction, Stop(business_id, gateway, what, transaction.now, "ops", "wrong ledger")
        )


async def test_a_batch_refuses_the_movements_of_stopped_businesses_and_makes_the_others(
    bank: Bank,
) -> None:
    business_id = bank.caller.business_id
    async with bank.database.transaction() as transaction:
        await open_wallets(transaction, "other", ["carl"])
    await stop(bank.database, "other", "everything", "stripe")
    await stop(bank.database, business_id, "everything")
    movements = [
        request(business_id, "ann", Direction.DEBIT, 1, "k"),
        request("other", "carl", Direction.CREDIT, 3),
        request(business_id, "bob", Direction.CREDIT, 1),
    ]
    stopped = payments_stopped().message
    assert await outcomes(bank.batch, movements) == [stopped, "3", stopped]
    await stop(bank.database, "*", "everything")
    assert await outcomes(bank.batch, movements) == [stopped] * 3
    assert await bank.shown("ann") == (10, 10)


@pytest.mark.parametrize(
    "use",
    [
        lambda bank, _: bank.hold("ann", 1),
        lambda bank, hold_id: bank.capture(hold_id),
        lambda bank, _: bank.transfer("ann", "bob", 1),
        lambda bank, _: Receivables(bank.database).settle(
            bank.caller, "ann", "TEST", Money(units=1)
        ),
    ],
    ids=["a hold", "the capture of a hold", "a transfer", "a settlement"],
)
async def test_what_was_admitted_before_the_stop_moves_nothing(
    bank: Bank, use: Callable[[Bank, str], Awaitable[object]]
) -> None:
    hold_id = (await bank.hold("ann", 2)).hold_id
    await stop(bank.database, "*", "everything")
    assert await reason_of(use(bank, hold_id)) == "PAYMENTS_STOPPED"
    assert await bank.shown("ann") == (10, 8)
    await bank.release(hold_id)
