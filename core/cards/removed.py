"""Finds stored cards that the gateway does not have any more, and what takes a card's place."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from core.cards.store import Card
from core.gateways.gateway import Account, Gateway, GatewayError, SavedCard

logger = logging.getLogger("core.cards")

CHECKED_MAX: Final = 5
"""Cards that are looked for at the gateway when another one is saved."""
CHECK_SECONDS_MAX: Final = 5.0


async def find_removed(
    gateway: Gateway, account: Account, cards: Sequence[Card], saved: SavedCard
) -> list[Card]:
    """Return those of the user's cards at a gateway that it does not have any more.

    Only the primary card and those that look like the saved one are looked for. A card whose
    look-up fails counts as present.
    """
    removed: list[Card] = []
    with contextlib.suppress(GatewayError, TimeoutError):
        async with asyncio.timeout(CHECK_SECONDS_MAX):
            for card in perhaps_removed(cards, saved):
                found = await gateway.find_card(
                    account, customer_id=card.customer_id, gateway_card_id=card.gateway_card_id
                )
                if found is None:
                    logger.info("card was removed at the gateway", extra={"card_id": card.card_id})
                    removed.append(card)
    return removed


def perhaps_removed(cards: Sequence[Card], saved: SavedCard) -> list[Card]:
    """Return the cards to look for at the gateway now that another one is saved.

    If the gateway does not have them any more, the saved one takes their place.
    """
    asked = [
        card
        for card in cards
        if card.gateway_card_id != saved.gateway_card_id
        and (card.is_primary or _looks_like(card, saved))
    ]
    return sorted(asked, key=lambda card: not card.is_primary)[:CHECKED_MAX]


def replaced_card(removed: Sequence[Card], saved: SavedCard) -> Card | None:
    """Return the removed card that the saved one replaces: the same card, the primary one first."""
    same = [card for card in removed if _looks_like(card, saved)]
    return min(same, key=lambda card: not card.is_primary, default=None)


def next_primary(cards: Sequence[Card], gateway: str, customer_id: str | None) -> Card | None:
    """Return the card to charge at a gateway once the primary one is removed: the newest.

    `cards` are the user's in one environment, newest first. Only those of the user's present
    customer at the gateway can be charged.
    """
    return next(
        (card for card in cards if (card.gateway, card.customer_id) == (gateway, customer_id)), None
    )


def _looks_like(card: Card, saved: SavedCard) -> bool:
    """Return whether two cards may be the same one; its renewal has another date."""
    return (card.brand, card.last4) == (saved.brand, saved.last4)
