"""Stripe as a Gateway: customers, cards and charges.

Every POST has an idempotency key, so the one resend after an unclear response is replayed by Stripe
and not executed twice. What may have happened is Unknown. Keys, client secrets and Stripe's own
messages, which quote keys and ids, are not passed on, logged or raised, except for declines.
"""

import asyncio
import logging
import re
import secrets
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal, assert_never

import aiohttp
import stripe

from core.gateways.connections import (
    CONNECT_SECONDS_MAX,
    CONNECTIONS_MAX,
    AccountSlots,
    recently_used,
)
from core.gateways.events import Event, Fact, FactKind
from core.gateways.gateway import (
    Account,
    CardChange,
    CardData,
    CardNonce,
    CardSetup,
    ChargeOutcome,
    CustomerMissing,
    GatewayCharge,
    GatewayError,
    GatewayRefund,
    GatewayRefused,
    GatewayUnknown,
    ObjectKind,
    RefundOutcome,
    RefundRefused,
    Refused,
    SavedCard,
    Unknown,
)
from core.gateways.stripe.events import dispute_fact, intent_fact, refund_fact, with_charge
from core.gateways.stripe.responses import (
    INCONCLUSIVE,
    INCONCLUSIVE_ABOUT_FIRST,
    PAYMENT_ID_KEY,
    REFUND_ID_KEY,
    Body,
    Failure,
    Kind,
    UnchargeableAmount,
    classify,
    default_card_id,
    error_of,
    is_missing,
    is_setup_of_primary,
    object_of,
    outcome_of,
    outcome_of_all,
    outcome_of_failure,
    payment_id_of,
    refund_id_of,
    refund_refusal_of,
    saved_card,
    set_up_card_id,
    setup_metadata,
    setup_user_id,
    stripe_amount,
)
from core.money import Amount

if TYPE_CHECKING:
    from stripe.params import (
        PaymentIntentCancelParams,
        PaymentIntentCreateParams,
        PaymentIntentListParams,
        PaymentMethodListParams,
        PaymentMethodUpdateParams,
        PaymentMethodUpdateParamsBillingDetailsAddress,
        RefundCreateParams,
        RefundListParams,
        SetupIntentCreateParams,
        SetupIntentListParams,
    )

    _Reason = Literal["duplicate", "fraudulent", "requested_by_customer"]
    _CancellationReason = Literal[_Reason, "abandoned"]

stripe.enable_telemetry = False  # it would send one merchant's timings with another's request

_log = logging.getLogger(__name__)

CALLS_PER_ACCOUNT_MAX: Final = 32
FIRST_TRY_SHARE: Final = 0.75
"""Share of the timeout for the first try; the rest is for the resend."""
IN_USE_PAUSE_SHARE: Final = 0.05
"""Share of the timeout to wait before the resend while the first request is in flight."""
PAGE_SIZE: Final = 100  # Stripe's largest: https://docs.stripe.com/api/pagination
LOOK_UP_PAGES_MAX: Final = 3

_REASONS: "Final[Mapping[str, _Reason]]" = {
    "duplicate": "duplicate",
    "fraudulent": "fraudulent",
    "requested_by_customer": "requested_by_customer",
}
_CANCELLATION_REASONS: "Final[Mapping[str, _CancellationReason]]" = {
    "duplicate": "duplicate",
    "fraudulent": "fraudulent",
    "requested_by_customer": "requested_by_customer",
    "abandoned": "abandoned",
}
_Call = Callable[[], Awaitable[stripe.StripeObject | stripe.StripeResponse]]
_PAYMENT_INTENTS: Final = "/v1/payment_intents"
_ID: Final = re.compile(r"[A-Za-z0-9_]{1,255}")
_FINAL: Final = frozenset({FactKind.SUCCEEDED, FactKind.CANCELED})


class StripeGateway:
    """The Gateway of Stripe, with one pool of connections for all businesses."""

    def __init__(self, urls: Mapping[str, str], timeout_seconds: float = 20.0) -> None:
        """Use `urls`, a base URL for each environment (TEST, LIVE).

        `timeout_seconds` is for one method, resend and look-up included. The first call creates
        the pool in its event loop.
        """
        self._urls = dict(urls)
        self._timeout_seconds = timeout_seconds
        self._connect_seconds = min(CONNECT_SECONDS_MAX, timeout_seconds / 2)
        self._session: aiohttp.ClientSession | None = None
        self._http: stripe.AIOHTTPClient | None = None
        self._slots = AccountSlots(CALLS_PER_ACCOUNT_MAX, self._connect_seconds)
        self._clients: OrderedDict[Account, stripe.StripeClient] = OrderedDict()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
        self._session = self._http = None
        self._slots.clear()
        self._clients.clear()

    async def check_account(self, account: Account) -> None:
        """Check that the keys may list payment intents, as all follow-up of charges does.

        https://docs.stripe.com/keys: Stripe refuses a revoked key, and a restricted one or an
        account that lacks the permission, when a call needs it.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        service = self._client(account).v1.payment_intents
        response = await self._send(
            account, lambda: service.list_async({"limit": 1}), self._deadline()
        )
        if isinstance(response, Failure):
            raise error_of(response, account)
        if response.get("object") != "list":
            raise GatewayUnknown("Stripe gave no clear answer.")

    async def create_customer(
        self, account: Account, *, user_id: str, name: str, email: str, gateway_key: str
    ) -> str:
        """Create a customer with our user's id in its metadata.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        service = self._client(account).v1.customers
        response = await self._send(
            account,
            lambda: service.create_async(
                {"name": name, "email": email, "metadata": {"user_id": user_id}},
                {"idempotency_key": f"{gateway_key}-customer"},
            ),
            self._deadline(),
        )
        return str(object_of(response, account, "customer")["id"])

    async def save_card(
        self,
        account: Account,
        *,
        customer_id: str,
        card: str | CardData | CardNonce,
        gateway_key: str,
    ) -> SavedCard:
        """Attach a payment method (pm_…), or one created from a card token (tok_…).

        Raises:
            GatewayError: any subclass; GatewayRefused names `payment_method_token` if the token is
                at fault.
        """
        if not isinstance(card, str):
            raise GatewayRefused("Stripe takes tokens only, never a card's number.")
        service, deadline = self._client(account).v1.payment_methods, self._deadline()
        method_id = await self._method_of(account, card, gateway_key, deadline)
        attached = await self._send(
            account,
            lambda: service.attach_async(
                method_id,
                {"customer": customer_id},
                {"idempotency_key": f"{gateway_key}-attach-{customer_id}"},
            ),
            deadline,
        )
        method = object_of(attached, account, "payment_method", token=True)
        return saved_card(method, customer_id)

    async def set_up_card(
        self,
        account: Account,
        *,
        customer_id: str,
        token: str,
        gateway_key: str,
        user_id: str,
        set_as_primary: bool,
    ) -> SavedCard:
        """Set a card up by a SetupIntent, or find the one of the same payment method.

        https://docs.stripe.com/payments/setup-intents. A success attaches the payment method to the
        customer. The metadata says for whom, for `find_setup`.

        Raises:
            GatewayError: any subclass; AuthenticationNeeded if the bank wants the cardholder.
        """
        deadline = self._deadline()
        method_id = await self._method_of(account, token, gateway_key, deadline)
        metadata = setup_metadata(user_id, set_as_primary=set_as_primary)
        intent = await self._setup_with(account, customer_id, method_id, metadata, deadline)
        if intent is None:
            service = self._client(account).v1.setup_intents
            params: SetupIntentCreateParams = {
                "customer": customer_id,
                "payment_method": method_id,
                "allowed_payment_method_types": ["card"],
                "confirm": True,
                "usage": "off_session",
                "metadata": metadata,
            }
            created = await self._send(
                account,
                lambda: service.create_async(
                    params, {"idempotency_key": f"{gateway_key}-setup-{customer_id}"}
                ),
                deadline,
            )
            intent = object_of(created, account, "setup_intent", token=True)
        card_id = set_up_card_id(intent)
        found = await self._find_card(account, customer_id, card_id, deadline)
        if found is None:
            raise GatewayRefused("The card was removed at Stripe.", "payment_method_token")
        return found

    async def find_setup(self, account: Account, setup_id: str) -> CardSetup | None:
        """Return a SetupIntent of ours that succeeded, with its card, or None.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        if not _ID.fullmatch(setup_id):
            return None
        deadline, service = self._deadline(), self._client(account).v1.setup_intents
        response = await self._send(account, lambda: service.retrieve_async(setup_id), deadline)
        if is_missing(response):
            return None
        intent = object_of(response, account, "setup_intent")
        user_id, customer_id = setup_user_id(intent), intent.get("customer")
        if intent.get("status") != "succeeded" or user_id is None or customer_id is None:
            return None
        card_id = set_up_card_id(intent)
        saved = await self._find_card(account, customer_id, card_id, deadline)
        if saved is None:
            return None
        return CardSetup(user_id, customer_id, is_setup_of_primary(intent), saved)

    async def _method_of(
        self, account: Account, token: str, gateway_key: str, deadline: float
    ) -> str:
        """Return the id of a token's payment method, which is created from a tok_…."""
        if not token.startswith("tok_"):
            return token
        service = self._client(account).v1.payment_methods
        created = await self._send(
            account,
            lambda: service.create_async(
                {"type": "card", "card": {"token": token}},
                {"idempotency_key": f"{gateway_key}-method"},
            ),
            deadline,
        )
        return str(object_of(created, account, "payment_method", token=True)["id"])

    async def _setup_with(
        self,
        account: Account,
        customer_id: str,
        method_id: str,
        metadata: Mapping[str, str],
        deadline: float,
    ) -> Body | None:
        """Return the customer's SetupIntent with a payment method: finished, or else waiting.

        A waiting one is found by its `metadata`: `find_setup` would not store the card of
        another's, or not as it was asked for.
        """
        service = self._client(account).v1.setup_intents
        params: SetupIntentListParams = {
            "customer": customer_id,
            "payment_method": method_id,
            "limit": PAGE_SIZE,
        }
        page = await self._send(account, lambda: service.list_async(params), deadline)
        if is_missing(page):
            return None
        if isinstance(page, Failure):
            raise error_of(page, account)
        intents = page.get("data")
        if page.get("object") != "list" or not isinstance(intents, list):
            raise GatewayUnknown("Stripe gave no clear answer.")
        by_status = {
            each.get("status"): each
            for each in reversed(intents)
            if each.get("status") == "succeeded" or each.get("metadata") == metadata
        }
        return by_status.get("succeeded") or by_status.get("requires_action")

    async def find_card(
        self, account: Account, *, customer_id: str, gateway_card_id: str
    ) -> SavedCard | None:
        """Return a payment method, or None if it is not attached to the customer.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        return await self._find_card(account, customer_id, gateway_card_id, self._deadline())

    async def cards_of_customer(self, account: Account, customer_id: str) -> list[SavedCard]:
        """Return the newest cards of a customer, up to 300, the default card first.

        That is the default payment method of invoices, or else the default source
        (https://docs.stripe.com/api/customers/object). A deleted customer shows only that it is.

        Raises:
            GatewayError: CustomerMissing, GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        deadline, service = self._deadline(), self._client(account).v1.customers
        response = await self._send(account, lambda: service.retrieve_async(customer_id), deadline)
        if is_missing(response):
            raise CustomerMissing("Stripe has no such customer under these keys.")
        customer = object_of(response, account, "customer")
        if customer.get("deleted"):
            raise CustomerMissing("The customer was deleted at Stripe.")
        cards = await self._cards_of(account, customer_id, deadline)
        default_id = default_card_id(customer)
        return sorted(cards, key=lambda card: card.gateway_card_id != default_id)

    async def remove_card(
        self,
        account: Account,
        *,
        customer_id: str,
        gateway_card_id: str,
        kept: Collection[str] = (),
    ) -> Collection[str]:
        """Detach a payment method, and others of the customer with the same card number.

        Returns the ids of all of them.

        A card that was saved several times has a payment method for each, with one fingerprint
        (https://docs.stripe.com/api/payment_methods/object). None of them can be used or attached
        again (https://docs.stripe.com/api/payment_methods/detach). `kept` stay: users can have a
        card twice that was saved before fingerprints were stored.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        deadline = self._deadline()
        listed = await self._cards_of(account, customer_id, deadline)
        number = next(
            (card.fingerprint for card in listed if card.gateway_card_id == gateway_card_id), None
        )
        others = [
            card.gateway_card_id
            for card in listed
            if card.fingerprint is not None
            and card.fingerprint == number
            and card.gateway_card_id not in kept
        ]
        detached = dict.fromkeys([*others, gateway_card_id])
        for card_id in detached:
            await self._detach(account, customer_id, card_id, deadline)
        return detached

    async def _cards_of(
        self, account: Account, customer_id: str, deadline: float
    ) -> list[SavedCard]:
        """Return the newest cards of a customer, up to 300; none if the customer is missing."""
        service = self._client(account).v1.payment_methods
        params: PaymentMethodListParams = {
            "customer": customer_id,
            "type": "card",
            "limit": PAGE_SIZE,
        }
        cards: list[SavedCard] = []
        for _ in range(LOOK_UP_PAGES_MAX):
            page = await self._send(account, lambda: service.list_async(params), deadline)
            if is_missing(page):
                return []
            if isinstance(page, Failure):
                raise error_of(page, account)
            methods = page.get("data")
            if page.get("object") != "list" or not isinstance(methods, list):
                raise GatewayUnknown("Stripe gave no clear answer.")
            cards += [saved_card(method, customer_id) for method in methods]
            if not methods or not page.get("has_more"):
                break
            params["starting_after"] = methods[-1]["id"]
        return cards

    async def _detach(
        self, account: Account, customer_id: str, gateway_card_id: str, deadline: float
    ) -> None:
        """Detach a payment method.

        Each call has an idempotency key of its own: Stripe refuses to detach it twice, and then
        the payment method shows that it is detached.
        """
        service = self._client(account).v1.payment_methods
        key = f"detach-{gateway_card_id}-{secrets.token_hex(8)}"
        detached = await self._send(
            account,
            lambda: service.detach_async(gateway_card_id, {}, {"idempotency_key": key}),
            deadline,
        )
        if not isinstance(detached, Failure):
            object_of(detached, account, "payment_method")
        elif not is_missing(detached):
            failed = error_of(detached, account)
            if detached.kind is not Kind.REFUSED and detached.kind not in INCONCLUSIVE:
                raise failed
            try:
                found = await self._find_card(account, customer_id, gateway_card_id, deadline)
            except GatewayError:
                raise failed from None
            if found is not None:
                raise failed

    async def update_card(
        self, account: Account, *, customer_id: str, gateway_card_id: str, change: CardChange
    ) -> SavedCard:
        """Update a payment method (https://docs.stripe.com/api/payment_methods/update).

        Each call has an idempotency key of its own: to set the same values twice does no harm.

        Raises:
            GatewayError: any subclass; GatewayRefused if it is not attached to a customer.
        """
        service = self._client(account).v1.payment_methods
        key = f"update-{gateway_card_id}-{secrets.token_hex(8)}"
        updated = await self._send(
            account,
            lambda: service.update_async(
                gateway_card_id, update_params(change), {"idempotency_key": key}
            ),
            self._deadline(),
        )
        return saved_card(object_of(updated, account, "payment_method"), customer_id)

    async def _find_card(
        self, account: Account, customer_id: str, gateway_card_id: str, deadline: float
    ) -> SavedCard | None:
        service = self._client(account).v1.payment_methods
        response = await self._send(
            account, lambda: service.retrieve_async(gateway_card_id), deadline
        )
        if is_missing(response):
            return None
        method = object_of(response, account, "payment_method")
        return saved_card(method, customer_id) if method.get("customer") == customer_id else None

    async def charge(self, account: Account, charge: GatewayCharge) -> ChargeOutcome:
        """Charge a saved card at most once; an unclear response is resent once, then looked up."""
        try:
            amount = stripe_amount(charge.amount)
        except UnchargeableAmount as unchargeable:
            return Refused(unchargeable.message, unchargeable.field)
        params: PaymentIntentCreateParams = {
            "amount": amount,
            "currency": charge.amount.currency,
            "customer": charge.customer_id,
            "payment_method": charge.gateway_card_id,
            "allowed_payment_method_types": ["card"],
            "confirm": True,
            "off_session": True,
            "metadata": {
                "payment_id": charge.payment_id,  # for look-ups by cores of before metadata
                # Its own by their names, to be searched for in Stripe's dashboard: a prefix would
                # exceed the 40 characters of a key (https://docs.stripe.com/metadata).
                **charge.metadata,
                PAYMENT_ID_KEY: charge.payment_id,
            },
        }
        if charge.description:
            params["description"] = charge.description
        if not charge.is_captured:
            params["capture_method"] = "manual"
        client, deadline = self._client(account), self._deadline()
        response = await self._send(
            account,
            # Raw, because the package's objects, which are read as JSON here, are half of its cost.
            lambda: client.raw_request_async(
                "post", _PAYMENT_INTENTS, **params, idempotency_key=charge.gateway_key
            ),
            deadline,
        )
        outcome = (
            outcome_of_failure(response, account, charge)
            if isinstance(response, Failure)
            else outcome_of(response, charge)
        )
        if not isinstance(outcome, Unknown):
            return outcome
        found = await self._find(account, charge, deadline)
        return outcome if found is None or isinstance(found, Failure) else found

    async def look_up_charge(self, account: Account, charge: GatewayCharge) -> ChargeOutcome | None:
        """Find the charge among the customer's newest 300 payments, by the payment's id.

        None proves nothing: Stripe's lists may lag.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        found = await self._find(account, charge, self._deadline())
        if isinstance(found, Failure):
            raise error_of(found, account)
        return found

    async def refund(self, account: Account, refund: GatewayRefund) -> RefundOutcome:
        """Refund a payment intent at most once, with our refund's id in the metadata.

        An unclear response is resent once, then looked up; so is the refusal of one that may have
        been sent before, also by the first of two tries, as Stripe may have made it and forgotten
        its key, which it keeps for a day (docs.stripe.com/api/idempotent_requests).
        """
        try:
            amount = stripe_amount(refund.amount)
        except UnchargeableAmount as unchargeable:
            return Refused(unchargeable.message, unchargeable.field)
        params: RefundCreateParams = {
            "payment_intent": refund.transaction_id,
            "amount": amount,
            "metadata": {
                **refund.metadata,
                REFUND_ID_KEY: refund.refund_id,
                PAYMENT_ID_KEY: refund.payment_id,
            },
        }
        if refund.reason:
            params["reason"] = _REASONS[refund.reason]
        service, deadline = self._client(account).v1.refunds, self._deadline()
        response = await self._send(
            account,
            lambda: service.create_async(params, {"idempotency_key": refund.gateway_key}),
            deadline,
        )
        if not isinstance(response, Failure):
            return self._refund_outcome(response, refund)
        outcome = refund_refusal_of(response, account)
        is_refused = isinstance(outcome, RefundRefused)
        was_sent = refund.may_have_been_sent or response.is_of_resend
        if isinstance(outcome, Unknown) or (is_refused and was_sent):
            found = await self._find_refund(account, refund, deadline)
            if isinstance(found, Failure) and is_refused:
                return Unknown("Stripe refused the refund, and does not show whether it made it.")
            if found is not None and not isinstance(found, Failure):
                return found
        return outcome

    async def look_up_refund(self, account: Account, refund: GatewayRefund) -> RefundOutcome | None:
        """Find the refund among those of its payment intent (docs.stripe.com/api/refunds/list).

        It is the one with our id in its metadata, or else with `known_id`.

        A payment intent that the account does not have is an error: its list would be empty.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        deadline, service = self._deadline(), self._client(account).v1.payment_intents
        intent = await self._send(
            account, lambda: service.retrieve_async(refund.transaction_id), deadline
        )
        object_of(intent, account, "payment_intent")
        found = await self._find_refund(account, refund, deadline)
        if isinstance(found, Failure):
            raise error_of(found, account)
        return found

    def _refund_outcome(self, shown: Body, refund: GatewayRefund) -> RefundOutcome:
        """Return the state that a refund shows, if it is of this request."""
        fact = refund_fact(shown) if shown.get("object") == "refund" else None
        expected = (refund.amount.minor, refund.amount.currency)
        if fact is None or not fact.object_id or (fact.amount_minor, fact.currency) != expected:
            return Unknown("Stripe's refund differs from the request.")
        return fact

    async def _find_refund(
        self, account: Account, refund: GatewayRefund, deadline: float
    ) -> RefundOutcome | Failure | None:
        """Return the state of the refund, or None if the whole list shows none."""
        service = self._client(account).v1.refunds
        params: RefundListParams = {"payment_intent": refund.transaction_id, "limit": PAGE_SIZE}
        for _ in range(LOOK_UP_PAGES_MAX):
            page = await self._send(account, lambda: service.list_async(params), deadline)
            if isinstance(page, Failure):
                return page
            shown = page.get("data")
            if page.get("object") != "list" or not isinstance(shown, list):
                return Failure(Kind.LOST)
            for each in shown:
                is_ours = refund_id_of(each) == refund.refund_id
                if each.get("id") == refund.known_id if refund.known_id else is_ours:
                    return self._refund_outcome(each, refund)
            if not shown or not page.get("has_more"):
                return None
            params["starting_after"] = shown[-1]["id"]
        return Failure(Kind.LOST)

    async def read_state(self, account: Account, kind: ObjectKind, object_id: str) -> Fact | None:
        """Return the present state of a payment intent, refund or dispute, or None if missing.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable, or GatewayUnknown, also while the
                object is processed.
        """
        return await self._read(account, kind, object_id, self._deadline())

    async def cancel_payment(
        self, account: Account, transaction_id: str, reason: str | None = None
    ) -> Fact:
        """Cancel a payment intent, which releases what is authorized.

        `reason` becomes its cancellation_reason: https://docs.stripe.com/api/payment_intents/cancel

        Returns its state: CANCELED, or SUCCEEDED before that.

        Each call has an idempotency key of its own: Stripe replays the refusal of an earlier one,
        and to cancel twice does no harm.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        params: PaymentIntentCancelParams = {}
        if reason is not None:
            params["cancellation_reason"] = _CANCELLATION_REASONS[reason]
        service, deadline = self._client(account).v1.payment_intents, self._deadline()
        key = f"cancel-{transaction_id}-{secrets.token_hex(8)}"
        canceled = await self._send(
            account,
            lambda: service.cancel_async(transaction_id, params, {"idempotency_key": key}),
            deadline,
        )
        if not isinstance(canceled, Failure):
            fact = intent_fact(object_of(canceled, account, "payment_intent"))
        elif canceled.kind is Kind.REFUSED or canceled.kind in INCONCLUSIVE:
            try:
                fact = await self._read(account, ObjectKind.PAYMENT, transaction_id, deadline)
            except GatewayError:  # it says nothing about the cancellation, whose error counts
                fact = None
        else:
            fact = None
        if fact is not None and fact.kind in _FINAL:
            return fact
        if isinstance(canceled, Failure):
            raise error_of(canceled, account)
        raise GatewayUnknown("Stripe gave no clear answer.")

    async def capture_payment(
        self, account: Account, *, transaction_id: str, amount: Amount, gateway_key: str
    ) -> Fact:
        """Capture a payment intent; what is not captured is released.

        Stripe captures an intent once (https://docs.stripe.com/api/payment_intents/capture).

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        try:
            minor = stripe_amount(amount)
        except UnchargeableAmount as unchargeable:
            raise GatewayRefused(unchargeable.message, unchargeable.field) from None
        service = self._client(account).v1.payment_intents
        captured = await self._send(
            account,
            lambda: service.capture_async(
                transaction_id, {"amount_to_capture": minor}, {"idempotency_key": gateway_key}
            ),
            self._deadline(),
        )
        fact = intent_fact(object_of(captured, account, "payment_intent"))
        if fact is None or fact.kind is not FactKind.SUCCEEDED:
            raise GatewayUnknown("Stripe gave no clear answer.")
        return fact

    async def complete_event(self, account: Account, event: Event) -> Event:
        """Return an event that names only a charge completed by the charge's payment intent.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        assert event.transaction_id is not None, "a look-up needs an id"
        charge_id, service = event.transaction_id, self._client(account).v1.charges
        response = await self._send(
            account, lambda: service.retrieve_async(charge_id), self._deadline()
        )
        return with_charge(event, object_of(response, account, "charge"))

    async def _read(
        self, account: Account, kind: ObjectKind, object_id: str, deadline: float
    ) -> Fact | None:
        if not _ID.fullmatch(object_id):
            return None
        service = self._client(account).v1
        retrieve: Callable[[str], Awaitable[stripe.StripeObject]]
        fact_of: Callable[[Body], Fact | None]
        match kind:
            case ObjectKind.PAYMENT:
                name, retrieve = "payment_intent", service.payment_intents.retrieve_async
                fact_of = intent_fact
            case ObjectKind.REFUND:
                name, retrieve = "refund", service.refunds.retrieve_async
                fact_of = refund_fact
            case ObjectKind.DISPUTE:
                name, retrieve = "dispute", service.disputes.retrieve_async
                fact_of = dispute_fact
            case _:
                assert_never(kind)
        response = await self._send(account, lambda: retrieve(object_id), deadline)
        if is_missing(response):
            return None
        fact = fact_of(object_of(response, account, name))
        if fact is None:
            raise GatewayUnknown(f"Stripe has the {kind} and has not finished it.")
        return fact

    async def _find(
        self, account: Account, charge: GatewayCharge, deadline: float
    ) -> ChargeOutcome | Failure | None:
        """Use the list, never the search, whose index lags by minutes."""
        service = self._client(account).v1.payment_intents
        params: PaymentIntentListParams = {"customer": charge.customer_id, "limit": PAGE_SIZE}
        for _ in range(LOOK_UP_PAGES_MAX):
            page = await self._send(account, lambda: service.list_async(params), deadline)
            if isinstance(page, Failure):
                return page
            intents = page.get("data")
            if page.get("object") != "list" or not isinstance(intents, list):
                return Failure(Kind.LOST)
            if ours := [intent for intent in intents if payment_id_of(intent) == charge.payment_id]:
                return outcome_of_all(ours, charge)
            if not intents or not page.get("has_more"):
                return None
            params["starting_after"] = intents[-1]["id"]
        return None

    async def _send(self, account: Account, call: _Call, deadline: float) -> Body | Failure:
        """Send a call in one of the account's slots; it counts as throttled if none is free."""
        slot = await self._slots.acquire(account)
        if slot is None:
            return Failure(Kind.THROTTLED)
        try:
            return await self._send_twice(call, deadline)
        finally:
            slot.release()

    async def _send_twice(self, call: _Call, deadline: float) -> Body | Failure:
        """Send a call, and resend it once with the same idempotency key if that is inconclusive.

        The second response counts, unless it says nothing about the first call.
        """
        now = asyncio.get_running_loop().time()
        first = await _send_once(call, now + (deadline - now) * FIRST_TRY_SHARE)
        if not isinstance(first, Failure) or first.kind not in INCONCLUSIVE:
            return first
        if first.kind is Kind.KEY_REUSED:
            return first
        if first.kind is Kind.KEY_IN_USE:
            await asyncio.sleep(self._timeout_seconds * IN_USE_PAUSE_SHARE)
        second = await _send_once(call, deadline)
        if not isinstance(second, Failure):
            return second
        if second.kind in INCONCLUSIVE_ABOUT_FIRST:
            return first
        return replace(second, is_of_resend=True)

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout_seconds

    def _client(self, account: Account) -> stripe.StripeClient:
        return recently_used(
            self._clients,
            account,
            lambda: stripe.StripeClient(
                account.secret_key,
                stripe_account=account.account_id,
                base_addresses={"api": self._urls[account.env].rstrip("/")},
                http_client=self._http_client(),
                max_network_retries=0,
            ),
        )

    def _http_client(self) -> stripe.AIOHTTPClient:
        """Return the pool. It stores no cookies: they would mix merchants."""
        if self._http is None:
            trusted = ssl.create_default_context(cafile=stripe.ca_bundle_path)
            tracing = aiohttp.TraceConfig()
            tracing.on_request_redirect.append(_refuse_redirect)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=trusted, limit=CONNECTIONS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[tracing],
            )
            timeout = aiohttp.ClientTimeout(
                total=self._timeout_seconds, connect=self._connect_seconds
            )
            self._http = stripe.AIOHTTPClient(timeout=timeout, session=self._session)
        return self._http


async def _refuse_redirect(*_: object) -> None:
    """Follow no redirect, which the package would: Stripe sends none, and another host answers it.

    Raises:
        ClientPayloadError: always; the outcome of the call is unknown.
    """
    raise aiohttp.ClientPayloadError("a redirect is not followed")


def update_params(change: CardChange) -> "PaymentMethodUpdateParams":
    """Return the parameters that change a payment method; absent ones stay as they are."""
    params: PaymentMethodUpdateParams = {}
    if change.exp_month is not None and change.exp_year is not None:
        params["card"] = {"exp_month": change.exp_month, "exp_year": change.exp_year}
    address: PaymentMethodUpdateParamsBillingDetailsAddress = {}
    if change.address is not None:
        address["line1"] = change.address
    if change.city is not None:
        address["city"] = change.city
    if change.state is not None:
        address["state"] = change.state
    if change.postal_code is not None:
        address["postal_code"] = change.postal_code
    if change.country is not None:
        address["country"] = change.country
    if address:
        params["billing_details"] = {"address": address}
    return params


def _body_of(answer: stripe.StripeObject | stripe.StripeResponse) -> Body:
    """Return what Stripe answered.

    Raises:
        TypeError: it is JSON, but no object.
    """
    if not isinstance(answer, stripe.StripeResponse):
        return answer.to_dict()
    if not isinstance(answer.data, dict):
        raise TypeError("the response of Stripe is no object")
    return answer.data


async def _send_once(call: _Call, until: float) -> Body | Failure:
    """Send a call once, and return its object or the failure."""
    if asyncio.get_running_loop().time() >= until:
        return Failure(Kind.LOST)
    try:
        async with asyncio.timeout_at(until):
            return _body_of(await call())
    except Exception as error:  # noqa: BLE001 - once sent, any fault leaves the outcome unknown
        failure = classify(error)
        cause = type(error.__cause__ or error).__name__
    _log.info(
        "Stripe call failed",
        extra={
            "kind": failure.kind.value,
            "cause": cause,
            "http_status": failure.status,
            "error_code": failure.word("code"),
        },
    )
    return failure
