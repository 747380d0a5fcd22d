"""The questions that authentication asks the database."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import bindparam, select

from core.database.schema import businesses
from core.database.transactions import Transaction


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
    created_at: datetime


_COLUMNS = (
    businesses.c.business_id,
    businesses.c.name,
    businesses.c.email,
    businesses.c.domain,
    businesses.c.active,
    businesses.c.api_key_hash,
    businesses.c.default_env,
    businesses.c.created_at,
)
_BY_ID = select(*_COLUMNS).where(businesses.c.business_id.in_(bindparam("ids", expanding=True)))


async def business_by_id(transaction: Transaction, business_id: str) -> Business | None:
    """Return the business, or None where there is none of that id."""
    return (await businesses_by_id(transaction, [business_id])).get(business_id)


async def businesses_by_id(
    transaction: Transaction, business_ids: Collection[str]
) -> dict[str, Business]:
    """Return the businesses that there are of these ids."""
    rows = await transaction.connection.execute(_BY_ID, {"ids": sorted(business_ids)})
    return {row.business_id: Business(*row) for row in rows}
