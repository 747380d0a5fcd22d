"""The use cases of saved cards."""

from collections.abc import Mapping
from dataclasses import replace

from core.caller import Caller
from core.cards import rules, store
from core.cards.primary import (
    card_to_charge,
    choose_primary,
    lock_card,
    primary_beside,
    remove_card,
)
from core.cards.refusals import card_not_found, refusal_of
from core.cards.saving import CardSaver, CardToSave
from core.credentials.service import CredentialsService
from core.database.transactions import Database, Transaction
from core.gateways.gateway import (
    Account,
    CardChange,
    CardData,
    CardNonce,
    Gateway,
    GatewayError,
)
from core.idempotency.call import IdempotentCall
from core.idempotency.service import Idempotency
from core.ids import new_request_id
from core.limits import DEFAULT_LIMITS, CardTestingLimits
from core.users.service import existing_user


class CardsService:
    """The use cases of CardsService."""

    def __init__(
        self,
        database: Database,
        credentials: CredentialsService,
        gateways: Mapping[str, Gateway],
        idempotency: Idempotency,
        limits: CardTestingLimits = DEFAULT_LIMITS,
    ) -> None:
        """Store cards in `database` and at the `gateways`, by name."""
        self._idempotency = idempotency
        self._database = database
        self._credentials = credentials
        self._gateways = gateways
        self._saver = CardSaver(database, credentials, gateways, idempotency, limits)

    async def list_cards(self, caller: Caller, user_id: str, env: str) -> list[store.Card]:
        """Return the user's cards, newest first.

        Raises:
            Refusal: USER_NOT_FOUND.
        """
        await existing_user(self._database, caller.business_id, user_id)
        return await store.cards_of_user(
            self._database, business_id=caller.business_id, user_id=user_id, env=env
        )

    async def primary(
        self, caller: Caller, user_id: str, env: str, gateway: str | None
    ) -> store.Card:
        """Return the card that a charge uses. The gateway defaults to the user's default gateway.

        Raises:
            Refusal: USER_NOT_FOUND or CARD_NOT_FOUND.
        """
        user = await existing_user(self._database, caller.business_id, user_id)
        return await card_to_charge(self._database, caller.business_id, user, env, gateway)

    async def save_stripe_card(
        self,
        caller: Caller,
        user_id: str,
        env: str,
        token: str,
        *,
        set_as_primary: bool,
        call: IdempotentCall | None,
        set_up: bool = False,
    ) -> store.Card:
        """Save the card of a token at the user's Stripe customer, created if there is none.

        A retry finds the same customer and, with the same idempotency key, the same card. With
        `set_up` the card's bank is asked to allow charges without the cardholder.

        Raises:
            Refusal: USER_NOT_FOUND, USER_INACTIVE, TOO_MANY_CARD_ATTEMPTS, CREDENTIALS_MISSING,
                CARD_DECLINED, AUTHENTICATION_REQUIRED, GATEWAY_REFUSED, GATEWAY_UNAVAILABLE or
                OUTCOME_UNKNOWN.
            InvalidFields: the gateway does not know the token.
            Replay: the call has an answer.
        """
        # Without an idempotency key every call saves its own card; a random key makes only the
        # gateway client's resends equal.
        request_key = (call and call.sent_key) or new_request_id()
        to_save = CardToSave(
            caller.business_id,
            user_id,
            env,
            "stripe",
            token,
            request_key,
            is_set_up=set_up,
            set_as_primary=set_as_primary,
        )
        return await self._saver.save(to_save, call=call)

    async def save_authorize_card(
        self,
        caller: Caller,
        user_id: str,
        env: str,
        card: CardData | CardNonce,
        *,
        set_as_primary: bool,
        call: IdempotentCall | None,
    ) -> store.Card:
        """Save a card in the user's customer profile at Authorize.Net, created if there is none.

        A retry, with or without an idempotency key, finds the same profile and card: the gateway
        detects both duplicates. A nonce can be sent once, so the retry has another one of the card.

        Raises:
            Refusal: USER_NOT_FOUND, USER_INACTIVE, CREDENTIALS_MISSING, CARD_DECLINED,
                GATEWAY_REFUSED, GATEWAY_UNAVAILABLE or OUTCOME_UNKNOWN.
            InvalidFields: the card is invalid or has expired.
            Replay: the call has an answer.
        """
        to_save = CardToSave(
            caller.business_id, user_id, env, "authorize", card, set_as_primary=set_as_primary
        )
        return await self._saver.save(to_save, call=call)

    async def set_primary(
        self, caller: Caller, card_id: str, *, user_id: str | None = None
    ) -> store.Card:
        """Make a card primary, and its gateway the user's default; return the card.

        `user_id`, if given, is the owner that the caller expects. Locks the user.

        Raises:
            Refusal: USER_NOT_FOUND or CARD_NOT_FOUND.
        """
        business_id = caller.business_id
        async with self._database.transaction() as transaction:
            if user_id is not None:
                await existing_user(transaction, business_id, user_id)
            user, card = await lock_card(transaction, business_id, card_id, user_id)
            customer_id = await store.customer_of_user(
                transaction,
                business_id=business_id,
                user_id=card.user_id,
                env=card.env,
                gateway=card.gateway,
            )
            if card.customer_id != customer_id:  # of a customer that was replaced: not chargeable
                raise card_not_found()
            return await choose_primary(
                transaction, business_id, user, card, (), set_as_primary=True
            )

    async def remove(
        self, caller: Caller, card_id: str, *, call: IdempotentCall | None
    ) -> tuple[store.Card, store.Card | None]:
        """Remove a card at its gateway and here; return it, and the primary card from then on.

        The gateway comes first: an error leaves the card as it was, and the same request removes
        it. One that counts as removed is removed at the gateway again, as other keys may not have
        found it there. A removed primary card is replaced by `next_primary`. Payments keep the
        gateway's id of the card, so attempts with it go on. Locks the user.

        Raises:
            Refusal: CARD_NOT_FOUND, CREDENTIALS_MISSING, GATEWAY_REFUSED, GATEWAY_UNAVAILABLE or
                OUTCOME_UNKNOWN.
            Replay: the call has an answer.
        """
        business_id = caller.business_id
        async with self._database.transaction("cards.find") as transaction:
            if call is not None:
                await self._idempotency.claim(transaction, call)
            removed = await store.removed_card(
                transaction, business_id=business_id, card_id=card_id
            )
            if removed is not None:
                card = removed
                account = await self._credentials.account(
                    transaction, business_id, card.gateway, card.env
                )
            else:
                card, account = await self._card_and_account(transaction, business_id, card_id)
            cards = await store.cards_of_user(
                transaction, business_id=business_id, user_id=card.user_id, env=card.env
            )
        try:
            detached = await self._gateways[card.gateway].remove_card(
                account,
                customer_id=card.customer_id,
                gateway_card_id=card.gateway_card_id,
                kept={each.gateway_card_id for each in cards if each.card_id != card_id},
            )
        except GatewayError as error:
            raise refusal_of(error) from None
        async with self._database.transaction("cards.remove") as transaction:
            await existing_user(transaction, business_id, card.user_id, lock=True)
            await remove_card(transaction, business_id, card, detached)
            return replace(card, is_primary=False), await primary_beside(
                transaction, business_id, card
            )

    async def update(
        self, caller: Caller, card_id: str, change: CardChange, *, call: IdempotentCall | None
    ) -> store.Card:
        """Change a card at its gateway, and return it with the expiry date of then.

        To repeat it sets the same values again. Of two concurrent changes the last answer is
        stored. Locks the user.

        Raises:
            Refusal: CARD_NOT_FOUND, CREDENTIALS_MISSING, CARD_DECLINED, GATEWAY_REFUSED,
                GATEWAY_UNAVAILABLE or OUTCOME_UNKNOWN.
            InvalidFields: nothing to change, or an expiry date that is over.
            Replay: the call has an answer.
        """
        business_id = caller.business_id
        async with self._database.transaction("cards.find_to_update") as transaction:
            if call is not None:
                await self._idempotency.claim(transaction, call)
            rules.check_change(change, transaction.now)
            card, account = await self._card_and_account(transaction, business_id, card_id)
        try:
            saved = await self._gateways[card.gateway].update_card(
                account,
                customer_id=card.customer_id,
                gateway_card_id=card.gateway_card_id,
                change=change,
            )
        except GatewayError as error:
            raise refusal_of(error) from None
        async with self._database.transaction("cards.update") as transaction:
            _, present = await lock_card(transaction, business_id, card_id)
            if present.gateway_card_id != card.gateway_card_id:
                return present  # another card of the gateway has taken its place meanwhile
            return await store.set_expiry(
                transaction,
                business_id=business_id,
                card=present,
                exp_month=saved.exp_month,
                exp_year=saved.exp_year,
            )

    async def _card_and_account(
        self, transaction: Transaction, business_id: str, card_id: str
    ) -> tuple[store.Card, Account]:
        """Return the business's card, and its keys of the card's gateway and environment.

        Raises:
            Refusal: CARD_NOT_FOUND or CREDENTIALS_MISSING.
        """
        card = await store.card_by_id(transaction, business_id=business_id, card_id=card_id)
        if card is None:
            raise card_not_found()
        return card, await self._credentials.account(
            transaction, business_id, card.gateway, card.env
        )
