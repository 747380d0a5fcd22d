"""SQL of what is stored about a payment, and of the businesses of rows that are set aside."""

import json
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, or_, select

from core.database.schema import payments, wallet_transactions
from core.database.schema import recurring_jobs as jobs
from core.database.schema import recurring_occurrences as occurrences
from core.database.schema import webhook_events as events
from core.database.transactions import Transaction
from core.due_work.store import DueTable
from core.gateways.events import Fact
from core.payments.decision_store import fact_of
from core.payments.store import Payment
from core.recurring.following import AttemptKey
from core.wallet import store as wallet_store
from core.wallet.store import Wallet, WalletTransaction

EVENTS_MAX = 500
"""Newest events of a payment that are shown."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a core does about a payment, as stored."""

    attempt: str | None
    leased_until: datetime | None
    look_at: datetime | None
    checks: int
    sent_at: datetime | None
    set_aside_at: datetime | None
    set_aside_error: str | None
    cancel_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event about a payment, in whatever state."""

    event_id: str
    type: str
    fact: Fact | None
    state: str
    transaction_id: str | None
    occurred_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Cycle:
    """The recurring cycle that a payment is an attempt of."""

    recurring_id: str
    occurrence_at: datetime
    attempt: int
    """Number of the attempt that made the payment."""
    status: str
    job_status: str
    executed_cycles: int


async def work_of(transaction: Transaction, payment: Payment) -> Work:
    """Return what a core does about a payment."""
    rows = await transaction.connection.execute(
        select(*(payments.c[each.name] for each in fields(Work))).where(
            payments.c.business_id == payment.business_id,
            payments.c.payment_id == payment.payment_id,
        )
    )
    return Work(*rows.one())


async def events_about(transaction: Transaction, payment: Payment) -> list[StoredEvent]:
    """Return the events about a payment, by either id, oldest first."""
    is_about = [events.c.payment_id == payment.payment_id]
    if payment.transaction_id is not None:
        of_others = events.c.payment_id.is_not(None)
        is_its = and_(events.c.transaction_id == payment.transaction_id, ~of_others)
        is_about.append(is_its)
    rows = await transaction.connection.execute(
        select(*(events.c[each.name] for each in fields(StoredEvent)))
        .where(
            events.c.business_id == payment.business_id,
            events.c.gateway == payment.gateway,
            events.c.env == payment.env,
            or_(*is_about),
        )
        .order_by(events.c.occurred_at.desc(), events.c.event_id.desc())
        .limit(EVENTS_MAX)
    )
    return [_event(row) for row in reversed(rows.all())]


def _event(row: Any) -> StoredEvent:
    columns = dict(row._mapping)  # noqa: SLF001 - its name in SQLAlchemy
    fact = columns["fact"]
    return StoredEvent(**columns | {"fact": fact and fact_of(json.loads(fact))})


async def movements_of(
    transaction: Transaction, payment: Payment
) -> tuple[Wallet | None, list[WalletTransaction]]:
    """Return the wallet that a payment moved, or None, and its movements, oldest first."""
    rows = await transaction.connection.execute(
        select(
            wallet_transactions.c.wallet_id,
            *(wallet_transactions.c[each.name] for each in fields(WalletTransaction)),
        )
        .where(
            wallet_transactions.c.business_id == payment.business_id,
            wallet_transactions.c.payment_id == payment.payment_id,
        )
        .order_by(wallet_transactions.c.version)
    )
    found = rows.all()
    if not found:
        return None, []
    wallet = await wallet_store.wallet_by_id(
        transaction, business_id=payment.business_id, wallet_id=found[0].wallet_id
    )
    return wallet, [WalletTransaction(*row[1:]) for row in found]


async def cycle_of(transaction: Transaction, payment: Payment) -> Cycle | None:
    """Return the recurring cycle of a payment, or None."""
    key = AttemptKey.of(payment)
    if key is None:
        return None
    rows = await transaction.connection.execute(
        select(
            occurrences.c.recurring_id,
            occurrences.c.occurrence,
            occurrences.c.status,
            jobs.c.status.label("job_status"),
            jobs.c.executed_cycles,
        )
        .join_from(occurrences, jobs)
        .where(
            occurrences.c.business_id == payment.business_id,
            occurrences.c.recurring_id == key.recurring_id,
            occurrences.c.occurrence >= key.occurrence,
            occurrences.c.occurrence < key.occurrence + timedelta(seconds=1),
        )
    )
    row = rows.one_or_none()
    if row is None:
        return None
    return Cycle(
        recurring_id=row.recurring_id,
        occurrence_at=row.occurrence,
        attempt=key.attempt,
        status=row.status,
        job_status=row.job_status,
        executed_cycles=row.executed_cycles,
    )


async def businesses_of_set_aside(
    transaction: Transaction, due: DueTable, row_id: str
) -> list[str]:
    """Return the businesses that have a row of this id set aside."""
    rows = await transaction.connection.execute(
        select(due.table.c.business_id)
        .where(due.table.c.set_aside_at.is_not(None), due.table.c[due.id] == row_id)
        .distinct()
        .order_by(due.table.c.business_id)
    )
    return list(rows.scalars())
