"""Makes sure, before serving, that the keyring opens what the database holds."""

from core.credentials import store
from core.database import Database
from core.ids import ADMIN_BUSINESS_ID
from core.secrets import Keyring, SealBrokenError

_PURPOSE = "canary"


async def check_keyring(database: Database, keyring: Keyring) -> None:
    """Open the word that each known key has sealed, and leave one for a new primary key.

    Raises:
        ValueError: a key of the database is not in the keyring, or is another than before.
    """
    async with database.transaction() as transaction:
        known = await store.canaries(transaction)
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
            await store.insert_canary(transaction, keyring.primary_id, sealed)
