"""Brings existing customers of the gateways along, with their cards."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from core.caller import Caller
from core.cards import rules, store
from core.cards.primary import choose_primary
from core.cards.refusals import refusal_of
from core.credentials.service import CredentialsService
from core.database.transactions import Database, Transaction
from core.errors import InvalidFields, Reason, Refusal
from core.gateways.gateway import Account, CustomerMissing, Gateway, GatewayError, SavedCard
from core.idempotency.call import IdempotentCall
from core.idempotency.service import Idempotency
from core.users.service import active_user

logger = logging.getLogger("core.cards")

FOUND_AGAIN_MAX: Final = 20
"""Cards that count as removed and are looked for at the gateway in one import."""
FIND_AGAIN_SECONDS_MAX: Final = 5.0
"""For all of them together, within the adapter's deadline of 25 s."""


class CustomerImporter:
    """Imports customers of the gateways."""

    def __init__(
        self,
        database: Database,
        credentials: CredentialsService,
        gateways: Mapping[str, Gateway],
        idempotency: Idempotency,
    ) -> None:
        """Store customers of the `gateways`, by name, in `database`."""
        self._database = database
        self._credentials = credentials
        self._gateways = gateways
        self._idempotency = idempotency

    async def import_customer(
        self,
        caller: Caller,
        user_id: str,
        env: str,
        gateway: str,
        customer_id: str,
        *,
        call: IdempotentCall | None,
    ) -> list[store.Card]:
        """Make a gateway's customer the user's, and return its cards, the default card first.

        Everything is read from the gateway, and nothing changed there. To repeat it stores the
        cards that the customer got meanwhile, and those that count as removed but are there. Locks
        the user, and if the customer is not the user's yet, then the business against other
        imports.

        Raises:
            Refusal: USER_NOT_FOUND, USER_INACTIVE, CREDENTIALS_MISSING, CUSTOMER_IN_USE,
                USER_HAS_CUSTOMER, GATEWAY_REFUSED, GATEWAY_UNAVAILABLE or OUTCOME_UNKNOWN.
            InvalidFields: the gateway has no such customer, or deleted it.
            Replay: the call has an answer.
        """
        rules.check_customer_id(gateway, customer_id)
        business_id = caller.business_id
        async with self._database.transaction("cards.claim_import") as transaction:
            if call is not None:
                await self._idempotency.claim(transaction, call)
                env = call.env or env
            await active_user(transaction, business_id, user_id)
            account = await self._credentials.account(transaction, business_id, gateway, env)
            key = {"business_id": business_id, "user_id": user_id, "env": env, "gateway": gateway}
            await _check_importable(transaction, key, customer_id)
        try:
            saved = await self._gateways[gateway].cards_of_customer(account, customer_id)
            again = await self._find_again(key, account, customer_id, saved)
        except CustomerMissing as error:
            raise InvalidFields.of("customer_id", error.message) from None
        except GatewayError as error:
            raise refusal_of(error) from None
        async with self._database.transaction("cards.import") as transaction:
            user = await active_user(transaction, business_id, user_id, lock=True)
            present = await store.customer_of_user(transaction, **key)
            if present != customer_id:
                await store.lock_imports(transaction, business_id)
                await _check_importable(transaction, key, customer_id)
                await store.set_customer(transaction, **key, customer_id=customer_id)
            cards = await _keep_cards(transaction, key, customer_id, saved, again)
            if cards:
                await choose_primary(
                    transaction, business_id, user, cards[0], (), set_as_primary=False
                )
            stored = await store.cards_of_user(
                transaction, business_id=business_id, user_id=user_id, env=env
            )
            by_id = {card.card_id: card for card in stored}
            return [by_id[card_id] for card_id in dict.fromkeys(each.card_id for each in cards)]

    async def _find_again(
        self,
        key: Mapping[str, Any],
        account: Account,
        customer_id: str,
        saved: Sequence[SavedCard],
    ) -> dict[str, store.RemovedCard]:
        """Return those of a customer's listed cards that count as removed, but are there.

        A card counts as removed if other keys did not find it. A list may show one for a moment
        after its removal, so each is read on its own. Those that were not read in time are for the
        next import.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        async with self._database.read() as transaction:
            removed = await _removed_among(transaction, key, saved)
        found: dict[str, store.RemovedCard] = {}
        try:
            async with asyncio.timeout(FIND_AGAIN_SECONDS_MAX):
                for gateway_card_id in list(removed)[:FOUND_AGAIN_MAX]:
                    if await self._gateways[key["gateway"]].find_card(
                        account, customer_id=customer_id, gateway_card_id=gateway_card_id
                    ):
                        found[gateway_card_id] = removed[gateway_card_id]
        except TimeoutError:
            logger.warning(
                "removed cards were not read in time, and are not restored",
                extra={
                    "user_id": key["user_id"],
                    "gateway": key["gateway"],
                    "customer_id": customer_id,
                    "restored": len(found),
                },
            )
        return found


async def _removed_among(
    transaction: Transaction, key: Mapping[str, Any], saved: Sequence[SavedCard]
) -> dict[str, store.RemovedCard]:
    return await store.removed_among(
        transaction,
        business_id=key["business_id"],
        env=key["env"],
        gateway=key["gateway"],
        gateway_card_ids=[each.gateway_card_id for each in saved],
    )


async def _check_importable(
    transaction: Transaction, key: Mapping[str, Any], customer_id: str
) -> str | None:
    """Check that a customer can become the user's; return the user's present customer.

    A customer without cards can be replaced. Cards of a replaced one could be charged no more by
    choice of the user, while recurring jobs and payments still name them.

    Raises:
        Refusal: CUSTOMER_IN_USE or USER_HAS_CUSTOMER.
    """
    if await store.other_user_of_customer(transaction, **key, customer_id=customer_id):
        raise _in_use()
    present = await store.customer_of_user(transaction, **key)
    if present not in (None, customer_id):
        cards = await store.cards_of_user(
            transaction, business_id=key["business_id"], user_id=key["user_id"], env=key["env"]
        )
        if any(card.gateway == key["gateway"] for card in cards):
            raise Refusal(
                Reason.ERROR_REASON_USER_HAS_CUSTOMER,
                "The user has saved cards of another customer at this gateway; remove them first",
            )
    return present


async def _keep_cards(
    transaction: Transaction,
    key: Mapping[str, Any],
    customer_id: str,
    saved: Sequence[SavedCard],
    again: Mapping[str, store.RemovedCard],
) -> list[store.Card]:
    """Store a customer's cards, and return them in the same order.

    Of several with one number the first is kept, unless another expires later. A card that was
    removed here is detached by now, unless it was found `again` after this very removal.

    Raises:
        Refusal: CUSTOMER_IN_USE, a card is stored for another user.
    """
    scope = {name: key[name] for name in ("business_id", "env", "gateway")}
    ids = [each.gateway_card_id for each in saved]
    users = await store.users_of_cards(transaction, **scope, gateway_card_ids=ids)
    if set(users.values()) - {key["user_id"]}:
        raise _in_use()
    removed = await _removed_among(transaction, key, saved)
    cards: list[store.Card] = []
    for each in reversed(saved):
        restores = None
        removal = removed.get(each.gateway_card_id)
        if removal is not None and each.gateway_card_id not in users:
            if again.get(each.gateway_card_id) != removal or not await store.forget_removal(
                transaction, business_id=key["business_id"], removal=removal
            ):
                continue
            restores = removal.card if removal.card.user_id == key["user_id"] else None
        card = await store.keep_card(
            transaction,
            **key,
            customer_id=customer_id,
            saved=each,
            replaces=None,
            restores=restores,
        )
        cards.append(card)
    return cards[::-1]


def _in_use() -> Refusal:
    return Refusal(
        Reason.ERROR_REASON_CUSTOMER_IN_USE, "The customer belongs to another user of the business"
    )
