"""A consistent database of a small business, and a connection without constraints."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import Table, event, insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from core.business import store as business_store
from core.database.engines import engine_for
from core.database.migrations.upgrade import migrate
from core.database.schema import (
    authorize_credentials,
    cards,
    gateway_customers,
    idempotency_records,
    keyring_canaries,
    payments,
    stripe_credentials,
    test_clocks,
    wallets,
)
from core.database.transactions import Database, Transaction
from core.security.keyring import Keyring
from core.users import store as users_store
from core.wallet import ledger
from core.wallet.rules import Direction, Movement, WalletState

RING = Keyring("k1", {"k1": bytes(32), "older": b"o" * 32})


async def write_books(url: str, *, new: bool) -> None:
    """Write two wallets with movements, payments of every kind, idempotency records and a card.

    A `new` database is migrated first.
    """
    database = Database(url)
    if new:
        await migrate(database)
    async with database.transaction() as transaction:
        await _people(transaction)
        for payment_id, kind, status in (
            ("P-FUND", "fund", "succeeded"),
            ("P-CHARGE", "charge", "succeeded"),
            ("P-FAILED", "charge", "failed"),
            ("P-OPEN", "fund", "pending"),
        ):
            await _payment(transaction, payment_id, kind, status)
        await _movements(transaction)
        await _clock(transaction)
        await _secrets(transaction)
    await database.close()


async def _people(transaction: Transaction) -> None:
    await business_store.insert_business(
        transaction, business_id="B", name="n", email="a@b.co", domain="b.co", api_key_hash="h"
    )
    for user_id, wallet_id in (("U1", "WAL-1"), ("U2", "WAL-2")):
        await users_store.insert_user(
            transaction, business_id="B", user_id=user_id, name="n", email="e", currency="usd"
        )
        await _add(
            transaction,
            wallets,
            wallet_id=wallet_id,
            user_id=user_id,
            env="TEST",
            currency="usd",
            balance_minor=0,
            version=0,
            updated_at=transaction.now,
        )
    of_user = {"user_id": "U1", "env": "TEST", "gateway": "stripe", "customer_id": "cus_1"}
    await _add(transaction, gateway_customers, **of_user)
    await _add(
        transaction,
        cards,
        **of_user,
        card_id="CRD-1",
        gateway_card_id="pm_1",
        brand="visa",
        last4="4242",
        exp_month=12,
        exp_year=2030,
        is_primary=True,
    )


async def _payment(transaction: Transaction, payment_id: str, kind: str, status: str) -> None:
    pending = status == "pending"
    await _add(
        transaction,
        payments,
        payment_id=payment_id,
        user_id="U1",
        env="TEST",
        gateway="stripe",
        kind=kind,
        amount_minor=500,
        currency="usd",
        idempotency_key=payment_id.lower(),
        customer_id="cus_1",
        gateway_card_id="pm_1",
        gateway_key=f"B/{payment_id}",
        status=status,
        attempt="unknown" if pending else None,
        look_at=transaction.now + timedelta(seconds=5) if pending else None,
        transaction_id="pi_1" if status == "succeeded" else None,
        answered=not pending,
        joinable=True,
        checks=1,
        updated_at=transaction.now,
    )
    await _add(
        transaction,
        idempotency_records,
        key=f"key:{payment_id.lower()}",
        action="FundCustomer",
        fingerprint="f",
        fingerprint_key_id="k1",
        api_key_hash="h",
        payment_id=payment_id,
        sealed_answer=_sealed("answer") if status == "succeeded" else None,
        expires_at=transaction.now + timedelta(hours=24),
    )


async def _movements(transaction: Transaction) -> None:
    """Credit 5.00 by P-FUND and 9.00 by hand, debit 2.00; and 1.00 for the other wallet."""
    for number, (wallet_id, direction, minor, payment_id) in enumerate(
        (
            ("WAL-1", Direction.CREDIT, 500, "P-FUND"),
            ("WAL-1", Direction.CREDIT, 900, None),
            ("WAL-1", Direction.DEBIT, 200, None),
            ("WAL-2", Direction.CREDIT, 100, None),
        ),
        start=1,
    ):
        movement = Movement(
            business_id="B",
            wallet_id=wallet_id,
            transaction_id=f"WTX-{number}",
            direction=direction,
            amount_minor=minor,
            source="stripe" if payment_id else "manual",
            reason="wallet_fund" if payment_id else "manual_credit",
            payment_id=payment_id,
        )
        (moved,) = await ledger.move(transaction, [movement])
        assert isinstance(moved, WalletState)


async def _clock(transaction: Transaction) -> None:
    await _add(
        transaction, test_clocks, env="TEST", ahead_microseconds=0, updated_at=transaction.now
    )


async def _secrets(transaction: Transaction) -> None:
    await _add(transaction, keyring_canaries, key_id="k1", sealed=_sealed("canary"))
    await _add(
        transaction,
        stripe_credentials,
        env="TEST",
        sealed_secret_key=_sealed("sk"),
        public_key="pk_test_fake",
        sealed_webhook_secret=_sealed("whsec"),
        updated_at=transaction.now,
    )
    await _add(
        transaction,
        authorize_credentials,
        env="TEST",
        api_login_id="login",
        sealed_transaction_key=_sealed("key"),
        updated_at=transaction.now,
    )


def _sealed(secret: str) -> str:
    return RING.seal(secret, business_id="B", purpose="p")


async def _add(transaction: Transaction, table: Table, **columns: object) -> None:
    columns |= {"business_id": "B"}
    if "created_at" in table.c:
        columns["created_at"] = transaction.now
    await transaction.connection.execute(insert(table).values(**columns))


@asynccontextmanager
async def unguarded(url: str) -> AsyncIterator[AsyncConnection]:
    """Open a transaction without CHECK constraints and foreign keys, as after a bad restore."""
    engine = engine_for(url)
    is_sqlite = engine.dialect.name == "sqlite"
    if is_sqlite:
        event.listen(engine.sync_engine, "connect", _switch_off)
    async with engine.begin() as connection:
        if not is_sqlite:
            await connection.execute(text("SET session_replication_role = replica"))
            checks = "SELECT conrelid::regclass, conname FROM pg_constraint WHERE contype = 'c'"
            for table, name in await connection.execute(text(f"{checks} AND conrelid <> 0")):
                await connection.execute(text(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"'))
        yield connection
    await engine.dispose()


def _switch_off(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=OFF")
    cursor.execute("PRAGMA ignore_check_constraints=ON")
    cursor.close()
