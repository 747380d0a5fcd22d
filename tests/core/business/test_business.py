"""Businesses over gRPC: registered by the admin, locked to their domain, their keys rotated."""

import asyncio
from typing import Any

import pytest

from nivisco.internal.v1 import operator_pb2
from nivisco.payments.v1 import authentication_pb2
from nivisco.payments.v1 import business_pb2 as pb
from rpc.client import CoreClient
from rpc.errors import CoreError
from rpc.metadata import Credentials
from tests.core.running import OPERATOR_TOKEN, Business, call, create_admin, register


def new_business(**changes: str) -> pb.RegisterBusinessRequest:
    profile = {
        "name": "Northwind Coffee",
        "email": "owner@northwindcoffee.com",
        "domain": "northwindcoffee.com",
    } | changes
    return pb.RegisterBusinessRequest(
        new_business=pb.RegisterBusinessRequest.NewBusiness(**profile)
    )


async def test_the_admin_registers_a_business_whose_credentials_hold(core: CoreClient) -> None:
    answer = await call(core, await create_admin(core), new_business())
    assert answer.message == "Business registered successfully"
    assert answer.domain == "northwindcoffee.com"
    info = await call(
        core,
        Credentials(answer.business_id, answer.api_key),
        authentication_pb2.GetBusinessInfoRequest(),
    )
    assert (info.business.name, info.business.email) == (
        "Northwind Coffee",
        "owner@northwindcoffee.com",
    )


async def test_only_the_admin_registers_businesses(business: Business) -> None:
    with pytest.raises(CoreError) as refused:
        await business.call(new_business())
    assert refused.value.reason == "ADMIN_ONLY"


async def test_who_may_not_is_told_so_before_what_is_wrong(business: Business) -> None:
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
async def test_a_profile_that_cannot_be_right_is_refused_by_field(
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
async def test_the_domain_is_compared_without_case_as_mail_is_delivered(
    core: CoreClient, email: str, domain: str
) -> None:
    answer = await call(core, await create_admin(core), new_business(email=email, domain=domain))
    assert answer.domain == domain.lower()


async def test_modifying_names_what_was_given(business: Business) -> None:
    updates = pb.ModifyBusinessRequest.Updates(name="Houston", email="a@northwind.example.com")
    answer = await business.call(pb.ModifyBusinessRequest(updates=updates))
    assert (answer.message, list(answer.updated_fields)) == (
        "Business updated successfully",
        ["name", "email"],
    )
    info = await business.call(authentication_pb2.GetBusinessInfoRequest())
    assert (info.business.name, info.business.email) == ("Houston", "a@northwind.example.com")


@pytest.mark.parametrize(
    ("updates", "field"),
    [
        ({"email": "a@elsewhere.com"}, "updates.email"),
        ({}, "updates"),
        ({"name": ""}, "updates.name"),
    ],
)
async def test_a_change_that_breaks_a_rule_is_refused(
    business: Business, updates: dict[str, Any], field: str
) -> None:
    with pytest.raises(CoreError) as refused:
        await business.call(
            pb.ModifyBusinessRequest(updates=pb.ModifyBusinessRequest.Updates(**updates))
        )
    assert [problem.field for problem in refused.value.fields] == [field]


async def test_a_rotated_key_replaces_the_old_one_at_once(business: Business) -> None:
    answer = await business.call(pb.ChangeApiKeyRequest())
    assert answer.message == "API key rotated successfully"
    with pytest.raises(CoreError) as refused:
        await business.call(authentication_pb2.ValidateBusinessRequest())
    assert refused.value.reason == "INVALID_CREDENTIALS"
    renewed = Credentials(answer.business_id, answer.api_key)
    await call(business.client, renewed, authentication_pb2.ValidateBusinessRequest())


async def test_of_many_rotations_with_one_key_one_succeeds_and_its_key_is_the_key(
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


async def test_a_lost_admin_key_is_rotated_and_never_replaced_by_accident(
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
