"""SQL of one payment with all that is stored about it."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, select

from core.cards.store import Card
from core.database.schema import cards, payments
from core.database.transactions import Transaction
from core.payments.store import COLUMNS, Payment, payment_of


@dataclass(frozen=True, slots=True)
class FoundPayment:
    """A payment, when it had its first outcomes, and its card."""

    payment: Payment
    first_outcome: str | None
    first_outcome_at: datetime | None
    succeeded_at: datetime | None
    card: Card | None
    """The card as it is now; None if it is not saved any more."""


_TIMES = (payments.c.first_outcome, payments.c.first_outcome_at, payments.c.succeeded_at)
_CARD = tuple(cards.c[each.name].label(f"card_{each.name}") for each in fields(Card))
_FIND = (
    select(*COLUMNS, *_TIMES, *_CARD)
    .select_from(payments)
    .outerjoin(
        cards,
        and_(
            cards.c.business_id == payments.c.business_id,
            cards.c.env == payments.c.env,
            cards.c.gateway == payments.c.gateway,
            cards.c.gateway_card_id == payments.c.gateway_card_id,
        ),
    )
    .where(payments.c.business_id == bindparam("of_business"))
)
_BY_ID = _FIND.where(payments.c.payment_id == bindparam("of_payment"))
_BY_TRANSACTION = (
    _FIND.where(
        payments.c.transaction_id == bindparam("of_transaction"),
        payments.c.env == bindparam("of_env"),
    )
    .order_by(payments.c.created_at.desc(), payments.c.payment_id.desc())
    .limit(1)
)


async def payment_by_id(
    transaction: Transaction, *, business_id: str, payment_id: str
) -> FoundPayment | None:
    """Return the business's payment, or None."""
    rows = await transaction.connection.execute(
        _BY_ID, {"of_business": business_id, "of_payment": payment_id}
    )
    row = rows.one_or_none()
    return None if row is None else _found(tuple(row))


async def payment_by_transaction(
    transaction: Transaction, *, business_id: str, env: str, transaction_id: str
) -> FoundPayment | None:
    """Return the business's newest payment of an environment with this id of the gateway's."""
    rows = await transaction.connection.execute(
        _BY_TRANSACTION,
        {"of_business": business_id, "of_transaction": transaction_id, "of_env": env},
    )
    row = rows.one_or_none()
    return None if row is None else _found(tuple(row))


def _found(row: tuple[Any, ...]) -> FoundPayment:
    payment, rest = row[: len(COLUMNS)], row[len(COLUMNS) :]
    first_outcome, first_outcome_at, succeeded_at, *card = rest
    return FoundPayment(
        payment_of(payment),
        first_outcome,
        first_outcome_at,
        succeeded_at,
        None if card[0] is None else Card(*card),
    )
