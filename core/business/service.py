"""Registers businesses and changes their profiles."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from core.business import key_rules, key_store, rules, store
from core.business.known_callers import KnownCallers
from core.caller import Caller
from core.database.transactions import Database
from core.dunning import stored_days
from core.errors import InvalidFields, Reason, Refusal
from core.ids import ADMIN_BUSINESS_ID, new_business_id
from core.security.secrets import hash_api_key, new_api_key

_SETTINGS: Final = frozenset({"settle_receivables", "retry_days", "max_failed_cycles"})
"""What a caller carries of its business."""
logger = logging.getLogger("core")


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A business's new API key. It is returned once and never stored."""

    business_id: str
    api_key: str = field(repr=False)
    previous_expires_at: datetime | None = None
    """Time until which the key that it replaces works; None: it has stopped."""

    @property
    def last4(self) -> str:
        """The last four digits, which are stored."""
        return self.api_key[-4:]


class BusinessService:
    """The use cases of BusinessService, and OperatorService.CreateAdmin."""

    def __init__(self, database: Database, known_callers: KnownCallers) -> None:
        """Store businesses in `database`; forget those of `known_callers` whose key changes."""
        self._database = database
        self._known_callers = known_callers

    async def get(self, caller: Caller) -> store.Business:
        """Return the caller's business as it is now.

        Raises:
            Refusal: INVALID_CREDENTIALS if the API key was replaced or the business deactivated
                since the caller was last compared with the database.
        """
        found = await key_store.business_by_key(
            self._database, caller.business_id, caller.api_key_hash
        )
        now = self._database.now()
        if found is None or key_rules.caller_of(found, caller.api_key_hash, now) is None:
            raise rules.invalid_credentials()
        return found.business

    async def register(
        self, *, name: str, email: str, domain: str
    ) -> tuple[store.Business, IssuedKey]:
        """Create a business and its first API key.

        Raises:
            InvalidFields: the email address is at another domain.
        """
        rules.check_email_at_domain(email, domain, field="new_business.email")
        issued = IssuedKey(new_business_id(), new_api_key())
        async with self._database.transaction() as transaction:
            business = await store.insert_business(
                transaction,
                business_id=issued.business_id,
                name=name,
                email=email,
                domain=domain.lower(),
                api_key_hash=hash_api_key(issued.api_key),
                api_key_last4=issued.last4,
            )
        return business, issued

    async def modify(self, caller: Caller, updates: Mapping[str, Any]) -> store.Business:
        """Change the caller's name, email address or settings and return the business.

        A setting that is None is its default again.

        Raises:
            InvalidFields: nothing to change, the address is at another domain, or the days of
                retries are invalid.
        """
        if not updates:
            raise InvalidFields.of("updates", "must hold what to change, for example name")
        columns = dict(updates)
        if days := updates.get("retry_days"):
            columns["retry_days"] = stored_days(days, "updates.retry_days")
        async with self._database.transaction() as transaction:
            if updates.keys() & _SETTINGS:
                self._known_callers.forget_at_end(transaction, caller.business_id)
            if "email" in updates:
                business = await store.business_by_id(transaction, caller.business_id)
                assert business is not None, "an authenticated business exists"
                rules.check_email_at_domain(
                    str(updates["email"]), business.domain, field="updates.email"
                )
            return await store.update_profile(transaction, caller.business_id, columns)

    async def create_admin(self, *, rotate: bool) -> IssuedKey:
        """Create the admin business, or replace its API key if `rotate` is set.

        Returns once every core refuses the replaced key.

        Raises:
            Refusal: ALREADY_EXISTS if it exists and `rotate` is not set.
        """
        issued = IssuedKey(ADMIN_BUSINESS_ID, new_api_key())
        async with self._database.transaction() as transaction:
            if await store.business_by_id(transaction, ADMIN_BUSINESS_ID) is None:
                await store.insert_business(
                    transaction,
                    business_id=ADMIN_BUSINESS_ID,
                    name="Administration",
                    email="admin@admin.invalid",
                    domain="admin.invalid",
                    api_key_hash=hash_api_key(issued.api_key),
                    api_key_last4=issued.last4,
                )
                is_replaced = False
            elif rotate:
                self._known_callers.forget_at_end(transaction, ADMIN_BUSINESS_ID)
                await store.replace_api_key(
                    transaction,
                    ADMIN_BUSINESS_ID,
                    api_key_hash=hash_api_key(issued.api_key),
                    last4=issued.last4,
                )
                is_replaced = True
            else:
                raise Refusal(
                    Reason.ERROR_REASON_ALREADY_EXISTS,
                    "The admin business exists; rotate its key to get a new one",
                )
        if is_replaced:
            await self._known_callers.until_known_everywhere()
        return issued

    async def suspend(self, business_id: str, *, by: str, reason: str) -> store.Business:
        """Suspend a business, as an operator decides. No core charges for it afterwards.

        Raises:
            InvalidFields: there is no such business, or it is the admin's.
        """
        business = await self._set_suspended(business_id, reason)
        logger.info(
            "business suspended",
            extra={"business_id": business_id, "decided_by": by, "reason": reason},
        )
        return business

    async def reactivate(self, business_id: str, *, by: str, reason: str) -> store.Business:
        """End the suspension of a business.

        Raises:
            InvalidFields: there is no such business, or it is the admin's.
        """
        business = await self._set_suspended(business_id, None)
        logger.info(
            "business reactivated",
            extra={"business_id": business_id, "decided_by": by, "reason": reason},
        )
        return business

    async def limit(
        self, business_id: str, changed: Mapping[str, int | None], *, by: str, reason: str
    ) -> store.Business:
        """Change limits of a business, as an operator decides; None restores the core's default.

        Other cores know it LIFETIME_SECONDS of core.business.known_callers later. To change nothing
        returns the business.

        Raises:
            InvalidFields: there is no such business, or the change has no reason.
        """
        if not changed:
            found = await store.business_by_id(self._database, business_id)
            if found is None:
                raise InvalidFields.of("id", "names no business")
            return found
        if not reason.strip():
            raise InvalidFields.of("reason", "is required for a change")
        async with self._database.transaction() as transaction:
            self._known_callers.forget_at_end(transaction, business_id)
            business = await store.set_limits(transaction, business_id, changed)
        if business is None:
            raise InvalidFields.of("id", "names no business")
        logger.info(
            "business limits changed",
            extra={"business_id": business_id, "decided_by": by, "reason": reason, **changed},
        )
        return business

    async def _set_suspended(self, business_id: str, reason: str | None) -> store.Business:
        """Suspend a business or end that, and return it when every core knows.

        It waits if nothing changed, too: the core that made the change may have died in the wait.
        """
        if business_id == ADMIN_BUSINESS_ID:
            raise InvalidFields.of("id", "must not be the admin business")
        async with self._database.transaction() as transaction:
            self._known_callers.forget_at_end(transaction, business_id)
            business = await store.set_suspended(transaction, business_id, reason)
        if business is None:
            raise InvalidFields.of("id", "names no business")
        await self._known_callers.until_known_everywhere()
        return business
