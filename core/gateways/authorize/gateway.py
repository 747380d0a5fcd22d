"""Speaks to Authorize.Net for a business: customers, cards and charges; never charges again.

Authorize.Net has no idempotency key. What stands in its place is the invoice number, which is our
payment's id, and its own check for duplicates: the same transaction sent again within 8 hours is
refused and tells the first one's id. So a charge is sent once, and whoever must know what became
of it looks it up by its invoice. When to send the same bytes again is for the caller to decide.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, ParamSpec

from core.gateways.authorize import requests as requests
from core.gateways.authorize.profiles import (
    card_id_of,
    check_saved,
    customer_id_of,
    saved_card,
)
from core.gateways.authorize.requests import PAGE_SIZE, Request, UnsendableError
from core.gateways.authorize.responses import (
    UNCLEAR_CHARGE,
    Duplicate,
    Transaction,
    check_voided,
    listed,
    outcome_of_charge,
    outcome_of_transaction,
    transaction_of,
)
from core.gateways.authorize.transport import AuthorizeTransport
from core.gateways.authorize.xml import Answer, Failure, answer_of
from core.gateways.gateway import (
    Account,
    CardData,
    ChargeOrder,
    ChargeOutcome,
    CustomerMissing,
    Declined,
    GatewayError,
    GatewayRefused,
    GatewayUnknown,
    HeldForReview,
    Refused,
    SavedCard,
    Succeeded,
    Unknown,
)

_log = logging.getLogger(__name__)

PAGES_MAX: Final = 50
"""How far a list is read, 10 000 transactions; one that is longer proves nothing."""
_CHARGE: Final = "authCaptureTransaction"
_WEIGHTS: Final = (Succeeded, Unknown, HeldForReview, Declined)
"""Which of several charges on one invoice counts; of equals, the first one."""
_Parameters = ParamSpec("_Parameters")


@dataclass(frozen=True, slots=True)
class FoundCharge:
    """A transaction on an order's invoice, and what it says of the order."""

    transaction: Transaction
    outcome: ChargeOutcome


class AuthorizeGateway:
    """The Gateway that is Authorize.Net, over one pool of connections for all businesses."""

    def __init__(self, urls: Mapping[str, str], timeout_seconds: float = 20.0) -> None:
        """Prepare to speak to `urls`, a base URL for each environment (TEST, LIVE).

        `timeout_seconds` bounds one verb. Connections are made when needed, in the event loop
        that first calls.
        """
        self._timeout_seconds = timeout_seconds
        self._transport = AuthorizeTransport(urls, timeout_seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def create_customer(
        self, account: Account, *, user_id: str, name: str, email: str, gateway_key: str
    ) -> str:
        """Create a customer profile without a card, or find the one that was made before.

        The gateway knows it again by id, name and email; it has no use for `gateway_key`.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        request = _sendable(
            requests.create_customer, account, user_id=user_id, name=name, email=email, card=None
        )
        answer = await self._ask(account, request, self._deadline())
        return customer_id_of(answer, account)[0]

    async def create_customer_with_card(
        self, account: Account, *, user_id: str, name: str, email: str, card: CardData
    ) -> tuple[str, SavedCard]:
        """Create a customer profile with a first card in one call, and return its id and the card.

        A new profile can be unknown to other calls for some seconds, so this is not two calls. A
        profile that was made before is adopted, and the card saved in it.

        Raises:
            GatewayError: any of its kinds; CardDeclined where the issuer does not confirm the
                card, and then no profile is made.
        """
        request = _sendable(
            requests.create_customer, account, user_id=user_id, name=name, email=email, card=card
        )
        deadline = self._deadline()
        answer = await self._ask(account, request, deadline)
        customer_id, existed = customer_id_of(answer, account)
        if existed:
            return customer_id, await self._save_card(account, customer_id, card, deadline)
        return customer_id, saved_card(card_id_of(answer, account)[0], card)

    async def save_card(
        self, account: Account, *, customer_id: str, card: str | CardData, gateway_key: str
    ) -> SavedCard:
        """Save a card in a customer profile, once the issuer confirmed it.

        The gateway knows a customer's card again, so that repeating the call saves no second one;
        it has no use for `gateway_key`. A known card is changed to what is given now.

        Raises:
            GatewayError: any of its kinds; CustomerMissing where there is no such profile.
        """
        if isinstance(card, str):
            raise GatewayRefused("Authorize.Net takes a card's data, not a token.")
        return await self._save_card(account, customer_id, card, self._deadline())

    async def charge(self, account: Account, order: ChargeOrder) -> ChargeOutcome:
        """Charge a saved card; sends once, and never again.

        Unknown where the answer is not clear: then only `look_up_charge` tells, and only after a
        settle time does its silence allow to send the same order again, within 8 hours of the
        first time. An order that the gateway refuses as a duplicate is looked up and adopted.
        """
        deadline = self._deadline()
        try:
            request = requests.charge(account, order)
        except UnsendableError as unsendable:
            return Refused(unsendable.message, unsendable.field)
        outcome = outcome_of_charge(await self._ask(account, request, deadline), account, order)
        if not isinstance(outcome, Duplicate):
            return outcome
        try:
            return await self._adopted(account, order, outcome, deadline)
        except GatewayError:
            return Unknown(UNCLEAR_CHARGE)

    async def look_up_charge(self, account: Account, order: ChargeOrder) -> ChargeOutcome | None:
        """Find out what became of an order, by its invoice number; the first charge is adopted.

        Where there are more of it, which must not be, the others are voided before they settle.
        None says that neither the customer's transactions nor the unsettled ones show the invoice,
        all of them read. The lists lag: right after a charge that proves nothing, and once a call
        can no longer be in flight and the lag is over, that nothing was charged.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown, also where a list
                was too long to read.
        """
        deadline = self._deadline()
        found = await self._charges_of(account, order, deadline)
        return await self._adopted_of(account, order, found, deadline) if found else None

    async def charges_of(self, account: Account, order: ChargeOrder) -> list[FoundCharge]:
        """Return the charges on an order's invoice, first one first; refunds are none.

        Raises:
            GatewayError: as `look_up_charge`.
        """
        return await self._charges_of(account, order, self._deadline())

    async def transaction(self, account: Account, transaction_id: str) -> Transaction:
        """Return a transaction's details.

        Raises:
            GatewayError: CustomerMissing where there is no such transaction, or any other.
        """
        return await self._transaction(account, transaction_id, self._deadline())

    async def void(self, account: Account, transaction_id: str) -> None:
        """Undo a charge that is not settled; one that is voided already stays so.

        Raises:
            GatewayError: GatewayRefused where it is settled or not known; after GatewayUnknown
                repeat it, or look at the `transaction`.
        """
        await self._void(account, transaction_id, self._deadline())

    async def _void(self, account: Account, transaction_id: str, deadline: float) -> None:
        request = _sendable(requests.void, account, transaction_id)
        check_voided(await self._ask(account, request, deadline), account)

    async def _save_card(
        self, account: Account, customer_id: str, card: CardData, deadline: float
    ) -> SavedCard:
        request = _sendable(requests.create_card, account, customer_id=customer_id, card=card)
        answer = await self._ask(account, request, deadline)
        card_id, existed = card_id_of(answer, account)
        if existed:
            change = _sendable(
                requests.update_card,
                account,
                customer_id=customer_id,
                gateway_card_id=card_id,
                card=card,
            )
            check_saved(await self._ask(account, change, deadline), account)
        return saved_card(card_id, card)

    async def _adopted(
        self, account: Account, order: ChargeOrder, duplicate: Duplicate, deadline: float
    ) -> ChargeOutcome:
        """Read the transaction that an order's duplicate is one of, if it is the order's own."""
        if duplicate.transaction_id is not None:
            first = await self._transaction(account, duplicate.transaction_id, deadline)
            return outcome_of_transaction(first, account, order)
        found = await self._charges_of(account, order, deadline)
        if not found:
            return Unknown(UNCLEAR_CHARGE)
        return await self._adopted_of(account, order, found, deadline)

    async def _adopted_of(
        self, account: Account, order: ChargeOrder, found: list[FoundCharge], deadline: float
    ) -> ChargeOutcome:
        """Adopt the charge that counts of all that are on an order's invoice; void the others.

        Raises:
            GatewayError: it is not certain that the others are voided, so that it must be repeated.
        """
        counts, *others = sorted(found, key=lambda each: _WEIGHTS.index(type(each.outcome)))
        for other in others:
            if isinstance(other.outcome, Succeeded | HeldForReview):
                await self._void_second(account, order, other.transaction.transaction_id, deadline)
        return counts.outcome

    async def _void_second(
        self, account: Account, order: ChargeOrder, transaction_id: str, deadline: float
    ) -> None:
        where = f"Authorize.Net's transaction {transaction_id} is a second one of payment"
        try:
            await self._void(account, transaction_id, deadline)
        except GatewayRefused:
            _log.error("%s %s and cannot be voided: refund it.", where, order.payment_id)
        else:
            _log.error("%s %s and was voided.", where, order.payment_id)

    async def _charges_of(
        self, account: Account, order: ChargeOrder, deadline: float
    ) -> list[FoundCharge]:
        def of_customer(page: int) -> Request:
            return requests.transactions_of_customer(account, order.customer_id, page)

        def unsettled(page: int) -> Request:
            return requests.unsettled_transactions(account, page)

        for listing in (of_customer, unsettled):
            ids = await self._on_invoice(account, order.payment_id, listing, deadline)
            transactions = [await self._transaction(account, each, deadline) for each in ids]
            charges = [each for each in transactions if each.type == _CHARGE]
            if charges:
                charges.sort(key=lambda each: (each.submitted_at, int(each.transaction_id)))
                return [
                    FoundCharge(each, outcome_of_transaction(each, account, order))
                    for each in charges
                ]
        return []

    async def _on_invoice(
        self,
        account: Account,
        invoice_number: str,
        listing: Callable[[int], Request],
        deadline: float,
    ) -> list[str]:
        """Return the ids of all transactions in a list that are on an invoice."""
        found: dict[str, None] = {}  # a list that grows meanwhile shows one on two pages
        for page in range(1, PAGES_MAX + 1):
            try:
                answer = await self._ask(account, _sendable(listing, page), deadline)
                shown = listed(answer, account)
            except CustomerMissing:
                return []  # a profile that was deleted since
            found.update((each, None) for each, invoice in shown if invoice == invoice_number)
            if len(shown) < PAGE_SIZE:
                return list(found)
        raise GatewayUnknown(
            f"Authorize.Net lists more than {PAGES_MAX * PAGE_SIZE} transactions; look for invoice "
            f"{invoice_number} in the merchant interface."
        )

    async def _transaction(
        self, account: Account, transaction_id: str, deadline: float
    ) -> Transaction:
        request = _sendable(requests.transaction_details, account, transaction_id)
        return transaction_of(await self._ask(account, request, deadline), account)

    async def _ask(self, account: Account, request: Request, deadline: float) -> Answer | Failure:
        body = await self._transport.send(account, request.body, deadline)
        return body if isinstance(body, Failure) else answer_of(body, request)

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout_seconds


def _sendable(
    build: Callable[_Parameters, Request], *args: _Parameters.args, **kwargs: _Parameters.kwargs
) -> Request:
    """Build a request of a verb that is no charge.

    Raises:
        GatewayRefused: a value does not fit; nothing was sent.
    """
    try:
        return build(*args, **kwargs)
    except UnsendableError as unsendable:
        raise GatewayRefused(unsendable.message, unsendable.field) from None
