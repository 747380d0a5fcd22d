"""Decides whether credentials hold: a business's API key, or a process's service token."""

import hmac
from collections.abc import Mapping, Sequence

from core.authentication import store
from core.caller import Caller
from core.database.batching import Batcher
from core.database.transactions import Database
from core.errors import Reason, Refusal
from core.idempotency.service import was_answered_to
from core.security.secrets import api_key_matches, hash_api_key

LOOKED_UP_AT_MOST = 256
_NO_BUSINESS_HASH = hash_api_key("no business has this key")


class AuthenticationService:
    """Authenticates callers and shows a business its own profile."""

    def __init__(self, database: Database, service_tokens: Mapping[str, str]) -> None:
        """Use `service_tokens`, which holds the scope of each token."""
        self._database = database
        self._businesses = Batcher(self._look_up, at_most=LOOKED_UP_AT_MOST)
        self._service_tokens = service_tokens

    async def _look_up(self, business_ids: Sequence[str]) -> Sequence[store.Business | None]:
        """Ask for the businesses of many calls at once; nothing is remembered for the next ones."""
        async with self._database.transaction() as transaction:
            found = await store.businesses_by_id(transaction, set(business_ids))
        return [found.get(business_id) for business_id in business_ids]

    async def authenticate(self, business_id: str, api_key: str) -> Caller:
        """Return the business that the credentials belong to.

        Raises:
            Refusal: INVALID_CREDENTIALS, alike for an unknown business, a wrong key and an
                inactive business.
        """
        if not business_id or not api_key:
            raise invalid_credentials()
        business = await self._businesses.submit(business_id)
        # An unknown business costs the same comparison as a known one.
        stored_hash = business.api_key_hash if business else _NO_BUSINESS_HASH
        matches = api_key_matches(api_key, stored_hash)
        if business is None or not matches or not business.active:
            raise invalid_credentials()
        return Caller(business.business_id, business.default_env, stored_hash)

    async def authenticate_retired(
        self, business_id: str, api_key: str, *, action: str, idempotency_key: str
    ) -> Caller:
        """Return the business for which this key, retired by it, made this very call.

        So that who did not hear the answer of `change_api_key` can ask for it again; the call is
        replayed then, and this key opens nothing else.

        Raises:
            Refusal: INVALID_CREDENTIALS.
        """
        api_key_hash = hash_api_key(api_key)
        async with self._database.transaction() as transaction:
            business = await store.business_by_id(transaction, business_id)
            if not (
                business
                and business.active
                and await was_answered_to(
                    transaction,
                    business_id=business_id,
                    idempotency_key=idempotency_key,
                    action=action,
                    api_key_hash=api_key_hash,
                )
            ):
                raise invalid_credentials()
        return Caller(business.business_id, business.default_env, api_key_hash)

    def check_service_token(self, token: str, scope: str) -> None:
        """Make sure that the token opens services of `scope`.

        Raises:
            Refusal: SERVICE_TOKEN_REQUIRED.
        """
        held = [
            known_scope
            for known, known_scope in self._service_tokens.items()
            if hmac.compare_digest(known.encode(), token.encode())
        ]
        if scope not in held:
            raise Refusal(
                Reason.ERROR_REASON_SERVICE_TOKEN_REQUIRED,
                f"This internal service needs a service token of scope {scope}",
            )

    async def business_info(self, caller: Caller) -> store.Business:
        """Return the caller's own profile."""
        async with self._database.transaction() as transaction:
            business = await store.business_by_id(transaction, caller.business_id)
        assert business is not None, "an authenticated business exists"
        return business


def invalid_credentials() -> Refusal:
    """Make the one answer to all credentials that do not hold."""
    return Refusal(Reason.ERROR_REASON_INVALID_CREDENTIALS, "Invalid business credentials")
