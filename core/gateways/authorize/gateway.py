"""Authorize.Net as a Gateway: charges, which are never resent. Customers and cards: `customers`.

Authorize.Net has no idempotency keys. Instead the invoice number is our payment's id, and the same
transaction within 8 hours is refused as a duplicate, with the first one's id. So a charge is sent
once and looked up by its invoice. The caller decides when to send the same bytes again.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, assert_never

from core.gateways.authorize import requests
from core.gateways.authorize.codes import SETTLED, UNSETTLED, VOIDABLE
from core.gateways.authorize.customers import AuthorizeCustomers, built
from core.gateways.authorize.events import REFUND, charge_fact, refund_fact, with_details
from core.gateways.authorize.requests import (
    AUTHORIZATION,
    CHARGE,
    PAGE_SIZE,
    Request,
    UnsendableError,
)
from core.gateways.authorize.responses import (
    NO_CLEAR_ANSWER,
    UNCLEAR_CHARGE,
    UNCLEAR_REFUND,
    Duplicate,
    Listed,
    Transaction,
    check_captured,
    check_voided,
    listed_transactions,
    ok_answer,
    outcome_of_charge,
    outcome_of_refund,
    outcome_of_transaction,
    transaction_of,
)
from core.gateways.authorize.xml import id_of
from core.gateways.events import Event, Fact, FactKind
from core.gateways.gateway import (
    Account,
    Authorized,
    CardDeclined,
    ChargeOutcome,
    CustomerMissing,
    Declined,
    GatewayCharge,
    GatewayError,
    GatewayRefund,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    HeldForReview,
    ListTooLong,
    NotSent,
    ObjectKind,
    RefundOutcome,
    RefundRefused,
    Refused,
    Succeeded,
    Unknown,
    Unsettled,
)
from core.money import Amount

_log = logging.getLogger(__name__)

PAGES_MAX: Final = 50
"""Pages read of a list, 10 000 transactions; a longer list proves nothing."""
PAGES_IN_TIME: Final = 10
"""If the time is over after more pages, the list is too long; before, the gateway is too slow."""
_AGE_MARGIN: Final = timedelta(hours=1)
"""For a charge that the gateway may have dated earlier."""
_NOT_FINISHED: Final = "Authorize.Net has not finished it."
_CHARGES: Final = (CHARGE, AUTHORIZATION)
_PRECEDENCE: Final = (Succeeded, Authorized, Unknown, HeldForReview, Declined)
"""Which of several charges on one invoice counts; of equal ones the first."""
_OPEN: Final = (FactKind.HELD, FactKind.AUTHORIZED)


@dataclass(frozen=True, slots=True)
class FoundCharge:
    """A transaction on a charge's invoice, and the outcome that it shows."""

    transaction: Transaction
    outcome: ChargeOutcome


class AuthorizeGateway(AuthorizeCustomers):
    """The Gateway of Authorize.Net, with one pool of connections for all businesses."""

    async def check_account(self, account: Account) -> None:
        """Check that the login id and the transaction key belong together.

        By authenticateTestRequest: https://developer.authorize.net/api/reference/index.html.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        request = built(requests.authenticate, account)
        ok_answer(await self._call(account, request, self._deadline()), account)

    async def charge(self, account: Account, charge: GatewayCharge) -> ChargeOutcome:
        """Charge a saved card; sends once.

        Unknown after an unclear response: then `look_up_charge` finds the outcome, and only if it
        finds nothing after the settle time may the same charge be sent again, within 8 hours of
        the first time. A charge refused as a duplicate is looked up and adopted.
        """
        deadline = self._deadline()
        try:
            request = requests.charge(account, charge)
        except UnsendableError as unsendable:
            return Refused(unsendable.message, unsendable.field)
        outcome = outcome_of_charge(await self._call(account, request, deadline), account, charge)
        if not isinstance(outcome, Duplicate):
            return outcome
        try:
            return await self._adopt_duplicate(account, charge, outcome, deadline)
        except GatewayError:
            return Unknown(UNCLEAR_CHARGE)

    async def look_up_charge(self, account: Account, charge: GatewayCharge) -> ChargeOutcome | None:
        """Find a charge by its invoice number, adopt the first transaction and void any others.

        None if neither the customer's transactions nor the unsettled ones, all of them read, show
        the invoice. The lists lag: right after a charge that proves nothing; after the settle time
        it proves that nothing was charged.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable, GatewayUnknown, or ListTooLong if a
                list shows too many transactions since the payment was created.
        """
        deadline = self._deadline()
        found = await self._charges_of(account, charge, deadline)
        return await self._adopt_first(account, charge, found, deadline) if found else None

    async def charges_of(self, account: Account, charge: GatewayCharge) -> list[FoundCharge]:
        """Return the transactions that charge on this invoice, oldest first.

        Raises:
            GatewayError: as `look_up_charge`.
        """
        return await self._charges_of(account, charge, self._deadline())

    async def transaction(self, account: Account, transaction_id: str) -> Transaction:
        """Return a transaction's details.

        Raises:
            GatewayError: CustomerMissing if there is no such transaction, or any other.
        """
        return await self._transaction(account, transaction_id, self._deadline())

    async def refund(self, account: Account, refund: GatewayRefund) -> RefundOutcome:
        """Refund a charge as its state allows; sends a refund once, and a void as often as asked.

        charge                                 outcome
        not settled, the whole of it           voided
        not settled, or settles just now       Unsettled: nothing was sent
        settled                                refunded by a transaction on our refund's id
        voided, or not charged                 RefundRefused

        A refund refused as a duplicate, within 8 hours of the first one, is looked up and adopted.
        So is one that is refused when it is sent again, as the first one may be why; unless it is
        found, that decides nothing.
        """
        deadline = self._deadline()
        try:
            charge = await self._transaction(account, refund.transaction_id, deadline)
        except GatewayRefused as error:
            return Refused(error.message)
        except GatewayError as error:
            return NotSent(error.message)
        if charge.status == VOIDABLE and refund.is_whole:
            return await self._void_whole(account, refund, deadline)
        if charge.status in UNSETTLED:
            return Unsettled()
        if charge.status != SETTLED:
            return _not_refundable(charge, refund)
        try:
            request = requests.refund(account, refund, charge.card_number)
        except UnsendableError as unsendable:
            return Refused(unsendable.message)
        outcome = outcome_of_refund(await self._call(account, request, deadline), account, refund)
        known_id = None
        if isinstance(outcome, Duplicate):
            known_id = outcome.transaction_id
        elif not (refund.is_resent and isinstance(outcome, RefundRefused)):
            return outcome
        try:
            found = await self._find_refund(account, refund, known_id, deadline)
        except GatewayError as error:
            return Unknown(error.message)
        return found or Unknown(UNCLEAR_REFUND)

    async def look_up_refund(self, account: Account, refund: GatewayRefund) -> RefundOutcome | None:
        """Find a refund by its invoice number, or the void of the whole charge.

        With `known_id` it is the refund with this id, if that is of the payment.

        Unsettled if the charge is not settled, which proves that it was not refunded. None if
        neither the customer's transactions nor the unsettled ones show the invoice: a refund that
        has settled may be in neither. A resend within 8 hours finds it as a duplicate.

        Raises:
            GatewayError: as `look_up_charge`.
        """
        deadline = self._deadline()
        charge = await self._transaction(account, refund.transaction_id, deadline)
        if charge.status == "voided":
            return _not_refundable(charge, refund)
        if charge.status in UNSETTLED:
            return Unsettled()
        if refund.known_id is not None:
            return await self._read_refund(account, refund, refund.known_id, deadline)
        return await self._find_refund(account, refund, None, deadline)

    async def _read_refund(
        self, account: Account, refund: GatewayRefund, known_id: str, deadline: float
    ) -> RefundOutcome | None:
        """Return the state of a refund of the payment by the gateway's id, on any invoice."""
        if id_of(known_id) is None:
            return None
        try:
            shown = await self._transaction(account, known_id, deadline)
        except CustomerMissing:
            return None
        if shown.type != REFUND or shown.reference_id != refund.transaction_id:
            return None
        return refund_fact(shown) or Unknown(_NOT_FINISHED)

    async def _void_whole(
        self, account: Account, refund: GatewayRefund, deadline: float
    ) -> RefundOutcome:
        try:
            await self._void(account, refund.transaction_id, deadline)
        except GatewayRefused:
            return Unsettled()  # it settles just now
        except GatewayUnavailable as error:
            return NotSent(error.message)
        except GatewayError as error:
            return Unknown(error.message)
        return Fact(FactKind.VOIDED)

    async def _find_refund(
        self, account: Account, refund: GatewayRefund, known_id: str | None, deadline: float
    ) -> RefundOutcome | None:
        """Return the state of a refund, by the gateway's id if it is known, or else its invoice."""

        def of_customer(page: int) -> Request:
            return requests.transactions_of_customer(account, refund.customer_id, page)

        def unsettled(page: int) -> Request:
            return requests.unsettled_transactions(account, page)

        for listing in (of_customer, unsettled):
            ids = (
                [known_id]
                if known_id
                else await self._on_invoice(
                    account, refund.refund_id, refund.created_at, listing, deadline
                )
            )
            for each in ids:
                shown = await self._transaction(account, each, deadline)
                is_ours = shown.invoice_number == refund.refund_id
                if shown.type == REFUND and is_ours and shown.reference_id == refund.transaction_id:
                    return refund_fact(shown) or Unknown(_NOT_FINISHED)
        return None

    async def read_state(self, account: Account, kind: ObjectKind, object_id: str) -> Fact | None:
        """Return the present state of a charge or refund, or None if the account has none.

        None for a dispute, too: the API does not show them.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable, or GatewayUnknown, also while the
                status decides nothing.
        """
        return await self._read(account, kind, object_id, self._deadline())

    async def cancel_payment(
        self,
        account: Account,
        transaction_id: str,
        reason: str | None = None,  # noqa: ARG002 - a void has none at Authorize.Net
    ) -> Fact:
        """Void a charge that is held for review or authorized.

        Returns its state: VOIDED, or what was decided. A charge that was approved or captured
        before is not voided.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        deadline = self._deadline()
        error: GatewayError = GatewayUnknown(NO_CLEAR_ANSWER)
        fact = await self._read(account, ObjectKind.PAYMENT, transaction_id, deadline)
        if fact is None:
            raise CustomerMissing("Authorize.Net has no such transaction under these keys.")
        if fact.kind not in _OPEN:
            return fact
        try:
            await self._void(account, transaction_id, deadline)
        except (CardDeclined, GatewayRefused) as refused:
            error = refused  # perhaps it was decided or captured just now
        try:
            fact = await self._read(account, ObjectKind.PAYMENT, transaction_id, deadline)
        except GatewayError:  # it says nothing about the void
            raise error from None
        if fact is None or fact.kind in _OPEN:
            raise error
        return fact

    async def capture_payment(
        self, account: Account, *, transaction_id: str, amount: Amount, gateway_key: str
    ) -> Fact:
        """Capture an authorized transaction; the gateway has no key for it, and captures one once.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        del gateway_key
        try:
            request = requests.capture(account, transaction_id, amount)
        except UnsendableError as unsendable:
            raise GatewayRefused(unsendable.message, unsendable.field) from None
        check_captured(await self._call(account, request, self._deadline()), account)
        return Fact(FactKind.SUCCEEDED, amount.minor)

    async def complete_event(self, account: Account, event: Event) -> Event:
        """Return an event completed by its transaction's details.

        Raises:
            GatewayError: as for `transaction`.
        """
        assert event.transaction_id is not None, "a look-up needs an id"
        return with_details(event, await self.transaction(account, event.transaction_id))

    async def void(self, account: Account, transaction_id: str) -> None:
        """Void a charge before settlement; does nothing if it is voided already.

        Raises:
            GatewayError: GatewayRefused if it is settled or missing; after GatewayUnknown repeat
                it, or read the `transaction`.
        """
        await self._void(account, transaction_id, self._deadline())

    async def _read(
        self, account: Account, kind: ObjectKind, object_id: str, deadline: float
    ) -> Fact | None:
        types: Sequence[str]
        fact_of: Callable[[Transaction], Fact | None]
        match kind:
            case ObjectKind.PAYMENT:
                types, fact_of = _CHARGES, charge_fact
            case ObjectKind.REFUND:
                types, fact_of = (REFUND,), refund_fact
            case ObjectKind.DISPUTE:
                return None
            case _:
                assert_never(kind)
        if id_of(object_id) is None:
            return None
        try:
            transaction = await self._transaction(account, object_id, deadline)
        except CustomerMissing:
            return None
        if transaction.type not in types:
            return None
        fact = fact_of(transaction)
        if fact is None:
            raise GatewayUnknown(f"Authorize.Net has the {kind} and has not finished it.")
        return fact

    async def _void(self, account: Account, transaction_id: str, deadline: float) -> None:
        request = built(requests.void, account, transaction_id)
        check_voided(await self._call(account, request, deadline), account)

    async def _adopt_duplicate(
        self, account: Account, charge: GatewayCharge, duplicate: Duplicate, deadline: float
    ) -> ChargeOutcome:
        """Return the outcome of the transaction that a charge is a duplicate of."""
        if duplicate.transaction_id is not None:
            first = await self._transaction(account, duplicate.transaction_id, deadline)
            return outcome_of_transaction(first, account, charge)
        found = await self._charges_of(account, charge, deadline)
        if not found:
            return Unknown(UNCLEAR_CHARGE)
        return await self._adopt_first(account, charge, found, deadline)

    async def _adopt_first(
        self, account: Account, charge: GatewayCharge, found: list[FoundCharge], deadline: float
    ) -> ChargeOutcome:
        """Return the outcome that counts of all on a charge's invoice, and void the others.

        Raises:
            GatewayError: it is not certain that the others are voided; repeat the call.
        """
        counts, *others = sorted(found, key=lambda each: _PRECEDENCE.index(type(each.outcome)))
        for other in others:
            if isinstance(other.outcome, Succeeded | Authorized | HeldForReview):
                await self._void_duplicate(
                    account, charge, other.transaction.transaction_id, deadline
                )
        return counts.outcome

    async def _void_duplicate(
        self, account: Account, charge: GatewayCharge, transaction_id: str, deadline: float
    ) -> None:
        ids = {"payment_id": charge.payment_id, "transaction_id": transaction_id}
        try:
            await self._void(account, transaction_id, deadline)
        except GatewayRefused:
            _log.error("second transaction of a payment cannot be voided: refund it", extra=ids)
        else:
            _log.error("second transaction of a payment voided", extra=ids)

    async def _charges_of(
        self, account: Account, charge: GatewayCharge, deadline: float
    ) -> list[FoundCharge]:
        def of_customer(page: int) -> Request:
            return requests.transactions_of_customer(account, charge.customer_id, page)

        def unsettled(page: int) -> Request:
            return requests.unsettled_transactions(account, page)

        for listing in (of_customer, unsettled):
            ids = await self._on_invoice(
                account, charge.payment_id, charge.created_at, listing, deadline
            )
            transactions = [await self._transaction(account, each, deadline) for each in ids]
            charges = [each for each in transactions if each.type in _CHARGES]
            if charges:
                charges.sort(key=lambda each: (each.submitted_at, int(each.transaction_id)))
                return [
                    FoundCharge(each, outcome_of_transaction(each, account, charge))
                    for each in charges
                ]
        return []

    async def _on_invoice(
        self,
        account: Account,
        invoice_number: str,
        created_at: datetime | None,
        listing: Callable[[int], Request],
        deadline: float,
    ) -> list[str]:
        """Return the ids of the transactions in a list that are on an invoice.

        The list is read, newest first, until it is older than the invoice, made at `created_at`.
        """
        found: dict[str, None] = {}  # a list that grows during the read shows one on two pages
        newest: datetime | None = None
        for page in range(1, PAGES_MAX + 1):
            try:
                answer = await self._call(account, built(listing, page), deadline)
                shown = listed_transactions(answer, account)
            except CustomerMissing:
                return []  # the profile was deleted
            except GatewayError:
                if page > PAGES_IN_TIME and self._is_over(deadline):
                    break
                raise
            found.update(
                (each.transaction_id, None)
                for each in shown
                if each.invoice_number == invoice_number
            )
            newest = newest or (shown[0].submitted_at if shown else None)
            if len(shown) < PAGE_SIZE or self._is_older(shown, newest, created_at):
                return list(found)
        raise ListTooLong(
            "Authorize.Net lists too many transactions since the payment was created; look for "
            f"invoice {invoice_number} in the merchant interface."
        )

    def _is_older(
        self, page: Sequence[Listed], newest: datetime | None, created_at: datetime | None
    ) -> bool:
        """Return whether a page, newest first as requested, ends before the invoice can begin.

        The invoice's age is compared with the gateway's times, as the clocks may differ: the list's
        newest transaction is not in the gateway's future.
        """
        times = [each.submitted_at for each in page if each.submitted_at is not None]
        is_sorted = len(times) == len(page) and times == sorted(times, reverse=True)
        if created_at is None or newest is None or not is_sorted:
            return False
        age = self._now() - created_at
        return age >= timedelta() and times[-1] < newest - age - _AGE_MARGIN

    async def _transaction(
        self, account: Account, transaction_id: str, deadline: float
    ) -> Transaction:
        request = built(requests.transaction_details, account, transaction_id)
        return transaction_of(await self._call(account, request, deadline), account)


def _not_refundable(charge: Transaction, refund: GatewayRefund) -> RefundOutcome:
    """Return the outcome of a refund whose charge is not settled and cannot be voided.

    One that is voided was voided by this refund if that may have been sent; else in the dashboard.
    """
    if charge.status != "voided":
        return RefundRefused("not_refundable", "Authorize.Net has not taken the payment's money.")
    voided = Fact(FactKind.VOIDED)
    if refund.is_whole and refund.may_have_been_sent:
        return voided
    return RefundRefused("voided", "The payment was voided at Authorize.Net before.", voided)
