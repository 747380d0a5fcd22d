"""A conventional service for comparison: FastAPI, SQLAlchemy's ORM, asyncpg, uvicorn.

One process, like the core. It checks the business's API key and debits or reads a wallet, on the
core's tables: what ours does, without idempotency keys. Runs by path, like echo.py.
"""

import asyncio
import hashlib
import hmac
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import BigInteger, DateTime, ForeignKeyConstraint, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from ulid import ULID

from cli.foreground import Serve, run

engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=int(os.environ["DATABASE_POOL_SIZE"]), max_overflow=0
)
_KEEP_ALIVE_SECONDS = 3600
"""Clients are idle while the other variants run."""
sessions = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


def now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    type_annotation_map = {int: BigInteger, datetime: DateTime(timezone=True)}  # noqa: RUF012


class Business(Base):
    __tablename__ = "businesses"

    business_id: Mapped[str] = mapped_column(primary_key=True)
    active: Mapped[bool]
    api_key_hash: Mapped[str]


class Wallet(Base):
    __tablename__ = "wallets"

    business_id: Mapped[str] = mapped_column(primary_key=True)
    wallet_id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str]
    env: Mapped[str]
    currency: Mapped[str]
    balance_minor: Mapped[int]
    version: Mapped[int]
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class WalletTransaction(Base):
    __tablename__ = "wallet_transactions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["business_id", "wallet_id"], ["wallets.business_id", "wallets.wallet_id"]
        ),
    )

    business_id: Mapped[str] = mapped_column(primary_key=True)
    transaction_id: Mapped[str] = mapped_column(primary_key=True, default=lambda: f"WTX-{ULID()}")
    wallet_id: Mapped[str]
    version: Mapped[int]
    type: Mapped[str]
    amount_minor: Mapped[int]
    balance_after_minor: Mapped[int]
    source: Mapped[str]
    reason: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)
    postings: Mapped[list["Posting"]] = relationship()


class Posting(Base):
    __tablename__ = "postings"
    __table_args__ = (
        ForeignKeyConstraint(
            ["business_id", "transaction_id"],
            ["wallet_transactions.business_id", "wallet_transactions.transaction_id"],
        ),
    )

    business_id: Mapped[str] = mapped_column(primary_key=True)
    transaction_id: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    amount_minor: Mapped[int]
    currency: Mapped[str]


class Charge(BaseModel):
    amount: Decimal = Field(gt=0, max_digits=12, decimal_places=2)


class WalletResult(BaseModel):
    success: bool = True
    wallet_id: str
    user_id: str
    balance: Decimal
    currency: str
    updated_at: datetime


class ChargeResult(BaseModel):
    success: bool = True
    wallet_id: str
    transaction_id: str
    new_balance: Decimal
    currency: str


async def get_session() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session)]


async def get_business(
    session: Session,
    x_business_id: Annotated[str, Header()],
    x_api_key: Annotated[str, Header()],
) -> Business:
    business = await session.get(Business, x_business_id)
    key_hash = hashlib.sha256(x_api_key.encode()).hexdigest()
    if (
        business is None
        or not business.active
        or not hmac.compare_digest(business.api_key_hash, key_hash)
    ):
        raise HTTPException(401, "Invalid business credentials")
    return business


@app.get("/users/{user_id}/wallet")
async def get_user_wallet(
    user_id: str, business: Annotated[Business, Depends(get_business)], session: Session
) -> WalletResult:
    found = await session.scalars(
        select(Wallet).where(
            Wallet.business_id == business.business_id,
            Wallet.user_id == user_id,
            Wallet.env == "TEST",
        )
    )
    wallet = found.one_or_none()
    if wallet is None:
        raise HTTPException(404, "No such wallet")
    return WalletResult(
        wallet_id=wallet.wallet_id,
        user_id=wallet.user_id,
        balance=Decimal(wallet.balance_minor) / 100,
        currency=wallet.currency,
        updated_at=wallet.updated_at,
    )


@app.post("/wallets/{wallet_id}/charge")
async def charge_wallet(
    wallet_id: str,
    charge: Charge,
    business: Annotated[Business, Depends(get_business)],
    session: Session,
) -> ChargeResult:
    wallet = await session.get(Wallet, (business.business_id, wallet_id), with_for_update=True)
    if wallet is None:
        raise HTTPException(404, "No such wallet")
    amount = int(charge.amount * 100)
    if wallet.balance_minor < amount:
        raise HTTPException(402, "The wallet's balance is below the amount")
    wallet.balance_minor -= amount
    wallet.version += 1
    transaction = WalletTransaction(
        business_id=business.business_id,
        wallet_id=wallet_id,
        version=wallet.version,
        type="debit",
        amount_minor=amount,
        balance_after_minor=wallet.balance_minor,
        source="system",
        reason="business_charge",
        postings=[
            Posting(account=wallet_id, amount_minor=-amount, currency=wallet.currency),
            Posting(
                account=f"revenue:{wallet.env}:{wallet.currency}",
                amount_minor=amount,
                currency=wallet.currency,
            ),
        ],
    )
    session.add(transaction)
    await session.commit()
    return ChargeResult(
        wallet_id=wallet_id,
        transaction_id=transaction.transaction_id,
        new_balance=Decimal(wallet.balance_minor) / 100,
        currency=wallet.currency,
    )


class Server(uvicorn.Server):
    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Leave the signals to cli.foreground."""
        return nullcontext()


async def serve(ready: Callable[[str], None], stop: asyncio.Event) -> None:
    """Serve on a free port of 127.0.0.1 until `stop` is set."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        server = Server(config)
        serving = asyncio.create_task(server.serve([listener]))
        host, port = listener.getsockname()
        ready(f"http://{host}:{port}")
        await stop.wait()
        server.should_exit = True
        await serving
    await engine.dispose()


def prepare() -> Serve:
    """Return the function that serves."""
    return serve


if __name__ == "__main__":
    run("orm_service", prepare)
