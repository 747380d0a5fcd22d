"""The verbs that every card gateway offers, and what may come of them. No I/O.

A charge *returns* its outcome, because each is an answer that the payment's row must record. The
other verbs return what they made, or raise:

    GatewayError
    ├── CardDeclined           the card was refused; a person must use another
    ├── GatewayRefused         our call was refused (keys, account, parameters): nothing happened
    │   └── CustomerMissing    the account behind these keys has no such customer
    ├── GatewayUnavailable     not reached, or too busy: certainly nothing happened
    └── GatewayUnknown         sent, but no clear answer came back
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

from core.money import Amount
from core.security.secrets import Secret

DUPLICATE_WINDOW_SECONDS: Final = 28_800
"""How long Authorize.Net refuses the same transaction as a duplicate: 8 hours, its longest."""


@dataclass(frozen=True, slots=True)
class Account:
    """A business's keys at a gateway for one environment. `repr` shows no secret."""

    env: str
    secret_key: str = field(repr=False)
    """Stripe's secret key, or Authorize.Net's transaction key."""
    account_id: str | None = None
    """The account to act for (Stripe-Account) where it is not the key's own."""
    login_id: str = field(default="", repr=False)
    """Authorize.Net's API login id; Stripe has none."""


@dataclass(frozen=True, slots=True)
class CardData:
    """A card as its holder gives it, for a gateway that takes no tokens. Kept nowhere."""

    number: Secret
    exp_month: int
    exp_year: int
    cvv: Secret | None = None
    postal_code: str | None = None


@dataclass(frozen=True, slots=True)
class SavedCard:
    """A card that the gateway keeps for a customer."""

    gateway_card_id: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int


@dataclass(frozen=True, slots=True)
class ChargeOrder:
    """All that one charge attempt says. The same order with the same key is the same charge."""

    payment_id: str
    gateway_key: str
    """The idempotency key towards the gateway, derived from the payment, constant for its life."""
    amount: Amount
    customer_id: str
    gateway_card_id: str
    description: str | None


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The card was charged."""

    transaction_id: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The card was declined; nothing was charged, and resending the same order changes nothing."""

    transaction_id: str | None
    decline_code: str
    message: str


@dataclass(frozen=True, slots=True)
class RequiresAction:
    """The customer must authenticate; nothing was charged so far."""

    transaction_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HeldForReview:
    """The gateway's fraud filters hold the charge until the merchant approves or declines it.

    It is neither a success nor a failure, and resending it would make a second charge.
    """

    transaction_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The gateway refused the call; certainly nothing was charged.

    `field` names the request's field that the gateway objects to, where it is the caller's.
    """

    message: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """Certainly nothing happened: not connected, or turned away unread. The attempt stays open."""

    message: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The order may or may not have been executed. Never to be taken for a failure."""

    message: str
    shows_nothing: bool = False
    """Whether the gateway was asked for the order, answered, and showed nothing of it."""


ChargeOutcome = Succeeded | Declined | RequiresAction | HeldForReview | Refused | NotSent | Unknown


class GatewayError(Exception):
    """A gateway verb other than a charge did not do its work."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CardDeclined(GatewayError):
    """The gateway refused to save the card."""

    def __init__(self, message: str, decline_code: str) -> None:
        super().__init__(message)
        self.decline_code = decline_code


class GatewayRefused(GatewayError):
    """The gateway refused our call; nothing happened. `field` is the caller's field, if it is."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class CustomerMissing(GatewayRefused):
    """The account has no such customer: it was deleted there, or the keys are another account's."""


class GatewayUnavailable(GatewayError):
    """The gateway was not reached, or turned us away unread; nothing happened."""


class GatewayUnknown(GatewayError):
    """The call was sent and no clear answer came back."""


@runtime_checkable
class TakesCardData(Protocol):
    """A gateway that is given the data of cards, and a customer's first card with the customer."""

    async def create_customer_with_card(
        self, account: Account, *, user_id: str, name: str, email: str, card: CardData
    ) -> tuple[str, SavedCard]:
        """Create a customer with a card, or find both, and return the gateway's id and the card."""
        ...


class Gateway(Protocol):
    """What a card gateway can do for a business's account."""

    async def create_customer(
        self, account: Account, *, user_id: str, name: str, email: str, gateway_key: str
    ) -> str:
        """Create a customer and return the gateway's id of it."""
        ...

    async def save_card(
        self, account: Account, *, customer_id: str, card: str | CardData, gateway_key: str
    ) -> SavedCard:
        """Save a card for the customer: by its token at Stripe, by its data at Authorize.Net."""
        ...

    async def charge(self, account: Account, order: ChargeOrder) -> ChargeOutcome:
        """Charge a saved card once, whatever comes back, within the gateway's time budget."""
        ...

    async def look_up_charge(self, account: Account, order: ChargeOrder) -> ChargeOutcome | None:
        """Find out what became of an order, or None where the gateway shows nothing of it."""
        ...


@dataclass(frozen=True, slots=True)
class Network:
    """A card network, in Stripe's words."""

    brand: str
    begins: str
    """How its numbers begin, as a regular expression (ISO/IEC 7812)."""
    lengths: Sequence[int] = (16,)
    cvv_digits: int = 3


NETWORKS: Final[Sequence[Network]] = (
    Network("visa", r"4", (13, 16, 19)),
    Network("mastercard", r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"),
    Network("amex", r"3[47]", (15,), cvv_digits=4),
    Network("discover", r"6011|64[4-9]|65", (16, 19)),
    Network("jcb", r"352[89]|35[3-8]|3088", (16, 19)),
    Network("diners", r"30[0-5]|3[689]", (14, 16, 19)),
    Network("unionpay", r"62", (16, 17, 18, 19)),
)


def network_of(number: str) -> Network | None:
    """Return the network of a card number, or None where it is none that is known."""
    return next((each for each in NETWORKS if re.match(each.begins, number)), None)
