"""When a user or a card has had too many declines."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.limits import CardTestingLimits
from core.payments.decline_rules import Block, RecentAttempt, block_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LIMITS = CardTestingLimits(HOUR, user_declines=4, card_declines=2, card_saves=0)


def attempts(text: str) -> list[RecentAttempt]:
    """Return attempts, one a minute, newest first: `a` declined, `A` without an outcome."""
    return [
        RecentAttempt(NOW - timedelta(minutes=ago), each.lower(), each.islower())
        for ago, each in enumerate(text, start=1)
    ]


@pytest.mark.parametrize(
    ("had", "limit", "minutes"),
    [
        ("", None, 0),
        ("a", None, 0),
        ("bcd", None, 0),
        ("aa", "card_declines", 60 - 2),
        ("baca", "user_declines", 60 - 4),  # the card's limit ends at the same time
        ("aab", "card_declines", 60 - 2),
        ("aaa", "card_declines", 60 - 2),  # the second of the newest
        ("bcde", "user_declines", 60 - 4),
        ("bcdef", "user_declines", 60 - 4),
        ("AAAAAA", None, 0),  # none was declined
        ("Aa", "card_declines", 1 / 60),
        ("Ba", None, 0),
        ("BCDe", "user_declines", 1 / 60),
    ],
)
def test_a_charge_of_card_a_after_attempts(had: str, limit: str | None, minutes: float) -> None:
    expected = limit and Block(limit, NOW + timedelta(minutes=minutes))
    assert block_of(LIMITS, attempts(had), "a", NOW) == (expected or None)


def test_a_limit_of_0_is_off() -> None:
    off = CardTestingLimits(HOUR, user_declines=0, card_declines=0, card_saves=0)
    assert block_of(off, attempts("a" * 50), "a", NOW) is None


MINUTES = st.lists(
    st.tuples(st.integers(1, 59), st.sampled_from("ab"), st.booleans()), max_size=12
).map(sorted)


@settings(deadline=None, derandomize=True)
@given(MINUTES, st.integers(0, 5), st.integers(0, 5))
def test_once_a_block_is_over_there_is_none(
    had: list[tuple[int, str, bool]], of_user: int, of_card: int
) -> None:
    """If the attempts in flight are declined or succeed meanwhile, the first block comes first."""
    limits = CardTestingLimits(HOUR, of_user, of_card, 0)
    declined = [
        RecentAttempt(NOW - timedelta(minutes=ago), card, True) for ago, card, is_declined in had
        if is_declined
    ]  # fmt: skip
    block = block_of(limits, declined, "a", NOW)
    if block is None:
        return
    assert NOW < block.until <= NOW + HOUR
    left = [each for each in declined if each.created_at > block.until - HOUR]
    assert block_of(limits, left, "a", block.until) is None
    before = block.until - timedelta(seconds=1)
    still = [each for each in declined if each.created_at > before - HOUR]
    assert block_of(limits, still, "a", before) is not None


@settings(deadline=None, derandomize=True)
@given(MINUTES, st.integers(1, 5))
def test_declines_and_attempts_in_flight_never_exceed_the_limit(
    had: list[tuple[int, str, bool]], most: int
) -> None:
    """However they came to be, one more is begun only if all together are fewer."""
    limits = CardTestingLimits(HOUR, user_declines=most, card_declines=0, card_saves=0)
    known = [RecentAttempt(NOW - timedelta(minutes=ago), card, is_d) for ago, card, is_d in had]
    is_begun = block_of(limits, known, "a", NOW) is None
    assert is_begun == (len(known) < most or not any(each.is_declined for each in known))
