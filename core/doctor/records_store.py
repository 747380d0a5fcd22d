"""What the doctor asks about records, cards and secrets: each query gives the rows that are wrong.

No secret is read, only the id of the key that sealed it.
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
    stripe_credentials,
)
from core.doctor.store import Question, Scope, problem

UNREAPED_FOR = timedelta(hours=1)
_OPEN = ("pending", "failed", "needs_review", "held_for_review")
"""Statuses of a payment whose call has no answer to keep: it may still come, or be tried again."""


def records_without_their_payment(scope: Scope) -> Select[Any]:
    """Idempotency records that say something else of their payment than the payment does."""
    record = idempotency_records
    return (
        select(
            record.c.business_id,
            record.c.key,
            record.c.payment_id,
            problem(
                (payments.c.payment_id.is_(None), "its payment does not exist"),
                (
                    and_(record.c.sealed_answer.is_(None), payments.c.status.not_in(_OPEN)),
                    "has no answer, though its payment has an outcome",
                ),
                (
                    and_(record.c.sealed_answer.is_not(None), payments.c.status == "pending"),
                    "has an answer, though its payment has no outcome",
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
        .where(
            scope.holds(record.c.business_id, record.c.key),
            record.c.payment_id.is_not(None),
        )
    )


def payments_without_their_record(scope: Scope) -> Select[Any]:
    """Payments with an idempotency key whose record is gone too early, or is another payment's.

    A record that was made after the payment is of a later call with the same key. One payment
    follows another under the same record only where the first failed without a charge.
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
            scope.holds(payments.c.business_id, payments.c.payment_id),
            payments.c.idempotency_key.is_not(None),
        )
    )


def records_nobody_reaped(scope: Scope) -> Select[Any]:
    """Idempotency records whose time has been over for an hour, and that are still there."""
    record = idempotency_records
    over = record.c.expires_at < scope.now - UNREAPED_FOR
    return select(
        record.c.business_id,
        record.c.key,
        record.c.expires_at,
        problem((over, "expired and is still there")),
    ).where(over, or_(record.c.sealed_answer.is_not(None), record.c.payment_id.is_(None)))


def cards_without_customer(scope: Scope) -> Select[Any]:
    """Cards of users whom their gateway does not know as a customer."""
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
        .where(scope.holds(cards.c.business_id, cards.c.card_id))
    )


def rows_without_parent(scope: Scope, constraint: ForeignKeyConstraint) -> Select[Any]:
    """Rows of a table whose row in another table, which they belong to, does not exist."""
    child, parent = constraint.table, constraint.referred_table
    key = tuple(child.primary_key.columns)
    pairs = [(element.parent, element.column) for element in constraint.elements]
    belongs = [mine == theirs for mine, theirs in pairs]
    if tuple(mine for mine, _ in pairs) == key[:2]:
        # Said again of the other side, or PostgreSQL reads all of it for each piece.
        belongs.append(scope.holds(*(theirs for _, theirs in pairs)))
    return (
        select(
            *key,
            literal(child.name).label("table"),
            problem((pairs[0][1].is_(None), f"its row in {parent.name} does not exist")),
        )
        .outerjoin(parent, and_(*belongs))
        .where(scope.holds(*key[:2]))
    )


def parent_questions() -> tuple[Question, ...]:
    """Return the question about the rows' parents, for every foreign key of the schema."""
    return tuple(
        Question(partial(rows_without_parent, constraint=constraint), walks=table)
        for table in metadata.sorted_tables
        for constraint in sorted(table.foreign_key_constraints, key=lambda each: str(each.name))
    )


def credentials_of_other_keys(scope: Scope) -> Select[Any]:
    """Stripe keys that are sealed with a key which the keyring does not hold."""
    table = stripe_credentials
    return select(
        table.c.business_id,
        table.c.env,
        literal(table.name).label("table"),
        _sealed_by_others(scope, table.c.sealed_secret_key, table.c.sealed_webhook_secret),
    ).where(scope.holds(table.c.business_id, table.c.env))


def authorize_credentials_of_other_keys(scope: Scope) -> Select[Any]:
    """Authorize.Net keys that are sealed with a key which the keyring does not hold."""
    table = authorize_credentials
    return select(
        table.c.business_id,
        table.c.env,
        literal(table.name).label("table"),
        _sealed_by_others(scope, table.c.sealed_transaction_key, table.c.sealed_signature_key),
    ).where(scope.holds(table.c.business_id, table.c.env))


def records_of_other_keys(scope: Scope) -> Select[Any]:
    """Idempotency records that the keyring can neither open nor compare requests with."""
    table = idempotency_records
    return select(
        table.c.business_id,
        table.c.key,
        literal(table.name).label("table"),
        problem(
            (_is_sealed_by_another(scope, table.c.sealed_answer), _OTHER_KEY),
            (
                and_(
                    table.c.key.startswith("key:"), table.c.fingerprint_key_id.not_in(_ids(scope))
                ),
                "its fingerprint was made with a key that the keyring does not hold",
            ),
        ),
    ).where(scope.holds(table.c.business_id, table.c.key))


def canaries_of_other_keys(scope: Scope) -> Select[Any]:
    """Keys that the database was once served with and that the keyring does not hold."""
    table = keyring_canaries
    return select(
        table.c.business_id,
        table.c.key_id,
        literal(table.name).label("table"),
        problem((table.c.key_id.not_in(_ids(scope)), "the keyring does not hold this key")),
    ).where(scope.holds(table.c.business_id, table.c.key_id))


_OTHER_KEY = "is sealed with a key that the keyring does not hold"


def _ids(scope: Scope) -> list[str]:
    return sorted(scope.key_ids)


def _sealed_by_others(scope: Scope, *columns: Column[Any]) -> ColumnElement[Any]:
    return problem(
        *(
            (_is_sealed_by_another(scope, column), f"{column.name} {_OTHER_KEY}")
            for column in columns
        )
    )


def _is_sealed_by_another(scope: Scope, sealed: Column[Any]) -> ColumnElement[bool]:
    """Compare what comes before the ciphertext, `v1:<id>:`, with what each key writes there."""
    ours = (f"v1:{key_id}:" for key_id in _ids(scope))
    by_ours = or_(*(func.substr(sealed, 1, len(start)) == start for start in ours))
    return and_(sealed.is_not(None), case((by_ours, 0), else_=1) == 1)
