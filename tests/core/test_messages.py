"""Conversions between messages and plain values."""

from datetime import UTC, datetime, timedelta, timezone
from types import ModuleType
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from core.messages import enum_value, enum_word, timestamp
from nivisco.payments.v1 import payments_pb2, recurring_pb2, types_pb2, users_pb2, wallet_pb2
from tests.core.running import Business

EPOCH = Timestamp()


@pytest.mark.parametrize("module", [payments_pb2, recurring_pb2, types_pb2, wallet_pb2])
def test_every_enum_value_has_its_own_word(module: ModuleType) -> None:
    for name in module.DESCRIPTOR.enum_types_by_name:
        enum = getattr(module, name)
        assert enum_word(enum, 0) is None
        for value in list(enum.values())[1:]:
            word = enum_word(enum, value)
            assert word
            assert enum_value(enum, word) == value


@pytest.mark.parametrize(
    ("enum", "word", "value"),
    [
        (types_pb2.Env, "TEST", types_pb2.ENV_TEST),
        (types_pb2.Gateway, "authorize", types_pb2.GATEWAY_AUTHORIZE),
        (
            wallet_pb2.TransactionReason,
            "wallet_fund",
            wallet_pb2.TRANSACTION_REASON_WALLET_FUND,
        ),
    ],
)
def test_a_word_is_the_one_of_json(enum: Any, word: str, value: int) -> None:
    assert enum_value(enum, word) == value


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), "1970-01-01T00:00:00Z"),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "1969-12-31T23:59:59.999999Z"),
        (
            datetime(2024, 2, 29, 1, 2, 3, 4, timezone(timedelta(hours=2))),
            "2024-02-28T23:02:03.000004Z",
        ),
        (datetime.min.replace(tzinfo=UTC), "0001-01-01T00:00:00Z"),
        (datetime.max.replace(tzinfo=UTC), "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_timestamp_is_the_same_moment(moment: datetime, shown: str) -> None:
    assert timestamp(moment).ToJsonString() == shown


@pytest.mark.parametrize(
    ("request_for", "total"),
    [
        (users_pb2.GetAllUsersRequest(), 1),
        (users_pb2.GetAllUsersRequest(from_date=EPOCH), 1),
        (users_pb2.GetAllUsersRequest(to_date=EPOCH), 0),
        (users_pb2.GetAllUsersRequest(to_date=Timestamp(seconds=1)), 0),
    ],
)
async def test_an_empty_timestamp_is_a_date(
    business: Business, user_id: str, request_for: users_pb2.GetAllUsersRequest, total: int
) -> None:
    assert (await business.call(request_for)).total == total
