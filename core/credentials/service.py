"""Stores gateway credentials with their secrets sealed, and opens them for the gateways only."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from core.business import store as business_store
from core.business.known_callers import KnownCallers
from core.caller import Caller
from core.credentials import rules, store
from core.credentials.webhook_secrets import SecretsKey, WebhookSecrets, WebhookSecretsCache
from core.database.transactions import Database, Transaction
from core.errors import InvalidFields, Reason, Refusal
from core.gateways.gateway import Account
from core.idempotency import store as idempotency_store
from core.ids import ADMIN_BUSINESS_ID
from core.security.keyring import Keyring, SealBrokenError, sealed_prefixes, sealing_key_id
from core.security.secrets import Secret

logger = logging.getLogger("core")

GATEWAY_NAMES = {"stripe": "Stripe", "authorize": "Authorize.Net"}

# Column of each field of a request; the sealed ones hold secrets.
_SEALED_COLUMNS = {
    "stripe": {
        "stripe_secret_key": "sealed_secret_key",
        "stripe_webhook_secret": "sealed_webhook_secret",
    },
    "authorize": {
        "transaction_key": "sealed_transaction_key",
        "signature_key": "sealed_signature_key",
    },
}
_PLAIN_COLUMNS = {
    "stripe": {"stripe_public_key": "public_key", "account_id": "account_id"},
    "authorize": {"api_login_id": "api_login_id"},
}
_WEBHOOK_SECRETS = {"stripe": "stripe_webhook_secret", "authorize": "signature_key"}


class CredentialsService:
    """The use cases of CredentialsService and KeysService."""

    def __init__(self, database: Database, keyring: Keyring, known_callers: KnownCallers) -> None:
        """Store credentials in `database`, with secrets sealed under `keyring`.

        Those of `known_callers` are forgotten whose default environment changes.
        """
        self._database = database
        self._known_callers = known_callers
        self._keyring = keyring
        self.webhook_secrets = WebhookSecretsCache(self._read_webhook_secrets, database.now)
        """The secrets that verify webhooks."""

    async def add(self, caller: Caller, gateway: str, env: str, keys: Mapping[str, str]) -> None:
        """Store credentials. LIVE credentials make LIVE the business's default environment.

        Raises:
            InvalidFields: a key belongs to the other environment.
            Refusal: CREDENTIALS_EXIST.
        """
        rules.check_stripe_keys_fit_env(env, keys)
        async with self._database.transaction() as transaction:
            self._forget_webhook_secrets(transaction, caller.business_id, gateway)
            if not await store.insert_credentials(
                transaction,
                business_id=caller.business_id,
                gateway=gateway,
                env=env,
                columns=self._columns(caller.business_id, gateway, env, keys),
            ):
                raise Refusal(
                    Reason.ERROR_REASON_CREDENTIALS_EXIST,
                    f"{GATEWAY_NAMES[gateway]} {env} credentials exist; modify them instead",
                )
            if env == "LIVE":
                self._known_callers.forget_at_end(transaction, caller.business_id)
                await business_store.set_default_env(transaction, caller.business_id, "LIVE")

    async def modify(
        self, caller: Caller, gateway: str, env: str, keys: Mapping[str, str | None]
    ) -> None:
        """Change the given keys; None clears an optional one.

        Raises:
            InvalidFields: nothing to change, or a key belongs to the other environment.
            Refusal: CREDENTIALS_NOT_FOUND.
        """
        if not keys:
            raise InvalidFields.of("credentials", "must hold at least one key besides env")
        rules.check_stripe_keys_fit_env(env, keys)
        async with self._database.transaction() as transaction:
            self._forget_webhook_secrets(transaction, caller.business_id, gateway)
            if not await store.update_credentials(
                transaction,
                business_id=caller.business_id,
                gateway=gateway,
                env=env,
                columns=self._columns(caller.business_id, gateway, env, keys),
            ):
                raise credentials_not_found(gateway, env)

    async def stripe_public_key(self, caller: Caller, env: str) -> str:
        """Return the publishable key.

        Raises:
            Refusal: CREDENTIALS_MISSING.
        """
        async with self._database.read() as transaction:
            stored = await store.stripe_credentials_of(
                transaction, business_id=caller.business_id, env=env
            )
        if stored is None:
            raise credentials_missing("stripe", env)
        return stored.public_key

    async def account(
        self, transaction: Transaction, business_id: str, gateway: str, env: str
    ) -> Account:
        """Return the business's account at a gateway, with its secret in plain text.

        Raises:
            Refusal: CREDENTIALS_MISSING.
            InvalidFields: the stored transaction key is too long for Authorize.Net.
        """
        read = (
            store.authorize_credentials_of
            if gateway == "authorize"
            else store.stripe_credentials_of
        )
        stored = await read(transaction, business_id=business_id, env=env)
        return self.account_of(stored, business_id, gateway, env)

    def account_of(
        self,
        stored: store.StripeCredentials | store.AuthorizeCredentials | None,
        business_id: str,
        gateway: str,
        env: str,
    ) -> Account:
        """Return the account of stored credentials, with its secret in plain text.

        Raises:
            Refusal, InvalidFields: as `account` does; None are missing.
        """
        match stored:
            case store.StripeCredentials():
                secret_key = self._opened(
                    stored.sealed_secret_key, business_id, gateway, env, "stripe_secret_key"
                )
                return Account(env, secret_key, stored.account_id)
            case store.AuthorizeCredentials():
                transaction_key = self._opened(
                    stored.sealed_transaction_key, business_id, gateway, env, "transaction_key"
                )
                rules.check_transaction_key_length(transaction_key)
                return Account(env, transaction_key, login_id=stored.api_login_id)
            case None:
                raise credentials_missing(gateway, env)

    async def _read_webhook_secrets(self, keys: Sequence[SecretsKey]) -> list[WebhookSecrets]:
        """Read the webhook secrets of many businesses in one transaction."""
        sealed: dict[SecretsKey, list[tuple[str, str]]] = {key: [] for key in keys}
        async with self._database.read() as transaction:
            for gateway in {key.gateway for key in keys}:
                rows = await store.sealed_column(
                    transaction,
                    business_ids={key.business_id for key in keys if key.gateway == gateway},
                    gateway=gateway,
                    column=_SEALED_COLUMNS[gateway][_WEBHOOK_SECRETS[gateway]],
                )
                for business_id, env, secret in rows:
                    sealed[SecretsKey(business_id, gateway)].append((env, secret))
        return [self._opened_webhook_secrets(key, sealed[key], transaction.now) for key in keys]

    def _opened_webhook_secrets(
        self, key: SecretsKey, sealed: Sequence[tuple[str, str]], read_at: datetime
    ) -> WebhookSecrets:
        """Return the secrets that open, and which do not: one of them must not stop the others."""
        name = _WEBHOOK_SECRETS[key.gateway]
        by_env: list[tuple[str, Secret]] = []
        unreadable: list[tuple[str, str]] = []
        for env, text in sealed:
            try:
                secret = self._opened(text, key.business_id, key.gateway, env, name)
            except SealBrokenError as error:
                unreadable.append((env, str(error)))
            else:
                by_env.append((env, Secret(secret)))
        return WebhookSecrets(read_at, tuple(by_env), tuple(unreadable))

    def _forget_webhook_secrets(
        self, transaction: Transaction, business_id: str, gateway: str
    ) -> None:
        """Drop the secrets from memory when the transaction that changes them has ended."""
        key = SecretsKey(business_id, gateway)
        transaction.at_end.append(partial(self.webhook_secrets.forget, key))

    def _columns(
        self, business_id: str, gateway: str, env: str, keys: Mapping[str, str | None]
    ) -> dict[str, str | None]:
        """Return the columns that store the keys, with secrets sealed."""
        columns: dict[str, str | None] = {}
        for name, key in keys.items():
            sealed_column = _SEALED_COLUMNS[gateway].get(name)
            if sealed_column is None:
                columns[_PLAIN_COLUMNS[gateway][name]] = key
            else:
                columns[sealed_column] = key and self._keyring.seal(
                    key,
                    business_id=business_id,
                    purpose=store.purpose_of(gateway, sealed_column, env),
                )
        return columns

    def _opened(self, sealed: str, business_id: str, gateway: str, env: str, name: str) -> str:
        purpose = store.purpose_of(gateway, _SEALED_COLUMNS[gateway][name], env)
        return self._keyring.open(sealed, business_id=business_id, purpose=purpose)


def credentials_missing(gateway: str, env: str) -> Refusal:
    """Return the refusal of a call to a gateway without stored credentials."""
    return Refusal(
        Reason.ERROR_REASON_CREDENTIALS_MISSING,
        f"No {GATEWAY_NAMES[gateway]} {env} credentials are stored; add them first",
    )


def credentials_not_found(gateway: str, env: str) -> Refusal:
    """Return the refusal of a change of credentials that are not stored."""
    return Refusal(
        Reason.ERROR_REASON_CREDENTIALS_NOT_FOUND,
        f"No {GATEWAY_NAMES[gateway]} {env} credentials are stored; add them first",
    )


async def check_keyring(database: Database, keyring: Keyring) -> None:
    """Open the canary of each key that sealed data here; seal one with a new primary key.

    A key that the keyring no longer holds is forgotten if nothing is sealed with it. Another core
    may go on to seal with a key that was forgotten, so the newest secrets are looked at, too. A
    keyring that holds none of the known keys belongs to another database.

    Raises:
        ValueError: a key differs from the one that sealed, or is missing and still needed.
    """
    async with database.transaction("credentials.check_keyring") as transaction:
        known = await store.canaries(transaction)
        missing = known.keys() - keyring.keys.keys()
        for key_id in known.keys() - missing:
            try:
                keyring.open(
                    known[key_id], business_id=ADMIN_BUSINESS_ID, purpose=store.CANARY_PURPOSE
                )
            except SealBrokenError:
                raise _wrong_keyring(key_id) from None
            if sealing_key_id(known[key_id]) != key_id:  # it is another key's canary
                raise _wrong_keyring(key_id)
        if known and missing == known.keys():
            raise _wrong_keyring(min(missing))
        if keyring.primary_id not in known:
            sealed = keyring.seal(
                "canary", business_id=ADMIN_BUSINESS_ID, purpose=store.CANARY_PURPOSE
            )
            await store.insert_canary(transaction, keyring.primary_id, sealed)
    for key_id in sorted(missing):
        await _forget_key(database, key_id)
    async with database.snapshot() as transaction:
        found = await store.newest_sealed_besides(transaction, keyring.keys.keys())
    if found is not None:
        raise _wrong_keyring(sealing_key_id(found))


async def _forget_key(database: Database, key_id: str) -> None:
    """Delete the canary of a key that sealed nothing else.

    Raises:
        ValueError: something is sealed with the key.
    """
    async with database.snapshot() as transaction:  # it may read for longer than a transaction
        if await store.are_sealed(
            transaction, sealed_prefixes(key_id)
        ) or await idempotency_store.uses_key(transaction, key_id):
            raise _wrong_keyring(key_id)
    async with database.transaction() as transaction:
        await store.delete_canary(transaction, key_id)
    logger.info("unused key forgotten", extra={"key_id": key_id})


def _wrong_keyring(key_id: str) -> ValueError:
    return ValueError(
        f"NIVISCO_SECRET_KEYS: the database is sealed with key {key_id!r}, which this keyring does "
        "not hold; start with the keyring that the database was made with"
    )
