"""Verifies credentials: a business's API key, or the service token of an internal process."""

import hmac
from collections.abc import Mapping

from core.business.key_store import business_by_key
from core.business.known_callers import KnownCallers
from core.business.rules import invalid_credentials
from core.caller import Caller
from core.database.transactions import Database
from core.errors import Reason, Refusal
from core.idempotency.service import has_answer_for
from core.security.secrets import hash_api_key


class AuthenticationService:
    """Authenticates businesses and internal processes."""

    def __init__(
        self, database: Database, known_callers: KnownCallers, service_tokens: Mapping[str, str]
    ) -> None:
        """Find callers in `known_callers`; `service_tokens` maps each token to its scope."""
        self._database = database
        self._known_callers = known_callers
        self._service_tokens = service_tokens

    async def authenticate(self, business_id: str, api_key: str) -> Caller:
        """Return the business that the credentials belong to.

        Raises:
            Refusal: INVALID_CREDENTIALS, equally for an unknown business, an inactive one, and a
                key that is wrong, expired or revoked.
        """
        if not business_id or not api_key:
            raise invalid_credentials()
        caller = await self._known_callers.find(business_id, api_key)
        if caller is None:
            raise invalid_credentials()
        return caller

    async def authenticate_retired(
        self, business_id: str, api_key: str, *, action: str, idempotency_key: str
    ) -> Caller:
        """Return the business whose call with this idempotency key was made with this API key.

        A caller that did not receive the response to `change_api_key` can repeat the request with
        the replaced key and gets the replay, for 24 hours. The replaced key is good for nothing
        else, and for nothing at all once it is revoked.

        Raises:
            Refusal: INVALID_CREDENTIALS.
        """
        api_key_hash = hash_api_key(api_key)
        async with self._database.read() as transaction:
            found = await business_by_key(transaction, business_id, api_key_hash)
            business, key, _ = found or (None, None, None)
            if not (
                business
                and business.active
                and (key is None or key.revoked_at is None)
                and await has_answer_for(
                    transaction,
                    business_id=business_id,
                    idempotency_key=idempotency_key,
                    action=action,
                    api_key_hash=api_key_hash,
                )
            ):
                raise invalid_credentials()
        return Caller(business_id, business.default_env, api_key_hash)

    async def until_known_everywhere(self) -> None:
        """Wait until no core admits credentials that a change committed before replaced."""
        await self._known_callers.until_known_everywhere()

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
