"""BusinessService, AuthenticationService and OperatorService.CreateAdmin over gRPC."""

import asyncio
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from nivisco.internal.v1 import operator_pb2
from nivisco.payments.v1 import authentication_pb2, types_pb2
from nivisco.payments.v1 import business_pb2 as pb
from rpc.client import CoreClient
from rpc.errors import CoreError
from rpc.metadata import Credentials
from tests.core.running import (
    OPERATOR_TOKEN,
    Business,
    call,
    create_admin,
    register,
    with_stripe,
)


def new_business(**changes: str) -> pb.RegisterBusinessRequest:
    profile = {
        "name": "Northwind Coffee",
        "email": "owner@northwindcoffee.com",
        "domain": "northwindcoffee.com",
    } | changes
    return pb.RegisterBusinessRequest(
        new_business=pb.RegisterBusinessRequest.NewBusiness(**profile)
    )


def modify(*mask: str, **updates: Any) -> pb.ModifyBusinessRequest:
    return pb.ModifyBusinessRequest(
        updates=pb.ModifyBusinessRequest.Updates(**updates), update_mask=FieldMask(paths=mask)
    )


async def profiles(business: Business) -> list[Any]:
    return [
        (await business.call(request)).business
        for request in (
            authentication_pb2.ValidateBusinessRequest(),
            authentication_pb2.GetBusinessInfoRequest(),
        )
    ]


async def test_a_business_is_the_same_resource_everywhere(core: CoreClient) -> None:
    answer = await call(core, await create_admin(core), new_business())
    assert answer.message == "Business registered successfully"
    assert answer.domain == "northwindcoffee.com"
    registered = answer.business
    assert registered == pb.Business(
        business_id=answer.business_id,
        name="Northwind Coffee",
        email="owner@northwindcoffee.com",
        domain="northwindcoffee.com",
        created_at=registered.created_at,
        updated_at=registered.created_at,
        active=True,
        default_env=types_pb2.ENV_TEST,
        retry_days=[1, 3, 7],
        max_failed_cycles=3,
    )
    merchant = Business(core, Credentials(answer.business_id, answer.api_key))
    assert await profiles(merchant) == [registered] * 2
    modified = (await merchant.call(modify(name="Houston"))).business
    assert modified.name == "Houston"
    assert modified.updated_at.ToNanoseconds() > registered.updated_at.ToNanoseconds()
    await with_stripe(merchant, types_pb2.ENV_LIVE)
    (validated, info) = await profiles(merchant)
    assert validated == info
    assert (info.name, info.default_env) == ("Houston", types_pb2.ENV_LIVE)


async def test_only_the_admin_registers_businesses(business: Business) -> None:
    with pytest.raises(CoreError) as refused:
        await business.call(new_business())
    assert refused.value.reason == "ADMIN_ONLY"


async def test_authorization_is_checked_before_fields(business: Business) -> None:
    with pytest.raises(CoreError) as refused:
        await business.call(pb.RegisterBusinessRequest())
    assert refused.value.reason == "ADMIN_ONLY"


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"email": "owner@elsewhere.com"}, ["new_business.email"]),
        ({"email": "owner@sub.northwindcoffee.com"}, ["new_business.email"]),
        ({"email": "owner@straße.de", "domain": "strasse.de"}, ["new_business.email"]),
        ({"domain": "nodots"}, ["new_business.domain"]),
        ({"domain": "-x.com"}, ["new_business.domain"]),
        ({"name": " ", "email": "x", "domain": ""},
         ["new_business.name", "new_business.email", "new_business.domain"]),
    ],
)  # fmt: skip
async def test_an_invalid_profile_is_refused_by_field(
    core: CoreClient, changes: dict[str, str], fields: list[str]
) -> None:
    with pytest.raises(CoreError) as refused:
        await call(core, await create_admin(core), new_business(**changes))
    assert [problem.field for problem in refused.value.fields] == fields


@pytest.mark.parametrize(
    ("email", "domain"),
    [
        ("Owner@NorthWindCoffee.com", "NORTHWINDCOFFEE.com"),
        ("owner@straße.de", "xn--strae-oqa.de"),
        ("owner@STRASSE.de", "strasse.de"),
    ],
)
async def test_the_domain_is_compared_case_insensitively_as_mail_is_delivered(
    core: CoreClient, email: str, domain: str
) -> None:
    answer = await call(core, await create_admin(core), new_business(email=email, domain=domain))
    assert answer.domain == domain.lower()


@pytest.mark.parametrize(
    ("mask", "changed"), [((), ["name", "email"]), (("email",), ["email"]), (("name",), ["name"])]
)
async def test_an_update_changes_the_given_fields_of_its_mask(
    business: Business, mask: tuple[str, ...], changed: list[str]
) -> None:
    new = {"name": "Houston", "email": "a@northwind.example.com"}
    answer = await business.call(modify(*mask, **new))
    assert answer.message == "Business updated successfully"
    assert list(answer.updated_fields) == changed
    (profile, _) = await profiles(business)
    assert answer.business == profile
    assert [name for name in new if getattr(profile, name) == new[name]] == changed


@pytest.mark.parametrize(
    ("updates", "field"),
    [
        ({"email": "a@elsewhere.com"}, "updates.email"),
        ({}, "updates"),
        ({"name": ""}, "updates.name"),
    ],
)
async def test_an_invalid_update_is_refused_by_field(
    business: Business, updates: dict[str, Any], field: str
) -> None:
    with pytest.raises(CoreError) as refused:
        await business.call(modify(**updates))
    assert [problem.field for problem in refused.value.fields] == [field]


async def test_a_new_api_key_replaces_the_previous_one_immediately(business: Business) -> None:
    answer = await business.call(pb.ChangeApiKeyRequest())
    assert answer.message == "API key rotated successfully"
    with pytest.raises(CoreError) as refused:
        await business.call(authentication_pb2.ValidateBusinessRequest())
    assert refused.value.reason == "INVALID_CREDENTIALS"
    renewed = Credentials(answer.business_id, answer.api_key)
    await call(business.client, renewed, authentication_pb2.ValidateBusinessRequest())


async def test_one_of_concurrent_rotations_succeeds(
    business: Business,
) -> None:
    answers: list[Any] = await asyncio.gather(
        *(business.call(pb.ChangeApiKeyRequest()) for _ in range(8)), return_exceptions=True
    )
    refused = [answer.reason for answer in answers if isinstance(answer, CoreError)]
    (issued,) = [answer for answer in answers if not isinstance(answer, CoreError)]
    assert refused == ["INVALID_CREDENTIALS"] * 7
    renewed = Credentials(issued.business_id, issued.api_key)
    await call(business.client, renewed, authentication_pb2.ValidateBusinessRequest())


async def test_the_admin_key_is_replaced_only_on_request(
    core: CoreClient,
) -> None:
    operator = Credentials(service_token=OPERATOR_TOKEN)
    first = await call(core, operator, operator_pb2.CreateAdminRequest())
    with pytest.raises(CoreError) as refused:
        await call(core, operator, operator_pb2.CreateAdminRequest())
    assert refused.value.reason == "ALREADY_EXISTS"
    second = await call(core, operator, operator_pb2.CreateAdminRequest(rotate=True))
    assert second.api_key != first.api_key
    with pytest.raises(CoreError):
        await call(
            core,
            Credentials(first.business_id, first.api_key),
            authentication_pb2.ValidateBusinessRequest(),
        )


async def test_the_same_domain_may_register_twice(core: CoreClient) -> None:
    ids = {(await register(core)).credentials.business_id for _ in range(2)}
    assert len(ids) == 2
