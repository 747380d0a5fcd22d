"""Charges saved cards, in three phases: commit the intent, call the gateway, commit the outcome.

The gateway is never called with a transaction open, and what is not known is never called failed.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from google.type import money_pb2

from core.caller import Caller
from core.cards.service import card_to_charge
from core.credentials.service import CredentialsService
from core.database import Database, Transaction
from core.gateways.gateway import Account, ChargeOrder, ChargeOutcome, Gateway, Succeeded, Unknown
from core.ids import new_payment_id, new_wallet_transaction_id
from core.money import DEFAULT_CURRENCY, MAX_BALANCE_MINOR, Amount, from_wire
from core.pages import PageRequest
from core.payments import rules, store
from core.users.service import active_user
from core.users.store import User
from core.wallet import ledger
from core.wallet import store as wallet_store
from core.wallet.rules import Direction, Movement, MovementRefusal, WalletState
from core.wallet.service import amount_in_currency
from core.wallet.service import refusal_of as movement_refusal

logger = logging.getLogger("core.payments")

_FUNDING_DESCRIPTIONS = {
    "stripe": "Stripe wallet funding",
    "authorize": "Authorize.Net wallet funding",
}


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
class Charged:
    """A charge that succeeded; with the wallet after the credit where it funded one."""

    transaction_id: str
    amount: Amount
    wallet_id: str | None = None
    wallet_balance: Amount | None = None


@dataclass(frozen=True, slots=True)
class _Begun:
    """A payment whose row is committed, and what its attempt needs."""

    payment: store.Payment
    account: Account = field(repr=False)
    wallet_id: str | None


class PaymentsService:
    """The use cases of PaymentsService."""

    def __init__(
        self, database: Database, credentials: CredentialsService, gateways: Mapping[str, Gateway]
    ) -> None:
        """Keep payments in `database` and charge through the `gateways`, by their words."""
        self._database = database
        self._credentials = credentials
        self._gateways = gateways

    async def charge(self, caller: Caller, request: ChargeRequest) -> Charged:
        """Charge the user's primary card, and credit their wallet where the request funds it.

        The same request resumes an attempt that it left open, under the same gateway key.

        Raises:
            Refusal: USER_NOT_FOUND, USER_INACTIVE, CREDENTIALS_MISSING, CARD_NOT_FOUND,
                WALLET_LIMIT, CARD_DECLINED, AUTHENTICATION_REQUIRED, GATEWAY_REFUSED,
                GATEWAY_UNAVAILABLE or OUTCOME_UNKNOWN.
            InvalidFields: the amount or currency cannot be charged.
        """
        async with self._database.transaction() as transaction:
            begun = await self._begin(transaction, caller, request)
        payment = begun.payment
        outcome = await self._submit(begun)
        try:
            async with self._database.transaction() as transaction:
                wallet = await self._finish(transaction, begun, outcome)
        except Exception:
            # The gateway has answered and we could not write it down. The attempt stays open under
            # its gateway key, so that asking again finds the same charge.
            logger.exception("outcome not stored", extra={"payment_id": payment.payment_id})
            await self._leave_open(payment)
            raise rules.outcome_unknown(payment.payment_id) from None
        if refusal := rules.refusal_of(outcome, payment.payment_id):
            raise refusal
        assert isinstance(outcome, Succeeded), "every other outcome is a refusal"
        return Charged(
            outcome.transaction_id,
            Amount(payment.amount_minor, payment.currency),
            begun.wallet_id,
            Amount(wallet.balance_minor, wallet.currency) if wallet else None,
        )

    async def list_payments(
        self, caller: Caller, which: store.PaymentFilter, page: PageRequest
    ) -> tuple[list[store.Payment], int]:
        """Return a page of the caller's payments and how many there are."""
        async with self._database.transaction() as transaction:
            return await store.payment_page(
                transaction, business_id=caller.business_id, which=which, page=page
            )

    async def release_attempts(self) -> int:
        """Leave open what a dead process was working on; for the start of the only process."""
        async with self._database.transaction() as transaction:
            return await store.release_attempts(transaction)

    async def _begin(
        self, transaction: Transaction, caller: Caller, request: ChargeRequest
    ) -> _Begun:
        """Store the payment as pending, or take over the attempt that the request left open."""
        user = await active_user(transaction, caller.business_id, request.user_id, lock=True)
        gateway = request.gateway or user.default_gateway
        account = await self._credentials.account(
            transaction, caller.business_id, gateway or "stripe", request.env
        )
        card = await card_to_charge(transaction, caller.business_id, user, request.env, gateway)
        if request.kind == "fund":
            wallet_id, amount = await _wallet_to_fund(transaction, caller, user, request)
        else:
            wallet_id, amount = None, from_wire(request.money, DEFAULT_CURRENCY)
        payment_id = new_payment_id(transaction.now)
        while await store.payment_exists(
            transaction, business_id=caller.business_id, payment_id=payment_id
        ):
            payment_id = new_payment_id(transaction.now)
        payment = store.Payment(
            business_id=caller.business_id,
            payment_id=payment_id,
            user_id=user.user_id,
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
            created_at=transaction.now,
        )
        resumed = await store.take_open_attempt(transaction, payment)
        if resumed is None:
            await store.insert_payment(transaction, payment)
        return _Begun(resumed or payment, account, wallet_id)

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
        try:
            outcome = await self._gateways[payment.gateway].charge(begun.account, order)
        except Exception:
            # A fault of ours in the middle of a charge says nothing about the charge.
            logger.exception("charge interrupted", extra={"payment_id": payment.payment_id})
            outcome = Unknown("the charge was interrupted")
        logger.info(
            "charge",
            extra={"payment_id": payment.payment_id, "outcome": type(outcome).__name__.lower()},
        )
        return outcome

    async def _finish(
        self, transaction: Transaction, begun: _Begun, outcome: ChargeOutcome
    ) -> WalletState | None:
        """Write the outcome, and the wallet's credit with it."""
        payment = begun.payment
        await store.settle_payment(transaction, payment, rules.settle(outcome))
        if not isinstance(outcome, Succeeded) or begun.wallet_id is None:
            return None
        (credited,) = await ledger.move(
            transaction,
            [
                Movement(
                    business_id=payment.business_id,
                    wallet_id=begun.wallet_id,
                    transaction_id=new_wallet_transaction_id(),
                    direction=Direction.CREDIT,
                    amount_minor=payment.amount_minor,
                    source=payment.gateway,
                    reason="wallet_fund",
                    description=payment.description or _FUNDING_DESCRIPTIONS[payment.gateway],
                    payment_id=payment.payment_id,
                )
            ],
        )
        assert isinstance(credited, WalletState), "money that was charged for always arrives"
        return credited

    async def _leave_open(self, payment: store.Payment) -> None:
        try:
            async with self._database.transaction() as transaction:
                await store.settle_payment(
                    transaction, payment, rules.settle(Unknown("the outcome was not stored"))
                )
        except Exception:
            logger.exception("attempt not left open", extra={"payment_id": payment.payment_id})


async def _wallet_to_fund(
    transaction: Transaction, caller: Caller, user: User, request: ChargeRequest
) -> tuple[str, Amount]:
    """Return the wallet and the amount in its currency; refuse before the card is charged."""
    wallet = await wallet_store.wallet_of_user(
        transaction,
        business_id=caller.business_id,
        user_id=user.user_id,
        env=request.env,
        currency=user.currency,
    )
    amount = amount_in_currency(request.money, wallet.currency)
    if wallet.balance_minor + amount.minor > MAX_BALANCE_MINOR:
        raise movement_refusal(MovementRefusal.WALLET_LIMIT)
    return wallet.wallet_id, amount
