"""Makes sure, before serving, that the keyring opens what the database holds."""

from sqlalchemy import insert, select

from core.database import Database
from core.ids import ADMIN_BUSINESS_ID
from core.schema import keyring_canaries
from core.secrets import Keyring, SealBrokenError

_PURPOSE = "canary"


async def check_keyring(database: Database, keyring: Keyring) -> None:
    """Open the word that each known key has sealed, and leave one for a new key.

    Raises:
        ValueError: a key of the database is not in the keyring, or is another than before.
    """
    table = keyring_canaries
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(table.c.key_id, table.c.sealed).where(table.c.business_id == ADMIN_BUSINESS_ID)
        )
        known = {row.key_id: row.sealed for row in rows}
        for key_id, sealed in known.items():
            try:
                keyring.open(sealed, business_id=ADMIN_BUSINESS_ID, purpose=_PURPOSE)
            except SealBrokenError:
                raise ValueError(
                    f"NIVISCO_SECRET_KEYS: the database is sealed with key {key_id!r}, which this "
                    "keyring does not hold; start with the keyring that the database was made with"
                ) from None
        if keyring.primary_id not in known:
            sealed = keyring.seal("canary", business_id=ADMIN_BUSINESS_ID, purpose=_PURPOSE)
            await transaction.connection.execute(
                insert(table).values(
                    business_id=ADMIN_BUSINESS_ID, key_id=keyring.primary_id, sealed=sealed
                )
            )
