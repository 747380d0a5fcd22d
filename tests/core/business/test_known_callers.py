"""Callers that a core keeps for two seconds, seen by two cores on one database."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import update

from core.business import key_store, known_callers
from core.business.api_keys import ApiKeys
from core.business.known_callers import LIFETIME_SECONDS, KnownCallers
from core.business.service import BusinessService, IssuedKey
from core.caller import Caller
from core.credentials.service import CredentialsService
from core.database.migrations.upgrade import migrate
from core.database.schema import businesses
from core.database.transactions import Database
from core.errors import Reason, Refusal
from tests.core.running import HeldClock, SkippingClock, keyring

STRIPE_LIVE = {"stripe_secret_key": "sk_live_a", "stripe_public_key": "pk_live_a"}


class CountingDatabase(Database):
    reads = 0

    async def fetch(self, *arguments: Any) -> Any:
        self.reads += 1
        return await super().fetch(*arguments)


@dataclass(frozen=True, slots=True)
class TwoCores:
    database: CountingDatabase
    clock: HeldClock
    here: KnownCallers
    there: KnownCallers
    business: BusinessService
    api_keys: ApiKeys
    """Both as they are used here."""

    async def register(self, name: str = "northwind") -> IssuedKey:
        domain = f"{name}.example.com"
        _, issued = await self.business.register(name=name, email=f"a@{domain}", domain=domain)
        return issued

    async def rotate(self, issued: IssuedKey) -> IssuedKey:
        """Change the API key, as a call does that was admitted here."""
        return await self.api_keys.change(await self.caller(self.here, issued))

    async def caller(self, core: KnownCallers, issued: IssuedKey) -> Caller:
        caller = await core.find(issued.business_id, issued.api_key)
        assert caller is not None
        return caller

    async def is_admitted(self, core: KnownCallers, issued: IssuedKey) -> bool:
        return await core.find(issued.business_id, issued.api_key) is not None


@pytest.fixture
async def cores(database_url: str) -> AsyncIterator[TwoCores]:
    database, clock = CountingDatabase(database_url), HeldClock()
    await migrate(database)
    # The waits before an answer are tested over gRPC, in tests/core/authentication.
    here, there = KnownCallers(database, clock), KnownCallers(database, clock)
    yield TwoCores(
        database, clock, here, there, BusinessService(database, here), ApiKeys(database, here)
    )
    await database.close()


async def test_a_caller_is_read_once_in_its_lifetime(cores: TwoCores) -> None:
    issued = await cores.register()
    first = await cores.caller(cores.here, issued)
    assert first == Caller(issued.business_id, "TEST", first.api_key_hash)
    assert await cores.caller(cores.here, issued) is first
    assert cores.database.reads == 1
    await cores.clock.advance(LIFETIME_SECONDS)
    assert await cores.caller(cores.here, issued) == first
    assert cores.database.reads == 2


async def test_a_replaced_key_is_refused_at_once_here_and_after_the_lifetime_elsewhere(
    cores: TwoCores,
) -> None:
    old = await cores.register()
    assert await cores.is_admitted(cores.there, old)
    new = await cores.rotate(old)
    assert not await cores.is_admitted(cores.here, old)
    assert await cores.is_admitted(cores.there, old)
    await cores.clock.advance(LIFETIME_SECONDS)
    assert not await cores.is_admitted(cores.there, old)
    assert await cores.is_admitted(cores.there, new)


async def test_a_replaced_key_that_a_core_still_admits_changes_no_keys(cores: TwoCores) -> None:
    """Otherwise who has a leaked key could outlive its rotation with another key."""
    old = await cores.register()
    stale = await cores.caller(cores.there, old)
    new = await cores.caller(cores.here, await cores.rotate(old))
    elsewhere = ApiKeys(cores.database, cores.there)
    _, key = await cores.api_keys.create(new, name="n", scopes=["read"], expires_at=None)
    for call in (
        elsewhere.create(stale, name="n", scopes=["admin"], expires_at=None),
        elsewhere.revoke(stale, key.key_id),
        elsewhere.change(stale),
    ):
        with pytest.raises(Refusal) as refused:
            await call
        assert refused.value.reason == Reason.ERROR_REASON_INVALID_CREDENTIALS
    assert [each.revoked_at for each in await cores.api_keys.list(new)] == [None, None]


async def test_a_new_key_is_admitted_at_once_everywhere(cores: TwoCores) -> None:
    old = await cores.register()
    assert await cores.is_admitted(cores.there, old)
    new = await cores.rotate(old)
    assert await cores.is_admitted(cores.there, new)


async def test_only_a_commit_replaces_a_key(cores: TwoCores) -> None:
    old = await cores.register()
    caller = await cores.caller(cores.here, old)

    async def rotate_and_fail() -> None:
        async with cores.database.shared_transaction("test"):
            await cores.api_keys.change(caller)
            raise KeyError

    with pytest.raises(KeyError):
        await rotate_and_fail()
    assert await cores.is_admitted(cores.here, old)


async def test_what_was_read_before_a_change_is_not_kept_after_it(
    cores: TwoCores, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await cores.register()
    read, resume = asyncio.Event(), asyncio.Event()
    business_by_key = key_store.business_by_key

    async def read_and_pause(*arguments: Any) -> Any:
        found = await business_by_key(*arguments)
        read.set()
        await resume.wait()
        return found

    monkeypatch.setattr(key_store, "business_by_key", read_and_pause)
    reading = asyncio.create_task(cores.is_admitted(cores.here, old))
    await read.wait()
    cores.here._forget(old.business_id)  # as at the end of the change's transaction
    resume.set()
    assert await reading
    assert not cores.here._known


async def test_a_deactivated_business_is_refused_after_the_lifetime(cores: TwoCores) -> None:
    issued = await cores.register()
    assert await cores.is_admitted(cores.here, issued)
    async with cores.database.transaction() as transaction:
        await transaction.connection.execute(update(businesses).values(active=False))
    await cores.clock.advance(LIFETIME_SECONDS)
    assert not await cores.is_admitted(cores.here, issued)


async def test_live_credentials_change_the_environment_at_once_here(cores: TwoCores) -> None:
    issued = await cores.register()
    caller = await cores.caller(cores.here, issued)
    await cores.caller(cores.there, issued)
    credentials = CredentialsService(cores.database, keyring(), cores.here)
    await credentials.add(caller, "stripe", "LIVE", STRIPE_LIVE)
    assert (await cores.caller(cores.here, issued)).default_env == "LIVE"
    await cores.clock.advance(LIFETIME_SECONDS)
    assert (await cores.caller(cores.there, issued)).default_env == "LIVE"


@pytest.mark.parametrize("business_id", ["B\0", "B\ud800"])
async def test_an_id_that_a_database_does_not_take_fails_nobody_else(
    cores: TwoCores, business_id: str
) -> None:
    issued = await cores.register()
    unknown, is_admitted = await asyncio.gather(
        cores.here.find(business_id, "k"), cores.is_admitted(cores.here, issued)
    )
    assert unknown is None
    assert is_admitted


async def test_unknown_businesses_and_wrong_keys_displace_nobody(
    cores: TwoCores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_callers, "KNOWN_MAX", 1)
    issued = await cores.register()
    await cores.caller(cores.here, issued)
    for number in range(8):
        assert await cores.here.find(f"business-{number}", issued.api_key) is None
        assert await cores.here.find(issued.business_id, f"key-{number}") is None
    reads = cores.database.reads
    await cores.caller(cores.here, issued)
    assert cores.database.reads == reads


async def test_a_business_is_admitted_as_soon_as_it_exists(cores: TwoCores) -> None:
    issued = IssuedKey("ADMIN-BUSINESS", "0" * 64)
    assert not await cores.is_admitted(cores.there, issued)
    created = await cores.business.create_admin(rotate=False)
    assert await cores.is_admitted(cores.there, created)


async def test_a_limited_number_of_callers_is_kept(
    cores: TwoCores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_callers, "KNOWN_MAX", 2)
    issued = [await cores.register(name) for name in ("first", "second", "third")]
    for each in issued:
        await cores.caller(cores.here, each)
    assert [business_id for business_id, _ in cores.here._known] == [
        each.business_id for each in issued[1:]
    ]


async def test_a_change_waits_where_other_cores_can_exist(
    cores: TwoCores,
) -> None:
    clock = SkippingClock()
    before = clock.seconds()
    await KnownCallers(cores.database, clock).until_known_everywhere()
    waited = clock.seconds() - before >= LIFETIME_SECONDS
    assert waited is not cores.database.has_one_process
