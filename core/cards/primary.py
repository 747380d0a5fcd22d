"""Selects the card that a charge uses, within a transaction: the user's primary card."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from core.cards import store
from core.cards.refusals import card_not_found
from core.cards.removed import next_primary
from core.database.transactions import Database, Transaction
from core.errors import Reason, Refusal
from core.ids import new_card_id
from core.users import store as users_store
from core.users.service import existing_user
from core.users.store import User


async def lock_card(
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
    raise card_not_found()


async def card_to_charge(
    reader: Database | Transaction, business_id: str, user: User, env: str, gateway: str | None
) -> store.Card:
    """Return the user's primary card at the gateway, or at the user's default gateway.

    Read in a transaction, or without one.

    Raises:
        Refusal: CARD_NOT_FOUND.
    """
    gateway = gateway or user.default_gateway
    card = gateway and await store.primary_card(
        reader, business_id=business_id, user_id=user.user_id, env=env, gateway=gateway
    )
    if not card:
        raise Refusal(
            Reason.ERROR_REASON_CARD_NOT_FOUND,
            f"The user has no saved {env} card{f' at {gateway}' if gateway else ''}",
        )
    return card


async def choose_primary(
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


async def primary_beside(
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


async def remove_card(
    transaction: Transaction, business_id: str, card: store.Card, detached: Collection[str]
) -> None:
    """Remove a card, and whatever else was `detached` at its gateway with it.

    Another card takes the place of the primary one. A card whose row meanwhile became that of
    another card at the gateway stays, if that one is attached: it was saved again. One that is
    detached and not stored here may be saved at this moment: it counts as removed, too. One that
    counted as removed is removed from now on, so that no import restores it. The user is locked.
    """
    cards = await store.cards_of_user(
        transaction, business_id=business_id, user_id=card.user_id, env=card.env
    )
    removed = [
        each for each in cards if each.gateway == card.gateway and each.gateway_card_id in detached
    ]
    for each in removed:
        await store.remove_card(transaction, business_id=business_id, card=each)
    for gateway_card_id in sorted({*detached} - {each.gateway_card_id for each in removed}):
        if not await store.remove_again(
            transaction,
            business_id=business_id,
            env=card.env,
            gateway=card.gateway,
            gateway_card_id=gateway_card_id,
        ):
            other = replace(card, card_id=new_card_id(), gateway_card_id=gateway_card_id)
            await store.remove_card(transaction, business_id=business_id, card=other)
    if any(each.is_primary for each in removed):
        left = [each for each in cards if each not in removed]
        await _promote_next(transaction, business_id, card, left)


async def _promote_next(
    transaction: Transaction, business_id: str, card: store.Card, left: Sequence[store.Card]
) -> None:
    """Make the newest card that is `left` primary in place of a removed card, if it can be."""
    customer_id = await store.customer_of_user(
        transaction,
        business_id=business_id,
        user_id=card.user_id,
        env=card.env,
        gateway=card.gateway,
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
