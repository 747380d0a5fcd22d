"""Follows payments that have an outcome which may still change, by asking their gateway.

A payment that waits for its customer, a review or its capture is asked for again and again, so that
it ends also where no webhook is configured; one that nobody completed is canceled. Objects whose
events leave their state open are read. No transaction is open during a call to a gateway.
"""

import logging
from collections.abc import Collection, Mapping

from core.credentials.service import CredentialsService
from core.database.transactions import Database, Transaction
from core.gateways.events import Fact, FactKind
from core.gateways.gateway import Account, Gateway, GatewayError, GatewayUnknown, ObjectKind
from core.payments import event_rules, event_store, rules, store
from core.payments.event_rules import CHARGED, GatewayObject, RecordedEvent
from core.payments.event_store import Source
from core.payments.store import Payment
from core.payments.transitions import Transitions

logger = logging.getLogger("core.payments")

_OBJECTS_MAX = 20
"""Most objects read in one look; the next look reads the others."""
_WAITING = ("requires_action", "held_for_review", "authorized")


class Following:
    """Asks gateways for the state of payments that are not pending."""

    def __init__(
        self,
        database: Database,
        credentials: CredentialsService,
        gateways: Mapping[str, Gateway],
        transitions: Transitions,
    ) -> None:
        """Read states through `gateways`, by their names, and write them with `transitions`."""
        self._database = database
        self._credentials = credentials
        self._gateways = gateways
        self._transitions = transitions

    async def look(self, payment: Payment) -> None:
        """Read the payment's objects at its gateway, and apply what they show.

        A payment that is to be canceled, or that waited for its customer for a day, is canceled
        first.

        Raises:
            GatewayError: the gateway did not say; to be tried again.
            Refusal: CREDENTIALS_MISSING.
        """
        async with self._database.read() as transaction:
            payment = await self._unlocked(transaction, payment)
            account = await self._account(transaction, payment)
            events, contradicting = await self._events(transaction, payment)
            began_at = transaction.now
        unclear = event_rules.unclear_objects(
            events,
            transaction_id=payment.transaction_id,
            is_charged=payment.status in CHARGED,
        )
        unsettled = event_rules.unsettled_refunds(events, payment.gateway)
        unclear |= {each for each, settled_at in unsettled.items() if settled_at <= began_at}
        is_waiting = payment.status in _WAITING
        if rules.must_cancel(
            payment.status,
            created_at=payment.created_at,
            cancel_at=payment.cancel_at,
            now=began_at,
        ):
            await self.cancel(payment)
            is_waiting = False
        asked = unclear | {_object_of(payment)} if is_waiting else unclear
        facts, error = await self._read(account, payment, asked, unclear)
        facts = [fact for fact in facts if fact not in contradicting]
        async with self._database.transaction("payments.follow") as transaction:
            payment = await self._transitions.lock(transaction, payment)
            if facts or error is None:  # else the look was put off for longer
                await self._transitions.apply_reads(transaction, payment, facts, began_at=began_at)
        if error is not None:
            raise error

    async def cancel(self, payment: Payment) -> None:
        """Cancel a payment at its gateway, so that nobody can complete it, and apply its state.

        It may have been charged before; then that is applied. Does nothing if it was canceled, or
        cannot be charged any more.

        Raises:
            GatewayError: the gateway did not confirm it; to be tried again.
            Refusal: CREDENTIALS_MISSING.
        """
        async with self._database.read() as transaction:
            payment = await self._unlocked(transaction, payment)
            account = await self._account(transaction, payment)
            events, contradicting = await self._events(transaction, payment)
            began_at = transaction.now
        transaction_id = payment.transaction_id
        is_cancelable = event_rules.is_cancelable(
            events,
            status=payment.status,
            gateway=payment.gateway,
            transaction_id=transaction_id,
        )
        if transaction_id is None or not is_cancelable:
            return
        fact = await self._gateways[payment.gateway].cancel_payment(account, transaction_id)
        logger.info(
            "payment canceled at its gateway",
            extra={"payment_id": payment.payment_id, "state": fact.kind.value},
        )
        facts = [] if fact in contradicting else [fact]
        async with self._database.transaction("payments.cancel") as transaction:
            payment = await self._transitions.lock(transaction, payment)
            await self._transitions.apply_reads(transaction, payment, facts, began_at=began_at)

    async def _read(
        self,
        account: Account,
        payment: Payment,
        objects: Collection[GatewayObject],
        unclear: Collection[GatewayObject],
    ) -> tuple[list[Fact], GatewayError | None]:
        """Return the states of objects that are new, or of which the events are `unclear`.

        Those that the account does not have are left out. Also returns the error of an object that
        the gateway did not tell the state of, as another one's may be known all the same.
        """
        gateway = self._gateways[payment.gateway]
        facts: list[Fact] = []
        failed: GatewayError | None = None
        for each in sorted(objects, key=lambda each: each.object_id)[:_OBJECTS_MAX]:
            try:
                fact = await gateway.read_state(account, each.kind, each.object_id)
            except GatewayUnknown as error:
                is_processed = each.kind is ObjectKind.PAYMENT and payment.status in _WAITING
                failed = failed if is_processed else error
                continue
            except GatewayError as error:
                return facts, error
            if fact is None:
                logger.warning(
                    "gateway does not know an object of a payment",
                    extra={
                        "payment_id": payment.payment_id,
                        "object_kind": each.kind.value,
                        "object_id": each.object_id,
                    },
                )
                continue
            if payment.status in CHARGED and fact.kind in (FactKind.FAILED, FactKind.CANCELED):
                logger.error(
                    "gateway shows no charge of a charged payment: compare them in its dashboard",
                    extra={"payment_id": payment.payment_id, "state": fact.kind.value},
                )
            is_new = not event_rules.tells_status(fact, payment.status)
            if is_new or each in unclear:
                facts.append(fact)
        return facts, failed

    async def _unlocked(self, transaction: Transaction, payment: Payment) -> Payment:
        return await store.payment_by_id(
            transaction,
            business_id=payment.business_id,
            payment_id=payment.payment_id,
            lock=False,
        )

    async def _account(self, transaction: Transaction, payment: Payment) -> Account:
        return await self._credentials.account(
            transaction, payment.business_id, payment.gateway, payment.env
        )

    async def _events(
        self, transaction: Transaction, payment: Payment
    ) -> tuple[list[RecordedEvent], list[Fact]]:
        """Return the events about a payment, and what contradicted it when it was read before."""
        events = await event_store.events_of(
            transaction,
            Source(payment.business_id, payment.gateway, payment.env),
            payment_id=payment.payment_id,
            transaction_id=payment.transaction_id,
        )
        _, agreeing, contradicting = event_rules.events_of_payment(
            events,
            transaction_id=payment.transaction_id,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            authorized_minor=payment.authorized_minor,
        )
        return agreeing, [each.fact for each in contradicting if each.is_read]


def _object_of(payment: Payment) -> GatewayObject:
    assert payment.transaction_id is not None, "a payment with an outcome has the gateway's id"
    return GatewayObject(ObjectKind.PAYMENT, payment.transaction_id)
