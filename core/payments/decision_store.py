"""SQL of operators' decisions, and of the rows that they are about."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import insert, select, update

from core.database.schema import businesses, decisions
from core.database.transactions import Transaction
from core.due_work.rules import Key
from core.due_work.store import RELEASED, DueTable
from core.gateways.events import Fact, FactKind
from core.payments.decision_rules import Action, Decision, Resolution, Subject
from core.payments.evidence import Finding

_COLUMNS = tuple(decisions.c[each.name] for each in fields(Decision))


async def businesses_of(transaction: Transaction, due: DueTable, row_id: str) -> list[str]:
    """Return the businesses that have a row of this id, by one look at each business's ids."""
    columns = due.table.c
    rows = await transaction.connection.execute(
        select(columns.business_id)
        .join_from(businesses, due.table, businesses.c.business_id == columns.business_id)
        .where(columns[due.id] == row_id)
        .order_by(columns.business_id)
    )
    return list(rows.scalars())


async def look_now(transaction: Transaction, due: DueTable, key: Key) -> None:
    """Make a row due that waits for a look, also one that was set aside."""
    look_at = due.table.c[due.look_at]
    await transaction.connection.execute(
        update(due.table)
        .where(due.is_key(key), look_at.is_not(None))
        .values({look_at: transaction.now, **RELEASED})
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
