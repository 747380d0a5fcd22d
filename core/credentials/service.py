"""Stores gateway keys sealed, and opens them for the gateways only."""

from collections.abc import Mapping

from core.business import store as business_store
from core.caller import Caller
from core.credentials import rules, store
from core.database.transactions import Database, Transaction
from core.errors import InvalidFields, Reason, Refusal
from core.gateways.gateway import Account
from core.ids import ADMIN_BUSINESS_ID
from core.security.keyring import Keyring, SealBrokenError

GATEWAY_NAMES = {"stripe": "Stripe", "authorize": "Authorize.Net"}

_SEALED_COLUMNS = {
    # What the request calls a secret, and the column that holds it sealed.
    "stripe": {
        "stripe_secret_key": "sealed_secret_key",
        "stripe_webhook_secret": "sealed_webhook_secret",
    },
    "authorize": {
        "transaction_key": "sealed_transaction_key",
        "signature_key": "sealed_signature_key",
    },
}
_WEBHOOK_SECRETS = {"stripe": "stripe_webhook_secret", "authorize": "signature_key"}
_OPEN_COLUMNS = {
    "stripe": {"stripe_public_key": "public_key", "account_id": "account_id"},
    "authorize": {"api_login_id": "api_login_id"},
}

_CANARY = "canary"
"""The purpose that each key of the keyring seals a known word for."""


class CredentialsService:
    """The use cases of CredentialsService and KeysService."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        """Keep keys in `database`, sealed under `keyring`."""
        self._database = database
        self._keyring = keyring

    async def add(
        self, caller: Caller, gateway: str, env: str, keys: Mapping[str, str | None]
    ) -> None:
        """Store the keys of a gateway. LIVE keys make LIVE the business's default environment.

        Raises:
            InvalidFields: a key is of the other environment.
            Refusal: CREDENTIALS_EXIST.
        """
        rules.check_stripe_keys_fit_env(env, keys)
        async with self._database.transaction() as transaction:
            if await store.credentials_exist(
                transaction, business_id=caller.business_id, gateway=gateway, env=env
            ):
                raise Refusal(
                    Reason.ERROR_REASON_CREDENTIALS_EXIST,
                    f"{GATEWAY_NAMES[gateway]} {env} credentials exist; modify them instead",
                )
            await store.insert_credentials(
                transaction,
                business_id=caller.business_id,
                gateway=gateway,
                env=env,
                columns=self._columns(caller.business_id, gateway, env, keys),
            )
            if env == "LIVE":
                await business_store.set_default_env(transaction, caller.business_id, "LIVE")

    async def modify(
        self, caller: Caller, gateway: str, env: str, keys: Mapping[str, str | None]
    ) -> None:
        """Change the keys that are given; the others stay.

        Raises:
            InvalidFields: no key is given, or one is of the other environment.
            Refusal: CREDENTIALS_NOT_FOUND.
        """
        if not any(keys.values()):
            raise InvalidFields.of("credentials", "must hold at least one key besides env")
        rules.check_stripe_keys_fit_env(env, keys)
        async with self._database.transaction() as transaction:
            if not await store.update_credentials(
                transaction,
                business_id=caller.business_id,
                gateway=gateway,
                env=env,
                columns=self._columns(caller.business_id, gateway, env, keys),
            ):
                raise Refusal(
                    Reason.ERROR_REASON_CREDENTIALS_NOT_FOUND,
                    f"No {GATEWAY_NAMES[gateway]} {env} credentials are stored; add them first",
                )

    async def stripe_public_key(self, caller: Caller, env: str) -> str:
        """Return the publishable key.

        Raises:
            Refusal: CREDENTIALS_MISSING.
        """
        async with self._database.transaction() as transaction:
            stored = await store.stripe_credentials_of(
                transaction, business_id=caller.business_id, env=env
            )
        if stored is None:
            raise credentials_missing("stripe", env)
        return stored.public_key

    async def account(
        self, transaction: Transaction, business_id: str, gateway: str, env: str
    ) -> Account:
        """Return the business's keys at a gateway, opened.

        Raises:
            Refusal: CREDENTIALS_MISSING.
            InvalidFields: the keys that are stored cannot be the gateway's.
        """
        if gateway == "authorize":
            return await self._authorize_account(transaction, business_id, env)
        stored = await store.stripe_credentials_of(transaction, business_id=business_id, env=env)
        if stored is None:
            raise credentials_missing(gateway, env)
        secret_key = self._keyring.open(
            stored.sealed_secret_key,
            business_id=business_id,
            purpose=_purpose(gateway, env, "stripe_secret_key"),
        )
        return Account(env, secret_key, stored.account_id)

    async def webhook_secrets(
        self, transaction: Transaction, business_id: str, gateway: str
    ) -> list[tuple[str, str]]:
        """Return environment and secret of each webhook that the business set up at a gateway."""
        name = _WEBHOOK_SECRETS[gateway]
        sealed = await store.sealed_column(
            transaction,
            business_id=business_id,
            gateway=gateway,
            column=_SEALED_COLUMNS[gateway][name],
        )
        return [
            (
                env,
                self._keyring.open(
                    secret, business_id=business_id, purpose=_purpose(gateway, env, name)
                ),
            )
            for env, secret in sealed
        ]

    async def _authorize_account(
        self, transaction: Transaction, business_id: str, env: str
    ) -> Account:
        stored = await store.authorize_credentials_of(transaction, business_id=business_id, env=env)
        if stored is None:
            raise credentials_missing("authorize", env)
        transaction_key = self._keyring.open(
            stored.sealed_transaction_key,
            business_id=business_id,
            purpose=_purpose("authorize", env, "transaction_key"),
        )
        rules.check_transaction_key_can_be_sent(transaction_key)
        return Account(env, transaction_key, login_id=stored.api_login_id)

    def _columns(
        self, business_id: str, gateway: str, env: str, keys: Mapping[str, str | None]
    ) -> dict[str, str | None]:
        columns: dict[str, str | None] = {
            column: value
            for name, column in _OPEN_COLUMNS[gateway].items()
            if (value := keys.get(name))
        }
        for name, column in _SEALED_COLUMNS[gateway].items():
            if value := keys.get(name):
                columns[column] = self._keyring.seal(
                    value, business_id=business_id, purpose=_purpose(gateway, env, name)
                )
        return columns


def _purpose(gateway: str, env: str, name: str) -> str:
    return f"{gateway}/{env}/{name}"


def credentials_missing(gateway: str, env: str) -> Refusal:
    """Make the refusal of a call that needs keys which the business never stored."""
    return Refusal(
        Reason.ERROR_REASON_CREDENTIALS_MISSING,
        f"No {GATEWAY_NAMES[gateway]} {env} credentials are stored; add them first",
    )


async def check_keyring(database: Database, keyring: Keyring) -> None:
    """Open the word that each known key has sealed, and leave one for a new primary key.

    Raises:
        ValueError: a key of the database is not in the keyring, or is another than before.
    """
    async with database.transaction("credentials.check_keyring") as transaction:
        known = await store.canaries(transaction)
        for key_id, sealed in known.items():
            try:
                keyring.open(sealed, business_id=ADMIN_BUSINESS_ID, purpose=_CANARY)
            except SealBrokenError:
                raise ValueError(
                    f"NIVISCO_SECRET_KEYS: the database is sealed with key {key_id!r}, which this "
                    "keyring does not hold; start with the keyring that the database was made with"
                ) from None
        if keyring.primary_id not in known:
            sealed = keyring.seal("canary", business_id=ADMIN_BUSINESS_ID, purpose=_CANARY)
            await store.insert_canary(transaction, keyring.primary_id, sealed)
