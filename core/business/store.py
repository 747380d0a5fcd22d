"""SQL of businesses."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update

from core.database.schema import businesses
from core.database.transactions import Database, Transaction
from core.dunning import DEFAULT, Dunning
from core.limits import BusinessLimits


@dataclass(frozen=True, slots=True)
class Business:
    """A business as stored."""

    business_id: str
    name: str
    email: str
    domain: str
    active: bool
    api_key_hash: str = field(repr=False)
    default_env: str
    settle_receivables: bool
    created_at: datetime
    updated_at: datetime
    retry_days: str | None = None
    max_failed_cycles: int | None = None
    suspended_at: datetime | None = None
    requests_per_second: int | None = None
    gateway_requests: int | None = None

    @property
    def limits(self) -> BusinessLimits:
        """The limits that an operator gave this business."""
        return BusinessLimits(self.requests_per_second, self.gateway_requests)

    @property
    def dunning(self) -> Dunning:
        """How jobs follow up a cycle that was not charged, where they do not say themselves."""
        return DEFAULT.changed_by(self.retry_days, self.max_failed_cycles)


_COLUMNS = tuple(businesses.c[each.name] for each in fields(Business))
_BY_ID = select(*_COLUMNS).where(businesses.c.business_id == bindparam("business_id"))


async def business_by_id(reader: Database | Transaction, business_id: str) -> Business | None:
    """Return the business, or None. Read in a transaction, or without one."""
    row = await reader.find(_BY_ID, business_id=business_id)
    return Business(*row) if row else None


async def insert_business(
    transaction: Transaction,
    *,
    business_id: str,
    name: str,
    email: str,
    domain: str,
    api_key_hash: str,
    api_key_last4: str | None = None,
) -> Business:
    """Store a new, active business whose default environment is TEST."""
    business = Business(
        business_id=business_id,
        name=name,
        email=email,
        domain=domain,
        active=True,
        api_key_hash=api_key_hash,
        default_env="TEST",
        settle_receivables=False,
        created_at=transaction.now,
        updated_at=transaction.now,
    )
    await transaction.connection.execute(
        insert(businesses).values(
            **asdict(business),
            api_key_last4=api_key_last4,
            api_key_created_at=transaction.now,
        )
    )
    return business


async def update_profile(
    transaction: Transaction, business_id: str, updates: Mapping[str, Any]
) -> Business:
    """Set the columns in `updates` and return the business."""
    result = await transaction.connection.execute(
        update(businesses)
        .where(businesses.c.business_id == business_id)
        .values(**updates, updated_at=transaction.now)
        .returning(*_COLUMNS)
    )
    return Business(*result.one())


async def replace_api_key(
    transaction: Transaction, business_id: str, *, api_key_hash: str, last4: str
) -> None:
    """Store another default API key. The previous one stops working with the commit."""
    await transaction.connection.execute(
        update(businesses)
        .where(businesses.c.business_id == business_id)
        .values(
            api_key_hash=api_key_hash,
            api_key_last4=last4,
            api_key_created_at=transaction.now,
            api_key_used_at=None,
            updated_at=transaction.now,
        )
    )


async def set_default_env(transaction: Transaction, business_id: str, env: str) -> None:
    """Store the default environment of the business's requests."""
    await transaction.connection.execute(
        update(businesses)
        .where(businesses.c.business_id == business_id)
        .values(default_env=env, updated_at=transaction.now)
    )


async def set_limits(
    transaction: Transaction, business_id: str, changed: Mapping[str, int | None]
) -> Business | None:
    """Change limits of a business by their names, and return it; None: there is no such business.

    None restores the core's default.
    """
    result = await transaction.connection.execute(
        update(businesses)
        .where(businesses.c.business_id == business_id)
        .values(**changed, updated_at=transaction.now)
        .returning(*_COLUMNS)
    )
    row = result.one_or_none()
    return Business(*row) if row else None


async def set_suspended(
    transaction: Transaction, business_id: str, reason: str | None
) -> Business | None:
    """Suspend a business for a reason, or end that; return it, None if there is no such business.

    The time of a suspension is that of its first reason.
    """
    since = func.coalesce(businesses.c.suspended_at, transaction.now)
    result = await transaction.connection.execute(
        update(businesses)
        .where(businesses.c.business_id == business_id)
        .values(
            suspended_at=None if reason is None else since,
            suspended_reason=reason,
            updated_at=transaction.now,
        )
        .returning(*_COLUMNS)
    )
    row = result.one_or_none()
    return Business(*row) if row else None
