"""API keys: scopes, expiry, revocation, rotation with a grace period, last use. Over gRPC."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from core.business import key_rules
from core.business.api_keys import USES_SECONDS, ApiKeys
from core.business.key_rules import API_KEYS_MAX, keys_to_delete
from core.business.key_store import ApiKey
from core.business.known_callers import KnownCallers
from core.business.service import BusinessService, IssuedKey
from core.caller import ALL_SCOPES, DEFAULT_KEY_ID, Caller
from core.database.clock import Clock
from core.database.migrations.upgrade import migrate
from core.database.transactions import Database
from core.errors import Refusal
from nivisco.annotations.v1 import annotations_pb2
from nivisco.payments.v1 import business_pb2 as pb
from nivisco.payments.v1 import users_pb2
from rpc.catalogue import methods_by_path
from rpc.errors import CoreError
from rpc.metadata import Credentials
from tests.core.conftest import NOWHERE
from tests.core.running import Business, register, running_core, settings_for

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
READ = users_pb2.GetAllUsersRequest()
"""Admitted from what the core keeps: `validate_business` reads the key again."""
ACTIONS = {
    method.descriptor.name: method for method in methods_by_path().values() if method.is_action
}


class SetClock(Clock):
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def merchant(tmp_path: Path, clock: SetClock) -> AsyncIterator[Business]:
    """A business on SQLite: the SQL is tested below, on both databases."""
    settings = settings_for(tmp_path, stripe_urls=NOWHERE, authorize_urls=NOWHERE)
    async with running_core(settings, clock) as client:
        yield await register(client)


def scope(word: str) -> pb.ApiKeyScope.ValueType:
    return pb.ApiKeyScope.Value(f"API_KEY_SCOPE_{word.upper()}")


def after(**time: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(NOW + timedelta(**time))
    return stamp


def create(*scopes: str, **fields: Any) -> pb.CreateApiKeyRequest:
    return pb.CreateApiKeyRequest(name="till", scopes=map(scope, scopes), **fields)


async def key_with(merchant: Business, *scopes: str, **fields: Any) -> tuple[Business, str]:
    """Return the business with a new key of these scopes, and the key's id."""
    answer = await merchant.call(create(*scopes, **fields))
    credentials = Credentials(merchant.credentials.business_id, answer.api_key)
    return replace(merchant, credentials=credentials), answer.key_info.key_id


def renewed(merchant: Business, answer: Any) -> Business:
    return replace(
        merchant,
        credentials=Credentials(merchant.credentials.business_id, answer.api_key),
    )


async def reason_of(merchant: Business, request: Message = READ) -> str | None:
    """Return the reason for which a call is refused; None if it is not."""
    try:
        await merchant.call(request)
    except CoreError as error:
        return error.reason
    return None


async def listed(merchant: Business) -> list[Any]:
    return list((await merchant.call(pb.ListApiKeysRequest())).keys)


async def test_the_first_key_of_a_business_is_default_with_all_scopes(merchant: Business) -> None:
    (key,) = await listed(merchant)
    assert (key.key_id, key.name) == ("default", "default")
    assert {pb.ApiKeyScope.Name(each) for each in key.scopes} == {
        f"API_KEY_SCOPE_{word.upper()}" for word in ALL_SCOPES
    }
    assert key.last4 == merchant.credentials.api_key[-4:]
    assert not key.HasField("expires_at")


async def test_a_list_shows_what_is_stored_of_keys_and_no_secret(merchant: Business) -> None:
    answer = await merchant.call(create("read", "refund", expires_at=after(days=1)))
    assert answer.message == "API key created"
    response = await merchant.call(pb.ListApiKeysRequest())
    assert response.count == 2
    (default, key) = response.keys
    assert default.key_id == "default"
    assert key == answer.key_info
    assert key.last4 == answer.api_key[-4:]
    assert list(key.scopes) == [scope("read"), scope("refund")]
    text = str(response)
    assert answer.api_key not in text
    assert merchant.credentials.api_key not in text


def _admits(required: str | None, scopes: set[str]) -> bool:
    return required is None or required in scopes


@pytest.mark.parametrize("has", ["read", "charge", "refund", "admin"])
async def test_an_action_needs_the_scope_that_its_method_names(
    merchant: Business, has: str
) -> None:
    """An empty request is refused for its fields once the key is admitted."""
    limited, _ = await key_with(merchant, has)
    for name, method in ACTIONS.items():
        if method.admin_only or name in ("ChangeApiKey", "RevokeApiKey"):
            continue
        request = _empty_request(name)
        refused = await reason_of(limited, request) == "SCOPE_MISSING"
        assert refused is (not _admits(method.key_scope, {has})), name


def _empty_request(name: str) -> Message:
    return message_factory.GetMessageClass(ACTIONS[name].descriptor.input_type)()


def test_every_action_but_the_validation_of_the_key_names_a_scope() -> None:
    assert [name for name, each in ACTIONS.items() if each.key_scope is None] == [
        "ValidateBusiness"
    ]
    for name, method in ACTIONS.items():
        if not method.is_mutating:
            assert method.key_scope in (None, "read", "admin"), name
        else:
            assert method.key_scope in ("charge", "refund", "admin"), name


def test_the_scopes_of_methods_are_those_of_keys() -> None:
    of_methods = annotations_pb2.KeyScope.DESCRIPTOR.values_by_name
    of_keys = pb.ApiKeyScope.DESCRIPTOR.values_by_name
    words = [name.removeprefix("KEY_SCOPE_") for name in of_methods if name != "KEY_SCOPE_ANY"]
    assert words == [name.removeprefix("API_KEY_SCOPE_") for name in of_keys]
    assert {word.lower() for word in words[1:]} == ALL_SCOPES


async def test_wrong_credentials_are_refused_before_the_scope(merchant: Business) -> None:
    limited, _ = await key_with(merchant, "read")
    wrong = replace(limited, credentials=Credentials(limited.credentials.business_id, "0" * 64))
    request = users_pb2.CreateUserRequest()
    assert await reason_of(limited, request) == "SCOPE_MISSING"
    assert await reason_of(wrong, request) == "INVALID_CREDENTIALS"


async def test_without_the_scope_nothing_is_done(merchant: Business) -> None:
    limited, _ = await key_with(merchant, "read")
    user = users_pb2.CreateUserRequest.NewUser(name="a", email="a@b.co")
    request = users_pb2.CreateUserRequest(user=user, idempotency_key="k")
    assert await reason_of(limited, request) == "SCOPE_MISSING"
    assert (await limited.call(users_pb2.GetAllUsersRequest())).total == 0
    assert await reason_of(merchant, request) is None, "the key is free: nothing was stored"


async def test_an_idempotency_key_is_of_the_business_and_not_of_the_api_key(
    merchant: Business,
) -> None:
    other, _ = await key_with(merchant, "charge")
    user = users_pb2.CreateUserRequest.NewUser(name="a", email="a@b.co")
    request = users_pb2.CreateUserRequest(user=user, idempotency_key="k")
    assert await merchant.call(request) == await other.call(request)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (create(), "scopes"),
        (create("read", "read"), "scopes"),
        (pb.CreateApiKeyRequest(name="a", scopes=[7]), "scopes"),  # type: ignore[list-item]
        (pb.CreateApiKeyRequest(name="a", scopes=[scope("unspecified")]), "scopes"),
        (create("read", expires_at=after()), "expires_at"),
        (pb.CreateApiKeyRequest(name=" ", scopes=[scope("read")]), "name"),
    ],
)
async def test_an_impossible_key_is_refused_by_field(
    merchant: Business, request_: Message, field: str
) -> None:
    with pytest.raises(CoreError) as refused:
        await merchant.call(request_)
    assert [problem.field for problem in refused.value.fields] == [field]


async def test_a_revoked_key_is_dead_when_that_is_answered(merchant: Business) -> None:
    limited, key_id = await key_with(merchant, "read")
    assert await reason_of(limited) is None
    first = await merchant.call(pb.RevokeApiKeyRequest(key_id=key_id))
    assert first.key_info.HasField("revoked_at")
    assert await reason_of(limited) == "INVALID_CREDENTIALS"
    assert await reason_of(merchant) is None
    again = await merchant.call(pb.RevokeApiKeyRequest(key_id=key_id))
    assert again.key_info == first.key_info
    assert (await listed(merchant))[1] == first.key_info


async def test_a_revoked_key_ends_with_those_that_it_replaced(merchant: Business) -> None:
    """Twice replaced, so that two of them are in their grace."""
    first, key_id = await key_with(merchant, "admin", "read")
    rotate = pb.ChangeApiKeyRequest(grace_seconds=3600)
    second = renewed(first, await first.call(rotate))
    third = renewed(second, await second.call(rotate))
    other, _ = await key_with(merchant, "admin", "read")
    old_default, new_default = merchant, renewed(merchant, await merchant.call(rotate))
    revoke = pb.RevokeApiKeyRequest(key_id=key_id)
    assert (await new_default.call(revoke)).key_info.key_id == key_id
    for dead in (first, second, third):
        assert await reason_of(dead) == "INVALID_CREDENTIALS"
    for alive in (other, old_default, new_default):
        assert await reason_of(alive) is None


async def test_a_revoked_key_is_not_told_what_replaced_it(merchant: Business) -> None:
    """The row in which it had its grace is revoked alone: its replacement works on."""
    old, key_id = await key_with(merchant, "admin", "read")
    request = pb.ChangeApiKeyRequest(grace_seconds=3600, idempotency_key="rotate")
    new = renewed(old, await old.call(request))
    (in_grace,) = [each.key_id for each in await listed(new) if each.HasField("replaced_at")]
    assert in_grace != key_id
    await merchant.call(pb.RevokeApiKeyRequest(key_id=in_grace))
    assert [await reason_of(each) for each in (old, new)] == ["INVALID_CREDENTIALS", None]
    assert await reason_of(old, request) == "INVALID_CREDENTIALS"


async def test_only_another_key_of_the_business_can_be_revoked(merchant: Business) -> None:
    stranger = await register(merchant.client, "stranger")
    _, theirs = await key_with(stranger, "read")
    assert await reason_of(merchant, pb.RevokeApiKeyRequest(key_id=theirs)) == "API_KEY_NOT_FOUND"
    for_default = pb.RevokeApiKeyRequest(key_id="default")
    assert await reason_of(merchant, for_default) == "API_KEY_STATE"
    assert await reason_of(merchant) is None


async def test_a_key_works_until_it_expires_also_while_the_core_keeps_it(
    merchant: Business, clock: SetClock
) -> None:
    limited, _ = await key_with(merchant, "read", expires_at=after(minutes=1))
    clock.time = NOW + timedelta(seconds=59)
    assert await reason_of(limited) is None
    clock.time = NOW + timedelta(seconds=60)
    assert await reason_of(limited) == "INVALID_CREDENTIALS"


@pytest.mark.parametrize("scopes", [(), ("read", "admin")], ids=["default", "another"])
async def test_a_replaced_key_works_for_its_grace(
    merchant: Business, clock: SetClock, scopes: tuple[str, ...]
) -> None:
    old, key_id = await key_with(merchant, *scopes) if scopes else (merchant, "default")
    answer = await old.call(pb.ChangeApiKeyRequest(grace_seconds=60))
    assert answer.previous_key_expires_at == after(seconds=60)
    new = renewed(old, answer)
    clock.time = NOW + timedelta(seconds=59)
    assert [await reason_of(each) for each in (old, new)] == [None, None]
    assert await reason_of(old, pb.ChangeApiKeyRequest()) == "API_KEY_STATE"
    by_id = {key.key_id: key for key in await listed(new)}
    (previous,) = [key for key in by_id.values() if key.HasField("replaced_at")]
    assert previous.last4 == old.credentials.api_key[-4:]
    assert by_id[key_id].last4 == answer.api_key[-4:]
    assert previous.scopes == by_id[key_id].scopes
    clock.time = NOW + timedelta(seconds=60)
    assert [await reason_of(each) for each in (old, new)] == ["INVALID_CREDENTIALS", None]


async def test_a_rotation_of_another_key_leaves_the_others(merchant: Business) -> None:
    old, key_id = await key_with(merchant, "admin", expires_at=after(days=1))
    answer = await old.call(pb.ChangeApiKeyRequest())
    assert not answer.HasField("previous_key_expires_at")
    assert await reason_of(old) == "INVALID_CREDENTIALS"
    assert await reason_of(merchant) is None
    (_, key) = await listed(renewed(old, answer))
    assert (key.key_id, key.expires_at) == (key_id, after(days=1))


async def test_a_grace_does_not_outlive_the_key(merchant: Business) -> None:
    old, _ = await key_with(merchant, "admin", expires_at=after(seconds=30))
    answer = await old.call(pb.ChangeApiKeyRequest(grace_seconds=60))
    assert answer.previous_key_expires_at == after(seconds=30)


async def test_a_rotation_is_replayed_for_the_key_that_it_retired(merchant: Business) -> None:
    old, _ = await key_with(merchant, "admin")
    request = pb.ChangeApiKeyRequest(idempotency_key="rotate")
    assert await old.call(request) == await old.call(request)


async def test_fifty_concurrent_rotations_leave_one_valid_key(merchant: Business) -> None:
    answers: list[Any] = await asyncio.gather(
        *(merchant.call(pb.ChangeApiKeyRequest()) for _ in range(50)), return_exceptions=True
    )
    issued = [each for each in answers if not isinstance(each, CoreError)]
    assert len(issued) == 1
    assert await reason_of(merchant) == "INVALID_CREDENTIALS"
    assert await reason_of(renewed(merchant, issued[0])) is None
    assert len(await listed(renewed(merchant, issued[0]))) == 1


# The stores and the services on both databases.


@pytest.fixture
async def database(database_url: str, clock: SetClock) -> AsyncIterator[Database]:
    database = Database(database_url, clock)
    await migrate(database)
    yield database
    await database.close()


@pytest.fixture
def callers(database: Database) -> KnownCallers:
    return KnownCallers(database)


async def registered(database: Database, callers: KnownCallers) -> IssuedKey:
    _, issued = await BusinessService(database, callers).register(
        name="n", email="a@b.co", domain="b.co"
    )
    return issued


async def found(callers: KnownCallers, issued: IssuedKey) -> Caller:
    caller = await callers.find(issued.business_id, issued.api_key)
    assert caller is not None
    return caller


async def test_fifty_concurrent_rotations_of_one_key_leave_one(
    database: Database, callers: KnownCallers
) -> None:
    api_keys = ApiKeys(database, callers)
    caller = await found(callers, await registered(database, callers))
    other, _ = await api_keys.create(caller, name="n", scopes=["admin"], expires_at=None)
    for each in (caller, await found(callers, other)):
        ends = await asyncio.gather(
            *(api_keys.change(each) for _ in range(50)), return_exceptions=True
        )
        issued = [end for end in ends if isinstance(end, IssuedKey)]
        assert len(issued) == 1
        assert all(isinstance(end, Refusal | IssuedKey) for end in ends)
        assert (await found(callers, issued[0])).key_id == each.key_id
        assert len(await api_keys.list(each)) == 2


@pytest.mark.parametrize("is_default", [True, False])
async def test_the_last_use_of_a_key_is_stored_once_a_minute(
    database: Database, callers: KnownCallers, clock: SetClock, is_default: bool
) -> None:
    api_keys = ApiKeys(database, callers)
    issued = await registered(database, callers)
    caller = await found(callers, issued)
    if not is_default:
        issued, _ = await api_keys.create(caller, name="n", scopes=["read"], expires_at=None)
    index = 0 if is_default else 1

    async def last_use_after(seconds: float) -> datetime | None:
        clock.time = NOW + timedelta(seconds=seconds)
        callers._forget(issued.business_id)
        await found(callers, issued)
        await api_keys.save_uses()
        return (await api_keys.list(caller))[index].last_used_at

    minute = NOW + timedelta(seconds=USES_SECONDS)
    assert (await api_keys.list(caller))[index].last_used_at is None
    assert [await last_use_after(each) for each in (0, USES_SECONDS - 1)] == [NOW, NOW]
    assert await last_use_after(USES_SECONDS) == minute


async def test_what_is_admitted_from_memory_is_no_use_to_store(
    database: Database, callers: KnownCallers
) -> None:
    issued = await registered(database, callers)
    await found(callers, issued)
    assert [use.key_id for use in callers.take_uses()] == [DEFAULT_KEY_ID]
    await found(callers, issued)
    assert not callers.take_uses()


async def test_a_key_that_ended_gives_its_room_to_a_new_one(
    database: Database, callers: KnownCallers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_rules, "API_KEYS_MAX", 2)
    api_keys = ApiKeys(database, callers)
    caller = await found(callers, await registered(database, callers))

    async def create_one() -> str:
        _, key = await api_keys.create(caller, name="n", scopes=["read"], expires_at=None)
        return key.key_id

    first, second = [await create_one() for _ in range(2)]
    with pytest.raises(Refusal):
        await create_one()
    await api_keys.revoke(caller, first)
    third = await create_one()
    assert {key.key_id for key in await api_keys.list(caller)} == {"default", second, third}


def stored(key_id: str, **fields: Any) -> ApiKey:
    return ApiKey(key_id, "h", "n", ALL_SCOPES, None, NOW, **fields)


@pytest.mark.parametrize(
    ("key", "works"),
    [
        (stored("a"), True),
        (stored("a", expires_at=NOW), False),
        (stored("a", expires_at=NOW + timedelta(microseconds=1)), True),
        (stored("a", revoked_at=NOW), False),
        (stored("a", replaced_at=NOW, expires_at=NOW + timedelta(seconds=1)), True),
    ],
)
def test_a_key_works_until_it_is_revoked_or_expires(key: ApiKey, works: bool) -> None:
    assert key.works_at(NOW) is works


@pytest.mark.parametrize(
    ("count", "ended", "deleted"),
    [(API_KEYS_MAX - 1, 5, 0), (API_KEYS_MAX, 1, 1), (API_KEYS_MAX, 5, 1)],
)
def test_only_ended_keys_are_deleted_and_only_as_many_as_needed(
    count: int, ended: int, deleted: int
) -> None:
    keys = [
        stored("default"),
        *(stored(f"{n}", revoked_at=NOW if n < ended else None) for n in range(count)),
    ]
    assert keys_to_delete(keys, NOW) == [f"{n}" for n in range(deleted)]
