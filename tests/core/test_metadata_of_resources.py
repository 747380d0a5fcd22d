"""Metadata of users, payments, refunds, recurring jobs and holds, over gRPC.

SQLite only: the SQL is that of tests/core/database/test_metadata_pairs.py.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from nivisco.payments.v1 import payments_pb2, recurring_pb2, refunds_pb2, users_pb2, wallet_pb2
from rpc.errors import CoreError
from tests.core.payments.charging import card_holder, charge_request, fund_request
from tests.core.recurring.running import fill_wallet, job_request, usd
from tests.core.refunds.refunding import refund_request
from tests.core.running import Business, Gateway, create_user, register
from tests.databases import fresh_sqlite

PAIRS = {"order_id": "6735", "note": "ä & <b>"}
OTHER = {"order_id": "6736"}


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """A SQLite database."""
    return fresh_sqlite(tmp_path / "nivisco.db")


@dataclass(frozen=True)
class Resource:
    """How one is made for a user with these pairs, and listed."""

    make: Callable[[Business, str, Mapping[str, str]], Awaitable[Message]]
    listed: type[Any]
    field: str
    """Of the rows in the list."""
    filters: Mapping[str, Any]
    """A filter that a list by a pair does not go with; empty if there is none."""
    path: str = "metadata"


async def _user(shop: Business, _user_id: str, pairs: Mapping[str, str]) -> Message:
    new = users_pb2.CreateUserRequest.NewUser(name="A", email="a@example.com", metadata=pairs)
    made: Message = (await shop.call(users_pb2.CreateUserRequest(user=new))).user
    return made


async def _payment(shop: Business, user_id: str, pairs: Mapping[str, str]) -> Message:
    made = await shop.call(charge_request(user_id, metadata=pairs))
    return await _payment_of(shop, made.payment_id)


async def _funding(shop: Business, user_id: str, pairs: Mapping[str, str]) -> Message:
    made = await shop.call(fund_request(user_id, metadata=pairs))
    return await _payment_of(shop, made.payment_id)


async def _payment_of(shop: Business, payment_id: str) -> Message:
    found = await shop.call(payments_pb2.GetPaymentRequest(payment_id=payment_id))
    payment: Message = found.payment
    return payment


async def _refund(shop: Business, user_id: str, pairs: Mapping[str, str]) -> Message:
    charged = await shop.call(charge_request(user_id))
    refunded = await shop.call(refund_request(charged.payment_id, 1, metadata=pairs))
    refund: Message = refunded.refund
    return refund


async def _job(shop: Business, user_id: str, pairs: Mapping[str, str]) -> Message:
    made = await shop.call(job_request(user_id, metadata=pairs))
    job: Message = made.recurring
    return job


async def _hold(shop: Business, user_id: str, pairs: Mapping[str, str]) -> Message:
    held = await shop.call(hold_request(user_id, metadata=pairs))
    hold: Message = held.hold
    return hold


def hold_request(user_id: str, **more: Any) -> wallet_pb2.HoldWalletRequest:
    return wallet_pb2.HoldWalletRequest(
        user_id=user_id, amount=usd(1), expires_in_seconds=60, **more
    )


RECORDS = payments_pb2.GetPaymentRecordsRequest
SUCCEEDED = {"status": payments_pb2.PAYMENT_STATUS_SUCCEEDED}
RESOURCES = {
    "user": Resource(_user, users_pb2.GetAllUsersRequest, "users", {}, "user.metadata"),
    "payment": Resource(_payment, RECORDS, "payments", SUCCEEDED),
    "funding": Resource(_funding, RECORDS, "payments", {"user_id": "USR-1"}),
    "refund": Resource(_refund, refunds_pb2.ListRefundsRequest, "refunds", {"payment_id": "PAY-1"}),
    "job": Resource(_job, recurring_pb2.ListRecurringRequest, "recurring", {"user_id": "USR-1"}),
    "hold": Resource(
        _hold,
        wallet_pb2.ListHoldsRequest,
        "holds",
        {"status": wallet_pb2.HOLD_STATUS_OPEN},
    ),
}


async def listed(business: Business, resource: Resource, **which: Any) -> list[Message]:
    answer = await business.call(resource.listed(**which))
    rows = list(getattr(answer, resource.field))
    assert answer.count == answer.total == len(rows)
    return [untimed(row) for row in rows]


def untimed(row: Message) -> Message:
    """Return a resource without the time of its last change, which the sent response moves."""
    if "updated_at" in row.DESCRIPTOR.fields_by_name:
        row.ClearField("updated_at")
    return row


async def refused(business: Business, request: Message) -> dict[str, str]:
    with pytest.raises(CoreError) as error:
        await business.call(request)
    assert error.value.reason == "INVALID_FIELDS"
    return {problem.field: problem.description for problem in error.value.fields}


async def test_a_resource_has_its_metadata_wherever_it_appears_and_is_found_by_each_pair(
    shop: Business,
) -> None:
    user_id = await card_holder(shop)
    await fill_wallet(shop, user_id, 100)
    stranger = await register(shop.client, name="other")
    for name, resource in RESOURCES.items():
        pairs = PAIRS | {"of": name}
        without: Any = await resource.make(shop, user_id, {})
        made: Any = untimed(await resource.make(shop, user_id, pairs))
        await resource.make(shop, user_id, OTHER)
        assert (dict(without.metadata), dict(made.metadata)) == ({}, pairs)
        assert made in await listed(shop, resource)
        for key, value in pairs.items():
            assert made in await listed(shop, resource, metadata={key: value})
            assert await listed(shop, resource, metadata={key: value + "x"}) == []
        assert await listed(shop, resource, metadata={"of": name}) == [made]
        assert await listed(stranger, resource, metadata={"of": name}) == []
        if resource.filters:
            problems = await refused(shop, resource.listed(metadata=OTHER, **resource.filters))
            (filtered,) = resource.filters
            assert problems == {"metadata": f"must not be given together with {filtered}"}
        with pytest.raises(CoreError) as error:
            await resource.make(shop, user_id, {"nivisco_payment_id": "PAY-1"})
        (problem,) = error.value.fields
        assert problem.field == f"{resource.path}.nivisco_payment_id"


def update_user(user_id: str, *mask: str, **fields: Any) -> users_pb2.UpdateUserRequest:
    return users_pb2.UpdateUserRequest(
        user_id=user_id,
        updates=users_pb2.UpdateUserRequest.Updates(**fields),
        update_mask=FieldMask(paths=mask),
    )


async def test_an_update_of_a_user_replaces_all_pairs_or_clears_them(business: Business) -> None:
    users = RESOURCES["user"]
    user: Any = await _user(business, "", PAIRS)
    renamed = await business.call(update_user(user.user_id, name="B"))
    assert dict(renamed.user.metadata) == PAIRS
    changed = await business.call(update_user(user.user_id, metadata=OTHER))
    assert (dict(changed.user.metadata), changed.updated_fields) == (OTHER, ["metadata"])
    assert await listed(business, users, metadata={"note": PAIRS["note"]}) == []
    assert await listed(business, users, metadata=OTHER) == [untimed(changed.user)]
    cleared = await business.call(update_user(user.user_id, "metadata", metadata={}))
    assert (dict(cleared.user.metadata), cleared.updated_fields) == ({}, ["metadata"])
    assert await listed(business, users, metadata=OTHER) == []
    problems = await refused(business, update_user(user.user_id, metadata={"nivisco_a": "b"}))
    assert list(problems) == ["updates.metadata.nivisco_a"]
    # Only active users are listed.
    await business.call(update_user(user.user_id, active=False, metadata=OTHER))
    assert await listed(business, users, metadata=OTHER) == []
    await business.call(update_user(user.user_id, metadata=PAIRS))
    assert await listed(business, users, metadata={"order_id": "6735"}) == []
    again = (await business.call(update_user(user.user_id, active=True))).user
    assert await listed(business, users, metadata={"order_id": "6735"}) == [untimed(again)]
    assert await listed(business, users, metadata=OTHER) == []


def update_job(recurring_id: str, *mask: str, **fields: Any) -> Message:
    return recurring_pb2.UpdateRecurringRequest(
        recurring_id=recurring_id, update_mask=FieldMask(paths=mask), **fields
    )


async def test_an_update_of_a_job_replaces_all_pairs_or_clears_them(business: Business) -> None:
    jobs = RESOURCES["job"]
    job: Any = await _job(business, await create_user(business), PAIRS)
    same = await business.call(update_job(job.recurring_id, description="B"))
    assert dict(same.recurring.metadata) == PAIRS
    changed = await business.call(update_job(job.recurring_id, metadata=OTHER))
    assert await listed(business, jobs, metadata=OTHER) == [untimed(changed.recurring)]
    assert await listed(business, jobs, metadata={"note": PAIRS["note"]}) == []
    await business.call(recurring_pb2.PauseRecurringRequest(recurring_id=job.recurring_id))
    assert len(await listed(business, jobs, metadata=OTHER)) == 1
    cleared = await business.call(update_job(job.recurring_id, "metadata"))
    assert dict(cleared.recurring.metadata) == {}
    assert await listed(business, jobs, metadata=OTHER) == []


async def test_the_gateway_gets_the_pairs_beside_ours(shop: Business, gateway: Gateway) -> None:
    pairs = PAIRS | {"payment_id": "mine"}
    charged = await shop.call(charge_request(await card_holder(shop), metadata=pairs))
    (intent,) = await gateway.charges()
    assert intent["metadata"] == pairs | {"nivisco_payment_id": charged.payment_id}
    shown: Any = await _payment_of(shop, charged.payment_id)
    assert dict(shown.metadata) == pairs
    await shop.call(refund_request(charged.payment_id, 1, metadata=OTHER))
    (refund,) = [each for book in await gateway.books() for each in book["refunds"]]
    assert refund["metadata"].items() >= OTHER.items()
    assert set(refund["metadata"]) == {"order_id", "nivisco_refund_id", "nivisco_payment_id"}


async def test_a_retry_has_the_same_pairs_in_any_order(shop: Business, gateway: Gateway) -> None:
    user_id = await card_holder(shop)
    await gateway.fault("rate_limit", "/v1/payment_intents")
    with pytest.raises(CoreError) as error:
        await shop.call(charge_request(user_id, metadata=PAIRS))
    assert error.value.reason == "GATEWAY_UNAVAILABLE"
    other = [await shop.call(charge_request(user_id, metadata=each)) for each in (OTHER, {})]
    retried = await shop.call(charge_request(user_id, metadata=PAIRS))
    (found,) = await listed(shop, RESOURCES["payment"], metadata={"note": PAIRS["note"]})
    assert found.payment_id == retried.payment_id  # type: ignore[attr-defined]
    assert len({each.payment_id for each in (*other, retried)}) == 3
    assert len(await gateway.charges()) == 3
    first = await shop.call(charge_request(user_id, metadata=PAIRS, idempotency_key="k"))
    turned = dict(reversed(PAIRS.items()))
    again = await shop.call(charge_request(user_id, metadata=turned, idempotency_key="k"))
    assert again == first
    with pytest.raises(CoreError) as error:
        await shop.call(charge_request(user_id, metadata=OTHER, idempotency_key="k"))
    assert error.value.reason == "IDEMPOTENCY_KEY_REUSED"
