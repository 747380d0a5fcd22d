"""SQL of gateway credentials. Secrets are sealed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, delete, exists, func, not_, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.database.schema import (
    SEALED_COLUMNS,
    authorize_credentials,
    bound_to,
    keyring_canaries,
    stripe_credentials,
)
from core.database.transactions import Transaction
from core.ids import ADMIN_BUSINESS_ID
from core.security.keyring import sealed_pattern

_TABLES: Mapping[str, Table] = {
    "stripe": stripe_credentials,
    "authorize": authorize_credentials,
}
CANARY_PURPOSE = bound_to(keyring_canaries.c.sealed)
"""Purpose under which each key of the keyring seals a known word."""
NEWEST_ROWS = 10_000
"""How many of the newest rows are read for a key that the keyring lacks."""
_INSERT: Mapping[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


@dataclass(frozen=True, slots=True)
class StripeCredentials:
    """Stripe credentials as stored."""

    sealed_secret_key: str = field(repr=False)
    public_key: str
    account_id: str | None


def purpose_of(gateway: str, column: str, env: str) -> str:
    """Return the purpose under which a sealed column of credentials is sealed."""
    return bound_to(_TABLES[gateway].c[column], env=env)


async def insert_credentials(
    transaction: Transaction,
    *,
    business_id: str,
    gateway: str,
    env: str,
    columns: Mapping[str, str | None],
) -> bool:
    """Store credentials and return whether the environment had none."""
    result = await transaction.connection.execute(
        _INSERT[transaction.connection.dialect.name](_TABLES[gateway])
        .values(
            business_id=business_id,
            env=env,
            created_at=transaction.now,
            updated_at=transaction.now,
            **columns,
        )
        .on_conflict_do_nothing()
    )
    return result.rowcount == 1


async def update_credentials(
    transaction: Transaction,
    *,
    business_id: str,
    gateway: str,
    env: str,
    columns: Mapping[str, str | None],
) -> bool:
    """Set the given columns and return whether there were credentials to change."""
    table = _TABLES[gateway]
    result = await transaction.connection.execute(
        update(table)
        .where(table.c.business_id == business_id, table.c.env == env)
        .values(updated_at=transaction.now, **columns)
    )
    return result.rowcount == 1


async def stripe_credentials_of(
    transaction: Transaction, *, business_id: str, env: str
) -> StripeCredentials | None:
    """Return the business's Stripe credentials for an environment, or None."""
    table = stripe_credentials
    query = select(table.c.sealed_secret_key, table.c.public_key, table.c.account_id).where(
        table.c.business_id == business_id, table.c.env == env
    )
    row = (await transaction.connection.execute(query)).one_or_none()
    return StripeCredentials(*row) if row else None


async def sealed_column(
    transaction: Transaction, *, business_ids: Collection[str], gateway: str, column: str
) -> list[tuple[str, str, str]]:
    """Return business, environment and sealed secret where there is one, by environment."""
    table = _TABLES[gateway]
    rows = await transaction.connection.execute(
        select(table.c.business_id, table.c.env, table.c[column])
        .where(table.c.business_id.in_(business_ids), table.c[column].is_not(None))
        .order_by(table.c.env)
    )
    return [(row[0], row[1], row[2]) for row in rows]


@dataclass(frozen=True, slots=True)
class AuthorizeCredentials:
    """Authorize.Net credentials as stored."""

    api_login_id: str
    sealed_transaction_key: str = field(repr=False)


async def authorize_credentials_of(
    transaction: Transaction, *, business_id: str, env: str
) -> AuthorizeCredentials | None:
    """Return the business's Authorize.Net credentials for an environment, or None."""
    table = authorize_credentials
    query = select(table.c.api_login_id, table.c.sealed_transaction_key).where(
        table.c.business_id == business_id, table.c.env == env
    )
    row = (await transaction.connection.execute(query)).one_or_none()
    return AuthorizeCredentials(*row) if row else None


async def canaries(transaction: Transaction) -> dict[str, str]:
    """Return the canary that each key of the keyring sealed, by key id."""
    table = keyring_canaries
    rows = await transaction.connection.execute(
        select(table.c.key_id, table.c.sealed).where(table.c.business_id == ADMIN_BUSINESS_ID)
    )
    return {row.key_id: row.sealed for row in rows}


async def insert_canary(transaction: Transaction, key_id: str, sealed: str) -> None:
    """Store the canary that a new key sealed, unless another core just did."""
    await transaction.connection.execute(
        _INSERT[transaction.connection.dialect.name](keyring_canaries)
        .values(business_id=ADMIN_BUSINESS_ID, key_id=key_id, sealed=sealed)
        .on_conflict_do_nothing()
    )


async def delete_canary(transaction: Transaction, key_id: str) -> None:
    """Delete the canary of a key that sealed nothing else."""
    table = keyring_canaries
    await transaction.connection.execute(
        delete(table).where(table.c.business_id == ADMIN_BUSINESS_ID, table.c.key_id == key_id)
    )


async def newest_sealed_besides(transaction: Transaction, key_ids: Collection[str]) -> str | None:
    """Return the beginning of a secret that none of these keys sealed, if one is among the newest.

    Of a table whose rows expire, the NEWEST_ROWS that expire last are read, by the index; others
    have a row for each business and environment, and are read whole.
    """
    for column in SEALED_COLUMNS:
        rows = select(column.label("sealed"))
        if (expires_at := column.table.c.get("expires_at")) is not None:
            rows = rows.order_by(expires_at.desc()).limit(NEWEST_ROWS)
        sealed = rows.subquery().c.sealed
        is_known = or_(*(sealed.like(sealed_pattern(each)) for each in key_ids))
        found = await transaction.connection.scalar(
            select(func.substr(sealed, 1, 80))
            .where(sealed.like(sealed_pattern("%")), not_(is_known))
            .limit(1)
        )
        if found is not None:
            return str(found)
    return None


async def are_sealed(transaction: Transaction, prefixes: Sequence[str]) -> bool:
    """Return whether anything but a canary is sealed with one of these prefixes.

    Reads whole tables.
    """
    found = or_(
        *(
            exists().where(column.startswith(prefix, autoescape=True))
            for column in SEALED_COLUMNS
            for prefix in prefixes
        )
    )
    return bool(await transaction.connection.scalar(select(found)))
