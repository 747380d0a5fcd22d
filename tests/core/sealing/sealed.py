"""Two businesses with something in every sealed column, and what opens it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import Column, insert

from core.audit import store as audit_store
from core.audit.sequencer import opened_key
from core.business.known_callers import KnownCallers
from core.caller import Caller
from core.credentials.service import CredentialsService, check_keyring
from core.credentials.webhook_secrets import SecretsKey
from core.database.schema import (
    audit_chains,
    authorize_credentials,
    businesses,
    idempotency_records,
    stripe_credentials,
)
from core.database.transactions import Database, Transaction
from core.idempotency.call import Answer, IdempotentCall, Replay
from core.idempotency.service import Idempotency
from core.security.keyring import Keyring, SealBrokenError
from nivisco.payments.v1.keys_pb2 import GetStripePublicKeyResponse

BUSINESSES = ("B1", "B2")
ENVS = ("TEST", "LIVE")
KEYS = ("one", "two")
ANSWER = Answer.response(GetStripePublicKeyResponse(stripe_public_key="pk_test_fake"))


def ring(*ids: str) -> Keyring:
    """Return a keyring of these keys, the first of which seals."""
    return Keyring(ids[0], {each: each[0].encode() * 32 for each in ids})


def call_of(business_id: str, key: str) -> IdempotentCall:
    """Return a call with this idempotency key."""
    return IdempotentCall(business_id, key, f"key:{key}", "CreateUser", b"content", "hash")


class Secrets:
    """What one core stores and opens, with its keyring."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        """Use `database` with this keyring."""
        self.database = database
        self.keyring = keyring
        self.idempotency = Idempotency(database, keyring)

    @property
    def credentials(self) -> CredentialsService:
        """Credentials without a memory of what was read before."""
        return CredentialsService(self.database, self.keyring, KnownCallers(self.database))

    async def store_all(self, keys: Sequence[str] = KEYS) -> None:
        """Store something in every sealed column, for each business."""
        await check_keyring(self.database, self.keyring)
        for business_id in BUSINESSES:
            await self._register(business_id)
            caller = Caller(business_id, "TEST")
            for env in ENVS:
                word = env.lower()
                stripe = {
                    "stripe_secret_key": f"sk_{word}_fake{business_id}",
                    "stripe_public_key": f"pk_{word}_fake",
                    "stripe_webhook_secret": f"whsec_{word}fake{business_id}",
                }
                authorize = {
                    "api_login_id": "login",
                    "transaction_key": f"{word}fake{business_id}",
                    "signature_key": f"{word}signature{business_id}",
                }
                await self.credentials.add(caller, "stripe", env, stripe)
                await self.credentials.add(caller, "authorize", env, authorize)
            for key in keys:
                await self.keep(business_id, key)
            async with self.database.transaction("test.chain") as transaction:
                await audit_store.begin_chain(transaction, business_id, self.keyring)

    async def keep(self, business_id: str, key: str) -> None:
        """Store the answer of a call."""
        async with self.database.transaction("test.keep") as transaction:
            await self.idempotency.keep(transaction, call_of(business_id, key), ANSWER)

    async def _register(self, business_id: str) -> None:
        async with self.database.transaction("test.register") as transaction:
            row: dict[str, Any] = {
                "business_id": business_id,
                "name": "n",
                "email": "a@n.example.com",
                "domain": "n.example.com",
                "active": True,
                "api_key_hash": "",
                "default_env": "TEST",
                "created_at": transaction.now,
                "updated_at": transaction.now,
            }
            await transaction.connection.execute(insert(businesses).values(**row))

    async def secret_key(self, transaction: Transaction, business_id: str, env: str) -> str:
        """Open a Stripe key."""
        account = await self.credentials.account(transaction, business_id, "stripe", env)
        return account.secret_key

    async def transaction_key(self, transaction: Transaction, business_id: str, env: str) -> str:
        """Open an Authorize.Net key."""
        account = await self.credentials.account(transaction, business_id, "authorize", env)
        return account.secret_key

    async def webhook_secret(self, _: Transaction, business_id: str, env: str) -> str:
        """Open Stripe's webhook secret."""
        return await self._webhook_secret(SecretsKey(business_id, "stripe"), env)

    async def signature_key(self, _: Transaction, business_id: str, env: str) -> str:
        """Open Authorize.Net's signature key."""
        return await self._webhook_secret(SecretsKey(business_id, "authorize"), env)

    async def _webhook_secret(self, key: SecretsKey, env: str) -> str:
        # What the cache of webhook secrets calls, here in the caller's transaction.
        (found,) = await self.credentials._read_webhook_secrets([key])
        if env in dict(found.unreadable):
            raise SealBrokenError(dict(found.unreadable)[env])
        return dict(found.by_env)[env].reveal()

    async def answer(self, transaction: Transaction, business_id: str, key: str) -> str:
        """Open a stored answer."""
        try:
            await self.idempotency.replay_if_answered(
                transaction, call_of(business_id, key.removeprefix("key:"))
            )
        except Replay as replay:
            return replay.answer.payload.hex()
        raise AssertionError("the key has an answer")

    async def chain_key(self, transaction: Transaction, business_id: str, _: str) -> str:
        """Open the key of an audit trail."""
        chain = await audit_store.chain(transaction, business_id)
        assert chain is not None
        return opened_key(self.keyring, business_id, chain).hex()

    async def all_opened(self, keys: Sequence[str] = KEYS) -> list[str]:
        """Return everything that is stored, opened."""
        opened = []
        async with self.database.shared_transaction("test.open") as transaction:
            for business_id in BUSINESSES:
                for column, (read, stored) in READERS.items():
                    rows = [f"key:{each}" for each in keys] if column is ANSWERS else stored
                    opened += [await read(self, transaction, business_id, row) for row in rows]
        return opened


ANSWERS: Column[Any] = idempotency_records.c.sealed_answer
Read = Callable[[Secrets, Transaction, str, str], Awaitable[str]]
READERS: dict[Column[Any], tuple[Read, tuple[str, ...]]] = {
    stripe_credentials.c.sealed_secret_key: (Secrets.secret_key, ENVS),
    stripe_credentials.c.sealed_webhook_secret: (Secrets.webhook_secret, ENVS),
    authorize_credentials.c.sealed_transaction_key: (Secrets.transaction_key, ENVS),
    authorize_credentials.c.sealed_signature_key: (Secrets.signature_key, ENVS),
    ANSWERS: (Secrets.answer, ("key:one", "key:two")),
    audit_chains.c.sealed_key: (Secrets.chain_key, (audit_store.CHAIN_ID,)),
}
"""What opens each sealed column, and rows of each business: the second column of their key."""
