"""The rules of the ledger: what a movement does to a wallet, and its two postings. Pure.

Amounts are in minor units of the wallet's currency.
"""

from dataclasses import dataclass
from enum import Enum, auto

from core.money import MAX_BALANCE_MINOR


class Direction(Enum):
    """Which way money moves, seen from the wallet. The value is how it is stored."""

    CREDIT = "credit"
    DEBIT = "debit"


@dataclass(frozen=True, slots=True)
class Movement:
    """One movement to make: a user's wallet against an account of the business."""

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
    """The business's account on the other side; None: funding of a credit, revenue of a debit."""
    taken_before_minor: int = 0
    """How much of its payment had been taken back before."""


@dataclass(frozen=True, slots=True)
class WalletState:
    """What a movement needs to know of its wallet."""

    env: str
    currency: str
    balance_minor: int
    version: int


class MovementRefusal(Enum):
    """Why a movement was not made. Checked in this order."""

    WALLET_TOO_LOW = auto()
    WALLET_LIMIT = auto()


@dataclass(frozen=True, slots=True)
class Posting:
    """One side of a movement. What an account gains is positive."""

    account: str
    amount_minor: int
    currency: str


def apply(wallet: WalletState, movement: Movement) -> WalletState | MovementRefusal:
    """Return the wallet after the movement, or why the movement cannot be made.

    Money that a card was charged for must arrive, so a credit with a payment knows no limit.
    """
    assert movement.amount_minor > 0, "a movement moves something"
    sign = 1 if movement.direction is Direction.CREDIT else -1
    balance = wallet.balance_minor + sign * movement.amount_minor
    if balance < 0:
        return MovementRefusal.WALLET_TOO_LOW
    if balance > MAX_BALANCE_MINOR and sign > 0 and movement.payment_id is None:
        return MovementRefusal.WALLET_LIMIT
    return WalletState(wallet.env, wallet.currency, balance, wallet.version + 1)


def postings_of(wallet: WalletState, movement: Movement) -> tuple[Posting, Posting]:
    """Return the two sides of a movement, which sum to zero.

    Credits come out of the business's funding account, debits go to its revenue account, one of
    each for every environment and currency, unless the movement names another account.
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
