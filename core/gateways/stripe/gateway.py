"""Speaks to Stripe for a business: customers, cards and charges; never decides to charge again.

Every POST carries an idempotency key, so that the one resend that an unclear answer earns is
replayed by Stripe and not executed twice. What may have happened and cannot be shown not to have
is Unknown. Neither keys nor client secrets nor Stripe's own sentences, declines apart, are passed
on, logged or raised: Stripe's sentences quote keys and ids.
"""

import asyncio
import logging
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aiohttp
import stripe

from core.gateways.connections import (
    ACCOUNTS_MAX,
    CALLS_PER_ACCOUNT_MAX,
    CONNECT_SECONDS_MAX,
    CONNECTIONS_MAX,
)
from core.gateways.gateway import (
    Account,
    CardData,
    ChargeOrder,
    ChargeOutcome,
    GatewayRefused,
    Refused,
    SavedCard,
    Unknown,
)
from core.gateways.stripe.responses import (
    PROVES_NOTHING,
    SAYS_NOTHING_OF_THE_FIRST,
    Body,
    Failure,
    Kind,
    UnchargeableAmount,
    answered,
    classified,
    error_of,
    outcome_of,
    outcome_of_all,
    outcome_of_failure,
    payment_id_of,
    saved_card,
    stripe_amount,
)

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCreateParams, PaymentIntentListParams

stripe.enable_telemetry = False  # it would send one merchant's timings with another's request

_log = logging.getLogger(__name__)

FIRST_TRY_SHARE: Final = 0.75
"""How much of the time budget the first try may use; the rest is for the resend."""
IN_USE_PAUSE_SHARE: Final = 0.05
"""How much of the budget to wait before the resend where the first request still runs."""
PAGE_SIZE: Final = 100  # Stripe's largest: https://docs.stripe.com/api/pagination
LOOK_UP_PAGES_MAX: Final = 3

_Call = Callable[[], Awaitable[stripe.StripeObject]]


@dataclass(frozen=True, slots=True)
class _Client:
    """An account's way to Stripe, and the places for its calls."""

    sdk: stripe.StripeClient
    places: asyncio.Semaphore


class StripeGateway:
    """The Gateway that is Stripe, over one pool of connections for all businesses."""

    def __init__(self, urls: Mapping[str, str], timeout_seconds: float = 20.0) -> None:
        """Prepare to speak to `urls`, a base URL for each environment (TEST, LIVE).

        `timeout_seconds` bounds one verb, its resend and look-up included. Connections are made
        when needed, in the event loop that first calls.
        """
        self._urls = dict(urls)
        self._timeout_seconds = timeout_seconds
        self._connect_seconds = min(CONNECT_SECONDS_MAX, timeout_seconds / 4)
        self._session: aiohttp.ClientSession | None = None
        self._http: stripe.AIOHTTPClient | None = None
        self._clients: OrderedDict[Account, _Client] = OrderedDict()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
        self._session = self._http = None
        self._clients.clear()

    async def create_customer(
        self, account: Account, *, user_id: str, name: str, email: str, gateway_key: str
    ) -> str:
        """Create a customer that carries our user's id.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        service = self._client(account).sdk.v1.customers
        made = await self._send(
            account,
            lambda: service.create_async(
                {"name": name, "email": email, "metadata": {"user_id": user_id}},
                {"idempotency_key": f"{gateway_key}-customer"},
            ),
            self._deadline(),
        )
        return str(answered(made, account, "customer")["id"])

    async def save_card(
        self, account: Account, *, customer_id: str, card: str | CardData, gateway_key: str
    ) -> SavedCard:
        """Attach a payment method (pm_…), or the one made of a card token (tok_…).

        Raises:
            GatewayError: any of its kinds; GatewayRefused names `payment_method_token` where the
                token is at fault.
        """
        if isinstance(card, CardData):
            raise GatewayRefused("Stripe takes tokens only, never a card's number.")
        service, deadline = self._client(account).sdk.v1.payment_methods, self._deadline()
        method_id = card
        if card.startswith("tok_"):
            made = await self._send(
                account,
                lambda: service.create_async(
                    {"type": "card", "card": {"token": card}},
                    {"idempotency_key": f"{gateway_key}-method"},
                ),
                deadline,
            )
            method_id = str(answered(made, account, "payment_method", token=True)["id"])
        attached = await self._send(
            account,
            lambda: service.attach_async(
                method_id,
                {"customer": customer_id},
                {"idempotency_key": f"{gateway_key}-attach-{customer_id}"},
            ),
            deadline,
        )
        method = answered(attached, account, "payment_method", token=True)
        return saved_card(method, customer_id)

    async def charge(self, account: Account, order: ChargeOrder) -> ChargeOutcome:
        """Charge a saved card once; resends once and looks the charge up where that helps."""
        try:
            amount = stripe_amount(order.amount)
        except UnchargeableAmount as unchargeable:
            return Refused(unchargeable.message, unchargeable.field)
        params: PaymentIntentCreateParams = {
            "amount": amount,
            "currency": order.amount.currency,
            "customer": order.customer_id,
            "payment_method": order.gateway_card_id,
            "allowed_payment_method_types": ["card"],
            "confirm": True,
            "off_session": True,
            "metadata": {"payment_id": order.payment_id},
        }
        if order.description:
            params["description"] = order.description
        service, deadline = self._client(account).sdk.v1.payment_intents, self._deadline()
        answer = await self._send(
            account,
            lambda: service.create_async(params, {"idempotency_key": order.gateway_key}),
            deadline,
        )
        outcome = (
            outcome_of_failure(answer, account, order)
            if isinstance(answer, Failure)
            else outcome_of(answer, order)
        )
        if not isinstance(outcome, Unknown):
            return outcome
        found = await self._find(account, order, deadline)
        return outcome if found is None or isinstance(found, Failure) else found

    async def look_up_charge(self, account: Account, order: ChargeOrder) -> ChargeOutcome | None:
        """Find the order among the customer's newest 300 payments, by the payment's id.

        None proves nothing: Stripe's listing may lag.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        found = await self._find(account, order, self._deadline())
        if isinstance(found, Failure):
            raise error_of(found, account)
        return found

    async def _find(
        self, account: Account, order: ChargeOrder, deadline: float
    ) -> ChargeOutcome | Failure | None:
        """List, never search: Stripe's search index is minutes late."""
        service = self._client(account).sdk.v1.payment_intents
        params: PaymentIntentListParams = {"customer": order.customer_id, "limit": PAGE_SIZE}
        for _ in range(LOOK_UP_PAGES_MAX):
            page = await self._send(account, lambda: service.list_async(params), deadline)
            if isinstance(page, Failure):
                return page
            intents = page.get("data")
            if page.get("object") != "list" or not isinstance(intents, list):
                return Failure(Kind.LOST)
            if ours := [intent for intent in intents if payment_id_of(intent) == order.payment_id]:
                return outcome_of_all(ours, order)
            if not intents or not page.get("has_more"):
                return None
            params["starting_after"] = intents[-1]["id"]
        return None

    async def _send(self, account: Account, call: _Call, deadline: float) -> Body | Failure:
        """Send a call in one of the account's places, or turn it away unsent where all are taken.

        One business whose calls hang must not use up the connections of all others.
        """
        places = self._client(account).places
        try:
            async with asyncio.timeout(self._connect_seconds):
                await places.acquire()
        except TimeoutError:
            return Failure(Kind.TURNED_AWAY)
        try:
            return await self._send_twice(call, deadline)
        finally:
            places.release()

    async def _send_twice(self, call: _Call, deadline: float) -> Body | Failure:
        """Call, and where the answer is unclear call once more with the same idempotency key.

        The second answer counts, unless it says nothing of what the first call did.
        """
        now = asyncio.get_running_loop().time()
        first = await _try(call, now + (deadline - now) * FIRST_TRY_SHARE)
        if not isinstance(first, Failure) or first.kind not in PROVES_NOTHING:
            return first
        if first.kind is Kind.KEY_REUSED:
            return first
        if first.kind is Kind.KEY_IN_USE:
            await asyncio.sleep(self._timeout_seconds * IN_USE_PAUSE_SHARE)
        second = await _try(call, deadline)
        if isinstance(second, Failure) and second.kind in SAYS_NOTHING_OF_THE_FIRST:
            return first
        return second

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout_seconds

    def _client(self, account: Account) -> "_Client":
        """Return the account's client, of those last used or made anew."""
        client = self._clients.get(account)
        if client is None:
            sdk = stripe.StripeClient(
                account.secret_key,
                stripe_account=account.account_id,
                base_addresses={"api": self._urls[account.env].rstrip("/")},
                http_client=self._http_client(),
                max_network_retries=0,
            )
            client = self._clients[account] = _Client(sdk, asyncio.Semaphore(CALLS_PER_ACCOUNT_MAX))
            if len(self._clients) > ACCOUNTS_MAX:
                self._clients.popitem(last=False)
        self._clients.move_to_end(account)
        return client

    def _http_client(self) -> stripe.AIOHTTPClient:
        """Return the one pool. It keeps no cookies: they would mix merchants."""
        if self._http is None:
            trusted = ssl.create_default_context(cafile=stripe.ca_bundle_path)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=trusted, limit=CONNECTIONS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            timeout = aiohttp.ClientTimeout(
                total=self._timeout_seconds, connect=self._connect_seconds
            )
            self._http = stripe.AIOHTTPClient(timeout=timeout, session=self._session)
        return self._http


async def _try(call: _Call, until: float) -> Body | Failure:
    """Call once; whatever comes back in any shape is an answer or a failure with its kind."""
    if asyncio.get_running_loop().time() >= until:
        return Failure(Kind.LOST)
    try:
        async with asyncio.timeout_at(until):
            return (await call()).to_dict()
    except Exception as error:  # noqa: BLE001 - once sent, any fault leaves the outcome unknown
        failure = classified(error)
        cause = type(error.__cause__ or error).__name__
    _log.info(
        "Stripe call failed: %s (%s, status %s, code %s)",
        failure.kind.value,
        cause,
        failure.status,
        failure.word("code"),
    )
    return failure
