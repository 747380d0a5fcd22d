"""Forms and order of generated ids."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import ids

NOW = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("new_id", "pattern"),
    [
        (ids.new_user_id, r"USR-[0-9A-HJKMNP-TV-Z]{26}"),
        (ids.new_wallet_id, r"WAL-[0-9A-HJKMNP-TV-Z]{26}"),
        (ids.new_wallet_transaction_id, r"WTX-[0-9A-HJKMNP-TV-Z]{26}"),
        (ids.new_transfer_id, r"TRF-[0-9A-HJKMNP-TV-Z]{26}"),
        (ids.new_hold_id, r"HLD-[0-9A-HJKMNP-TV-Z]{26}"),
        (ids.new_card_id, r"CRD-[0-9A-HJKMNP-TV-Z]{26}"),
        (partial(ids.new_payment_id, NOW), r"PAY-[0-9A-HJKMNP-TV-Z]{16}"),
        (ids.new_business_id, r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    ],
)
def test_an_id_has_its_prefix_and_length(new_id: Callable[[], str], pattern: str) -> None:
    assert re.fullmatch(pattern, new_id())


def test_a_payment_id_fits_the_invoice_number_of_authorize_net() -> None:
    assert len(ids.new_payment_id(NOW)) == 20


@given(st.integers(1, 10**6))
def test_payment_ids_sort_by_time(later_milliseconds: int) -> None:
    later = NOW + timedelta(milliseconds=later_milliseconds)
    assert ids.new_payment_id(NOW)[:12] < ids.new_payment_id(later)[:12]


def test_payment_ids_of_one_millisecond_differ() -> None:
    assert len({ids.new_payment_id(NOW) for _ in range(1000)}) == 1000
