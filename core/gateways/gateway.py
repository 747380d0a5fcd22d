"""The methods that every card gateway has, and their outcomes and errors. No I/O.

A charge *returns* its outcome, because the payment records each of them. The other methods return
what they created, or raise:

    GatewayError
    ├── CardDeclined           the card was declined; another card is needed
    ├── AuthenticationNeeded   the cardholder must authenticate before the card is saved
    ├── GatewayRefused         the call was refused (keys, account, parameters): nothing happened
    │   └── CustomerMissing    the account behind these keys has no such customer
    ├── GatewayUnavailable     not reached, or throttled: nothing happened
    └── GatewayUnknown         sent, but no clear response came back
        └── ListTooLong        the charge may be in a list that is too long to read

`is_permanent` tells those that a repeated call does not help, until somebody changes the keys, the
account or the object at the gateway.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final, Protocol, runtime_checkable

from core.gateways.events import Fact
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
    """Card data for a gateway that takes no tokens. Never stored."""

    number: Secret
    exp_month: int
    exp_year: int
    cvv: Secret | None = None
    postal_code: str | None = None


NONCE_FIELD: Final = "opaque_data.data_value"
"""The caller's field of a nonce."""


@dataclass(frozen=True, slots=True)
class CardNonce:
    """Card data that the cardholder's browser gave to the gateway, to be used once. Never stored.

    https://developer.authorize.net/api/reference/features/acceptjs.html
    """

    descriptor: str
    value: Secret
    postal_code: str | None = None


@dataclass(frozen=True, slots=True)
class SavedCard:
    """A card that is stored at the gateway."""

    gateway_card_id: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    fingerprint: str | None = None
    """Equal for all of a gateway's cards with one number. None: the gateway has none, and
    recognizes a customer's card itself."""


@dataclass(frozen=True, slots=True)
class CardChange:
    """What to change of a card at the gateway; None stays as it is."""

    exp_month: int | None = None
    exp_year: int | None = None
    """Set together with the month."""
    address: str | None = None
    """Street and number."""
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None
    """ISO 3166-1, two letters."""


@dataclass(frozen=True, slots=True)
class GatewayCharge:
    """A charge as requested from the gateway. Equal ones with one key are the same charge."""

    payment_id: str
    gateway_key: str
    """The idempotency key at the gateway, constant for the payment's life."""
    amount: Amount
    customer_id: str
    gateway_card_id: str
    description: str | None
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The business's own pairs of strings."""
    created_at: datetime | None = None
    """When the payment was created. It bounds a look-up in a list; None: unknown."""
    is_captured: bool = True
    """Whether the amount is taken at once; else it is only authorized, to be captured later."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The card was charged."""

    transaction_id: str


@dataclass(frozen=True, slots=True)
class Authorized:
    """The amount is held on the card, to be captured or released. Nothing was charged."""

    transaction_id: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The card was declined. Nothing was charged, and a resend has the same outcome."""

    transaction_id: str | None
    decline_code: str
    message: str


@dataclass(frozen=True, slots=True)
class RequiresAction:
    """The customer must authenticate. Nothing was charged so far."""

    transaction_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HeldForReview:
    """The gateway's fraud filters hold the charge until the merchant approves or declines it.

    It is neither a success nor a failure. A resend would be a second charge.
    """

    transaction_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The gateway refused the call. Nothing was charged.

    `field` is the field of the caller's request that is at fault, if one is.
    """

    message: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """The gateway was not reached, or throttled the call. Nothing was charged."""

    message: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The charge may or may not have been made. Never treated as a failure."""

    message: str
    shows_nothing: bool = False
    """Whether the gateway has nothing to show: it does not know the charge, shows nothing that
    decides it, or refuses to be asked. False if it was away or gave no clear answer."""


@dataclass(frozen=True, slots=True)
class GatewayRefund:
    """A refund as requested from the gateway. Equal ones with one key are the same refund."""

    refund_id: str
    gateway_key: str
    """The idempotency key at the gateway, constant for the refund's life."""
    payment_id: str
    transaction_id: str
    """The gateway's id of the payment."""
    customer_id: str
    amount: Amount
    is_whole: bool
    """Whether it is the whole payment, and its only refund, so that the payment can be voided."""
    reason: str | None
    created_at: datetime
    may_have_been_sent: bool
    """Whether an earlier call may have refunded or voided the charge."""
    is_resent: bool = False
    """Whether an earlier call with an unknown outcome may have made this very refund."""
    known_id: str | None = None
    """The gateway's id: a look-up finds this refund of the payment, whoever made it."""
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The business's own pairs of strings."""


@dataclass(frozen=True, slots=True)
class RefundRefused:
    """The gateway does not make the refund, whatever is sent. It gave no money back."""

    code: str
    """The gateway's code, for example `charge_already_refunded`."""
    message: str
    payment_fact: Fact | None = None
    """The payment's state, if that is why."""


@dataclass(frozen=True, slots=True)
class Unsettled:
    """The payment must settle before the refund can be made. Nothing was sent."""


RefundOutcome = Fact | RefundRefused | Unsettled | Refused | NotSent | Unknown
"""A fact is the state of the refund, or of a payment that was voided."""
ChargeOutcome = (
    Succeeded | Authorized | Declined | RequiresAction | HeldForReview | Refused | NotSent | Unknown
)


class ObjectKind(StrEnum):
    """Kind of an object at the gateway whose state can be read."""

    PAYMENT = "payment"
    REFUND = "refund"
    DISPUTE = "dispute"


class GatewayError(Exception):
    """A gateway method other than a charge failed."""

    is_permanent: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CardDeclined(GatewayError):
    """The gateway refused to save the card."""

    is_permanent = True

    def __init__(self, message: str, decline_code: str) -> None:
        super().__init__(message)
        self.decline_code = decline_code


class AuthenticationNeeded(GatewayError):
    """The card's bank wants the cardholder to authenticate before the card is saved."""

    is_permanent = True

    def __init__(self, setup_id: str, client_secret: str) -> None:
        super().__init__("The cardholder must authenticate with their bank to save the card")
        self.setup_id = setup_id
        self.client_secret = client_secret


class GatewayRefused(GatewayError):
    """The gateway refused the call; nothing happened. `field` is the caller's field at fault."""

    is_permanent = True

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class CustomerMissing(GatewayRefused):
    """The account has no such customer: deleted there, or the keys are of another account."""


class GatewayUnavailable(GatewayError):
    """The gateway was not reached, or throttled the call; nothing happened."""


class GatewayUnknown(GatewayError):
    """The call was sent and no clear response came back."""


class ListTooLong(GatewayUnknown):
    """The charge was not found in as much of a list as is read; the list only grows."""

    is_permanent = True


@dataclass(frozen=True, slots=True)
class CardSetup:
    """A card that its bank lets be charged without the cardholder, and for whom it was set up."""

    user_id: str
    customer_id: str
    set_as_primary: bool
    saved: SavedCard


@runtime_checkable
class SetsUpCards(Protocol):
    """A gateway that asks a card's bank to allow charges without the cardholder."""

    async def set_up_card(
        self,
        account: Account,
        *,
        customer_id: str,
        token: str,
        gateway_key: str,
        user_id: str,
        set_as_primary: bool,
    ) -> SavedCard:
        """Save the card of a token, and have its bank allow such charges.

        Raises:
            GatewayError: any subclass; AuthenticationNeeded if the bank wants the cardholder.
        """
        ...

    async def find_setup(self, account: Account, setup_id: str) -> CardSetup | None:
        """Return a set-up of ours that is finished, or None.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        ...


@runtime_checkable
class TakesCardData(Protocol):
    """A gateway that takes card data, and creates a customer together with the first card."""

    async def create_customer_with_card(
        self, account: Account, *, user_id: str, name: str, email: str, card: CardData
    ) -> tuple[str, SavedCard]:
        """Create or find a customer and card, and return the customer's id and the card."""
        ...

    async def create_customer_with_nonce(
        self, account: Account, *, user_id: str, name: str, email: str, nonce: CardNonce
    ) -> tuple[str, SavedCard | None]:
        """Create a customer with the card of a nonce; no card if the customer existed."""
        ...


class Gateway(Protocol):
    """The methods of a card gateway, for a business's account."""

    async def check_account(self, account: Account) -> None:
        """Check that the gateway accepts the account's keys. It changes nothing.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        ...

    async def create_customer(
        self, account: Account, *, user_id: str, name: str, email: str, gateway_key: str
    ) -> str:
        """Create a customer and return its id at the gateway."""
        ...

    async def save_card(
        self,
        account: Account,
        *,
        customer_id: str,
        card: str | CardData | CardNonce,
        gateway_key: str,
    ) -> SavedCard:
        """Save a card for the customer: by its token at Stripe, else by its data or a nonce."""
        ...

    async def find_card(
        self, account: Account, *, customer_id: str, gateway_card_id: str
    ) -> SavedCard | None:
        """Return a card as the gateway has it, or None if the customer has no such card.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        ...

    async def cards_of_customer(self, account: Account, customer_id: str) -> list[SavedCard]:
        """Return the cards of a customer, the default card first.

        Raises:
            GatewayError: CustomerMissing if there is no such customer, or it was deleted;
                GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        ...

    async def remove_card(
        self,
        account: Account,
        *,
        customer_id: str,
        gateway_card_id: str,
        kept: Collection[str] = (),
    ) -> Collection[str]:
        """Remove a customer's card, which cannot be charged any more. To repeat it does nothing.

        Returns the gateway's ids of all cards that it removed, which are the card and others with
        its number. `kept` are the gateway's ids of other cards, which stay even if they have it.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        ...

    async def update_card(
        self, account: Account, *, customer_id: str, gateway_card_id: str, change: CardChange
    ) -> SavedCard:
        """Change a customer's card, and return it as the gateway has it now.

        Raises:
            GatewayError: any subclass.
        """
        ...

    async def charge(self, account: Account, charge: GatewayCharge) -> ChargeOutcome:
        """Charge a saved card at most once, within the gateway's timeout."""
        ...

    async def look_up_charge(self, account: Account, charge: GatewayCharge) -> ChargeOutcome | None:
        """Return the outcome of a charge, or None if the gateway does not show it."""
        ...

    async def read_state(self, account: Account, kind: ObjectKind, object_id: str) -> Fact | None:
        """Return the present state of an object as the fact that an event about it would have.

        `object_id` is the gateway's id; a payment's is its transaction id. None if the account has
        no such object.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable, or GatewayUnknown, also if the object
                is being processed.
        """
        ...

    async def cancel_payment(
        self, account: Account, transaction_id: str, reason: str | None = None
    ) -> Fact:
        """Cancel a payment that waits for its customer, a review or its capture.

        `reason` is one of core.database.schema.VOID_REASONS. Authorize.Net takes none.

        Returns its final state: SUCCEEDED or FAILED, if it was decided before, or else CANCELED
        (Stripe) or VOIDED (Authorize.Net). To repeat the call does nothing.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        ...

    async def capture_payment(
        self, account: Account, *, transaction_id: str, amount: Amount, gateway_key: str
    ) -> Fact:
        """Capture an authorized payment, all or a part, which releases the rest; return SUCCEEDED.

        A payment is captured once, whatever is sent: a second capture is refused. After an error
        `read_state` tells whether it is captured.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        ...

    async def refund(self, account: Account, refund: GatewayRefund) -> RefundOutcome:
        """Refund a payment at most once, within the gateway's timeout.

        The outcome of a call holds for earlier ones, too: it is RefundRefused or Unsettled only if
        the gateway shows no refund with this id.
        """
        ...

    async def look_up_refund(self, account: Account, refund: GatewayRefund) -> RefundOutcome | None:
        """Return the state of a refund, or None if the gateway does not show it.

        Raises:
            GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
        """
        ...


@dataclass(frozen=True, slots=True)
class Network:
    """A card network, named as at Stripe."""

    brand: str
    prefix: str
    """Prefix of its numbers, as a regular expression (ISO/IEC 7812)."""
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
    """Return the network of a card number, or None if it is not known."""
    return next((each for each in NETWORKS if re.match(each.prefix, number)), None)
