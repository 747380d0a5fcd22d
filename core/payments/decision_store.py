"""SQL of operators' decisions, and of the payments that they are about."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import insert, select, update

from core.database.schema import businesses, decisions, payments
from core.database.transactions import Transaction
from core.due_work.store import RELEASED
from core.gateways.events import Fact, FactKind
from core.payments.decision_rules import Action, Decision, Resolution, Subject
from core.payments.evidence import Finding
from core.payments.store import Payment

_COLUMNS = tuple(decisions.c[each.name] for each in fields(Decision))


async def businesses_of_payment(transaction: Transaction, payment_id: str) -> list[str]:
    """Return the businesses that have a payment of this id, by one look at each business's ids."""
    rows = await transaction.connection.execute(
        select(payments.c.business_id)
        .join_from(businesses, payments, businesses.c.business_id == payments.c.business_id)
        .where(payments.c.payment_id == payment_id)
        .order_by(payments.c.business_id)
    )
    return list(rows.scalars())


async def look_now(transaction: Transaction, payment: Payment) -> None:
    """Make a payment due that waits for a look, also one that was set aside."""
    await transaction.connection.execute(
        update(payments)
        .where(
            payments.c.business_id == payment.business_id,
            payments.c.payment_id == payment.payment_id,
            payments.c.look_at.is_not(None),
        )
        .values(look_at=transaction.now, **RELEASED)
    )


async def insert_decision(transaction: Transaction, decision: Decision) -> None:
    """Record a decision."""
    columns = {each.name: getattr(decision, each.name) for each in fields(Decision)}
    columns["findings"] = json.dumps([asdict(each) for each in decision.findings])
    await transaction.connection.execute(insert(decisions).values(columns))


async def decisions_about(
    transaction: Transaction, *, business_id: str, subject: Subject, subject_id: str
) -> list[Decision]:
    """Return the decisions about a row, oldest first."""
    rows = await transaction.connection.execute(
        select(*_COLUMNS)
        .where(
            decisions.c.business_id == business_id,
            decisions.c.subject == subject,
            decisions.c.subject_id == subject_id,
        )
        .order_by(decisions.c.decided_at, decisions.c.decision_id)
    )
    return [_decision(row) for row in rows]


def _decision(row: Any) -> Decision:
    columns = dict(row._mapping)  # noqa: SLF001 - its name in SQLAlchemy
    resolution = columns["resolution"]
    return Decision(
        **columns
        | {
            "subject": Subject(columns["subject"]),
            "action": Action(columns["action"]),
            "resolution": resolution and Resolution(resolution),
            "findings": _findings(json.loads(columns["findings"])),
        }
    )


def _findings(stored: Sequence[Mapping[str, Any]]) -> tuple[Finding, ...]:
    return tuple(
        Finding(**{**each, "fact": each["fact"] and fact_of(each["fact"])}) for each in stored
    )


def fact_of(stored: Mapping[str, Any]) -> Fact:
    """Return a fact from its JSON object."""
    return Fact(**{**stored, "kind": FactKind(stored["kind"])})
