"""SQL of the pairs of metadata by which lists find resources."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, delete

from core.database.bulk_sql import BulkInsert
from core.database.schema import metadata_pairs
from core.database.transactions import Transaction
from core.metadata import Kind, digests_of

_INSERT = BulkInsert(metadata_pairs)
_DELETE = delete(metadata_pairs).where(
    metadata_pairs.c.business_id == bindparam("of_business"),
    metadata_pairs.c.digest.in_(bindparam("digests", expanding=True)),
    metadata_pairs.c.created_at == bindparam("created", type_=metadata_pairs.c.created_at.type),
    metadata_pairs.c.resource_id == bindparam("of_resource"),
)


async def insert_pairs(
    transaction: Transaction,
    kind: Kind,
    *,
    business_id: str,
    env: str | None,
    resource_id: str,
    created_at: datetime,
    metadata: str | None,
) -> None:
    """Store the pairs of a resource that the transaction creates. Without pairs nothing is sent."""
    digests = digests_of(kind, env, metadata)
    if digests:
        await _INSERT.execute(
            transaction.connection,
            [
                {
                    "business_id": business_id,
                    "digest": digest,
                    "created_at": created_at,
                    "resource_id": resource_id,
                }
                for digest in digests
            ],
        )


async def replace_pairs(
    transaction: Transaction,
    kind: Kind,
    *,
    business_id: str,
    env: str | None,
    resource_id: str,
    created_at: datetime,
    old: str | None,
    new: str | None,
) -> None:
    """Store other pairs of a resource, whose row is locked. Without any, nothing is sent."""
    await _delete(transaction, digests_of(kind, env, old), business_id, resource_id, created_at)
    await insert_pairs(
        transaction,
        kind,
        business_id=business_id,
        env=env,
        resource_id=resource_id,
        created_at=created_at,
        metadata=new,
    )


async def _delete(
    transaction: Transaction,
    digests: Sequence[str],
    business_id: str,
    resource_id: str,
    created_at: datetime,
) -> None:
    if digests:
        await transaction.connection.execute(
            _DELETE,
            {
                "of_business": business_id,
                "digests": digests,
                "created": created_at,
                "of_resource": resource_id,
            },
        )
