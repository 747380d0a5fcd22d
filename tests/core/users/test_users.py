"""Users over gRPC, as the reference shows them."""

from typing import Any

import pytest

from nivisco.payments.v1 import users_pb2 as pb
from rpc.errors import CoreError
from tests.core.running import Business, create_user


def new_user(**changes: Any) -> pb.CreateUserRequest:
    user: dict[str, Any] = {"name": "Alicia Gomez", "email": "alicia@example.com"} | changes
    return pb.CreateUserRequest(user=pb.CreateUserRequest.NewUser(**user))


async def test_a_new_user_has_an_id_and_a_wallet(business: Business) -> None:
    created = await business.call(new_user())
    assert created.user.user_id.startswith("USR-")
    assert created.wallet.wallet_id.startswith("WAL-")
    info = await business.call(pb.GetUserInfoRequest(user_id=created.user.user_id))
    assert (info.user.name, info.user.email) == ("Alicia Gomez", "alicia@example.com")
    assert info.user.created_at.seconds > 0


async def test_two_users_may_share_an_address(business: Business) -> None:
    ids = {(await business.call(new_user())).user.user_id for _ in range(2)}
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "user.name"),
        ({"name": "  "}, "user.name"),
        ({"name": "x" * 10_000}, "user.name"),
        ({"name": "a\0b"}, "user.name"),
        ({"email": ""}, "user.email"),
        ({"email": "no-at"}, "user.email"),
        ({"email": "no-domain@"}, "user.email"),
        ({"currency": "zzz"}, "user.currency"),
        ({"currency": "dollars"}, "user.currency"),
    ],
)
async def test_a_profile_that_cannot_be_right_is_refused_by_field(
    business: Business, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(CoreError) as refused:
        await business.call(new_user(**changes))
    assert [problem.field for problem in refused.value.fields] == [field]


async def test_an_update_changes_what_is_given_and_names_it(
    business: Business, user_id: str
) -> None:
    answer = await business.call(
        pb.UpdateUserRequest(
            user_id=user_id, updates=pb.UpdateUserRequest.Updates(name="Alicia G.")
        )
    )
    assert (answer.message, list(answer.updated_fields)) == ("User updated", ["name"])
    info = await business.call(pb.GetUserInfoRequest(user_id=user_id))
    assert (info.user.name, info.user.email) == ("Alicia G.", "alicia@example.com")


async def test_an_update_of_nothing_is_refused(business: Business, user_id: str) -> None:
    with pytest.raises(CoreError) as refused:
        await business.call(
            pb.UpdateUserRequest(user_id=user_id, updates=pb.UpdateUserRequest.Updates())
        )
    assert [problem.field for problem in refused.value.fields] == ["updates"]


async def test_lists_show_active_users_and_validation_tells_the_others(
    business: Business, user_id: str
) -> None:
    other = await create_user(business)
    await business.call(
        pb.UpdateUserRequest(user_id=user_id, updates=pb.UpdateUserRequest.Updates(active=False))
    )
    listed = await business.call(pb.GetAllUsersRequest())
    assert [user.user_id for user in listed.users] == [other]
    assert (listed.count, listed.total) == (1, 1)
    assert not (await business.call(pb.ValidateUserRequest(user_id=user_id))).user.active
    assert (await business.call(pb.ValidateUserRequest(user_id=other))).user.active


async def test_pages_are_newest_first_and_do_not_overlap(business: Business) -> None:
    made = [await create_user(business) for _ in range(5)]
    pages = [
        (await business.call(pb.GetAllUsersRequest(page=page, limit=2))).users for page in (1, 2, 3)
    ]
    assert [user.user_id for page in pages for user in page] == made[::-1]


@pytest.mark.parametrize(("page", "limit"), [(0, 1), (-1, 1), (1, 0), (1, 101)])
async def test_a_page_out_of_bounds_is_refused(business: Business, page: int, limit: int) -> None:
    with pytest.raises(CoreError) as refused:
        await business.call(pb.GetAllUsersRequest(page=page, limit=limit))
    assert [problem.field for problem in refused.value.fields] == ["page" if page < 1 else "limit"]
