"""SQL that begins a charge: all that it needs of a user, in one statement."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Column, String, Table, and_, bindparam, exists, func, select, text

from core.business.stop_store import stops_of_business
from core.cards.store import Card
from core.credentials.store import AuthorizeCredentials, StripeCredentials
from core.database.schema import (
    UtcDateTime,
    authorize_credentials,
    businesses,
    cards,
    payments,
    stripe_credentials,
    users,
    wallets,
)
from core.database.transactions import Transaction
from core.limits import CARD_ATTEMPTS_MAX
from core.payments.decline_rules import RecentAttempt
from core.stops import Stops
from core.users.store import User
from core.wallet.store import Wallet


@dataclass(frozen=True, slots=True)
class Chargeable:
    """A user, and what a charge of theirs in an environment uses; None: there is none."""

    user: User
    wallet: Wallet | None
    card: Card | None
    """The primary card at the gateway of the charge."""
    stripe: StripeCredentials | None
    authorize: AuthorizeCredentials | None
    is_business_suspended: bool
    has_recent_decline: bool
    """Whether a charge of the user at that gateway was declined since the given moment."""
    stops: Stops
    """What operators have stopped for the business."""

    @property
    def is_suspended(self) -> bool:
        """Whether nothing may be charged that was not before."""
        return self.is_business_suspended or self.user.is_suspended


def _columns(table: Table, stored_as: type) -> tuple[Column[Any], ...]:
    return tuple(table.c[each.name] for each in fields(stored_as))


_PARTS = (
    _columns(users, User),
    _columns(wallets, Wallet),
    _columns(cards, Card),
    _columns(stripe_credentials, StripeCredentials),
    _columns(authorize_credentials, AuthorizeCredentials),
)
_ENV = bindparam("env", type_=String)
_GATEWAY = bindparam("gateway", type_=String)
_SINCE = bindparam("since", type_=UtcDateTime)
RECENT_MAX = 2 * CARD_ATTEMPTS_MAX
"""How many attempts of a user are read, the last ones: enough for every limit."""
# Both are ranges of ix_payments_by_user.
_HAS_RECENT_DECLINE = exists().where(
    payments.c.business_id == users.c.business_id,
    payments.c.user_id == users.c.user_id,
    payments.c.env == _ENV,
    payments.c.gateway == func.coalesce(_GATEWAY, users.c.default_gateway, "stripe"),
    payments.c.status == "declined",
    payments.c.created_at > _SINCE,
)
_RECENT_ATTEMPTS = (
    select(payments.c.created_at, payments.c.gateway_card_id, payments.c.status == "declined")
    .where(
        payments.c.business_id == bindparam("business_id"),
        payments.c.user_id == bindparam("user_id"),
        payments.c.env == _ENV,
        payments.c.gateway == _GATEWAY,
        payments.c.status.in_(("declined", "pending")),
        payments.c.created_at > _SINCE,
    )
    .order_by(payments.c.created_at.desc())
    .limit(RECENT_MAX)
)
_CHARGEABLE = (
    select(
        *(column for part in _PARTS for column in part),
        businesses.c.suspended_at,
        _HAS_RECENT_DECLINE,
        stops_of_business(),
    )
    .join_from(users, businesses, businesses.c.business_id == users.c.business_id)
    .outerjoin(
        wallets,
        and_(
            wallets.c.business_id == users.c.business_id,
            wallets.c.user_id == users.c.user_id,
            wallets.c.env == _ENV,
        ),
    )
    .outerjoin(
        cards,
        and_(
            cards.c.business_id == users.c.business_id,
            cards.c.user_id == users.c.user_id,
            cards.c.env == _ENV,
            cards.c.gateway == func.coalesce(_GATEWAY, users.c.default_gateway),
            text("cards.is_primary"),  # as the index uq_cards_one_primary has it
        ),
    )
    .outerjoin(
        stripe_credentials,
        and_(
            stripe_credentials.c.business_id == users.c.business_id,
            stripe_credentials.c.env == _ENV,
        ),
    )
    .outerjoin(
        authorize_credentials,
        and_(
            authorize_credentials.c.business_id == users.c.business_id,
            authorize_credentials.c.env == _ENV,
        ),
    )
    .where(users.c.business_id == bindparam("business_id"), users.c.user_id == bindparam("user_id"))
)
_LOCK = _CHARGEABLE.with_for_update(of=users, key_share=True)
_LOCK_IF_FREE = _CHARGEABLE.with_for_update(of=users, key_share=True, skip_locked=True)


async def lock_chargeable(
    transaction: Transaction,
    *,
    business_id: str,
    user_id: str,
    env: str,
    gateway: str | None,
    declined_since: datetime,
) -> Chargeable | None:
    """Return a user with what a charge uses, and lock the user until the transaction ends.

    `gateway` None stands for the user's default. All is as of the last statement's begin: what
    commits while that one runs may be missing.
    """
    wanted = {
        "business_id": business_id,
        "user_id": user_id,
        "env": env,
        "gateway": gateway,
        "since": declined_since,
    }
    execute = transaction.connection.execute
    row = (await execute(_LOCK_IF_FREE, wanted)).one_or_none()
    if row is None and (await execute(_LOCK, wanted)).one_or_none() is not None:
        # It waited for the lock, and read all but the user as it was before.
        row = (await execute(_LOCK, wanted)).one()
    if row is None:
        return None
    values = iter(row)
    user, wallet, card, stripe, authorize = ([next(values) for _ in part] for part in _PARTS)
    return Chargeable(
        User(*user),
        Wallet(*wallet) if wallet[0] is not None else None,
        Card(*card) if card[0] is not None else None,
        StripeCredentials(*stripe) if stripe[0] is not None else None,
        AuthorizeCredentials(*authorize) if authorize[0] is not None else None,
        is_business_suspended=next(values) is not None,
        has_recent_decline=bool(next(values)),
        stops=Stops.of(next(values)),
    )


async def recent_attempts(
    transaction: Transaction,
    *,
    business_id: str,
    user_id: str,
    env: str,
    gateway: str,
    since: datetime,
) -> Sequence[RecentAttempt]:
    """Return a user's charges that were declined or have no outcome, newest first."""
    rows = await transaction.connection.execute(
        _RECENT_ATTEMPTS,
        {
            "business_id": business_id,
            "user_id": user_id,
            "env": env,
            "gateway": gateway,
            "since": since,
        },
    )
    return [RecentAttempt(row[0], row[1], bool(row[2])) for row in rows]
