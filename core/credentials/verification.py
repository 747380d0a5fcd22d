"""Asks a gateway whether it accepts credentials, before the transaction that stores them."""

from collections.abc import Mapping

from core.caller import Caller
from core.credentials import rules
from core.credentials.service import GATEWAY_NAMES, CredentialsService, credentials_not_found
from core.database.transactions import Database
from core.errors import RETRY_SECONDS, InvalidFields, Reason, Refusal
from core.gateways.gateway import Account, Gateway, GatewayError, GatewayRefused

_SECRET_FIELDS = {"stripe": "stripe_secret_key", "authorize": "transaction_key"}


class Verification:
    """The use case of `verify`."""

    def __init__(
        self, database: Database, credentials: CredentialsService, gateways: Mapping[str, Gateway]
    ) -> None:
        """Read what is stored in `database` with `credentials`, and ask `gateways` by name."""
        self._database = database
        self._credentials = credentials
        self._gateways = gateways

    async def verify(
        self,
        caller: Caller,
        gateway: str,
        env: str,
        keys: Mapping[str, str | None],
        *,
        is_new: bool,
    ) -> None:
        """Check that the gateway accepts the keys; unless new, together with the stored ones.

        It asks the gateway, so no transaction is open. Stripe's publishable key, and the secrets of
        webhooks, are asked nowhere: no call of a gateway needs them.

        Raises:
            InvalidFields: the gateway refuses them, or a key belongs to the other environment.
            Refusal: GATEWAY_UNAVAILABLE if the gateway gives no clear answer;
                CREDENTIALS_NOT_FOUND if none are stored and they are not new.
        """
        rules.check_stripe_keys_fit_env(env, keys)
        account = await self._account(caller, gateway, env, keys, is_new=is_new)
        if gateway == "authorize":
            rules.check_transaction_key_length(account.secret_key)
        try:
            await self._gateways[gateway].check_account(account)
        except GatewayRefused as refused:
            raise InvalidFields.of(
                f"credentials.{_SECRET_FIELDS[gateway]}",
                f"is not accepted by {GATEWAY_NAMES[gateway]}: {refused.message}",
            ) from None
        except GatewayError as error:
            raise Refusal(
                Reason.ERROR_REASON_GATEWAY_UNAVAILABLE,
                f"{GATEWAY_NAMES[gateway]} gave no clear answer, so the credentials were not "
                f"verified. Nothing was stored. {error.message}",
                retry_after_seconds=RETRY_SECONDS,
            ) from None

    async def _account(
        self,
        caller: Caller,
        gateway: str,
        env: str,
        keys: Mapping[str, str | None],
        *,
        is_new: bool,
    ) -> Account:
        """Return the account as it will be stored."""
        stored = Account(env, "")
        if not is_new:
            try:
                async with self._database.read() as transaction:
                    stored = await self._credentials.account(
                        transaction, caller.business_id, gateway, env
                    )
            except Refusal as refusal:
                if refusal.reason != Reason.ERROR_REASON_CREDENTIALS_MISSING:
                    raise
                raise credentials_not_found(gateway, env) from None
        return Account(
            env,
            keys.get(_SECRET_FIELDS[gateway]) or stored.secret_key,
            keys.get("account_id", stored.account_id),
            keys.get("api_login_id") or stored.login_id,
        )
