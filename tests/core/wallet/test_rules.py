"""How a movement changes a wallet, and its two postings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.money import MAX_BALANCE_MINOR
from core.wallet.rules import (
    Direction,
    Movement,
    MovementRefusal,
    WalletState,
    apply,
    postings_of,
)


def movement(direction: Direction, minor: int, payment_id: str | None = None) -> Movement:
    return Movement("B", "WAL-1", "WTX-1", direction, minor, "system", "r", payment_id=payment_id)


def wallet(minor: int) -> WalletState:
    return WalletState("TEST", "usd", minor, 7)


@pytest.mark.parametrize(
    ("balance", "direction", "minor", "result"),
    [
        (0, Direction.CREDIT, 1, 1),
        (100, Direction.DEBIT, 100, 0),
        (100, Direction.DEBIT, 101, MovementRefusal.WALLET_TOO_LOW),
        (0, Direction.DEBIT, 1, MovementRefusal.WALLET_TOO_LOW),
        (MAX_BALANCE_MINOR - 1, Direction.CREDIT, 1, MAX_BALANCE_MINOR),
        (MAX_BALANCE_MINOR, Direction.CREDIT, 1, MovementRefusal.WALLET_LIMIT),
    ],
)
def test_a_movement_changes_the_balance_or_is_refused(
    balance: int, direction: Direction, minor: int, result: int | MovementRefusal
) -> None:
    after = apply(wallet(balance), movement(direction, minor))
    if isinstance(result, MovementRefusal):
        assert after is result
    else:
        assert after == WalletState("TEST", "usd", result, 8)


def test_the_limit_does_not_apply_to_a_credit_of_a_payment() -> None:
    after = apply(wallet(MAX_BALANCE_MINOR), movement(Direction.CREDIT, 5, payment_id="PAY-1"))
    assert isinstance(after, WalletState)


@given(st.sampled_from(Direction), st.integers(1, 10**15))
def test_postings_sum_to_zero_and_the_first_is_the_wallets(
    direction: Direction, minor: int
) -> None:
    sides = postings_of(wallet(0), movement(direction, minor))
    assert sum(side.amount_minor for side in sides) == 0
    assert sides[0].account == "WAL-1"
    assert (sides[0].amount_minor > 0) == (direction is Direction.CREDIT)


@pytest.mark.parametrize(
    ("direction", "account"),
    [(Direction.CREDIT, "funding:TEST:usd"), (Direction.DEBIT, "revenue:TEST:usd")],
)
def test_the_second_posting_is_the_businesss(direction: Direction, account: str) -> None:
    assert postings_of(wallet(0), movement(direction, 1))[1].account == account
