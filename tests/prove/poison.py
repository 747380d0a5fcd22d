"""A business whose rows cannot be carried out, which must stop nobody else's.

Its secret key does not open, so neither a payment with an unknown outcome nor a due occurrence can
be carried out; a job whose next occurrence exists already cannot even be claimed.
"""

from contextlib import suppress
from typing import Any

from google.type.money_pb2 import Money

from nivisco.payments.v1 import (
    cards_pb2,
    credentials_pb2,
    payments_pb2,
    recurring_pb2,
    users_pb2,
)
from tests.end_to_end.signing import STRIPE_SECRET, stripe_event
from tests.prove.environment import Environment
from tests.prove.operations import Caller
from tests.prove.requests import TEST
from tests.prove.triggers import POISON_EVENT


class Poison:
    """The business and its rows."""

    def __init__(self, environment: Environment, business: Caller) -> None:
        self._environment = environment
        self._business = business
        self._transaction_id = ""

    async def set_up(self) -> None:
        """Make a payment and a job, so far in order."""
        await self._call(
            credentials_pb2.AddStripeCredentialsRequest(
                credentials=credentials_pb2.AddStripeCredentialsRequest.Credentials(
                    env=TEST,
                    stripe_secret_key=f"sk_test_{self._business.business_id.replace('-', '')}_p",
                    stripe_public_key="pk_test_fake",
                    stripe_webhook_secret=STRIPE_SECRET,
                )
            )
        )
        user = users_pb2.CreateUserRequest.NewUser(name="Poison", email="poison@example.com")
        user_id = (await self._call(users_pb2.CreateUserRequest(user=user))).user.user_id
        await self._call(
            cards_pb2.CreateStripeCustomerRequest(
                user_id=user_id, payment_method_token="pm_card_visa", env=TEST
            )
        )
        amount = Money(units=5)
        charged = await self._call(
            payments_pb2.ChargeCustomerRequest(user_id=user_id, amount=amount, env=TEST)
        )
        self._transaction_id = charged.transaction_id
        await self._call(
            recurring_pb2.CreateRecurringRequest(
                user_id=user_id,
                amount=amount,
                interval_type=recurring_pb2.INTERVAL_TYPE_YEAR,
                source=recurring_pb2.RECURRING_SOURCE_STRIPE,
                env=TEST,
            )
        )

    async def spread(self, kind: str) -> None:
        """Have a payment or the job become due, in a way that no core can carry out."""
        core = await self._environment.serving()
        self._environment.note(kind)
        with suppress(ConnectionError):
            await core.process.send(
                command="poison", kind=kind, business_id=self._business.business_id
            )

        if kind == POISON_EVENT:
            await self._deliver_event()

    async def _deliver_event(self) -> None:
        """Deliver an event of the payment, which has an event that cannot be read."""
        now = int(self._environment.clock.seconds())
        intent = {"id": self._transaction_id, "amount_received": 500, "currency": "usd"}
        event = stripe_event(f"evt_poison_{now}", "payment_intent.succeeded", now, **intent)
        url = f"{self._environment.adapter_url}/webhooks/stripe/{self._business.business_id}"
        await self._environment.deliver(url, event.body, event.headers(now))

    async def _call(self, request: Any) -> Any:
        return await self._environment.call(self._business.credentials, request)
