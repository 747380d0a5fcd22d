"""The questions that authentication asks the database."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select

from core.database import Transaction
from core.schema import businesses


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


async def business_by_id(transaction: Transaction, business_id: str) -> Business | None:
    """Return the business, or None where there is none of that id."""
    query = select(
        businesses.c.business_id,
        businesses.c.name,
        businesses.c.email,
        businesses.c.domain,
        businesses.c.active,
        businesses.c.api_key_hash,
        businesses.c.default_env,
        businesses.c.created_at,
    ).where(businesses.c.business_id == business_id)
    row = (await transaction.connection.execute(query)).one_or_none()
    return Business(*row) if row else None
