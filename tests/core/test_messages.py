"""What a list request asks for, read from the wire."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from nivisco.payments.v1 import users_pb2
from tests.core.running import Business

EPOCH = Timestamp()


@pytest.mark.parametrize(
    ("request_for", "total"),
    [
        (users_pb2.GetAllUsersRequest(), 1),
        (users_pb2.GetAllUsersRequest(from_date=EPOCH), 1),
        (users_pb2.GetAllUsersRequest(to_date=EPOCH), 0),
        (users_pb2.GetAllUsersRequest(to_date=Timestamp(seconds=1)), 0),
    ],
)
async def test_a_date_at_the_beginning_of_1970_is_a_date(
    business: Business, user_id: str, request_for: users_pb2.GetAllUsersRequest, total: int
) -> None:
    assert (await business.call(request_for)).total == total
