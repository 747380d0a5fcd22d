"""PaymentsService without gRPC, for a user with a card, over the gateways' stand-in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from google.type.money_pb2 import Money
from sqlalchemy import func, select

from core.business.known_callers import KnownCallers
from core.business.service import BusinessService
from core.caller import Caller, Presence, set_presence
from core.cards.following import CardFollower
from core.cards.service import CardsService
from core.credentials.service import CredentialsService
from core.database.migrations.upgrade import migrate
from core.database.paging import PageRequest
from core.database.schema import wallets
from core.database.transactions import Database
from core.due_work.service import DueWork
from core.gateways.authorize.gateway import AuthorizeGateway
from core.gateways.gateway import CardData
from core.gateways.gateway import Gateway as GatewayProtocol
from core.gateways.stripe.gateway import StripeGateway
from core.idempotency.call import IdempotentCall, call_of
from core.idempotency.service import Idempotency
from core.limits import DEFAULT_LIMITS, CardTestingLimits
from core.payments.charge_request import ChargeRequest
from core.payments.decisions import Decisions
from core.payments.service import PaymentsService
from core.payments.store import Payment, PaymentFilter
from core.payments.transitions import Transitions
from core.refunds.decisions import RefundDecisions
from core.refunds.service import RefundsService
from core.security.secrets import Secret, hash_api_key
from core.users.service import UsersService
from core.webhooks.service import WebhooksService
from nivisco.payments.v1 import payments_pb2
from tests.core.running import Gateway, ShiftedClock, keyring
from tests.end_to_end.signing import SIGNATURE_KEY, STRIPE_SECRET

STRIPE_KEY: Final = "sk_test_running_a"
LOGIN: Final = "5KP3u95bQpv"
_KEYS: Final = {
    "stripe": {
        "stripe_secret_key": STRIPE_KEY,
        "stripe_public_key": "pk_test_fake",
        "stripe_webhook_secret": STRIPE_SECRET,
    },
    "authorize": {
        "api_login_id": LOGIN,
        "transaction_key": "346HZ32z3fP4hTG2",
        "signature_key": SIGNATURE_KEY,
    },
}


@dataclass
class RunningService:
    """The service with its database, clock and gateway stand-in, and a user with a card."""

    database: Database
    clock: ShiftedClock
    gateway: Gateway
    service: PaymentsService
    webhooks: WebhooksService
    credentials: CredentialsService
    idempotency: Idempotency
    caller: Caller
    user_id: str
    decisions: Decisions
    refunds: RefundsService
    refund_decisions: RefundDecisions
    transitions: Transitions

    def call(self, key: str) -> IdempotentCall:
        request = payments_pb2.FundCustomerRequest(user_id=self.user_id, idempotency_key=key)
        return call_of(self.caller, "FundCustomer", request)

    def funding(self, call: IdempotentCall | None = None) -> ChargeRequest:
        return ChargeRequest("fund", self.user_id, "TEST", Money(units=50), call=call)

    async def fund(self, call: IdempotentCall | None = None) -> None:
        """Fund the wallet for a caller that receives the response."""
        presence = Presence()
        set_presence(presence)
        try:
            await self.service.charge(self.caller, self.funding(call))
        finally:
            presence.end()

    def due_work(self) -> DueWork:
        """Return the core's looks at due payments and events."""
        return DueWork(self.database, [self.service, self.webhooks, self.refunds])

    async def later(self, **passed: float) -> None:
        """Advance the clock and look at what is due once."""
        self.clock.ahead += timedelta(**passed)
        await self.due_work().run_once()

    async def payment(self) -> Payment:
        page = PageRequest(page=1, limit=25, from_date=None, to_date=None)
        (only,) = (await self.service.list_payments(self.caller, PaymentFilter("TEST"), page)).rows
        return only

    async def balance(self) -> int:
        async with self.database.transaction() as transaction:
            total = select(func.coalesce(func.sum(wallets.c.balance_minor), 0))
            return int(await transaction.connection.scalar(total) or 0)


@asynccontextmanager
async def running_service(
    database: Database,
    clock: ShiftedClock,
    gateway: Gateway,
    name: str = "stripe",
    *,
    card: str = "pm_card_visa",
    limits: CardTestingLimits = DEFAULT_LIMITS,
    gateway_seconds: float = 20.0,
) -> AsyncIterator[RunningService]:
    """Run the service with a card at the gateway of this name; `card` is for Stripe."""
    await migrate(database)
    urls = {"TEST": gateway.url}
    stripe = StripeGateway(urls, timeout_seconds=gateway_seconds)
    authorize = AuthorizeGateway(urls)
    gateways: dict[str, GatewayProtocol] = {"stripe": stripe, "authorize": authorize}
    ring = keyring()
    known_callers = KnownCallers(database)
    credentials = CredentialsService(database, ring, known_callers)
    idempotency = Idempotency(database, ring)
    issued = await BusinessService(database, known_callers).create_admin(rotate=False)
    caller = Caller(issued.business_id, "TEST", hash_api_key(issued.api_key))
    await credentials.add(caller, name, "TEST", _KEYS[name])
    user, _ = await UsersService(database).create(caller, name="A", email="a@b.co", currency=None)
    cards = CardsService(database, credentials, gateways, idempotency)
    if name == "stripe":
        await cards.save_stripe_card(
            caller, user.user_id, "TEST", card, set_as_primary=True, call=None
        )
    else:
        data = CardData(Secret("4111111111111111"), 12, 2060)
        await cards.save_authorize_card(
            caller, user.user_id, "TEST", data, set_as_primary=True, call=None
        )
    transitions = Transitions(idempotency, [])
    service = PaymentsService(
        database, credentials, gateways, idempotency, transitions, limits=limits
    )
    webhooks = WebhooksService(
        database,
        credentials,
        transitions,
        {"stripe": stripe, "authorize": authorize},
        CardFollower(database, credentials, gateways),
    )
    decisions = Decisions(database, credentials, gateways, transitions)
    refunds = RefundsService(database, credentials, gateways, idempotency, transitions)
    refund_decisions = RefundDecisions(database, credentials, gateways, idempotency, transitions)
    yield RunningService(
        database, clock, gateway, service, webhooks, credentials, idempotency, caller,
        user.user_id, decisions, refunds, refund_decisions, transitions,
    )  # fmt: skip
    await service.drain(0.5)
    await stripe.close()
    await authorize.close()
    await database.close()
