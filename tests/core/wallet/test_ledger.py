"""Property test: the ledger function agrees with a simple model."""

import asyncio
import itertools
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.database.migrations.upgrade import migrate
from core.database.transactions import Database
from core.money import MAX_BALANCE_MINOR
from core.wallet import ledger
from core.wallet.rules import Direction, MovementRefusal, WalletState
from tests.core.wallet.ledgers import WalletKey, movement, open_wallets, read_books

AMOUNTS = st.one_of(st.integers(1, 50), st.integers(MAX_BALANCE_MINOR - 50, MAX_BALANCE_MINOR))
WANTED = st.tuples(
    st.integers(0, 1),  # which business
    st.integers(0, 2),  # which of its wallets
    st.sampled_from(["debit", "credit", "funding"]),
    AMOUNTS,
)
LISTS = st.lists(st.lists(WANTED, min_size=1, max_size=8), max_size=5)
Wanted = tuple[int, int, str, int]

_numbers = itertools.count()


class Model:
    """Wallets as a dictionary, with the rules of movements."""

    def __init__(self) -> None:
        """Start without wallets."""
        self.wallets: dict[WalletKey, tuple[int, int]] = {}
        self.made: list[tuple[WalletKey, str, int, int, str | None]] = []

    def move(
        self, key: WalletKey, kind: str, minor: int, payment_id: str | None
    ) -> WalletState | MovementRefusal:
        """Make a movement, or return why it is refused."""
        balance, version = self.wallets[key]
        if kind == "debit" and balance < minor:
            return MovementRefusal.WALLET_TOO_LOW
        if kind == "credit" and balance + minor > MAX_BALANCE_MINOR:
            return MovementRefusal.WALLET_LIMIT
        balance += -minor if kind == "debit" else minor
        self.wallets[key] = (balance, version + 1)
        direction = "debit" if kind == "debit" else "credit"
        self.made.append((key, direction, minor, balance, payment_id))
        return WalletState("TEST", "usd", balance, version + 1)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for all examples, as the database's connections belong to it."""
    with asyncio.Runner() as started:
        yield started


@pytest.fixture
def database(runner: asyncio.Runner, database_url: str) -> Iterator[Database]:
    """A database of each kind for all examples; each one has businesses of its own."""
    opened = Database(database_url)
    runner.run(migrate(opened))
    yield opened
    runner.run(opened.close())


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(LISTS)
def test_the_ledger_agrees_with_the_model_after_any_movements(
    runner: asyncio.Runner, database: Database, lists: list[list[Wanted]]
) -> None:
    runner.run(check(database, lists))


async def check(database: Database, lists: list[list[Wanted]]) -> None:
    model = Model()
    example = next(_numbers)
    businesses = [f"B-{example}-{number}" for number in range(2)]
    # Another business's wallet of the same id must stay as it is.
    wallet_ids = [f"WAL-{number}" for number in range(3)]
    async with database.transaction() as transaction:
        for business_id in businesses:
            for key in await open_wallets(transaction, business_id, wallet_ids):
                model.wallets[key] = (0, 0)
    for wanted in lists:
        movements, expected = [], []
        for business, wallet, kind, minor in wanted:
            key = (businesses[business], wallet_ids[wallet])
            payment_id = f"PAY-{next(_numbers)}" if kind == "funding" else None
            direction = Direction.DEBIT if kind == "debit" else Direction.CREDIT
            movements.append(movement(key, direction, minor, payment_id))
            expected.append(model.move(key, kind, minor, payment_id))
        async with database.transaction() as transaction:
            assert await ledger.move(transaction, movements) == expected
    books = await read_books(database, businesses)
    books.assert_consistent()
    assert books.balances == model.wallets
    stored = [
        ((row.business_id, row.wallet_id), row.type, *row[5:7], row.payment_id)
        for row in books.history
    ]
    for key in model.wallets:
        assert [each for each in stored if each[0] == key] == [
            each for each in model.made if each[0] == key
        ]
