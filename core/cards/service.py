"""Saves cards at the gateways and selects the card that a charge uses.

Card numbers and security codes are `Secret`s and go to the gateway only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from core.caller import Caller
from core.cards import rules, store
from core.cards.removed import find_removed, next_primary, replaced_card
from core.credentials.service import CredentialsService
from core.database.transactions import Database, Transaction
from core.errors import RETRY_SECONDS, InvalidFields, Reason, Refusal
from core.gateways.gateway import (
    Account,
    CardChange,
    CardData,
    CardDeclined,
    CustomerMissing,
    Gateway,
    GatewayError,
    GatewayRefused,
    GatewayUnavailable,
    SavedCard,
    TakesCardData,
)
from core.idempotency.call import IdempotentCall
from core.idempotency.service import Idempotency
from core.ids import new_request_id
from core.security.keyring import derived_key
from core.users import store as users_store
from core.users.service import active_user, existing_user
from core.users.store import User


@dataclass(frozen=True, slots=True)
class _CardToSave:
    """A user's card to save at a gateway: a token, or the card's data."""

    business_id: str
    user_id: str
    env: str
    gateway: str
    card: str | CardData = field(repr=False)
    request_key: str = ""
    """The request's idempotency key, or an id of the request alone. None for card data, whose
    gateway has no idempotency keys."""

    @property
    def gateway_key(self) -> str:
        """The gateway's idempotency key of a token: equal for equal requests."""
        if isinstance(self.card, CardData):
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


class CardsService:
    """The use cases of CardsService."""

    def __init__(
        self,
        database: Database,
        credentials: CredentialsService,
        gateways: Mapping[str, Gateway],
        idempotency: Idempotency,
    ) -> None:
        """Store cards in `database` and at the `gateways`, by name."""
        self._idempotency = idempotency
        self._database = database
        self._credentials = credentials
        self._gateways = gateways

    async def list_cards(self, caller: Caller, user_id: str, env: str) -> list[store.Card]:
        """Return the user's cards, newest first.

        Raises:
            Refusal: USER_NOT_FOUND.
        """
        async with self._database.read() as transaction:
            await existing_user(transaction, caller.business_id, user_id)
            return await store.cards_of_user(
                transaction, business_id=caller.business_id, user_id=user_id, env=env
            )

    async def primary(
        self, caller: Caller, user_id: str, env: str, gateway: str | None
    ) -> store.Card:
        """Return the card that a charge uses. The gateway defaults to the user's default gateway.

        Raises:
            Refusal: USER_NOT_FOUND or CARD_NOT_FOUND.
        """
        async with self._database.read() as transaction:
            user = await existing_user(transaction, caller.business_id, user_id)
            return await card_to_charge(transaction, caller.business_id, user, env, gateway)

    async def save_stripe_card(
        self,
        caller: Caller,
        user_id: str,
        env: str,
        token: str,
        *,
        set_as_primary: bool,
        call: IdempotentCall | None,
    ) -> store.Card:
        """Save the card of a token at the user's Stripe customer, created if there is none.

        A retry finds the same customer and, with the same idempotency key, the same card.

        Raises:
            Refusal: USER_NOT_FOUND, USER_INACTIVE, CREDENTIALS_MISSING, CARD_DECLINED,
                GATEWAY_REFUSED, GATEWAY_UNAVAILABLE or OUTCOME_UNKNOWN.
            InvalidFields: the gateway does not know the token.
            Replay: the call has an answer.
        """
        # Without an idempotency key every call saves its own card; a random key makes only the
        # gateway client's resends equal.
        request_key = (call and call.sent_key) or new_request_id()
        to_save = _CardToSave(caller.business_id, user_id, env, "stripe", token, request_key)
        return await self._save(to_save, set_as_primary=set_as_primary, call=call)

    async def save_authorize_card(
        self,
        caller: Caller,
        user_id: str,
        env: str,
        card: CardData,
        *,
        set_as_primary: bool,
        call: IdempotentCall | None,
    ) -> store.Card:
        """Save a card in the user's customer profile at Authorize.Net, created if there is none.

        A retry, with or without an idempotency key, finds the same profile and card: the gateway
        detects both duplicates.

        Raises:
            Refusal: USER_NOT_FOUND, USER_INACTIVE, CREDENTIALS_MISSING, CARD_DECLINED,
                GATEWAY_REFUSED, GATEWAY_UNAVAILABLE or OUTCOME_UNKNOWN.
            InvalidFields: the card is invalid or has expired.
            Replay: the call has an answer.
        """
        to_save = _CardToSave(caller.business_id, user_id, env, "authorize", card)
        return await self._save(to_save, set_as_primary=set_as_primary, call=call)

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
            user, card = await _lock_card(transaction, business_id, card_id, user_id)
            customer_id = await store.customer_of_user(
                transaction,
                business_id=business_id,
                user_id=card.user_id,
                env=card.env,
                gateway=card.gateway,
            )
            if card.customer_id != customer_id:  # of a customer that was replaced: not chargeable
                raise _card_not_found()
            return await _choose_primary(
                transaction, business_id, user, card, (), set_as_primary=True
            )

    async def remove(
        self, caller: Caller, card_id: str, *, call: IdempotentCall | None
    ) -> tuple[store.Card, store.Card | None]:
        """Remove a card at its gateway and here; return it, and the primary card from then on.

        The gateway comes first: an error leaves the card as it was, and the same request removes
        it. A removed primary card is replaced by `next_primary`. Payments keep the gateway's
        id of the card, so attempts with it go on. Locks the user.

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
                return removed, await _primary_beside(transaction, business_id, removed)
            card, account = await self._card_and_account(transaction, business_id, card_id)
            cards = await store.cards_of_user(
                transaction, business_id=business_id, user_id=card.user_id, env=card.env
            )
        try:
            await self._gateways[card.gateway].remove_card(
                account,
                customer_id=card.customer_id,
                gateway_card_id=card.gateway_card_id,
                kept={each.gateway_card_id for each in cards if each.card_id != card_id},
            )
        except GatewayError as error:
            raise refusal_of(error) from None
        async with self._database.transaction("cards.remove") as transaction:
            await existing_user(transaction, business_id, card.user_id, lock=True)
            await _remove_card(transaction, business_id, card)
            return replace(card, is_primary=False), await _primary_beside(
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
            _, present = await _lock_card(transaction, business_id, card_id)
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
            raise _card_not_found()
        return card, await self._credentials.account(
            transaction, business_id, card.gateway, card.env
        )

    async def _save(
        self, to_save: _CardToSave, *, set_as_primary: bool, call: IdempotentCall | None
    ) -> store.Card:
        """Save a card. No transaction is open during calls to the gateway."""
        business_id = to_save.business_id
        async with self._database.transaction("cards.claim") as transaction:
            if call is not None:
                await self._idempotency.claim(transaction, call)
                to_save = replace(to_save, env=call.env or to_save.env)
            if isinstance(to_save.card, CardData):
                rules.check_card(to_save.card, transaction.now)
            user = await active_user(transaction, business_id, to_save.user_id)
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
            raise refusal_of(error) from None
        at_gateway = [card for card in cards if card.gateway == to_save.gateway]
        removed = await find_removed(self._gateways[to_save.gateway], account, at_gateway, saved)
        async with self._database.transaction("cards.keep_card") as transaction:
            user = await active_user(transaction, business_id, to_save.user_id, lock=True)
            await _check_not_removed(transaction, to_save, saved)
            card = await store.keep_card(
                transaction,
                **to_save.customer_key,
                customer_id=customer_id,
                saved=saved,
                replaces=replaced_card(removed, saved),
            )
            return await _choose_primary(
                transaction, business_id, user, card, removed, set_as_primary=set_as_primary
            )

    async def _save_at_gateway(
        self, to_save: _CardToSave, account: Account, user: User, customer_id: str | None
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
        self, to_save: _CardToSave, account: Account, customer_id: str
    ) -> SavedCard:
        return await self._gateways[to_save.gateway].save_card(
            account, customer_id=customer_id, card=to_save.card, gateway_key=to_save.gateway_key
        )

    async def _store_customer(self, to_save: _CardToSave, customer_id: str, missing: str) -> str:
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


async def _lock_card(
    transaction: Transaction, business_id: str, card_id: str, user_id: str | None = None
) -> tuple[User, store.Card]:
    """Return the business's card with its user, and lock the user until the transaction ends.

    Whatever changes a user's cards holds this lock.

    Raises:
        Refusal: CARD_NOT_FOUND, also if the card is not of `user_id`.
    """
    card = await store.card_by_id(transaction, business_id=business_id, card_id=card_id)
    if card is not None and user_id in (None, card.user_id):
        user = await existing_user(transaction, business_id, card.user_id, lock=True)
        # It may have changed while this waited for the lock.
        card = await store.card_by_id(transaction, business_id=business_id, card_id=card_id)
        if card is not None:
            return user, card
    raise _card_not_found()


def _card_not_found() -> Refusal:
    return Refusal(Reason.ERROR_REASON_CARD_NOT_FOUND, "Card not found")


async def _primary_beside(
    transaction: Transaction, business_id: str, card: store.Card
) -> store.Card | None:
    """Return the primary card of the card's user at its gateway and in its environment."""
    return await store.primary_card(
        transaction,
        business_id=business_id,
        user_id=card.user_id,
        env=card.env,
        gateway=card.gateway,
    )


async def _remove_card(transaction: Transaction, business_id: str, card: store.Card) -> None:
    """Remove a card whose user is locked, and have another one take its place as primary.

    A card whose row meanwhile became that of another card at the gateway stays: it was saved again.
    """
    present = await store.card_by_id(transaction, business_id=business_id, card_id=card.card_id)
    if present is None or present.gateway_card_id != card.gateway_card_id:
        return
    await store.remove_card(transaction, business_id=business_id, card=present)
    if not present.is_primary:
        return
    customer_id = await store.customer_of_user(
        transaction,
        business_id=business_id,
        user_id=card.user_id,
        env=card.env,
        gateway=card.gateway,
    )
    left = await store.cards_of_user(
        transaction, business_id=business_id, user_id=card.user_id, env=card.env
    )
    if (following := next_primary(left, card.gateway, customer_id)) is not None:
        await store.make_primary(
            transaction,
            business_id=business_id,
            user_id=card.user_id,
            env=card.env,
            gateway=card.gateway,
            card_id=following.card_id,
        )


async def _check_not_removed(
    transaction: Transaction, to_save: _CardToSave, saved: SavedCard
) -> None:
    """Check that the card was not removed since the gateway saved it.

    Raises:
        Refusal: OUTCOME_UNKNOWN; the same request saves the card again, if the gateway can.
    """
    if await store.was_removed(
        transaction,
        business_id=to_save.business_id,
        env=to_save.env,
        gateway=to_save.gateway,
        gateway_card_id=saved.gateway_card_id,
    ):
        raise Refusal(
            Reason.ERROR_REASON_OUTCOME_UNKNOWN,
            "The card was removed while it was saved. Send the same request again to save it.",
            retry_after_seconds=RETRY_SECONDS,
        )


async def card_to_charge(
    transaction: Transaction, business_id: str, user: User, env: str, gateway: str | None
) -> store.Card:
    """Return the user's primary card at the gateway, or at the user's default gateway.

    Raises:
        Refusal: CARD_NOT_FOUND.
    """
    gateway = gateway or user.default_gateway
    card = gateway and await store.primary_card(
        transaction, business_id=business_id, user_id=user.user_id, env=env, gateway=gateway
    )
    if not card:
        raise Refusal(
            Reason.ERROR_REASON_CARD_NOT_FOUND,
            f"The user has no saved {env} card{f' at {gateway}' if gateway else ''}",
        )
    return card


async def _choose_primary(
    transaction: Transaction,
    business_id: str,
    user: User,
    card: store.Card,
    removed: Sequence[store.Card],
    *,
    set_as_primary: bool,
) -> store.Card:
    """Make the card primary if requested or if it is the first; likewise its gateway the default.

    A card that is `removed` at the gateway, or of a replaced customer, cannot be charged, so it
    does not count as primary.
    """
    if set_as_primary or user.default_gateway is None:
        await users_store.set_default_gateway(
            transaction, business_id=business_id, user_id=user.user_id, gateway=card.gateway
        )
    primary = await store.primary_card(
        transaction,
        business_id=business_id,
        user_id=user.user_id,
        env=card.env,
        gateway=card.gateway,
    )
    is_first = primary is None or primary.customer_id != card.customer_id or primary in removed
    if not (set_as_primary or is_first):
        return card
    await store.make_primary(
        transaction,
        business_id=business_id,
        user_id=user.user_id,
        env=card.env,
        gateway=card.gateway,
        card_id=card.card_id,
    )
    return replace(card, is_primary=True)


def refusal_of(error: GatewayError) -> Refusal:
    """Return the refusal of a failed gateway call other than a charge."""
    match error:
        case CardDeclined():
            return Refusal(
                Reason.ERROR_REASON_CARD_DECLINED,
                error.message,
                metadata={"decline_code": error.decline_code},
            )
        case GatewayRefused(field=str() as field):
            return InvalidFields.of(field, error.message)
        case GatewayRefused():
            return Refusal(Reason.ERROR_REASON_GATEWAY_REFUSED, error.message)
        case GatewayUnavailable():
            return Refusal(
                Reason.ERROR_REASON_GATEWAY_UNAVAILABLE,
                error.message,
                retry_after_seconds=RETRY_SECONDS,
            )
        case _:
            return Refusal(
                Reason.ERROR_REASON_OUTCOME_UNKNOWN,
                error.message,
                retry_after_seconds=RETRY_SECONDS,
            )
