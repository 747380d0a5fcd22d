"""Rules of the ledger: how a movement changes a wallet, and its two postings. Pure.

Amounts are in minor units of the wallet's currency.
"""

from enum import Enum, auto
from typing import NamedTuple

from core.money import MAX_BALANCE_MINOR


class Direction(Enum):
    """Direction of a movement, seen from the wallet. The value is the stored word."""

    CREDIT = "credit"
    DEBIT = "debit"


class Movement(NamedTuple):
    """A movement of money between a user's wallet and an account of the business."""

    business_id: str
    wallet_id: str
    transaction_id: str
    direction: Direction
    amount_minor: int
    source: str
    reason: str
    description: str | None = None
    payment_id: str | None = None
    account: str | None = None
    """The business's account. Defaults to funding for a credit, revenue for a debit."""
    taken_before_minor: int = 0
    """Sum of the payment's movements for refunds and disputes before, in both directions. Unique
    for a payment and reason, so that each happens once."""
    transfer_id: str | None = None
    other_user_id: str | None = None
    """The user at the other side of the transfer."""


class WalletState(NamedTuple):
    """The part of a wallet that a movement reads and changes."""

    env: str
    currency: str
    balance_minor: int
    version: int
    held_minor: int = 0
    """Sum of the open holds."""

    @property
    def available_minor(self) -> int:
        """The balance without open holds: what can be debited."""
        return self.balance_minor - self.held_minor


class MovementRefusal(Enum):
    """Why a movement is refused. Checked in this order."""

    WALLET_TOO_LOW = auto()
    WALLET_LIMIT = auto()


class Posting(NamedTuple):
    """One side of a movement. A positive amount increases the account."""

    account: str
    amount_minor: int
    currency: str


def apply(wallet: WalletState, movement: Movement) -> WalletState | MovementRefusal:
    """Return the wallet after the movement, or why it is refused.

    The limit does not apply to a credit with a payment: the card was charged already.
    """
    assert movement.amount_minor > 0, "a movement has an amount"
    sign = 1 if movement.direction is Direction.CREDIT else -1
    balance = wallet.balance_minor + sign * movement.amount_minor
    if balance < wallet.held_minor:
        return MovementRefusal.WALLET_TOO_LOW
    if balance > MAX_BALANCE_MINOR and sign > 0 and movement.payment_id is None:
        return MovementRefusal.WALLET_LIMIT
    return WalletState(wallet.env, wallet.currency, balance, wallet.version + 1, wallet.held_minor)


def postings_of(wallet: WalletState, movement: Movement) -> tuple[Posting, Posting]:
    """Return the two postings of a movement, which sum to zero.

    Unless the movement names an account, a credit is posted against the business's funding account
    and a debit against its revenue account. Each environment and currency has its own accounts.
    """
    credit = movement.direction is Direction.CREDIT
    amount = movement.amount_minor if credit else -movement.amount_minor
    name = movement.account or ("funding" if credit else "revenue")
    sides = (
        Posting(movement.wallet_id, amount, wallet.currency),
        Posting(f"{name}:{wallet.env}:{wallet.currency}", -amount, wallet.currency),
    )
    assert sum(side.amount_minor for side in sides) == 0, "postings sum to zero"
    return sides
