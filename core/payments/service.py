"""Charges saved cards, in three phases: commit the intent, call the gateway, commit the outcome.

The gateway is never called with a transaction open, and what is not known is never called failed.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import assert_never

from google.type import money_pb2

from core.caller import Caller, current_presence
from core.cards.service import card_to_charge
from core.cards.store import Card, primary_card
from core.credentials.service import CredentialsService
from core.database import CommitUnknownError, Database, DatabaseUnavailableError, Transaction
from core.errors import Reason, Refusal
from core.gateways.gateway import (
    Account,
    ChargeOrder,
    ChargeOutcome,
    Gateway,
    GatewayError,
    Succeeded,
    Unknown,
)
from core.ids import new_payment_id
from core.money import MAX_BALANCE_MINOR, Amount, from_wire
from core.pages import PageRequest
from core.payments import rules, store
from core.payments.funding import charged_of, credit_wallet
from core.payments.under_way import Attempt, Charged, PaymentKey, UnderWay
from core.users.service import check_active, existing_user
from core.wallet import store as wallet_store
from core.wallet.rules import MovementRefusal
from core.wallet.service import amount_in_currency
from core.wallet.service import refusal_of as movement_refusal

logger = logging.getLogger("core.payments")

GATEWAY_KEY_LIFE = timedelta(hours=23)
"""Stripe keeps idempotency keys for 24 hours (docs.stripe.com/api/idempotent_requests)."""
UNANSWERED_LIFE = timedelta(hours=24)
"""How long an equal request without a key is told of a charge whose caller never heard of it."""
WRITE_SECONDS = 60.0
"""How long to go on trying to write an outcome down."""


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """What a caller asks to be charged. `kind` is `charge`, or `fund` to credit the wallet."""

    kind: str
    user_id: str
    env: str
    money: money_pb2.Money
    gateway: str | None = None
    description: str | None = None
    idempotency_key: str | None = None


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
        begun: _Begun | Attempt | Charged | None = None
        try:
            async with self._database.transaction() as transaction:
                begun = await self._begin(transaction, caller, request)
        except BaseException as error:
            if isinstance(begun, _Begun):  # its row did not commit, or may not have
                self._under_way.end(begun.key, error)
            raise
        match begun:
            case Charged():
                return begun
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
    ) -> _Begun | Attempt | Charged:
        """Store the payment as pending, or find what an equal request left behind."""
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
        if earlier := await self._earlier(transaction, caller, request, amount):
            return earlier
        if wallet and wallet.balance_minor + amount.minor > MAX_BALANCE_MINOR:
            raise movement_refusal(MovementRefusal.WALLET_LIMIT)
        check_active(user)
        gateway = request.gateway or user.default_gateway
        account = await self._credentials.account(
            transaction, caller.business_id, gateway or "stripe", request.env
        )
        card = await card_to_charge(transaction, caller.business_id, user, request.env, gateway)
        payment = await _new_payment(transaction, caller, request, amount, card)
        await store.insert_payment(transaction, payment)
        return self._attempt_on(payment, account, may_have_charged=False, resumed=False)

    async def _earlier(
        self, transaction: Transaction, caller: Caller, request: ChargeRequest, amount: Amount
    ) -> _Begun | Attempt | Charged | None:
        """Return what an equal request left behind that this one must go on with."""
        for payment in await _left_behind(transaction, caller, request, amount):
            if payment.status == "succeeded":
                await store.mark_answered(transaction, payment)
                return await charged_of(transaction, payment)
            if attempt := self._under_way.get((payment.business_id, payment.payment_id)):
                if not attempt.takes_equal_requests(keyed=request.idempotency_key is not None):
                    continue
                attempt.waiting.append(current_presence())
                logger.info("charge joined", extra={"payment_id": payment.payment_id})
                return attempt
            if begun := await self._resume(transaction, payment):
                return begun
        return None

    async def _resume(self, transaction: Transaction, payment: store.Payment) -> _Begun | None:
        """Take over an attempt that nobody works on, or close it where nothing can have happened.

        One process serves a SQLite database, so `running` and not ours means that its process
        died: it may have sent the charge.
        """
        forgotten = transaction.now - payment.created_at > GATEWAY_KEY_LIFE
        if payment.attempt == "not_sent" and (
            forgotten or not await _card_is_still_primary(transaction, payment)
        ):
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
            result = charged or rules.refusal_of(outcome, payment.payment_id)
        except BaseException as error:  # noqa: BLE001 - those who joined must not wait for ever
            result = error
        self._under_way.end(begun.key, result)
        if isinstance(result, BaseException):
            raise result
        return result

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
            answered = settled.attempt is None and begun.attempt.is_awaited
            await store.settle_payment(transaction, payment, settled, answered=answered)
            payment = replace(payment, **asdict(settled))
            if isinstance(outcome, Succeeded) and payment.kind == "fund":
                await credit_wallet(transaction, payment)
        if not isinstance(outcome, Succeeded):
            return None
        return await charged_of(transaction, payment)


async def _left_behind(
    transaction: Transaction, caller: Caller, request: ChargeRequest, amount: Amount
) -> list[store.Payment]:
    """Return the payments that the request may mean: those of its key, or its equals without.

    Raises:
        Refusal: IDEMPOTENCY_KEY_REUSED where the key was used for another request.
    """
    if request.idempotency_key is None:
        return await store.unanswered_payments(
            transaction,
            business_id=caller.business_id,
            user_id=request.user_id,
            env=request.env,
            kind=request.kind,
            amount_minor=amount.minor,
            currency=amount.currency,
            gateway=request.gateway,
            description=request.description,
            succeeded_since=transaction.now - UNANSWERED_LIFE,
        )
    payment = await store.payment_of_key(
        transaction, business_id=caller.business_id, idempotency_key=request.idempotency_key
    )
    if payment is None:
        return []
    if not (
        (payment.user_id, payment.env, payment.kind, payment.description)
        == (request.user_id, request.env, request.kind, request.description)
        and (payment.amount_minor, payment.currency) == (amount.minor, amount.currency)
        and request.gateway in (None, payment.gateway)
    ):
        raise Refusal(
            Reason.ERROR_REASON_IDEMPOTENCY_KEY_REUSED,
            "The idempotency key was used for another request; use a new one",
        )
    return [payment] if payment.status in ("pending", "succeeded") else []


async def _new_payment(
    transaction: Transaction,
    caller: Caller,
    request: ChargeRequest,
    amount: Amount,
    card: Card,
) -> store.Payment:
    payment_id = new_payment_id(transaction.now)
    while await store.payment_exists(
        transaction, business_id=caller.business_id, payment_id=payment_id
    ):
        payment_id = new_payment_id(transaction.now)
    return store.Payment(
        business_id=caller.business_id,
        payment_id=payment_id,
        user_id=request.user_id,
        env=request.env,
        gateway=card.gateway,
        kind=request.kind,
        amount_minor=amount.minor,
        currency=amount.currency,
        description=request.description,
        idempotency_key=request.idempotency_key,
        customer_id=card.customer_id,
        gateway_card_id=card.gateway_card_id,
        gateway_key=f"{caller.business_id}/{payment_id}",
        status="pending",
        attempt="running",
        transaction_id=None,
        decline_code=None,
        answered=False,
        created_at=transaction.now,
    )


async def _card_is_still_primary(transaction: Transaction, payment: store.Payment) -> bool:
    card = await primary_card(
        transaction,
        business_id=payment.business_id,
        user_id=payment.user_id,
        env=payment.env,
        gateway=payment.gateway,
    )
    return card is not None and card.gateway_card_id == payment.gateway_card_id
