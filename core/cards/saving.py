"""Saves a card at its gateway and here.

Card numbers and security codes are `Secret`s and go to the gateway only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from core.cards import rules, store
from core.cards.primary import choose_primary
from core.cards.refusals import refusal_of
from core.cards.removed import find_removed, replaced_card
from core.credentials.service import CredentialsService
from core.database.transactions import Database, Transaction
from core.errors import RETRY_SECONDS, Reason, Refusal
from core.gateways.gateway import (
    NONCE_FIELD,
    Account,
    CardData,
    CardNonce,
    CustomerMissing,
    Gateway,
    GatewayError,
    GatewayRefused,
    GatewayUnknown,
    SavedCard,
    SetsUpCards,
    TakesCardData,
)
from core.idempotency.call import IdempotentCall
from core.idempotency.service import Idempotency
from core.limits import CardTestingLimits, too_many_card_attempts
from core.security.keyring import derived_key
from core.users import store as users_store
from core.users.service import active_user, check_active, user_not_found
from core.users.store import User


@dataclass(frozen=True, slots=True)
class CardToSave:
    """A user's card to save at a gateway: a token, the card's data, or a nonce."""

    business_id: str
    user_id: str
    env: str
    gateway: str
    card: str | CardData | CardNonce = field(repr=False)
    request_key: str = ""
    """The request's idempotency key, or an id of the request alone. None for card data, whose
    gateway has no idempotency keys."""
    is_set_up: bool = False
    """Whether the card's bank is asked to allow charges without the cardholder."""
    set_as_primary: bool = False

    @property
    def gateway_key(self) -> str:
        """The gateway's idempotency key of a token: equal for equal requests."""
        if not isinstance(self.card, str):
            return ""
        return "card-" + derived_key(
            self.business_id, self.user_id, self.env, self.card, self.request_key
        )

    @property
    def customer_key(self) -> dict[str, str]:
        """Key of the user's customer in the store."""
        return {
            "business_id": self.business_id,
            "user_id": self.user_id,
            "env": self.env,
            "gateway": self.gateway,
        }


class CardSaver:
    """Saves cards at the gateways, by name."""

    def __init__(
        self,
        database: Database,
        credentials: CredentialsService,
        gateways: Mapping[str, Gateway],
        idempotency: Idempotency,
        limits: CardTestingLimits,
    ) -> None:
        """Store cards in `database` and at the `gateways`, by name."""
        self._idempotency = idempotency
        self._limits = limits
        self._database = database
        self._credentials = credentials
        self._gateways = gateways

    async def save(self, to_save: CardToSave, *, call: IdempotentCall | None) -> store.Card:
        """Save a card. No transaction is open during calls to the gateway."""
        business_id = to_save.business_id
        async with self._database.transaction("cards.claim") as transaction:
            if call is not None:
                await self._idempotency.claim(transaction, call)
                to_save = replace(to_save, env=call.env or to_save.env)
            if isinstance(to_save.card, CardData):
                rules.check_card(to_save.card, transaction.now)
            elif isinstance(to_save.card, CardNonce):
                rules.check_nonce(to_save.card)
            user = await self._counted_user(transaction, to_save, call)
            account = await self._credentials.account(
                transaction, business_id, to_save.gateway, to_save.env
            )
            known = await store.customer_of_user(transaction, **to_save.customer_key)
            cards = await store.cards_of_user(
                transaction, business_id=business_id, user_id=user.user_id, env=to_save.env
            )
        try:
            customer_id, saved = await self._save_at_gateway(to_save, account, user, known)
        except GatewayError as error:
            raise refusal_of(_unless_spent_before(error, call)) from None
        at_gateway = [card for card in cards if card.gateway == to_save.gateway]
        removed = await find_removed(self._gateways[to_save.gateway], account, at_gateway, saved)
        async with self._database.transaction("cards.keep_card") as transaction:
            user = await active_user(transaction, business_id, to_save.user_id, lock=True)
            await _check_still_saved(transaction, to_save, customer_id, saved)
            card = await store.keep_card(
                transaction,
                **to_save.customer_key,
                customer_id=customer_id,
                saved=saved,
                replaces=replaced_card(removed, saved),
                removed=removed,
                restores=None,
            )
            return await choose_primary(
                transaction,
                business_id,
                user,
                card,
                removed,
                set_as_primary=to_save.set_as_primary,
            )

    async def _counted_user(
        self, transaction: Transaction, to_save: CardToSave, call: IdempotentCall | None
    ) -> User:
        """Count a request to save a card, whatever becomes of it, and return its user.

        One that repeats an earlier request is counted and not refused: that may have saved the
        card.

        Raises:
            Refusal: USER_NOT_FOUND, USER_INACTIVE, USER_SUSPENDED or TOO_MANY_CARD_ATTEMPTS, with
                which the transaction, and so the count, is rolled back.
        """
        window, most = self._limits.window, self._limits.card_saves
        saves = await users_store.count_card_save(
            transaction,
            business_id=to_save.business_id,
            user_id=to_save.user_id,
            since=transaction.now - window,
        )
        if saves is None:
            raise user_not_found()
        check_active(saves.user)
        is_repeated = call is not None and call.is_continued
        if 0 < most < saves.count and not is_repeated:
            raise too_many_card_attempts(
                "card_saves",
                "Too many cards of this user were sent to be saved. This one was not.",
                retry_after_seconds=(saves.since + window - transaction.now).total_seconds(),
            )
        return saves.user

    async def _save_at_gateway(
        self, to_save: CardToSave, account: Account, user: User, customer_id: str | None
    ) -> tuple[str, SavedCard]:
        """Save the card at the user's customer; create it if it is unknown here or at the gateway.

        Returns the customer's id at the gateway, and the card.
        """
        gateway = self._gateways[to_save.gateway]
        missing = ""
        if customer_id is not None:
            try:
                return customer_id, await self._save_card(to_save, account, customer_id)
            except CustomerMissing:
                missing = customer_id
        if isinstance(to_save.card, CardData):
            assert isinstance(gateway, TakesCardData), "only this kind of gateway takes card data"
            customer_id, saved = await gateway.create_customer_with_card(
                account, user_id=user.user_id, name=user.name, email=user.email, card=to_save.card
            )
            await self._store_customer(to_save, customer_id, missing)
            return customer_id, saved
        if isinstance(to_save.card, CardNonce):
            assert isinstance(gateway, TakesCardData), "only this kind of gateway takes nonces"
            customer_id, created = await gateway.create_customer_with_nonce(
                account, user_id=user.user_id, name=user.name, email=user.email, nonce=to_save.card
            )
            known = await self._store_customer(to_save, customer_id, missing)
            if created is not None:
                return customer_id, created
            return known, await self._save_card(to_save, account, known)
        # The key is derived from the request: concurrent calls and retries get the same customer. A
        # changed profile needs another key, because Stripe rejects a reused one.
        customer_id = await gateway.create_customer(
            account,
            user_id=user.user_id,
            name=user.name,
            email=user.email,
            gateway_key="customer-"
            + derived_key(
                to_save.business_id, user.user_id, to_save.env, user.name, user.email, missing
            ),
        )
        customer_id = await self._store_customer(to_save, customer_id, missing)
        return customer_id, await self._save_card(to_save, account, customer_id)

    async def _save_card(
        self, to_save: CardToSave, account: Account, customer_id: str
    ) -> SavedCard:
        gateway = self._gateways[to_save.gateway]
        if to_save.is_set_up:
            assert isinstance(gateway, SetsUpCards), "only this kind of gateway sets cards up"
            assert isinstance(to_save.card, str), "only a token is set up"
            return await gateway.set_up_card(
                account,
                customer_id=customer_id,
                token=to_save.card,
                gateway_key=to_save.gateway_key,
                user_id=to_save.user_id,
                set_as_primary=to_save.set_as_primary,
            )
        return await gateway.save_card(
            account, customer_id=customer_id, card=to_save.card, gateway_key=to_save.gateway_key
        )

    async def _store_customer(self, to_save: CardToSave, customer_id: str, missing: str) -> str:
        """Store the user's customer unless a concurrent call stored one; return the stored id.

        A customer that is `missing` at the gateway is replaced.
        """
        async with self._database.transaction("cards.keep_customer") as transaction:
            await active_user(transaction, to_save.business_id, to_save.user_id, lock=True)
            known = await store.customer_of_user(transaction, **to_save.customer_key)
            if known in (None, missing):
                await store.set_customer(
                    transaction, **to_save.customer_key, customer_id=customer_id
                )
                return customer_id
        assert known is not None
        return known


def _unless_spent_before(error: GatewayError, call: IdempotentCall | None) -> GatewayError:
    """Return the error of a call, which is unknown if an earlier run may have spent the nonce.

    Clients send a request again after OUTCOME_UNKNOWN. The gateway refuses the nonce then, although
    it may have saved the card.
    """
    is_spent = isinstance(error, GatewayRefused) and error.field == NONCE_FIELD
    if not is_spent or call is None or not call.is_continued:
        return error
    return GatewayUnknown(
        "An earlier attempt of this request may have saved the card of the nonce, which is spent. "
        "Get another nonce of the card, and send it with another idempotency_key."
    )


async def _check_still_saved(
    transaction: Transaction, to_save: CardToSave, customer_id: str, saved: SavedCard
) -> None:
    """Check that neither the card was removed nor the customer replaced since the gateway saved it.

    Raises:
        Refusal: OUTCOME_UNKNOWN; the same request, or one with another nonce, saves the card again,
            if the gateway can.
    """
    if await store.was_removed(
        transaction,
        business_id=to_save.business_id,
        env=to_save.env,
        gateway=to_save.gateway,
        gateway_card_id=saved.gateway_card_id,
    ):
        changed = "The card was removed"
    elif await store.customer_of_user(transaction, **to_save.customer_key) != customer_id:
        changed = "The user got another customer"
    else:
        return
    is_spent = isinstance(to_save.card, CardNonce)
    again = "Get another nonce" if is_spent else "Send the same request again"
    raise Refusal(
        Reason.ERROR_REASON_OUTCOME_UNKNOWN,
        f"{changed} while the card was saved. {again} to save it.",
        retry_after_seconds=RETRY_SECONDS,
    )
