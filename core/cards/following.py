"""Follows what gateways tell of cards: those that were set up, renewed or removed there."""

import logging
from collections.abc import Mapping
from typing import Any

from core.cards import store
from core.cards.primary import choose_primary, remove_card
from core.credentials.service import CredentialsService
from core.database.transactions import Database
from core.gateways.gateway import Gateway, SetsUpCards
from core.users import store as users_store
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
        """Read a stored card at its gateway and store what it has.

        A card that the gateway does not have is removed only if that is what happened
        (`is_removal`): the keys may be of another account now. One that counts as removed is
        removed from now on, so that no import restores it. Locks the user.

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
        opened = (
            self._database.transaction("cards.remove_again")
            if is_removal
            else self._database.read()
        )
        async with opened as transaction:
            if is_removal:  # before the card is read, which an import may restore at this moment
                await store.remove_again(transaction, **ids)
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
            if saved is None:
                await remove_card(transaction, business_id, present or card, (gateway_card_id,))
            elif present is not None:
                await store.set_details(
                    transaction, business_id=business_id, card=present, saved=saved
                )
        if saved is None:
            logger.info("card was removed at the gateway", extra={"card_id": card.card_id})

    async def keep_set_up(self, *, business_id: str, gateway: str, env: str, setup_id: str) -> None:
        """Store the card of a set-up that its cardholder finished, unless it is stored already.

        It is read at the gateway, with the user it is for. Locks the user.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown; nothing changed.
            Refusal: CREDENTIALS_MISSING.
        """
        async with self._database.read() as transaction:
            account = await self._credentials.account(transaction, business_id, gateway, env)
        sets_up = self._gateways[gateway]
        assert isinstance(sets_up, SetsUpCards), "only this kind of gateway sets cards up"
        setup = await sets_up.find_setup(account, setup_id)
        if setup is None:
            return
        scope = {"business_id": business_id, "env": env, "gateway": gateway}
        key: dict[str, Any] = {**scope, "user_id": setup.user_id}
        async with self._database.transaction("cards.keep_set_up") as transaction:
            user = await users_store.user_by_id(
                transaction, business_id=business_id, user_id=setup.user_id, lock=True
            )
            ids = {**scope, "gateway_card_id": setup.saved.gateway_card_id}
            if (
                user is None
                or await store.customer_of_user(transaction, **key) != setup.customer_id
                or await store.card_by_gateway_id(transaction, **ids) is not None
                or await store.was_removed(transaction, **ids)
            ):
                return
            card = await store.keep_card(
                transaction,
                **key,
                customer_id=setup.customer_id,
                saved=setup.saved,
                replaces=None,
            )
            await choose_primary(
                transaction, business_id, user, card, (), set_as_primary=setup.set_as_primary
            )
