"""Verifies credentials: a business's API key, or the service token of an internal process."""

import hmac
from collections.abc import Mapping, Sequence

from core.business import store
from core.business.rules import invalid_credentials
from core.database.batching import Batcher
from core.database.transactions import Database
from core.errors import Reason, Refusal
from core.idempotency.service import has_answer_for
from core.security.secrets import api_key_matches, hash_api_key

BATCH_SIZE_MAX = 256
_NO_BUSINESS_HASH = hash_api_key("no business has this key")


class AuthenticationService:
    """Authenticates businesses and internal processes."""

    def __init__(self, database: Database, service_tokens: Mapping[str, str]) -> None:
        """Read businesses from `database`; `service_tokens` maps each token to its scope."""
        self._database = database
        self._businesses = Batcher(self._read_businesses, max_size=BATCH_SIZE_MAX)
        self._service_tokens = service_tokens

    async def _read_businesses(
        self, business_ids: Sequence[str]
    ) -> Sequence[store.Business | None]:
        """Read the businesses of many calls in one query. Nothing is cached."""
        async with self._database.read() as transaction:
            found = await store.businesses_by_id(transaction, set(business_ids))
        return [found.get(business_id) for business_id in business_ids]

    async def authenticate(self, business_id: str, api_key: str) -> store.Business:
        """Return the business that the credentials belong to.

        Raises:
            Refusal: INVALID_CREDENTIALS, equally for an unknown business, a wrong key and an
                inactive business.
        """
        if not business_id or not api_key:
            raise invalid_credentials()
        business = await self._businesses.submit(business_id)
        # Always compare a hash, so that the response time does not reveal known business ids.
        stored_hash = business.api_key_hash if business else _NO_BUSINESS_HASH
        matches = api_key_matches(api_key, stored_hash)
        if business is None or not matches or not business.active:
            raise invalid_credentials()
        return business

    async def authenticate_retired(
        self, business_id: str, api_key: str, *, action: str, idempotency_key: str
    ) -> store.Business:
        """Return the business whose call with this idempotency key was made with this API key.

        A caller that did not receive the response to `change_api_key` can repeat the request with
        the replaced key and gets the replay. The replaced key is good for nothing else.

        Raises:
            Refusal: INVALID_CREDENTIALS.
        """
        async with self._database.read() as transaction:
            business = await store.business_by_id(transaction, business_id)
            if not (
                business
                and business.active
                and await has_answer_for(
                    transaction,
                    business_id=business_id,
                    idempotency_key=idempotency_key,
                    action=action,
                    api_key_hash=hash_api_key(api_key),
                )
            ):
                raise invalid_credentials()
        return business

    def check_service_token(self, token: str, scope: str) -> None:
        """Check that the service token grants `scope`.

        Raises:
            Refusal: SERVICE_TOKEN_REQUIRED.
        """
        if scope not in self._granted_scopes(token):
            raise Refusal(
                Reason.ERROR_REASON_SERVICE_TOKEN_REQUIRED,
                f"This internal service needs a service token of scope {scope}",
            )

    def is_service_token(self, token: str) -> bool:
        """Return whether this is a service token, of any scope."""
        return bool(self._granted_scopes(token))

    def _granted_scopes(self, token: str) -> list[str]:
        return [
            scope
            for known, scope in self._service_tokens.items()
            if hmac.compare_digest(known.encode(), token.encode())
        ]
