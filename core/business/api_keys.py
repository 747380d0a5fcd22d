"""Creates, lists, replaces and revokes API keys, and stores when they were last used.

A change locks the business's row first, so that changes of its keys are one after the other, and
reads the key of the call again: what the core keeps of it may be two seconds old.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from google.type import money_pb2

from core.business import cap_store, key_rules, key_store, store
from core.business.key_store import ApiKey
from core.business.known_callers import KnownCallers
from core.business.rules import invalid_credentials
from core.business.service import IssuedKey
from core.caller import DEFAULT_KEY_ID, Caller
from core.database.transactions import Database, Transaction
from core.errors import Reason, Refusal
from core.ids import new_api_key_id
from core.security.secrets import hash_api_key, new_api_key

USES_SECONDS = 60.0
"""How often a core stores the last uses of keys, and how often that of a key changes."""
_USES_BATCH = 500
"""How many uses one transaction stores."""


class ApiKeys:
    """The use cases of a business's API keys."""

    def __init__(self, database: Database, known_callers: KnownCallers) -> None:
        """Store keys in `database`; forget those of `known_callers` whose keys change."""
        self._database = database
        self._known_callers = known_callers

    async def create(
        self,
        caller: Caller,
        *,
        name: str,
        scopes: Sequence[str | None],
        expires_at: datetime | None,
        max_amount: money_pb2.Money | None = None,
        max_amount_per_day: money_pb2.Money | None = None,
    ) -> tuple[IssuedKey, ApiKey]:
        """Create a key besides those that the business has.

        Raises:
            InvalidFields: the scopes, the expiry time or the caps are not possible.
            Refusal: API_KEY_STATE if the business has as many keys as it may have;
                INVALID_CREDENTIALS as `change`.
        """
        issued = IssuedKey(caller.business_id, new_api_key())
        async with self._database.transaction() as transaction:
            key_rules.check_new_key(scopes, expires_at, transaction.now)
            caps = key_rules.new_caps(max_amount, max_amount_per_day, scopes)
            key = ApiKey(
                key_id=new_api_key_id(),
                key_hash=hash_api_key(issued.api_key),
                name=name,
                scopes=frozenset(each for each in scopes if each is not None),
                last4=issued.last4,
                created_at=transaction.now,
                expires_at=expires_at,
                cap_currency=caps.currency if caps else None,
                max_minor=caps.max_minor if caps else None,
                max_minor_per_day=caps.max_minor_per_day if caps else None,
            )
            await self._lock(transaction, caller)
            await self._insert(transaction, caller.business_id, key)
        return issued, key

    async def list(self, caller: Caller) -> list[ApiKey]:
        """Return the business's keys, the default one first, then the newest first."""
        async with self._database.listing() as transaction:
            return await key_store.keys_of(transaction, caller.business_id)

    async def used_today(self, caller: Caller) -> Mapping[str, int]:
        """Return what each key with a cap per day has moved on the present day (UTC).

        By the key's id, in minor units of its caps' currency; keys that moved nothing are absent.
        """
        async with self._database.listing() as transaction:
            return await cap_store.used_by_keys(transaction, caller.business_id)

    async def revoke(self, caller: Caller, key_id: str) -> ApiKey:
        """Revoke a key and those that it replaced, and return it.

        They are dead in every core after KnownCallers' wait.

        Raises:
            Refusal: API_KEY_NOT_FOUND, API_KEY_STATE for the default key, or INVALID_CREDENTIALS
                as `change`.
        """
        if key_id == DEFAULT_KEY_ID:
            raise key_rules.key_state("The default API key cannot be revoked; replace it")
        async with self._database.transaction() as transaction:
            await self._lock(transaction, caller)
            keys = await key_store.keys_of(transaction, caller.business_id)
            key = next((each for each in keys if each.key_id == key_id), None)
            if key is None:
                raise Refusal(Reason.ERROR_REASON_API_KEY_NOT_FOUND, "API key not found")
            self._known_callers.forget_at_end(transaction, caller.business_id)
            for each in keys:
                if key_id in (each.key_id, each.replaced_by) and each.revoked_at is None:
                    ended = replace(each, revoked_at=transaction.now)
                    await key_store.save_key(transaction, caller.business_id, ended)
                    key = ended if each is key else key
        return key

    async def change(self, caller: Caller, grace: timedelta = timedelta()) -> IssuedKey:
        """Replace the caller's key. The previous one works for `grace` more, by default not at all.

        It is dead in every core after KnownCallers' wait, at the earliest.

        Raises:
            Refusal: INVALID_CREDENTIALS if a concurrent call replaced or revoked the presented key;
                API_KEY_STATE if it was replaced, and works for some time more.
        """
        business_id, new = caller.business_id, new_api_key()
        async with self._database.transaction() as transaction:
            self._known_callers.forget_at_end(transaction, business_id)
            current = await self._lock(transaction, caller)
            keys = await key_store.keys_of(transaction, business_id)
            previous = next(each for each in keys if each.key_id == current.key_id)
            if previous.replaced_at is not None:
                raise key_rules.key_state("The API key was replaced; use the one that replaced it")
            await self._replace(transaction, business_id, previous, new)
            if not grace:
                return IssuedKey(business_id, new)
            kept = key_rules.in_grace(previous, new_api_key_id(), transaction.now, grace)
            await self._insert(transaction, business_id, kept)
        return IssuedKey(business_id, new, kept.expires_at)

    async def save_uses(self) -> None:
        """Store when keys were last used; called every USES_SECONDS, and before the core ends.

        What cannot be stored is lost: it is noted again when the key is used again.
        """
        uses = self._known_callers.take_uses()
        for start in range(0, len(uses), _USES_BATCH):
            async with self._database.transaction() as transaction:
                await key_store.save_uses(
                    transaction,
                    uses[start : start + _USES_BATCH],
                    interval=timedelta(seconds=USES_SECONDS),
                )

    async def _lock(self, transaction: Transaction, caller: Caller) -> Caller:
        """Lock the business's keys until the transaction ends; return the caller as it is now.

        Raises:
            Refusal: INVALID_CREDENTIALS if the key of the call has ended since it was read.
        """
        business_id, presented = caller.business_id, caller.api_key_hash
        await key_store.lock_keys(transaction, business_id)
        found = await key_store.business_by_key(transaction, business_id, presented)
        current = key_rules.caller_of(found, presented, transaction.now)
        if current is None:
            raise invalid_credentials()
        return current

    async def _replace(
        self, transaction: Transaction, business_id: str, key: ApiKey, new: str
    ) -> None:
        """Store another key in the place of one."""
        key_hash, last4 = hash_api_key(new), new[-4:]
        if key.key_id == DEFAULT_KEY_ID:
            await store.replace_api_key(
                transaction, business_id, api_key_hash=key_hash, last4=last4
            )
            return
        changed = replace(
            key, key_hash=key_hash, last4=last4, created_at=transaction.now, last_used_at=None
        )
        await key_store.save_key(transaction, business_id, changed)

    async def _insert(self, transaction: Transaction, business_id: str, key: ApiKey) -> None:
        """Store a new key, in the place of one that ended if there are too many."""
        keys = await key_store.keys_of(transaction, business_id)
        ended = key_rules.keys_to_delete(keys, transaction.now)
        if ended:
            await key_store.delete_keys(transaction, business_id, ended)
        await key_store.insert_key(transaction, business_id, key)
