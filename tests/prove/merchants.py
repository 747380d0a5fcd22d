"""The businesses of a scenario, and their accounts and webhooks at the gateways."""

import secrets
from collections.abc import Collection, Sequence

from nivisco.payments.v1 import business_pb2, credentials_pb2
from rpc.metadata import Credentials
from tests.end_to_end.signing import SIGNATURE_KEY, STRIPE_SECRET
from tests.prove.environment import Environment
from tests.prove.gateway_faults import Accounts
from tests.prove.operations import Caller
from tests.prove.poison import Poison
from tests.prove.requests import TEST
from tests.prove.scenario import Mode
from tests.prove.triggers import Trigger

ADDS = ("add_stripe", "add_authorize")
MODIFIES = frozenset({"modify_business", "modify_stripe", "modify_authorize"})
KEYS = frozenset({"create_api_key", "revoke_api_key"})


class Merchants:
    """The shop that charges, and the businesses that other operations change."""

    def __init__(self, environment: Environment, *, has_authorize: bool) -> None:
        self._environment = environment
        self._has_authorize = has_authorize
        self.stripe_key = f"sk_test_{secrets.token_hex(8)}_a"
        account = f"acct_{self.stripe_key.split('_')[2]}"
        self.login_id = f"login{secrets.token_hex(8)}"
        self.accounts = Accounts(account, f"authorize:{self.login_id}")
        self.shop = Caller(Credentials())
        self.modified: Caller | None = None
        self.keyed: Caller | None = None
        self.rotator: Caller | None = None
        self.new: list[Caller] = []
        self.poison: Poison | None = None

    async def set_up(self, triggers: Sequence[Trigger], mode: Mode) -> None:
        """Register the shop, and the businesses that the triggers need except new ones."""
        kinds = {trigger.kind for trigger in triggers}
        self.shop = await self.register("shop")
        await self._environment.call(
            self.shop.credentials,
            credentials_pb2.AddStripeCredentialsRequest(
                credentials=credentials_pb2.AddStripeCredentialsRequest.Credentials(
                    env=TEST,
                    stripe_secret_key=self.stripe_key,
                    stripe_public_key="pk_test_fake",
                    stripe_webhook_secret=STRIPE_SECRET,
                )
            ),
        )
        if self._has_authorize:
            await self._add_authorize()
        if mode.has_webhooks:
            await self._receive_webhooks()
        if mode.has_poison:
            self.poison = Poison(self._environment, await self.register("poisoned"))
            await self.poison.set_up()
        self.modified = await self.register("modified") if kinds & MODIFIES else None
        self.keyed = await self.register("keyed") if kinds & KEYS else None
        self.new = [self.modified] if self.modified else []
        self.rotator = await self.register("rotator") if "change_api_key" in kinds else None

    async def register(self, name: str) -> Caller:
        """Register a business."""
        answer = await self._environment.call(
            self._environment.admin,
            business_pb2.RegisterBusinessRequest(
                new_business=business_pb2.RegisterBusinessRequest.NewBusiness(
                    name=name, email=f"owner@{name}.example.com", domain=f"{name}.example.com"
                )
            ),
        )
        return Caller(Credentials(answer.business_id, answer.api_key))

    async def _add_authorize(self) -> None:
        await self._environment.call(
            self.shop.credentials,
            credentials_pb2.AddAuthorizeCredentialsRequest(
                credentials=credentials_pb2.AddAuthorizeCredentialsRequest.Credentials(
                    env=TEST,
                    api_login_id=self.login_id,
                    transaction_key="obviouslyfake123",
                    signature_key=SIGNATURE_KEY,
                )
            ),
        )

    async def _receive_webhooks(self) -> None:
        """Have the gateways send the shop's events to the adapter."""
        url = f"{self._environment.adapter_url}/webhooks"
        business_id = self.shop.business_id
        await self._environment.call_sandbox(
            "POST",
            "webhooks",
            {"key": self.stripe_key, "url": f"{url}/stripe/{business_id}", "secret": STRIPE_SECRET},
        )
        await self._environment.call_sandbox(
            "POST",
            "webhooks",
            {
                "api_login_id": self.login_id,
                "url": f"{url}/authorize/{business_id}",
                "secret": SIGNATURE_KEY,
            },
        )

    def ids(self) -> Collection[str]:
        """Return the ids of all of them."""
        known = (self.shop, *self.new, self.modified, self.keyed, self.rotator)
        return list(dict.fromkeys(caller.business_id for caller in known if caller))
