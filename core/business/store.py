"""What the database is asked and told about businesses."""

from collections.abc import Mapping

from sqlalchemy import exists, insert, select, update

from core.database.schema import businesses
from core.database.transactions import Transaction


async def insert_business(
    transaction: Transaction,
    *,
    business_id: str,
    name: str,
    email: str,
    domain: str,
    api_key_hash: str,
) -> None:
    """Store a new, active business whose default environment is TEST."""
    await transaction.connection.execute(
        insert(businesses).values(
            business_id=business_id,
            name=name,
            email=email,
            domain=domain,
            active=True,
            api_key_hash=api_key_hash,
            default_env="TEST",
            created_at=transaction.now,
            updated_at=transaction.now,
        )
    )


async def update_profile(
    transaction: Transaction, business_id: str, updates: Mapping[str, str]
) -> None:
    """Change name or e-mail address, whichever `updates` holds."""
    await transaction.connection.execute(
        update(businesses)
        .where(businesses.c.business_id == business_id)
        .values(**updates, updated_at=transaction.now)
    )


async def replace_api_key(transaction: Transaction, business_id: str, api_key_hash: str) -> None:
    """Store the hash of a new API key; the old key opens nothing from the commit on."""
    await transaction.connection.execute(
        update(businesses)
        .where(businesses.c.business_id == business_id)
        .values(api_key_hash=api_key_hash, updated_at=transaction.now)
    )


async def exchange_api_key(
    transaction: Transaction, business_id: str, *, presented_hash: str, api_key_hash: str
) -> bool:
    """Replace the API key whose hash is `presented_hash`; tell whether it was still the key."""
    result = await transaction.connection.execute(
        update(businesses)
        .where(businesses.c.business_id == business_id, businesses.c.api_key_hash == presented_hash)
        .values(api_key_hash=api_key_hash, updated_at=transaction.now)
    )
    return result.rowcount == 1


async def set_default_env(transaction: Transaction, business_id: str, env: str) -> None:
    """Store the environment that the business's actions mean where they name none."""
    await transaction.connection.execute(
        update(businesses)
        .where(businesses.c.business_id == business_id)
        .values(default_env=env, updated_at=transaction.now)
    )


async def business_exists(transaction: Transaction, business_id: str) -> bool:
    """Tell whether there is a business of that id."""
    query = select(exists().where(businesses.c.business_id == business_id))
    return bool((await transaction.connection.execute(query)).scalar_one())
