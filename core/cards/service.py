"""Saves cards at the gateways and tells which one a charge uses.

A card's number and security code pass through as Secrets, to the gateway and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from core.caller import Caller
from core.cards import rules, store
from core.credentials.service import CredentialsService
from core.database.transactions import Database, Transaction
from core.errors import RETRY_SECONDS, InvalidFields, Reason, Refusal
from core.gateways.gateway import (
    Account,
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
class _Saving:
    """One call that saves a card: whose, where, and what stands for the card."""

    business_id: str
    user_id: str
    env: str
    gateway: str
    card: str | CardData = field(repr=False)
    gateway_key: str

    @property
    def where(self) -> dict[str, str]:
        """The user's customer, as the store asks for it."""
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
        """Keep cards in `database` and at the `gateways`, by their words."""
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
        """Return the card that a charge uses, at the user's default gateway if none is named.

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
        """Save the card behind a token, with one Stripe customer for the user.

        Repeating the call after a lost answer finds the same customer and, with the same
        idempotency key, the same card.

        Raises:
            Refusal: USER_NOT_FOUND, USER_INACTIVE, CREDENTIALS_MISSING, CARD_DECLINED,
                GATEWAY_REFUSED, GATEWAY_UNAVAILABLE or OUTCOME_UNKNOWN.
            InvalidFields: the gateway does not know the token.
            Replay: the call was answered before.
        """
        business_id = caller.business_id
        # Without a key every call saves a card of its own; only its own resend is the same call.
        gateway_key = "card-" + derived_key(
            business_id, user_id, env, token, (call and call.sent_key) or new_request_id()
        )
        saving = _Saving(business_id, user_id, env, "stripe", token, gateway_key)
        return await self._save(saving, set_as_primary=set_as_primary, call=call)

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
        """Save a card at Authorize.Net, with one customer profile for the user.

        Repeating the call, with or without a key, finds the same profile and the same card: the
        gateway knows both again.

        Raises:
            Refusal: USER_NOT_FOUND, USER_INACTIVE, CREDENTIALS_MISSING, CARD_DECLINED,
                GATEWAY_REFUSED, GATEWAY_UNAVAILABLE or OUTCOME_UNKNOWN.
            InvalidFields: the card cannot be one, has expired, or has too long a number.
            Replay: the call was answered before.
        """
        # Authorize.Net has no use for a key.
        saving = _Saving(caller.business_id, user_id, env, "authorize", card, "")
        return await self._save(saving, set_as_primary=set_as_primary, call=call)

    async def _save(
        self, saving: _Saving, *, set_as_primary: bool, call: IdempotentCall | None
    ) -> store.Card:
        """Save a card; the gateway is called with no transaction open."""
        business_id = saving.business_id
        async with self._database.transaction("cards.claim") as transaction:
            if call is not None:
                await self._idempotency.claim(transaction, call)
            if isinstance(saving.card, CardData):
                rules.check_card(saving.card, transaction.now)
            user = await active_user(transaction, business_id, saving.user_id)
            account = await self._credentials.account(
                transaction, business_id, saving.gateway, saving.env
            )
            known = await store.customer_of_user(transaction, **saving.where)
        try:
            customer_id, saved = await self._saved(saving, account, user, known)
        except GatewayError as error:
            raise refusal_of(error) from None
        async with self._database.transaction("cards.keep_card") as transaction:
            user = await active_user(transaction, business_id, saving.user_id, lock=True)
            card = await store.keep_card(
                transaction, **saving.where, customer_id=customer_id, saved=saved
            )
            return await _choose_primary(
                transaction, business_id, user, card, set_as_primary=set_as_primary
            )

    async def _saved(
        self, saving: _Saving, account: Account, user: User, customer_id: str | None
    ) -> tuple[str, SavedCard]:
        """Save the card for the user's customer, who is made where there is none, or none there."""
        gateway = self._gateways[saving.gateway]
        missing = ""
        if customer_id is not None:
            try:
                return customer_id, await self._save_for(saving, account, customer_id)
            except CustomerMissing:
                missing = customer_id
        if isinstance(saving.card, CardData):
            assert isinstance(gateway, TakesCardData), "only such a gateway is given one"
            customer_id, saved = await gateway.create_customer_with_card(
                account, user_id=user.user_id, name=user.name, email=user.email, card=saving.card
            )
            await self._remember(saving, customer_id, missing)
            return customer_id, saved
        # Derived from what is sent: two callers at once, or a retry after a lost answer, get the
        # same customer; a changed profile is another request, which Stripe would refuse as reuse.
        customer_id = await gateway.create_customer(
            account,
            user_id=user.user_id,
            name=user.name,
            email=user.email,
            gateway_key="customer-"
            + derived_key(
                saving.business_id, user.user_id, saving.env, user.name, user.email, missing
            ),
        )
        customer_id = await self._remember(saving, customer_id, missing)
        return customer_id, await self._save_for(saving, account, customer_id)

    async def _save_for(self, saving: _Saving, account: Account, customer_id: str) -> SavedCard:
        return await self._gateways[saving.gateway].save_card(
            account, customer_id=customer_id, card=saving.card, gateway_key=saving.gateway_key
        )

    async def _remember(self, saving: _Saving, customer_id: str, missing: str) -> str:
        """Keep the user's customer, in place of one that is `missing`; return whom others kept."""
        async with self._database.transaction("cards.keep_customer") as transaction:
            await active_user(transaction, saving.business_id, saving.user_id, lock=True)
            known = await store.customer_of_user(transaction, **saving.where)
            if known in (None, missing):
                await store.set_customer(transaction, **saving.where, customer_id=customer_id)
                return customer_id
        assert known is not None
        return known


async def card_to_charge(
    transaction: Transaction, business_id: str, user: User, env: str, gateway: str | None
) -> store.Card:
    """Return the user's primary card at the gateway, or at their default gateway.

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
    *,
    set_as_primary: bool,
) -> store.Card:
    """Make the card primary where asked or where it is the first; likewise the gateway.

    One of a customer who is not there any more cannot be charged, and does not count.
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
    is_first = primary is None or primary.customer_id != card.customer_id
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
    """Return what a caller is told of a gateway call other than a charge that did not work."""
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
