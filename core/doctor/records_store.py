"""Queries of the doctor on idempotency records, cards, foreign keys and sealed secrets.

Of a secret, only the id of its key is read.
"""

from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    ForeignKeyConstraint,
    Select,
    Table,
    and_,
    case,
    false,
    func,
    literal,
    or_,
    select,
)

from core.database.schema import (
    SEALED_COLUMNS,
    cards,
    gateway_customers,
    idempotency_records,
    keyring_canaries,
    metadata,
    payments,
    refunds,
    stops,
)
from core.doctor.store import Query, Scope, problem
from core.security.keyring import sealed_prefixes

UNREAPED_AFTER = timedelta(hours=1)
_SEALED_TABLES = tuple(dict.fromkeys(each.table for each in SEALED_COLUMNS))
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


def stops_in_force(scope: Scope) -> Select[Any]:  # noqa: ARG001 - what every query takes
    """Return the query for what operators have stopped."""
    return select(
        stops.c.what,
        stops.c.business_id,
        stops.c.gateway,
        stops.c.stopped_at,
        stops.c.stopped_by,
        stops.c.reason,
        problem((stops.c.ended_at.is_(None), "is stopped by an operator")),
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


def unknown_key_queries() -> tuple[Query, ...]:
    """Return a query of each table with sealed columns, and of the keys used before."""
    tables = [each for each in _SEALED_TABLES if each is not idempotency_records]
    return (
        *(Query(partial(rows_with_unknown_keys, table=each), table=each) for each in tables),
        Query(records_with_unknown_keys, table=idempotency_records),
        Query(canaries_with_unknown_keys, table=keyring_canaries),
    )


def old_key_queries() -> tuple[Query, ...]:
    """Return a query of each table with sealed columns."""
    return tuple(
        Query(partial(rows_with_old_keys, table=each), table=each) for each in _SEALED_TABLES
    )


def rows_with_unknown_keys(scope: Scope, *, table: Table) -> Select[Any]:
    """Rows with a secret that is sealed with a key outside the keyring."""
    columns = _sealed_columns(table)
    return _sealed_rows(
        scope,
        table,
        ((_has_unknown_key(scope, each), f"{each.name} {_OTHER_KEY}") for each in columns),
    )


def rows_with_old_keys(scope: Scope, *, table: Table) -> Select[Any]:
    """Rows with a secret that is sealed with a key of the keyring which is not the first one."""
    first, *older = scope.key_ids
    return _sealed_rows(
        scope,
        table,
        (
            (_is_sealed_with(each, key_id), f"{each.name} is sealed with {key_id}, not {first}")
            for each in _sealed_columns(table)
            for key_id in older
        ),
    )


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


def _sealed_columns(table: Table) -> list[Column[Any]]:
    return [each for each in SEALED_COLUMNS if each.table is table]


def _sealed_rows(
    scope: Scope, table: Table, problems: Iterable[tuple[ColumnElement[bool], str]]
) -> Select[Any]:
    business_id, key = table.primary_key.columns
    # Without a problem to look for, none is found.
    cases = list(problems) or [(false(), "")]
    return select(business_id, key, literal(table.name).label("table"), problem(*cases)).where(
        scope.contains(business_id, key)
    )


def _is_sealed_with(sealed: Column[Any], key_id: str) -> ColumnElement[bool]:
    prefixes = sealed_prefixes(key_id)
    return or_(*(func.substr(sealed, 1, len(start)) == start for start in prefixes))


def _has_unknown_key(scope: Scope, sealed: Column[Any]) -> ColumnElement[bool]:
    """Return the condition that the prefix names no key of the keyring."""
    by_ours = or_(*(_is_sealed_with(sealed, key_id) for key_id in _ids(scope)))
    return and_(sealed.is_not(None), case((by_ours, 0), else_=1) == 1)
