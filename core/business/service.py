"""Registers businesses, changes their profile, rotates their API keys."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.authentication import store as authentication_store
from core.authentication.service import invalid_credentials
from core.business import rules, store
from core.caller import Caller
from core.database.transactions import Database
from core.errors import InvalidFields, Reason, Refusal
from core.ids import ADMIN_BUSINESS_ID, new_business_id
from core.security.secrets import hash_api_key, new_api_key


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A business and its new API key, which is shown once."""

    business_id: str
    api_key: str = field(repr=False)


class BusinessService:
    """The use cases of BusinessService and OperatorService."""

    def __init__(self, database: Database) -> None:
        """Keep businesses in `database`."""
        self._database = database

    async def register(self, *, name: str, email: str, domain: str) -> IssuedKey:
        """Create a business and its first API key.

        Raises:
            InvalidFields: the e-mail address is not at the domain.
        """
        rules.check_email_at_domain(email, domain, field="new_business.email")
        issued = IssuedKey(new_business_id(), new_api_key())
        async with self._database.transaction() as transaction:
            await store.insert_business(
                transaction,
                business_id=issued.business_id,
                name=name,
                email=email,
                domain=domain.lower(),
                api_key_hash=hash_api_key(issued.api_key),
            )
        return issued

    async def modify(self, caller: Caller, updates: Mapping[str, str]) -> list[str]:
        """Change the caller's name or e-mail address and return the names of what was given.

        Raises:
            InvalidFields: nothing is given, or the address leaves the business's domain.
        """
        if not updates:
            raise InvalidFields.of("updates", "must hold name or email")
        async with self._database.transaction() as transaction:
            business = await authentication_store.business_by_id(transaction, caller.business_id)
            assert business is not None, "an authenticated business exists"
            if "email" in updates:
                rules.check_email_at_domain(
                    updates["email"], business.domain, field="updates.email"
                )
            await store.update_profile(transaction, caller.business_id, updates)
        return list(updates)

    async def change_api_key(self, caller: Caller) -> IssuedKey:
        """Replace the API key that the caller presented; it stops working at once.

        Raises:
            Refusal: INVALID_CREDENTIALS where another call has replaced that key meanwhile.
        """
        issued = IssuedKey(caller.business_id, new_api_key())
        async with self._database.transaction() as transaction:
            if not await store.exchange_api_key(
                transaction,
                caller.business_id,
                presented_hash=caller.api_key_hash,
                api_key_hash=hash_api_key(issued.api_key),
            ):
                raise invalid_credentials()
        return issued

    async def create_admin(self, *, rotate: bool) -> IssuedKey:
        """Create the admin business, or replace its API key where `rotate` says so.

        Raises:
            Refusal: ALREADY_EXISTS where it exists and `rotate` is not set.
        """
        async with self._database.transaction() as transaction:
            known = await store.business_exists(transaction, ADMIN_BUSINESS_ID)
            if known and not rotate:
                raise Refusal(
                    Reason.ERROR_REASON_ALREADY_EXISTS,
                    "The admin business exists; rotate its key to get a new one",
                )
            issued = IssuedKey(ADMIN_BUSINESS_ID, new_api_key())
            if known:
                await store.replace_api_key(
                    transaction, ADMIN_BUSINESS_ID, hash_api_key(issued.api_key)
                )
            else:
                await store.insert_business(
                    transaction,
                    business_id=ADMIN_BUSINESS_ID,
                    name="Administration",
                    email="admin@admin.invalid",
                    domain="admin.invalid",
                    api_key_hash=hash_api_key(issued.api_key),
                )
        return issued
