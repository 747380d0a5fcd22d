"""Queries of the doctor on idempotency records, cards, foreign keys and sealed secrets.

Of a secret, only the id of its key is read.
"""

from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    ForeignKeyConstraint,
    Select,
    and_,
    case,
    func,
    literal,
    or_,
    select,
)

from core.database.schema import (
    authorize_credentials,
    cards,
    gateway_customers,
    idempotency_records,
    keyring_canaries,
    metadata,
    payments,
    refunds,
    stripe_credentials,
)
from core.doctor.store import Query, Scope, problem
from core.security.keyring import sealed_prefixes

UNREAPED_AFTER = timedelta(hours=1)
_OPEN = ("pending", "failed", "needs_review", "held_for_review", "requires_action")
"""Statuses of a payment whose call may have no stored answer: it is in flight, may be retried, or
left its review for a state that only the gateway can answer."""


def records_not_matching_payments(scope: Scope) -> Select[Any]:
    """Idempotency records that contradict their payment."""
    record = idempotency_records
    return (
        select(
            record.c.business_id,
            record.c.key,
            record.c.payment_id,
            problem(
                (
                    and_(payments.c.payment_id.is_(None), refunds.c.refund_id.is_(None)),
                    "its payment or refund does not exist",
                ),
                (
                    and_(
                        record.c.sealed_answer.is_(None),
                        payments.c.status.not_in(_OPEN),
                        # Answered after the payment, or when it is repeated: core.recurring.retries
                        # and core.payments.closing.
                        record.c.action.not_in(("RetryRecurring", "CapturePayment", "VoidPayment")),
                    ),
                    "has no answer, though its payment has an outcome",
                ),
                (
                    and_(record.c.sealed_answer.is_not(None), payments.c.status == "pending"),
                    "has an answer, though its payment has no outcome",
                ),
                (
                    and_(
                        record.c.sealed_answer.is_(None),
                        refunds.c.attempt.is_(None),
                        refunds.c.status.in_(("pending", "succeeded")),
                    ),
                    "has no answer, though its refund has an outcome",
                ),
            ),
        )
        .outerjoin(
            payments,
            and_(
                payments.c.business_id == record.c.business_id,
                payments.c.payment_id == record.c.payment_id,
            ),
        )
        .outerjoin(
            refunds,
            and_(
                refunds.c.business_id == record.c.business_id,
                refunds.c.refund_id == record.c.payment_id,
            ),
        )
        .where(
            scope.contains(record.c.business_id, record.c.key),
            record.c.payment_id.is_not(None),
        )
    )


def payments_not_matching_records(scope: Scope) -> Select[Any]:
    """Payments whose idempotency record is missing or belongs to another payment.

    A record that is newer than the payment belongs to a later call with the same key. A record
    has a second payment only if the first one failed without a charge.
    """
    record = idempotency_records
    return (
        select(
            payments.c.business_id,
            payments.c.payment_id,
            record.c.key,
            record.c.payment_id.label("record_payment_id"),
            problem(
                (
                    and_(payments.c.status == "pending", record.c.key.is_(None)),
                    "is pending, but its idempotency record is gone",
                ),
                (
                    and_(
                        payments.c.status != "failed",
                        record.c.created_at <= payments.c.created_at,
                        record.c.payment_id.is_distinct_from(payments.c.payment_id),
                    ),
                    "its idempotency record points elsewhere",
                ),
            ),
        )
        .outerjoin(
            record,
            and_(
                record.c.business_id == payments.c.business_id,
                record.c.key == "key:" + payments.c.idempotency_key,
            ),
        )
        .where(
            scope.contains(payments.c.business_id, payments.c.payment_id),
            payments.c.idempotency_key.is_not(None),
        )
    )


def unreaped_records(scope: Scope) -> Select[Any]:
    """Idempotency records that expired an hour ago and were not deleted."""
    record = idempotency_records
    over = record.c.expires_at < scope.now - UNREAPED_AFTER
    return select(
        record.c.business_id,
        record.c.key,
        record.c.expires_at,
        problem((over, "expired and is still there")),
    ).where(over, or_(record.c.sealed_answer.is_not(None), record.c.payment_id.is_(None)))


def cards_without_customer(scope: Scope) -> Select[Any]:
    """Cards of users who are no customer of their gateway."""
    customer = gateway_customers
    return (
        select(
            cards.c.business_id,
            cards.c.card_id,
            cards.c.user_id,
            problem((customer.c.user_id.is_(None), "its user is no customer at its gateway")),
        )
        .outerjoin(
            customer,
            and_(
                *(
                    customer.c[name] == cards.c[name]
                    for name in ("business_id", "user_id", "env", "gateway")
                )
            ),
        )
        .where(scope.contains(cards.c.business_id, cards.c.card_id))
    )


def rows_without_parent(scope: Scope, constraint: ForeignKeyConstraint) -> Select[Any]:
    """Rows whose parent in another table does not exist."""
    child, parent = constraint.table, constraint.referred_table
    key = tuple(child.primary_key.columns)
    pairs = [(element.parent, element.column) for element in constraint.elements]
    belongs = [mine == theirs for mine, theirs in pairs]
    if tuple(mine for mine, _ in pairs) == key[:2]:
        # Repeated for the parent, or PostgreSQL reads the whole table for each chunk.
        belongs.append(scope.contains(*(theirs for _, theirs in pairs)))
    return (
        select(
            *key,
            literal(child.name).label("table"),
            problem((pairs[0][1].is_(None), f"its row in {parent.name} does not exist")),
        )
        .outerjoin(parent, and_(*belongs))
        .where(scope.contains(*key[:2]))
    )


def parent_queries() -> tuple[Query, ...]:
    """Return a query for every foreign key of the schema."""
    return tuple(
        Query(partial(rows_without_parent, constraint=constraint), table=table)
        for table in metadata.sorted_tables
        for constraint in sorted(table.foreign_key_constraints, key=lambda each: str(each.name))
    )


def stripe_credentials_with_unknown_keys(scope: Scope) -> Select[Any]:
    """Stripe credentials that are sealed with a key outside the keyring."""
    table = stripe_credentials
    return select(
        table.c.business_id,
        table.c.env,
        literal(table.name).label("table"),
        _unknown_key_problem(scope, table.c.sealed_secret_key, table.c.sealed_webhook_secret),
    ).where(scope.contains(table.c.business_id, table.c.env))


def authorize_credentials_with_unknown_keys(scope: Scope) -> Select[Any]:
    """Authorize.Net credentials that are sealed with a key outside the keyring."""
    table = authorize_credentials
    return select(
        table.c.business_id,
        table.c.env,
        literal(table.name).label("table"),
        _unknown_key_problem(scope, table.c.sealed_transaction_key, table.c.sealed_signature_key),
    ).where(scope.contains(table.c.business_id, table.c.env))


def records_with_unknown_keys(scope: Scope) -> Select[Any]:
    """Idempotency records whose answer or fingerprint needs a key outside the keyring."""
    table = idempotency_records
    return select(
        table.c.business_id,
        table.c.key,
        literal(table.name).label("table"),
        problem(
            (_has_unknown_key(scope, table.c.sealed_answer), _OTHER_KEY),
            (
                and_(
                    table.c.key.startswith("key:"), table.c.fingerprint_key_id.not_in(_ids(scope))
                ),
                "its fingerprint was made with a key that is not in the keyring",
            ),
        ),
    ).where(scope.contains(table.c.business_id, table.c.key))


def canaries_with_unknown_keys(scope: Scope) -> Select[Any]:
    """Keys that cores used before and that are not in the keyring."""
    table = keyring_canaries
    return select(
        table.c.business_id,
        table.c.key_id,
        literal(table.name).label("table"),
        problem((table.c.key_id.not_in(_ids(scope)), "this key is not in the keyring")),
    ).where(scope.contains(table.c.business_id, table.c.key_id))


_OTHER_KEY = "is sealed with a key that is not in the keyring"


def _ids(scope: Scope) -> list[str]:
    return sorted(scope.key_ids)


def _unknown_key_problem(scope: Scope, *columns: Column[Any]) -> ColumnElement[Any]:
    return problem(
        *((_has_unknown_key(scope, column), f"{column.name} {_OTHER_KEY}") for column in columns)
    )


def _has_unknown_key(scope: Scope, sealed: Column[Any]) -> ColumnElement[bool]:
    """Return the condition that the prefix names no key of the keyring."""
    ours = (prefix for key_id in _ids(scope) for prefix in sealed_prefixes(key_id))
    by_ours = or_(*(func.substr(sealed, 1, len(start)) == start for start in ours))
    return and_(sealed.is_not(None), case((by_ours, 0), else_=1) == 1)
