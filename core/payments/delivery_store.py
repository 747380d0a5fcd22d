"""SQL of successes without a key: which are unanswered, and which core sends the response."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, or_, select, text

from core.database.bulk_sql import BulkSelect, BulkUpdate
from core.database.schema import UtcDateTime, payments
from core.database.transactions import Transaction
from core.payments.store import COLUMNS, Payment, PaymentKey, payment_of, update_columns

_succeeded_at = func.coalesce(payments.c.succeeded_at, payments.c.updated_at)
"""When a payment succeeded. Later events and the delivery of the response move `updated_at`."""
_ENV = bindparam("of_env", type_=payments.c.env.type)
_GATEWAY = bindparam("of_gateway", type_=payments.c.gateway.type)


def _unanswered(*requested: ColumnElement[bool], since: ColumnElement[Any]) -> Select[Any]:
    """Return the statement for what was `requested`, and done `since` a moment."""
    return (
        select(*COLUMNS)
        .where(
            payments.c.business_id == bindparam("of_business"),
            payments.c.user_id == bindparam("of_user"),
            text("NOT payments.answered"),  # as the index ix_payments_unanswered has it
            payments.c.kind == bindparam("of_kind"),
            *requested,
            payments.c.currency == bindparam("of_currency"),
            payments.c.description.is_not_distinct_from(
                bindparam("of_description", type_=payments.c.description.type)
            ),
            payments.c.metadata.is_not_distinct_from(
                bindparam("of_metadata", type_=payments.c.metadata.type)
            ),
            payments.c.idempotency_key.is_(None),
            or_(
                payments.c.status == "pending",
                and_(
                    payments.c.status.in_(("succeeded", "authorized")),
                    since >= bindparam("succeeded_since", type_=UtcDateTime),
                ),
            ),
            or_(_ENV.is_(None), payments.c.env == _ENV),
            or_(_GATEWAY.is_(None), payments.c.gateway == _GATEWAY),
        )
        .order_by(payments.c.created_at, payments.c.payment_id)
        .with_for_update()
    )


_UNANSWERED = _unanswered(
    payments.c.authorized_minor.is_(None),
    payments.c.amount_minor == bindparam("of_amount"),
    since=_succeeded_at,
)
_UNANSWERED_AUTHORIZATIONS = _unanswered(
    # Of a captured one amount_minor is what was captured, and succeeded_at is when.
    payments.c.authorized_minor == bindparam("of_amount"),
    since=payments.c.first_outcome_at,
)


@dataclass(frozen=True, slots=True)
class Response:
    """The response of a payment with an outcome, as stored."""

    business_id: str
    payment_id: str
    answered: bool
    lease_owner: str | None
    """The core that is sending it."""
    updated_at: datetime


_LOCK_FREE = BulkSelect(
    select(*(payments.c[each.name] for each in fields(Response))).with_for_update(
        of=payments, skip_locked=True
    ),
    payments,
    key=("business_id", "payment_id"),
)
_RECORD = BulkUpdate(
    payments,
    key=("business_id", "payment_id"),
    changed=("answered", "lease_owner", "updated_at"),
)


async def unanswered_payments(
    transaction: Transaction,
    *,
    business_id: str,
    user_id: str,
    env: str | None,
    kind: str,
    amount_minor: int,
    currency: str,
    gateway: str | None,
    description: str | None,
    is_captured: bool,
    metadata: str | None,
    succeeded_since: datetime,
) -> list[Payment]:
    """Return and lock the unanswered payments of equal requests without a key, oldest first.

    These are the pending ones, and those that succeeded, or were authorized, since
    `succeeded_since`. Without `env` or `gateway`, those of any.
    """
    rows = await transaction.connection.execute(
        _UNANSWERED if is_captured else _UNANSWERED_AUTHORIZATIONS,
        {
            "of_business": business_id,
            "of_user": user_id,
            "of_env": env,
            "of_kind": kind,
            "of_amount": amount_minor,
            "of_currency": currency,
            "of_gateway": gateway,
            "of_description": description,
            "of_metadata": metadata,
            "succeeded_since": succeeded_since,
        },
    )
    return [payment_of(row) for row in rows]


async def set_responding_core(transaction: Transaction, payment: Payment, core_id: str) -> None:
    """Store which core sends the response of an unanswered success."""
    await update_columns(transaction, payment, {"lease_owner": core_id})


async def lock_free_responses(
    transaction: Transaction, keys: Sequence[PaymentKey]
) -> dict[PaymentKey, Response]:
    """Lock the payments that no other transaction has locked, and return their responses.

    It waits for nobody, so that it cannot deadlock.
    """
    rows = await _LOCK_FREE.execute(transaction.connection, keys)
    return {(row[0], row[1]): Response(*row) for row in rows}


async def record_responses(
    transaction: Transaction, core_id: str, responses: Sequence[tuple[Response, bool]]
) -> None:
    """Store of locked responses whether a caller received them; the core no longer sends them.

    Another core may send one that no caller received.
    """
    rows = {}
    for response, is_received in sorted(responses, key=lambda each: each[1]):
        if is_received:
            changes = {"answered": True, "lease_owner": None, "updated_at": transaction.now}
        elif response.lease_owner == core_id:
            changes = {"lease_owner": None}
        else:
            continue
        rows[response.business_id, response.payment_id] = {**asdict(response), **changes}
    if rows:
        await _RECORD.execute(transaction.connection, list(rows.values()))
