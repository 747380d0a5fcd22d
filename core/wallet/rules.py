"""Rules of the ledger: how a movement changes a wallet, and its two postings. Pure.

Amounts are in minor units of the wallet's currency.
"""

from enum import Enum, auto
from typing import NamedTuple

from core.caller import Origin
from core.money import MAX_BALANCE_MINOR

RECEIVABLES = "receivables"
"""The business's account of what users owe it. Only movements with reason `receivable` name it."""


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
    origin: Origin | None = None
    """Who makes it, for the audit trail; None: the caller of the running task."""


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


class SettlementRefusal(Enum):
    """Why nothing is settled. Checked in this order."""

    RECEIVABLE_TOO_LOW = auto()
    WALLET_TOO_LOW = auto()


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


def settled_minor(
    amount_minor: int | None, *, owed_minor: int, available_minor: int
) -> int | SettlementRefusal:
    """Return how much of what a user owes is settled, or why nothing is.

    Without an amount that is as much as is owed and available.
    """
    assert owed_minor >= 0, "a user is not owed by these transactions"
    assert available_minor >= 0, "a balance is not negative"
    if owed_minor == 0 or owed_minor < (amount_minor or 0):
        return SettlementRefusal.RECEIVABLE_TOO_LOW
    settled = min(owed_minor, available_minor) if amount_minor is None else amount_minor
    if settled == 0 or settled > available_minor:
        return SettlementRefusal.WALLET_TOO_LOW
    return settled


def settlement(
    business_id: str, wallet_id: str, transaction_id: str, amount_minor: int
) -> Movement:
    """Return the movement that settles an amount from a wallet's balance."""
    return Movement(
        business_id=business_id,
        wallet_id=wallet_id,
        transaction_id=transaction_id,
        direction=Direction.DEBIT,
        amount_minor=amount_minor,
        source="system",
        reason="receivable",
        account=RECEIVABLES,
    )


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
