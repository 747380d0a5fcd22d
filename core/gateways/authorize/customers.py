"""Customers and cards at Authorize.Net.

A customer is a customer profile with our user's id in it, a card one of its payment profiles. The
gateway refuses duplicates of both (E00039), so that a repeated call finds what the first created.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Final, ParamSpec

from core.gateways.authorize import requests
from core.gateways.authorize.profiles import (
    card_id_of,
    cards_of_profile,
    check_saved,
    customer_id_of,
    found_customer_id,
    is_bank_account,
    is_missing,
    read_profile,
    same_card_id,
    saved_card,
)
from core.gateways.authorize.requests import Request, UnsendableError
from core.gateways.authorize.responses import NO_CLEAR_ANSWER, ok_answer
from core.gateways.authorize.transport import AuthorizeTransport
from core.gateways.authorize.xml import Answer, Failure, parse_answer
from core.gateways.gateway import (
    Account,
    CardChange,
    CardData,
    CardNonce,
    CustomerMissing,
    GatewayError,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    SavedCard,
)

_Parameters = ParamSpec("_Parameters")

READ_PAUSES: Final = (0.5, 1.0, 2.0)
"""Seconds before each further read of a card that was just saved and is not found."""


class AuthorizeCustomers:
    """The methods of customers and cards; AuthorizeGateway adds those of charges."""

    def __init__(
        self,
        urls: Mapping[str, str],
        timeout_seconds: float = 20.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Use `urls`, a base URL for each environment (TEST, LIVE).

        `timeout_seconds` is for one method. The first call creates the pool in its event loop.
        `now` is the clock that payments are created by; `pause` waits some seconds.
        """
        self._now = now
        self._pause = pause
        self._timeout_seconds = timeout_seconds
        self._transport = AuthorizeTransport(urls, timeout_seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def create_customer(
        self, account: Account, *, user_id: str, name: str, email: str, gateway_key: str
    ) -> str:
        """Create a customer profile without a card, or find the existing one.

        The gateway recognizes it by id, name and email; `gateway_key` is unused.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        request = built(
            requests.create_customer, account, user_id=user_id, name=name, email=email, card=None
        )
        deadline = self._deadline()
        answer = await self._call(account, request, deadline)
        customer_id, _ = customer_id_of(answer, account)
        return customer_id or await self._find_customer(account, user_id, deadline)

    async def create_customer_with_card(
        self, account: Account, *, user_id: str, name: str, email: str, card: CardData
    ) -> tuple[str, SavedCard]:
        """Create a customer profile with a first card in one call, and return its id and the card.

        One call, because a new profile can be unknown to other calls for some seconds. The card is
        saved in an existing profile if there is one.

        Raises:
            GatewayError: any subclass; CardDeclined if the issuer does not confirm the card, and
                then no profile is created.
        """
        request = built(
            requests.create_customer, account, user_id=user_id, name=name, email=email, card=card
        )
        deadline = self._deadline()
        answer = await self._call(account, request, deadline)
        customer_id, existed = customer_id_of(answer, account)
        if existed:
            customer_id = customer_id or await self._find_customer(account, user_id, deadline)
            return customer_id, await self._save_card(account, customer_id, card, deadline)
        card_id, _ = card_id_of(answer, account)
        assert customer_id is not None, "a new customer has an id"
        assert card_id is not None, "a new card has an id"
        return customer_id, saved_card(card_id, card)

    async def create_customer_with_nonce(
        self, account: Account, *, user_id: str, name: str, email: str, nonce: CardNonce
    ) -> tuple[str, SavedCard | None]:
        """Create a customer profile with the card of a nonce in one call; return id and card.

        One call, as with a card's data. There is no card if the profile existed, and then the nonce
        may be spent: the caller stores the profile before it sends the nonce again, so that
        another nonce is sent to that profile.

        Raises:
            GatewayError: any subclass; CardDeclined if the issuer does not confirm the card, and
                then no profile is created.
        """
        request = built(
            requests.create_customer, account, user_id=user_id, name=name, email=email, card=nonce
        )
        deadline = self._deadline()
        answer = await self._call(account, request, deadline)
        customer_id, existed = customer_id_of(answer, account)
        if existed:
            return customer_id or await self._find_customer(account, user_id, deadline), None
        card_id, _ = card_id_of(answer, account)
        assert customer_id is not None, "a new customer has an id"
        assert card_id is not None, "a new card has an id"
        card = await self._card_of_nonce(account, customer_id, card_id, deadline, is_new=True)
        return customer_id, card

    async def save_card(
        self,
        account: Account,
        *,
        customer_id: str,
        card: str | CardData | CardNonce,
        gateway_key: str,
    ) -> SavedCard:
        """Save a card in a customer profile, after the issuer confirmed it.

        The gateway recognizes a customer's card, so a repeated call saves no second one but
        updates the first; `gateway_key` is unused.

        Raises:
            GatewayError: any subclass; CustomerMissing if there is no such profile.
        """
        if isinstance(card, str):
            raise GatewayRefused("Authorize.Net takes a card's data, not a token.")
        if isinstance(card, CardNonce):
            return await self._save_nonce(account, customer_id, card, self._deadline())
        return await self._save_card(account, customer_id, card, self._deadline())

    async def find_card(
        self, account: Account, *, customer_id: str, gateway_card_id: str
    ) -> SavedCard | None:
        """Return a card of a customer profile, or None if it has no such card.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        request = built(
            requests.read_card, account, customer_id=customer_id, gateway_card_id=gateway_card_id
        )
        try:
            shown = read_profile(await self._call(account, request, self._deadline()), account)
        except CustomerMissing:
            return None
        return shown.card(gateway_card_id)

    async def cards_of_customer(self, account: Account, customer_id: str) -> list[SavedCard]:
        """Return the cards of a customer profile, the default card first.

        Raises:
            GatewayError: CustomerMissing, GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        request = built(requests.cards_of_customer, account, customer_id)
        answer = await self._call(account, request, self._deadline())
        return cards_of_profile(answer, account, customer_id)

    async def remove_card(
        self,
        account: Account,
        *,
        customer_id: str,
        gateway_card_id: str,
        kept: Collection[str] = (),
    ) -> Collection[str]:
        """Delete a card of a customer profile, or find that it has no such card; return its id.

        The gateway has each number once, so `kept` is unused.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        request = built(
            requests.delete_card, account, customer_id=customer_id, gateway_card_id=gateway_card_id
        )
        with contextlib.suppress(CustomerMissing):
            ok_answer(await self._call(account, request, self._deadline()), account)
        return (gateway_card_id,)

    async def update_card(
        self, account: Account, *, customer_id: str, gateway_card_id: str, change: CardChange
    ) -> SavedCard:
        """Change a card of a customer profile, whose other fields are sent back as they were.

        Raises:
            GatewayError: any subclass; CustomerMissing if there is no such card.
        """
        ids = {"customer_id": customer_id, "gateway_card_id": gateway_card_id}
        deadline = self._deadline()
        read = built(requests.read_card, account, **ids)
        profile = read_profile(await self._call(account, read, deadline), account)
        changed = profile.changed(change)
        request = built(
            requests.change_card,
            account,
            **ids,
            card_number=changed.card_number,
            expiration_date=changed.expiration_date,
            bill_to=changed.bill_to,
            settings=changed.settings,
        )
        check_saved(await self._call(account, request, deadline), account)
        return changed.card(gateway_card_id)

    async def _find_customer(self, account: Account, user_id: str, deadline: float) -> str:
        """Return the id of a customer profile that exists, by our user's id in it."""
        request = built(requests.customer_of_user, account, user_id)
        try:
            return found_customer_id(await self._call(account, request, deadline), account)
        except CustomerMissing:
            raise GatewayUnknown(NO_CLEAR_ANSWER) from None

    async def _save_card(
        self, account: Account, customer_id: str, card: CardData, deadline: float
    ) -> SavedCard:
        """Create a card, or update the customer's existing one."""
        request = built(requests.create_card, account, customer_id=customer_id, card=card)
        answer = await self._call(account, request, deadline)
        card_id, existed = card_id_of(answer, account)
        if existed:
            card_id = card_id or await self._find_card(account, customer_id, card, deadline)
            change = built(
                requests.update_card,
                account,
                customer_id=customer_id,
                gateway_card_id=card_id,
                card=card,
            )
            try:
                check_saved(await self._call(account, change, deadline), account)
            except CustomerMissing:  # the card was deleted meanwhile
                raise GatewayUnknown(NO_CLEAR_ANSWER) from None
        assert card_id is not None, "a new card has an id"
        return saved_card(card_id, card)

    async def _save_nonce(
        self, account: Account, customer_id: str, nonce: CardNonce, deadline: float
    ) -> SavedCard:
        """Create the card of a nonce, or find that the customer has it, and read it.

        The nonce is spent then, so that an existing card cannot be updated with it. After an
        unclear answer another nonce of the card finds the existing one.
        """
        request = built(requests.create_card, account, customer_id=customer_id, card=nonce)
        card_id, existed = card_id_of(await self._call(account, request, deadline), account)
        if card_id is None:
            raise GatewayRefused(
                "Authorize.Net has this card of the customer already and does not say which it is. "
                f"Import the customer {customer_id} to have its cards."
            )
        return await self._card_of_nonce(
            account, customer_id, card_id, deadline, is_new=not existed
        )

    async def _card_of_nonce(
        self, account: Account, customer_id: str, card_id: str, deadline: float, *, is_new: bool
    ) -> SavedCard:
        """Read what a nonce saved, which can be unknown to other calls for some seconds.

        Accept.js also gives nonces of bank accounts, which is seen here only. One that `is_new` is
        deleted: the customer did not have it.
        """
        ids = {"customer_id": customer_id, "gateway_card_id": card_id}
        read = built(requests.read_card, account, **ids)
        answer = await self._call(account, read, deadline)
        for seconds in READ_PAUSES:
            if not is_missing(answer):
                break
            await self._pause(seconds)
            answer = await self._call(account, read, deadline)
        if is_bank_account(answer):
            if is_new:
                delete = built(requests.delete_card, account, **ids)
                with contextlib.suppress(GatewayError):
                    ok_answer(await self._call(account, delete, deadline), account)
            raise GatewayRefused("is of a bank account: there is no card to save", "opaque_data")
        try:
            return read_profile(answer, account).card(card_id)
        except (CustomerMissing, GatewayUnavailable):
            raise GatewayUnknown(NO_CLEAR_ANSWER) from None

    async def _find_card(
        self, account: Account, customer_id: str, card: CardData, deadline: float
    ) -> str:
        """Return the id of a card that the customer has."""
        request = built(requests.cards_of_customer, account, customer_id)
        return same_card_id(await self._call(account, request, deadline), account, card)

    async def _call(self, account: Account, request: Request, deadline: float) -> Answer | Failure:
        body = await self._transport.send(account, request.body, deadline)
        return body if isinstance(body, Failure) else parse_answer(body, request)

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout_seconds

    def _is_over(self, deadline: float) -> bool:
        return asyncio.get_running_loop().time() >= deadline


def built(
    build: Callable[_Parameters, Request], *args: _Parameters.args, **kwargs: _Parameters.kwargs
) -> Request:
    """Build a request other than a charge.

    Raises:
        GatewayRefused: a value is invalid; nothing was sent.
    """
    try:
        return build(*args, **kwargs)
    except UnsendableError as unsendable:
        raise GatewayRefused(unsendable.message, unsendable.field) from None
