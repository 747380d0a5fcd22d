"""Rules of due work, as tables."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.database.transactions import (
    CommitUnknownError,
    DatabaseUnavailableError,
    LockTimeoutError,
)
from core.due_work.failures import UNAVAILABLE
from core.due_work.rules import (
    DueRow,
    Failure,
    PermanentError,
    description_of,
    failure_of,
    in_turns,
    pause_after,
)
from core.errors import Reason, Refusal
from core.gateways.gateway import GatewayRefused, GatewayUnavailable, GatewayUnknown
from core.security.keyring import SealBrokenError, UnknownKeyError
from tests.core.running import keyring

NO_KEYS = Refusal(Reason.ERROR_REASON_CREDENTIALS_MISSING, "no keys")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (DatabaseUnavailableError("away"), Failure.OUTAGE),
        (LockTimeoutError("locked"), Failure.OUTAGE),
        (CommitUnknownError("lost"), Failure.OUTAGE),
        (GatewayUnavailable("down"), Failure.OUTAGE),
        (GatewayUnknown("unclear"), Failure.OUTAGE),
        (GatewayRefused("revoked"), Failure.OUTAGE),
        (TimeoutError(), Failure.OUTAGE),
        (ConnectionResetError(), Failure.OUTAGE),
        (NO_KEYS, Failure.OUTAGE),
        (UnknownKeyError("a newer key"), Failure.UNEXPECTED),
        (ValueError("a bug"), Failure.UNEXPECTED),
        (AssertionError("a bug"), Failure.UNEXPECTED),
        (SealBrokenError("damaged"), Failure.PERMANENT),
        (PermanentError("unreadable"), Failure.PERMANENT),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_is_an_outage_or_unexpected_or_permanent(
    error: Exception, failure: Failure
) -> None:
    assert failure_of(error, outages=UNAVAILABLE) is failure


def test_a_refusal_that_covers_another_error_is_that_error() -> None:
    covered = Refusal(Reason.ERROR_REASON_OUTCOME_UNKNOWN, "not known yet")
    covered.__cause__ = SealBrokenError("damaged")
    assert failure_of(covered, outages=UNAVAILABLE) is Failure.PERMANENT
    assert description_of(covered) == "SealBrokenError: damaged"


def test_the_description_of_an_unexpected_error_is_its_type_and_place_without_its_message() -> None:
    ring = keyring()
    with pytest.raises(AttributeError) as raised:
        ring.open(4111111111111111, business_id="B", purpose="p")  # type: ignore[arg-type]
    described = description_of(raised.value)
    assert described.startswith("AttributeError at core/security/keyring.py:")
    assert "4111" not in described
    assert description_of(PermanentError("x" * 600)) == "x" * 500
    assert description_of(KeyError("secret")) == "KeyError"


def test_pauses_become_longer_up_to_an_hour() -> None:
    seconds = [pause_after(looks).total_seconds() for looks in range(8)]
    assert seconds == [5, 15, 60, 300, 900, 3600, 3600, 3600]


def row(business_id: str, number: int) -> DueRow:
    return DueRow((business_id, str(number)), "", NOW + timedelta(seconds=number))


@given(
    st.lists(st.sampled_from("abcd"), max_size=30).map(
        lambda names: [row(name, number) for number, name in enumerate(names)]
    ),
    st.integers(0, 5),
)
def test_nobody_has_a_second_turn_before_everybody_had_a_first(
    rows: list[DueRow], room: int
) -> None:
    turns = in_turns(rows, room_of=lambda each: room if each.business_id != "a" else 1)
    chosen = [each for _, each in turns]
    assert len(set(chosen)) == len(chosen)
    for business_id in "abcd":
        limit = room if business_id != "a" else 1
        of_business = [each for each in rows if each.business_id == business_id][:limit]
        assert [each for each in chosen if each.business_id == business_id] == of_business
    numbers = [turn for turn, _ in turns]
    assert numbers == sorted(numbers)
    for turn in set(numbers):
        of_turn = [each for number, each in turns if number == turn]
        assert of_turn == sorted(of_turn, key=lambda each: each.look_at)
        assert len({each.business_id for each in of_turn}) == len(of_turn)
