"""The audit trail of a running core, over gRPC: who did what, from where, and who may read it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from core.server import composition
from nivisco.internal.v1 import operator_pb2, webhooks_pb2
from nivisco.payments.v1 import audit_pb2 as pb
from nivisco.payments.v1 import business_pb2, types_pb2, users_pb2, wallet_pb2
from rpc.client import CoreClient
from rpc.errors import CoreError
from rpc.metadata import Credentials, client_address, request_id
from tests.core.audit.waiting import Events, events_when
from tests.core.running import (
    OPERATOR_TOKEN,
    WEBHOOKS_TOKEN,
    Business,
    call,
    create_user,
    register,
    running_core,
    settings_for,
)

OPERATOR = Credentials(service_token=OPERATOR_TOKEN)
ADDRESS = "203.0.113.7"


@pytest.fixture
async def core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[CoreClient]:
    """A core on SQLite whose sequencer is quick."""
    monkeypatch.setattr(composition, "SEQUENCE_SECONDS", 0.02)
    async with running_core(settings_for(tmp_path)) as client:
        yield client


def has(action: str, count: int = 1) -> Callable[[Events], bool]:
    return lambda events: sum(each.action == action for each in events) >= count


def money(user_id: str, units: int) -> dict[str, Any]:
    return {"user_id": user_id, "amount": {"currency_code": "usd", "units": units}}


async def verified(core: CoreClient, *checkpoints: operator_pb2.AuditCheckpoint) -> Any:
    return await call(core, OPERATOR, operator_pb2.VerifyAuditRequest(checkpoints=checkpoints))


async def test_an_event_says_who_did_what_to_which_object_and_from_where(core: CoreClient) -> None:
    business = await register(core)
    request_id.set("REQUEST-1")
    client_address.set(ADDRESS)
    user_id = await create_user(business)
    (event,) = await events_when(business, has("create_user"), by_action="create_user")
    assert event == pb.AuditEvent(
        event_id=event.event_id,
        sequence=event.sequence,
        occurred_at=event.occurred_at,
        actor=pb.AUDIT_ACTOR_API_KEY,
        actor_id="default",
        action="create_user",
        change=pb.AUDIT_CHANGE_CREATED,
        subject="users",
        subject_id=user_id,
        user_id=user_id,
        request_id="REQUEST-1",
        address=ADDRESS,
        after_hash=event.after_hash,
        hash=event.hash,
    )
    assert len(event.hash) == len(event.after_hash) == 64


ADDRESSES = {
    "203.0.113.7": "203.0.113.7",
    "2001:db8::7": "2001:db8::7",
    "fe80::1%eth0": "fe80::1",
    "fe80::1%" + "x" * 80: "fe80::1",
    "x" * 80: "",
}


async def test_an_address_that_is_none_or_has_a_scope_fits_its_column(core: CoreClient) -> None:
    business = await register(core)
    users: dict[str, str] = {}
    for sent in ADDRESSES:
        client_address.set(sent)
        users[await create_user(business)] = sent
    events = await events_when(business, has("create_user", len(ADDRESSES)))
    found = {users[each.user_id]: each.address for each in events if each.user_id in users}
    assert found == ADDRESSES


async def test_a_hash_before_is_the_hash_after_of_the_last_change_of_the_object(
    core: CoreClient,
) -> None:
    business = await register(core)
    user_id = await create_user(business)
    for name in ("Bruno", "Carla"):
        updates = users_pb2.UpdateUserRequest.Updates(name=name)
        await business.call(users_pb2.UpdateUserRequest(user_id=user_id, updates=updates))
    events = await events_when(business, lambda found: len(found) == 3, user_id=user_id)
    newest, middle, oldest = events
    assert (newest.before_hash, middle.before_hash) == (middle.after_hash, oldest.after_hash)
    assert len({each.after_hash for each in events}) == 3
    assert not oldest.HasField("before_hash")


async def test_movements_of_a_batch_have_the_caller_of_each_request(core: CoreClient) -> None:
    business = await register(core)
    user_id = await create_user(business)
    made = await business.call(
        business_pb2.CreateApiKeyRequest(name="till", scopes=[business_pb2.API_KEY_SCOPE_CHARGE])
    )
    till = Business(core, Credentials(business.credentials.business_id, made.api_key))
    await business.call(wallet_pb2.AddWalletFundsRequest(**money(user_id, 100)))

    async def debit(caller: Business, name: str) -> str:
        request_id.set(name)
        charged = await caller.call(wallet_pb2.ChargeWalletRequest(**money(user_id, 1)))
        return str(charged.transaction_id)

    names = [f"REQUEST-{number}" for number in range(8)]
    ids = await asyncio.gather(
        *(
            asyncio.create_task(debit(till if number % 2 else business, name))
            for number, name in enumerate(names)
        )
    )
    events = await events_when(business, has("charge_wallet", 8), user_id=user_id)
    found = {
        each.request_id: (each.actor_id, each.subject_id)
        for each in events
        if each.action == "charge_wallet"
    }
    of_key = ("default", made.key_info.key_id)
    assert found == {name: (of_key[number % 2], ids[number]) for number, name in enumerate(names)}
    assert {each.subject for each in events if each.action == "charge_wallet"} == {
        "wallet_transactions"
    }


async def test_operators_and_gateways_are_named(core: CoreClient) -> None:
    business = await register(core)
    of_business = {"id": business.credentials.business_id, "decided_by": "ana"}
    suspend = operator_pb2.SuspendBusinessRequest(**of_business, reason="asked for it")
    await call(core, OPERATOR, suspend)
    (event,) = await events_when(business, has("suspend_business"), by_action="suspend_business")
    assert (event.actor, event.actor_id) == (pb.AUDIT_ACTOR_OPERATOR, "ana")
    assert (event.subject, event.subject_id) == ("businesses", of_business["id"])
    received = webhooks_pb2.ReceiveWebhookRequest(
        business_id=of_business["id"],
        gateway=types_pb2.GATEWAY_STRIPE,
        body=b"{}",
        signature="none",
    )
    with pytest.raises(CoreError):
        await call(core, Credentials(service_token=WEBHOOKS_TOKEN), received)


async def test_a_registration_is_the_admin_s_without_an_address(core: CoreClient) -> None:
    client_address.set(ADDRESS)
    business = await register(core)
    (event,) = await events_when(business, has("register_business"))
    assert (event.actor, event.actor_id) == (pb.AUDIT_ACTOR_OPERATOR, "admin")
    assert event.address == ""


async def test_what_was_refused_or_replayed_leaves_no_event(core: CoreClient) -> None:
    business = await register(core)
    user_id = await create_user(business)
    with pytest.raises(CoreError):
        await business.call(wallet_pb2.ChargeWalletRequest(**money(user_id, 1)))
    keyed = wallet_pb2.AddWalletFundsRequest(**money(user_id, 5), idempotency_key="once")
    assert await business.call(keyed) == await business.call(keyed)
    await business.call(users_pb2.SuspendUserRequest(user_id=user_id))
    events = await events_when(business, has("suspend_user"))
    of_action = [each.action for each in events]
    assert of_action.count("add_wallet_funds") == 1
    assert "charge_wallet" not in of_action


async def test_a_list_has_pages_and_filters_and_one_business(core: CoreClient) -> None:
    admin_events = Business(core, (await register(core, "other")).credentials)
    business = await register(core)
    ids = [await create_user(business) for _ in range(5)]
    await events_when(business, has("create_user", 5))
    seen: list[str] = []
    request = pb.ListAuditEventsRequest(limit=2, by_action="create_user")
    while True:
        page = await business.call(request)
        seen += [each.subject_id for each in page.events]
        if not page.HasField("next_cursor"):
            break
        request.cursor = page.next_cursor
    assert seen == ids[::-1]
    assert page.total == 5
    assert not (await admin_events.call(pb.ListAuditEventsRequest(user_id=ids[0]))).events
    (of_user,) = (await business.call(pb.ListAuditEventsRequest(user_id=ids[0]))).events
    later = pb.ListAuditEventsRequest(from_date=of_user.occurred_at, by_action="create_user")
    assert len((await business.call(later)).events) == 5


async def test_only_keys_of_scope_admin_read_it(core: CoreClient) -> None:
    business = await register(core)
    scopes = [business_pb2.API_KEY_SCOPE_READ, business_pb2.API_KEY_SCOPE_CHARGE]
    made = await business.call(business_pb2.CreateApiKeyRequest(name="till", scopes=scopes))
    till = Business(core, Credentials(business.credentials.business_id, made.api_key))
    with pytest.raises(CoreError) as refused:
        await till.call(pb.ListAuditEventsRequest())
    assert refused.value.reason == "SCOPE_MISSING"


async def test_an_erased_user_s_addresses_go_and_the_trail_verifies(core: CoreClient) -> None:
    business = await register(core)
    client_address.set(ADDRESS)
    user_id, other = await create_user(business), await create_user(business)
    await events_when(business, has("create_user", 2))
    client_address.set("")
    erase = operator_pb2.EraseUserRequest(
        business_id=business.credentials.business_id,
        user_id=user_id,
        decided_by="ana",
        reason="asked for it",
    )
    await call(core, OPERATOR, erase)
    events = await events_when(business, has("erase_user"))
    addresses = {each.user_id: each.address for each in events if each.action == "create_user"}
    assert addresses == {user_id: "", other: ADDRESS}
    assert not (await verified(core)).problems


async def test_an_export_has_every_event_and_a_forged_checkpoint_is_found(
    core: CoreClient,
) -> None:
    business = await register(core)
    await create_user(business)
    events = await events_when(business, has("create_user"))
    of_business = {"business_id": business.credentials.business_id}
    exported = await call(core, OPERATOR, operator_pb2.ExportAuditRequest(**of_business))
    assert list(exported.events) == sorted(events, key=lambda each: each.sequence)
    last = exported.events[-1]
    true = operator_pb2.AuditCheckpoint(**of_business, sequence=last.sequence, hash=last.hash)
    assert not (await verified(core, true)).problems
    for wrong in ({"sequence": last.sequence + 9}, {"hash": "0" * 64}):
        forged = operator_pb2.AuditCheckpoint(
            **{"sequence": last.sequence, "hash": last.hash} | of_business | wrong
        )
        assert len((await verified(core, forged)).problems) == 1
