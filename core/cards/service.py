"""Saves cards at the gateways and tells which one a charge uses. No card number passes here."""

from collections.abc import Mapping
from dataclasses import replace

from core.caller import Caller
from core.cards import store
from core.credentials.service import CredentialsService
from core.database import Database, Transaction
from core.errors import RETRY_SECONDS, InvalidFields, Reason, Refusal
from core.gateways.gateway import (
    Account,
    CardDeclined,
    CustomerMissing,
    Gateway,
    GatewayError,
    GatewayRefused,
    GatewayUnavailable,
    SavedCard,
)
from core.idempotency import Idempotency, IdempotentCall
from core.ids import new_request_id
from core.secrets import derived_key
from core.users import store as users_store
from core.users.service import active_user, existing_user
from core.users.store import User


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
        async with self._database.transaction() as transaction:
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
        async with self._database.transaction() as transaction:
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

        The gateway is called with no transaction open. Repeating the call after a lost answer
        finds the same customer and, with the same idempotency key, the same card.

        Raises:
            Refusal: USER_NOT_FOUND, USER_INACTIVE, CREDENTIALS_MISSING, CARD_DECLINED,
                GATEWAY_REFUSED, GATEWAY_UNAVAILABLE or OUTCOME_UNKNOWN.
            InvalidFields: the gateway does not know the token.
            Replay: the call was answered before.
        """
        business_id = caller.business_id
        async with self._database.transaction() as transaction:
            if call is not None:
                await self._idempotency.claim(transaction, call)
            user = await active_user(transaction, business_id, user_id)
            account = await self._credentials.account(transaction, business_id, "stripe", env)
            customer_id = await store.customer_of_user(
                transaction, business_id=business_id, user_id=user_id, env=env, gateway="stripe"
            )
        # Without a key every call saves a card of its own; only its own resend is the same call.
        gateway_key = "card-" + derived_key(
            business_id, user_id, env, token, (call and call.sent_key) or new_request_id()
        )
        try:
            if customer_id is None:
                customer_id = await self._create_customer(business_id, user, account)
            try:
                saved = await self._save(account, customer_id, token, gateway_key)
            except CustomerMissing:
                customer_id = await self._create_customer(business_id, user, account, customer_id)
                saved = await self._save(account, customer_id, token, gateway_key)
        except GatewayError as error:
            raise refusal_of(error) from None
        async with self._database.transaction() as transaction:
            user = await active_user(transaction, business_id, user_id, lock=True)
            card = await store.card_by_gateway_id(
                transaction,
                business_id=business_id,
                env=env,
                gateway="stripe",
                gateway_card_id=saved.gateway_card_id,
            ) or await store.insert_card(
                transaction,
                business_id=business_id,
                user_id=user_id,
                env=env,
                gateway="stripe",
                customer_id=customer_id,
                saved=saved,
            )
            return await _choose_primary(
                transaction, business_id, user, card, set_as_primary=set_as_primary
            )

    async def _save(
        self, account: Account, customer_id: str, token: str, gateway_key: str
    ) -> SavedCard:
        return await self._gateways["stripe"].save_card(
            account, customer_id=customer_id, card=token, gateway_key=gateway_key
        )

    async def _create_customer(
        self, business_id: str, user: User, account: Account, missing: str = ""
    ) -> str:
        """Create the user's customer at Stripe, in place of one that is `missing` there."""
        env = account.env
        # Derived from what is sent: two callers at once, or a retry after a lost answer, get the
        # same customer; a changed profile is another request, which Stripe would refuse as reuse.
        customer_id = await self._gateways["stripe"].create_customer(
            account,
            user_id=user.user_id,
            name=user.name,
            email=user.email,
            gateway_key="customer-"
            + derived_key(business_id, user.user_id, env, user.name, user.email, missing),
        )
        async with self._database.transaction() as transaction:
            await active_user(transaction, business_id, user.user_id, lock=True)
            where = {
                "business_id": business_id,
                "user_id": user.user_id,
                "env": env,
                "gateway": "stripe",
            }
            known = await store.customer_of_user(transaction, **where)
            if known in (None, missing):
                await store.set_customer(transaction, **where, customer_id=customer_id)
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
    """Make the card primary where asked or where it is the first; likewise the gateway."""
    if set_as_primary or user.default_gateway is None:
        await users_store.set_default_gateway(
            transaction, business_id=business_id, user_id=user.user_id, gateway=card.gateway
        )
    first = not await store.primary_card(
        transaction,
        business_id=business_id,
        user_id=user.user_id,
        env=card.env,
        gateway=card.gateway,
    )
    if not (set_as_primary or first):
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
