"""Queries of few rows among many find them by their partial index, on both databases.

SQLite knows a partial index only by the very condition that the index has: `answered = 0`, which
SQLAlchemy makes of `~answered`, is not `NOT answered`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import insert

from core.cards.store import primary_card
from core.database.migrations.upgrade import migrate
from core.database.schema import metadata
from core.database.transactions import Database, Transaction
from core.payments.charge_store import lock_chargeable
from core.payments.delivery_store import unanswered_payments
from core.payments.event_store import count_ignored
from core.wallet.receivable_store import receivable_of_wallet
from tests.core.database.migrations.rows import NOW, ROWS, write
from tests.core.database.recording import recorded

COUNT = 300
OF_USER = {"business_id": "B", "user_id": "USR-1"}
Read = Callable[[Transaction], Awaitable[object]]
CASES: dict[str, Read] = {
    "ix_payments_unanswered": lambda transaction: unanswered_payments(
        transaction,
        **OF_USER,
        env="TEST",
        kind="charge",
        amount_minor=2550,
        currency="usd",
        description=None,
        gateway=None,
        succeeded_since=NOW,
        metadata=None,
        is_captured=True,
    ),
    "uq_cards_one_primary": lambda transaction: primary_card(
        transaction, **OF_USER, env="TEST", gateway="stripe"
    ),
    "uq_cards_one_primary, of a charge": lambda transaction: lock_chargeable(
        transaction, **OF_USER, env="TEST", gateway="stripe", declined_since=NOW
    ),
    "ix_webhook_events_ignored": lambda transaction: count_ignored(transaction, NOW),
    "ix_wallet_transactions_receivable": lambda transaction: receivable_of_wallet(
        transaction, business_id="B", wallet_id="WAL-1"
    ),
}


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Many answered payments, cards and movements of one user."""
    opened = Database(database_url)
    await migrate(opened)
    for table in ("businesses", "users", "wallets"):
        await write(opened, table, ROWS[table])
    own: dict[str, Callable[[int], dict[str, Any]]] = {
        "payments": lambda number: {"payment_id": f"PAY-{number}"},
        "cards": lambda number: {
            "card_id": f"CRD-{number}",
            "gateway_card_id": f"pm_{number}",
            "is_primary": number == 0,
        },
        "webhook_events": lambda number: {
            "event_id": f"evt_{number}",
            "state": "applied" if number else "ignored",
            "look_at": None,
        },
        "wallet_transactions": lambda number: {
            "transaction_id": f"WTX-{number}",
            "version": number + 1,
            "payment_id": None,
        },
    }
    async with opened.transaction() as transaction:
        for table, values in own.items():
            rows = [ROWS[table] | values(number) for number in range(COUNT)]
            await transaction.connection.execute(insert(metadata.tables[table]), rows)
        await transaction.connection.run("ANALYZE")
    yield opened
    await opened.close()


async def test_a_query_of_few_rows_reads_its_partial_index(database: Database) -> None:
    explain = "EXPLAIN QUERY PLAN " if database.has_one_process else "EXPLAIN "
    for case, read in CASES.items():
        with recorded() as statements:
            async with database.transaction() as transaction:
                await read(transaction)
        text, arguments, _ = statements[-1]
        async with database.transaction() as transaction:
            plan = (await transaction.connection.run(explain + text, arguments)).records
        assert case.partition(",")[0] in str(plan), case
