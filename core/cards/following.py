"""Follows what gateways tell of saved cards: new expiry dates and numbers, and removals."""

import logging
from collections.abc import Mapping

from core.cards import store
from core.cards.primary import remove_card
from core.credentials.service import CredentialsService
from core.database.transactions import Database
from core.gateways.gateway import Gateway
from core.users.service import existing_user

logger = logging.getLogger("core.cards")


class CardFollower:
    """Brings stored cards up to date with the gateways, by name."""

    def __init__(
        self, database: Database, credentials: CredentialsService, gateways: Mapping[str, Gateway]
    ) -> None:
        """Follow the `gateways` in `database`."""
        self._database = database
        self._credentials = credentials
        self._gateways = gateways

    async def follow(
        self, *, business_id: str, gateway: str, env: str, gateway_card_id: str, is_removal: bool
    ) -> None:
        """Read a stored card at its gateway and store what it has; do nothing for another card.

        A card that the gateway does not have is removed only if that is what happened
        (`is_removal`): the keys may be of another account now. Locks the user.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown; nothing changed.
            Refusal: CREDENTIALS_MISSING.
        """
        ids = {
            "business_id": business_id,
            "env": env,
            "gateway": gateway,
            "gateway_card_id": gateway_card_id,
        }
        async with self._database.read() as transaction:
            card = await store.card_by_gateway_id(transaction, **ids)
            if card is None:
                return
            account = await self._credentials.account(transaction, business_id, gateway, env)
        saved = await self._gateways[gateway].find_card(
            account, customer_id=card.customer_id, gateway_card_id=gateway_card_id
        )
        if saved is None and not is_removal:
            return
        async with self._database.transaction("cards.follow") as transaction:
            await existing_user(transaction, business_id, card.user_id, lock=True)
            present = await store.card_by_gateway_id(transaction, **ids)
            if present is None:
                return
            if saved is not None:
                await store.set_details(
                    transaction, business_id=business_id, card=present, saved=saved
                )
                return
            await remove_card(transaction, business_id, present, (gateway_card_id,))
        logger.info("card was removed at the gateway", extra={"card_id": present.card_id})
