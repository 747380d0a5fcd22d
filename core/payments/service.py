"""Charges saved cards, in three phases: commit the intent, call the gateway, commit the outcome.

The gateway is never called with a transaction open, and what is not known is never called failed.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import assert_never

from core.caller import Caller, Presence, current_presence
from core.cards.service import card_to_charge
from core.cards.store import primary_card
from core.credentials.service import CredentialsService
from core.database import CommitUnknownError, Database, DatabaseUnavailableError, Transaction
from core.gateways.gateway import (
    Account,
    ChargeOrder,
    ChargeOutcome,
    Gateway,
    GatewayError,
    Succeeded,
    Unknown,
)
from core.money import MAX_BALANCE_MINOR, Amount, from_wire
from core.pages import PageRequest
from core.payments import rules, store
from core.payments.funding import charged_of, credit_wallet
from core.payments.orders import ChargeRequest, left_behind, new_payment
from core.payments.under_way import Attempt, Charged, PaymentKey, UnderWay, is_awaited
from core.users.service import check_active, existing_user
from core.users.store import User
from core.wallet import store as wallet_store
from core.wallet.rules import MovementRefusal
from core.wallet.service import amount_in_currency
from core.wallet.service import refusal_of as movement_refusal

logger = logging.getLogger("core.payments")

GATEWAY_KEY_LIFE = timedelta(hours=23)
"""Stripe keeps idempotency keys for 24 hours (docs.stripe.com/api/idempotent_requests)."""
WRITE_SECONDS = 60.0
"""How long to go on trying to write an outcome down."""


@dataclass(frozen=True, slots=True)
class _Begun:
    """A payment whose row is committed, and what its attempt needs."""

    payment: store.Payment
    account: Account = field(repr=False)
    attempt: Attempt
    may_have_charged: bool
    """Whether an earlier attempt was sent and nobody knows what became of it."""
    look_up_only: bool = False
    """Whether the gateway may have forgotten the key, so that resending could charge again."""

    @property
    def key(self) -> PaymentKey:
        """The payment's key among those under way."""
        return (self.payment.business_id, self.payment.payment_id)


class PaymentsService:
    """The use cases of PaymentsService."""

    def __init__(
        self, database: Database, credentials: CredentialsService, gateways: Mapping[str, Gateway]
    ) -> None:
        """Keep payments in `database` and charge through the `gateways`, by their words."""
        self._database = database
        self._credentials = credentials
        self._gateways = gateways
        self._under_way = UnderWay()

    async def charge(self, caller: Caller, request: ChargeRequest) -> Charged:
        """Charge the user's primary card, and credit their wallet where the request funds it.

        The same request resumes an attempt that it left open, joins one whose caller left, and
        is told of one that succeeded when nobody was there to be told.

        Raises:
            Refusal: USER_NOT_FOUND, USER_INACTIVE, CREDENTIALS_MISSING, CARD_NOT_FOUND,
                WALLET_LIMIT, CARD_DECLINED, AUTHENTICATION_REQUIRED, IDEMPOTENCY_KEY_REUSED,
                GATEWAY_REFUSED, GATEWAY_UNAVAILABLE or OUTCOME_UNKNOWN.
            InvalidFields: the amount or currency cannot be charged.
        """
        presence = current_presence()
        begun: _Begun | Attempt | store.Payment | None = None
        try:
            async with self._database.transaction() as transaction:
                begun = await self._begin(transaction, caller, request)
                charged = (
                    await charged_of(transaction, begun)
                    if isinstance(begun, store.Payment)
                    else None
                )
        except BaseException as error:
            if isinstance(begun, _Begun):  # its row did not commit, or may not have
                self._under_way.end(begun.key, error)
            elif isinstance(begun, Attempt):  # who is told of this error does not wait any more
                begun.waiting.remove(presence)
            raise
        match begun:
            case store.Payment():
                assert charged is not None, "what succeeded can be told"
                await self._note_told(begun, [presence])
                return charged
            case Attempt():
                return await asyncio.shield(begun.result)
            case _Begun():
                return await self._carry_out(begun)
            case _:
                assert_never(begun)

    async def list_payments(
        self, caller: Caller, which: store.PaymentFilter, page: PageRequest
    ) -> tuple[list[store.Payment], int]:
        """Return a page of the caller's payments and how many there are."""
        async with self._database.transaction() as transaction:
            return await store.payment_page(
                transaction, business_id=caller.business_id, which=which, page=page
            )

    async def _begin(
        self, transaction: Transaction, caller: Caller, request: ChargeRequest
    ) -> _Begun | Attempt | store.Payment:
        """Store the payment as pending, or find what an equal request left behind.

        That is an attempt to carry out, one to join, or a payment that succeeded.
        """
        user = await existing_user(transaction, caller.business_id, request.user_id, lock=True)
        if request.kind == "fund":
            wallet = await wallet_store.wallet_of_user(
                transaction,
                business_id=caller.business_id,
                user_id=user.user_id,
                env=request.env,
                currency=user.currency,
            )
            amount = amount_in_currency(request.money, wallet.currency)
        else:
            wallet = None
            amount = from_wire(request.money, user.currency)
        if earlier := await self._earlier(transaction, caller, request, amount, user):
            return earlier
        if wallet and wallet.balance_minor + amount.minor > MAX_BALANCE_MINOR:
            raise movement_refusal(MovementRefusal.WALLET_LIMIT)
        check_active(user)
        gateway = request.gateway or user.default_gateway
        account = await self._credentials.account(
            transaction, caller.business_id, gateway or "stripe", request.env
        )
        card = await card_to_charge(transaction, caller.business_id, user, request.env, gateway)
        payment = await new_payment(transaction, caller, request, amount, card)
        await store.insert_payment(transaction, payment)
        return self._attempt_on(payment, account, may_have_charged=False, resumed=False)

    async def _earlier(
        self,
        transaction: Transaction,
        caller: Caller,
        request: ChargeRequest,
        amount: Amount,
        user: User,
    ) -> _Begun | Attempt | store.Payment | None:
        """Return what an equal request left behind that this one must go on with."""
        for payment in await left_behind(transaction, caller, request, amount):
            # Asked first: a payment may have succeeded while its caller is about to be told.
            if attempt := self._under_way.get((payment.business_id, payment.payment_id)):
                if not attempt.takes_equal_requests(keyed=request.idempotency_key is not None):
                    continue
                attempt.waiting.append(current_presence())
                logger.info("charge joined", extra={"payment_id": payment.payment_id})
                return attempt
            if payment.status == "succeeded":
                return payment
            if begun := await self._resume(transaction, payment, user):
                return begun
        return None

    async def _resume(
        self, transaction: Transaction, payment: store.Payment, user: User
    ) -> _Begun | None:
        """Take over an attempt that nobody works on, or close it where nothing can have happened.

        One process serves the database, so `running` and not ours means that its process died:
        it may have sent the charge. What was surely not sent is a charge that begins now.
        """
        forgotten = transaction.now - payment.created_at > GATEWAY_KEY_LIFE
        if payment.attempt == "not_sent":
            check_active(user)
            if forgotten or not await _card_is_still_primary(transaction, payment):
                await store.settle_payment(transaction, payment, rules.CLOSED_UNSENT, answered=True)
                return None
        account = await self._credentials.account(
            transaction, payment.business_id, payment.gateway, payment.env
        )
        await store.take_attempt(transaction, payment)
        return self._attempt_on(
            payment,
            account,
            may_have_charged=payment.attempt != "not_sent",
            resumed=True,
            look_up_only=forgotten,
        )

    def _attempt_on(
        self,
        payment: store.Payment,
        account: Account,
        *,
        may_have_charged: bool,
        resumed: bool,
        look_up_only: bool = False,
    ) -> _Begun:
        key = (payment.business_id, payment.payment_id)
        attempt = self._under_way.begin(key, current_presence(), resumed=resumed)
        return _Begun(payment, account, attempt, may_have_charged, look_up_only)

    async def _carry_out(self, begun: _Begun) -> Charged:
        """Submit the charge and write the outcome; those who joined are told too."""
        payment = begun.payment
        result: Charged | BaseException
        try:
            outcome = await self._submit(begun)
            charged = await self._write(begun, outcome)
            if charged is not None:
                await self._note_told(payment, begun.attempt.waiting)
            result = charged or rules.refusal_of(outcome, payment.payment_id)
        except BaseException as error:  # noqa: BLE001 - those who joined must not wait for ever
            result = error
        self._under_way.end(begun.key, result)
        if isinstance(result, BaseException):
            raise result
        return result

    async def _note_told(self, payment: store.Payment, waiting: Sequence[Presence]) -> None:
        """Remember that a caller is told of a charge, so that an equal request is a new one.

        Only after the commit, and taken back where the last caller left meanwhile: who was told
        of nothing and asks again must not be charged again.
        """
        try:
            if is_awaited(waiting):
                await self._set_answered(payment, answered=True)
                if not is_awaited(waiting):
                    await self._set_answered(payment, answered=False)
        except (DatabaseUnavailableError, CommitUnknownError):
            logger.warning("not noted as told", extra={"payment_id": payment.payment_id})

    async def _set_answered(self, payment: store.Payment, *, answered: bool) -> None:
        async with self._database.transaction() as transaction:
            await store.set_answered(transaction, payment, answered=answered)

    async def _submit(self, begun: _Begun) -> ChargeOutcome:
        payment = begun.payment
        order = ChargeOrder(
            payment_id=payment.payment_id,
            gateway_key=payment.gateway_key,
            amount=Amount(payment.amount_minor, payment.currency),
            customer_id=payment.customer_id,
            gateway_card_id=payment.gateway_card_id,
            description=payment.description,
        )
        gateway = self._gateways[payment.gateway]
        try:
            if begun.look_up_only:
                found = await gateway.look_up_charge(begun.account, order)
                outcome = found or Unknown("the gateway shows nothing of the charge")
            else:
                outcome = await gateway.charge(begun.account, order)
        except GatewayError as error:
            outcome = Unknown(error.message)
        except Exception:
            # A fault of ours in the middle of a charge says nothing about the charge.
            logger.exception("charge interrupted", extra={"payment_id": payment.payment_id})
            outcome = Unknown("the charge was interrupted")
        if begun.may_have_charged:
            outcome = rules.of_resumed(outcome)
        logger.info(
            "charge",
            extra={"payment_id": payment.payment_id, "outcome": type(outcome).__name__.lower()},
        )
        return outcome

    async def _write(self, begun: _Begun, outcome: ChargeOutcome) -> Charged | None:
        """Commit the outcome, trying again for as long as the database is away.

        Raises:
            Refusal: OUTCOME_UNKNOWN where it stays away. The row stays pending, and the same
                request finds the charge under its gateway key.
        """
        clock = asyncio.get_running_loop().time
        give_up = clock() + WRITE_SECONDS
        pause = 0.05
        payment_id = begun.payment.payment_id
        while True:
            try:
                async with self._database.transaction() as transaction:
                    return await self._finish(transaction, begun, outcome)
            except (DatabaseUnavailableError, CommitUnknownError):
                logger.warning("outcome not stored yet", extra={"payment_id": payment_id})
                if clock() >= give_up:
                    raise rules.outcome_unknown(payment_id) from None
            except Exception:
                logger.exception("outcome not stored", extra={"payment_id": payment_id})
                raise rules.outcome_unknown(payment_id) from None
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)

    async def _finish(
        self, transaction: Transaction, begun: _Begun, outcome: ChargeOutcome
    ) -> Charged | None:
        """Write the outcome, and the wallet's credit with it; once, however often it is tried."""
        payment = await store.payment_by_id(
            transaction,
            business_id=begun.payment.business_id,
            payment_id=begun.payment.payment_id,
        )
        settled = rules.settle(outcome)
        if payment.attempt == "running":
            # A success is answered once somebody is told; a refusal charged nothing.
            answered = settled.status not in ("pending", "succeeded")
            await store.settle_payment(transaction, payment, settled, answered=answered)
            payment = replace(payment, **asdict(settled))
            if isinstance(outcome, Succeeded) and payment.kind == "fund":
                await credit_wallet(transaction, payment)
        if not isinstance(outcome, Succeeded):
            return None
        return await charged_of(transaction, payment)


async def _card_is_still_primary(transaction: Transaction, payment: store.Payment) -> bool:
    card = await primary_card(
        transaction,
        business_id=payment.business_id,
        user_id=payment.user_id,
        env=payment.env,
        gateway=payment.gateway,
    )
    return card is not None and card.gateway_card_id == payment.gateway_card_id
