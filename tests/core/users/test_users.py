"""UsersService over gRPC."""

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from nivisco.payments.v1 import types_pb2
from nivisco.payments.v1 import users_pb2 as pb
from rpc.errors import CoreError
from tests.core.running import Business, create_user, save_card


def new_user(**changes: Any) -> pb.CreateUserRequest:
    user: dict[str, Any] = {"name": "Alicia Gomez", "email": "alicia@example.com"} | changes
    return pb.CreateUserRequest(user=pb.CreateUserRequest.NewUser(**user))


def update(user_id: str, *mask: str, **fields: Any) -> pb.UpdateUserRequest:
    return pb.UpdateUserRequest(
        user_id=user_id,
        updates=pb.UpdateUserRequest.Updates(**fields),
        update_mask=FieldMask(paths=mask),
    )


async def test_a_user_is_the_same_resource_everywhere(shop: Business) -> None:
    created = (await shop.call(new_user(currency="EUR"))).user
    assert created == pb.User(
        user_id=created.user_id,
        name="Alicia Gomez",
        email="alicia@example.com",
        active=True,
        currency="eur",
        created_at=created.created_at,
        updated_at=created.created_at,
    )
    assert created.user_id.startswith("USR-")
    assert created.created_at.seconds > 0
    request = update(created.user_id, name="Alicia G.")
    await save_card(shop, created.user_id)
    updated = (await shop.call(request)).user
    assert (updated.name, updated.default_gateway) == ("Alicia G.", types_pb2.GATEWAY_STRIPE)
    assert updated.updated_at.ToNanoseconds() > created.updated_at.ToNanoseconds()
    validated = await shop.call(pb.ValidateUserRequest(user_id=created.user_id))
    info = await shop.call(pb.GetUserInfoRequest(user_id=created.user_id))
    (listed,) = (await shop.call(pb.GetAllUsersRequest())).users
    assert validated.user == info.user == listed == updated


async def test_two_users_may_share_an_email_address(business: Business) -> None:
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
async def test_an_invalid_profile_is_refused_by_field(
    business: Business, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(CoreError) as refused:
        await business.call(new_user(**changes))
    assert [problem.field for problem in refused.value.fields] == [field]


@pytest.mark.parametrize(
    ("mask", "changed"),
    [((), ["name", "active"]), (("active",), ["active"]), (("active", "name"), ["name", "active"])],
)
async def test_an_update_changes_the_given_fields_of_its_mask(
    business: Business, user_id: str, mask: tuple[str, ...], changed: list[str]
) -> None:
    response = await business.call(update(user_id, *mask, name="Alicia G.", active=False))
    assert (response.message, list(response.updated_fields)) == ("User updated", changed)
    assert (response.user.name == "Alicia G.") == ("name" in changed)
    assert response.user.active == ("active" not in changed)
    assert response.user.email == "alicia@example.com"


@pytest.mark.parametrize(
    ("mask", "field"), [((), "updates"), (("name",), "update_mask"), (("currency",), "update_mask")]
)
async def test_an_update_without_changes_or_with_an_invalid_mask_is_refused(
    business: Business, user_id: str, mask: tuple[str, ...], field: str
) -> None:
    with pytest.raises(CoreError) as refused:
        await business.call(update(user_id, *mask))
    assert [problem.field for problem in refused.value.fields] == [field]


async def test_lists_omit_inactive_users_and_validation_returns_them(
    business: Business, user_id: str
) -> None:
    other = await create_user(business)
    await business.call(update(user_id, active=False))
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


async def test_a_cursor_continues_after_the_page_that_returned_it(business: Business) -> None:
    made = [await create_user(business) for _ in range(5)]
    first = await business.call(pb.GetAllUsersRequest(page=1, limit=2))
    await create_user(business)
    second = await business.call(pb.GetAllUsersRequest(cursor=first.next_cursor, limit=1))
    last = await business.call(pb.GetAllUsersRequest(cursor=second.next_cursor))
    pages = (first.users, second.users, last.users)
    assert [user.user_id for page in pages for user in page] == made[::-1]
    assert (first.total, last.total, last.HasField("next_cursor")) == (5, 6, False)
    assert not first.total_is_estimate


@pytest.mark.parametrize(
    ("request_for", "description"),
    [
        (pb.GetAllUsersRequest(cursor=""), "must be the next_cursor of a response"),
        (pb.GetAllUsersRequest(cursor="a b"), "must be the next_cursor of a response"),
        (pb.GetAllUsersRequest(cursor="a" * 257), "must be the next_cursor of a response"),
        (
            pb.GetAllUsersRequest(cursor="invented"),
            "is not a next_cursor of this list with the same filters",
        ),
        (pb.GetAllUsersRequest(cursor="a", page=1), "must not be given together with page"),
    ],
)
async def test_a_wrong_cursor_is_refused(
    business: Business, request_for: pb.GetAllUsersRequest, description: str
) -> None:
    with pytest.raises(CoreError) as refused:
        await business.call(request_for)
    assert refused.value.reason == "INVALID_FIELDS"
    assert [(each.field, each.description) for each in refused.value.fields] == [
        ("cursor", description)
    ]


@pytest.mark.parametrize(("page", "limit"), [(0, 1), (-1, 1), (1, 0), (1, 101)])
async def test_a_page_out_of_bounds_is_refused(business: Business, page: int, limit: int) -> None:
    with pytest.raises(CoreError) as refused:
        await business.call(pb.GetAllUsersRequest(page=page, limit=limit))
    assert [problem.field for problem in refused.value.fields] == ["page" if page < 1 else "limit"]
