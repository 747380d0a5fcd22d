"""A change of credentials is answered once every core knows it. Real cores on one PostgreSQL."""

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from google.type import money_pb2
from sqlalchemy import text

from core.business.known_callers import LIFETIME_SECONDS
from core.database.engines import engine_for
from core.security.keyring import Keyring
from core.security.secrets import hash_api_key
from nivisco.internal.v1 import operator_pb2
from nivisco.payments.v1 import (
    authentication_pb2,
    business_pb2,
    credentials_pb2,
    types_pb2,
    users_pb2,
    wallet_pb2,
)
from rpc.client import CoreClient
from rpc.errors import CoreError
from rpc.metadata import Credentials
from tests.core.running import (
    OPERATOR_TOKEN,
    Business,
    HeldClock,
    create_user,
    register,
    running_core,
    settings_for,
)
from tests.databases import fresh_sqlite
from tests.processes import Start, serving_line

KEYRING = "k1:" + "A" * 43 + "="
OPERATOR = Credentials(service_token=OPERATOR_TOKEN)
KEYED_ROTATION = business_pb2.ChangeApiKeyRequest(idempotency_key="rotate")
PASSED_SECONDS = LIFETIME_SECONDS + 1


@dataclass(frozen=True, slots=True)
class Core:
    """A core and its time, which passes when the test says so."""

    client: CoreClient
    clock: HeldClock

    async def admits(self, credentials: Credentials, user_id: str) -> bool:
        """Return whether a call with the credentials is admitted."""
        try:
            await Business(self.client, credentials).call(
                users_pb2.GetUserInfoRequest(user_id=user_id)
            )
        except CoreError as error:
            if error.reason != "INVALID_CREDENTIALS":
                raise
            return False
        return True

    def start(self, credentials: Credentials, request: Message) -> "asyncio.Task[Any]":
        """Begin a call."""
        return asyncio.create_task(Business(self.client, credentials).call(request))


@asynccontextmanager
async def core_on(url: str, path: Path) -> AsyncIterator[Core]:
    clock = HeldClock()
    settings = settings_for(path, database_url=url, keyring=Keyring.parse(KEYRING))
    async with running_core(settings, monotonic_clock=clock) as client:
        yield Core(client, clock)


@dataclass(frozen=True, slots=True)
class Cores:
    here: Core
    there: Core
    credentials: Credentials
    """Of a business that both cores know."""
    user_id: str


@pytest.fixture
async def cores(tmp_path: Path, postgresql_database: str) -> AsyncIterator[Cores]:
    async with (
        core_on(postgresql_database, tmp_path) as here,
        core_on(postgresql_database, tmp_path) as there,
    ):
        business = await register(here.client)
        user_id = await create_user(business)
        for core in (here, there):
            assert await core.admits(business.credentials, user_id)
        yield Cores(here, there, business.credentials, user_id)


def with_key(answer: Any) -> Credentials:
    return Credentials(answer.business_id, answer.api_key)


async def test_a_rotation_is_answered_when_no_core_admits_the_old_key(cores: Cores) -> None:
    old = cores.credentials
    rotation = cores.here.start(old, business_pb2.ChangeApiKeyRequest())
    await cores.here.clock.until_sleeping()
    assert not await cores.here.admits(old, cores.user_id)
    assert await cores.there.admits(old, cores.user_id)
    assert not rotation.done()
    for core in (cores.here, cores.there):
        await core.clock.advance(PASSED_SECONDS)
    new = with_key(await rotation)
    for core in (cores.here, cores.there):
        assert not await core.admits(old, cores.user_id)
        assert await core.admits(new, cores.user_id)


async def test_a_core_that_still_admits_the_old_key_neither_rotates_nor_validates_it(
    cores: Cores,
) -> None:
    old = cores.credentials
    rotation = cores.here.start(old, business_pb2.ChangeApiKeyRequest())
    await cores.here.clock.until_sleeping()
    assert await cores.there.admits(old, cores.user_id)
    for request in (
        business_pb2.ChangeApiKeyRequest(),
        authentication_pb2.ValidateBusinessRequest(),
        authentication_pb2.GetBusinessInfoRequest(),
    ):
        with pytest.raises(CoreError) as refused:
            await Business(cores.there.client, old).call(request)
        assert refused.value.reason == "INVALID_CREDENTIALS"
    await cores.here.clock.advance(PASSED_SECONDS)
    await rotation


async def test_a_caller_that_left_before_the_answer_joins_the_wait_with_its_key(
    cores: Cores, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="core")
    old = cores.credentials
    impatient = cores.here.start(old, KEYED_ROTATION)
    await cores.here.clock.until_sleeping()
    impatient.cancel()
    repeated = cores.here.start(old, KEYED_ROTATION)
    await asyncio.wait([impatient])
    async with asyncio.timeout(20):
        while "call joined" not in caplog.messages:
            await asyncio.sleep(0)
    await cores.here.clock.advance(PASSED_SECONDS)
    assert await cores.here.admits(with_key(await repeated), cores.user_id)


@pytest.mark.parametrize("knows_the_old_key", [True, False])
async def test_a_replay_in_another_core_waits_as_the_rotation_did(
    cores: Cores, knows_the_old_key: bool
) -> None:
    """The core that rotated may have died: the replay is the first answer then."""
    old = cores.credentials
    rotation = cores.here.start(old, KEYED_ROTATION)
    await cores.here.clock.until_sleeping()
    if not knows_the_old_key:
        await cores.there.clock.advance(PASSED_SECONDS)
    replay = cores.there.start(old, KEYED_ROTATION)
    await cores.there.clock.until_sleeping()
    assert not replay.done()
    for core in (cores.here, cores.there):
        await core.clock.advance(PASSED_SECONDS)
    assert await replay == await rotation


async def test_a_rotation_whose_core_is_killed_in_the_wait_is_answered_by_another(
    cores: Cores, postgresql_database: str, start: Start
) -> None:
    process = start(
        *("-P", "-m", "cli", "core", "--grpc", "127.0.0.1:0"),
        NIVISCO_DATABASE_URL=postgresql_database,
        NIVISCO_SECRET_KEYS=KEYRING,
    )
    doomed = CoreClient(process.wait_for_match(serving_line("core"))[1])
    old = cores.credentials
    rotation = asyncio.create_task(Business(doomed, old).call(KEYED_ROTATION))
    await until_replaced(postgresql_database, old)
    process.end()
    await asyncio.wait([rotation])
    await doomed.close()
    assert await cores.there.admits(old, cores.user_id)
    replay = cores.there.start(old, KEYED_ROTATION)
    await cores.there.clock.until_sleeping()
    await cores.there.clock.advance(PASSED_SECONDS)
    new = with_key(await replay)
    assert not await cores.there.admits(old, cores.user_id)
    assert await cores.there.admits(new, cores.user_id)


async def until_replaced(url: str, credentials: Credentials) -> None:
    """Wait until another key of the business is stored."""
    engine = engine_for(url)
    stored = text("SELECT api_key_hash FROM businesses WHERE business_id = :business_id")
    async with asyncio.timeout(20), engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        values = {"business_id": credentials.business_id}
        while await connection.scalar(stored, values) == hash_api_key(credentials.api_key):
            pass
    await engine.dispose()


def stripe(env: types_pb2.Env.ValueType, idempotency_key: str | None = None) -> Message:
    word = types_pb2.Env.Name(env).removeprefix("ENV_").lower()
    return credentials_pb2.AddStripeCredentialsRequest(
        credentials=credentials_pb2.AddStripeCredentialsRequest.Credentials(
            env=env, stripe_secret_key=f"sk_{word}_a", stripe_public_key=f"pk_{word}_a"
        ),
        idempotency_key=idempotency_key,
    )


def authorize(env: types_pb2.Env.ValueType) -> Message:
    return credentials_pb2.AddAuthorizeCredentialsRequest(
        credentials=credentials_pb2.AddAuthorizeCredentialsRequest.Credentials(
            env=env, api_login_id="login", transaction_key="key"
        )
    )


@pytest.mark.parametrize(
    ("credentials", "request_"),
    [
        (None, stripe(types_pb2.ENV_LIVE)),
        (None, authorize(types_pb2.ENV_LIVE)),
        (OPERATOR, operator_pb2.CreateAdminRequest(rotate=True)),
    ],
    ids=["Stripe LIVE keys", "Authorize.Net LIVE keys", "the admin's key"],
)
async def test_other_changes_of_what_cores_keep_wait_too(
    cores: Cores, credentials: Credentials | None, request_: Message
) -> None:
    change = cores.here.start(credentials or cores.credentials, request_)
    await cores.here.clock.until_sleeping()
    assert not change.done()
    await cores.here.clock.advance(PASSED_SECONDS)
    await change


async def test_a_revocation_is_answered_when_no_core_admits_the_key(cores: Cores) -> None:
    created = await Business(cores.here.client, cores.credentials).call(
        business_pb2.CreateApiKeyRequest(name="n", scopes=[business_pb2.API_KEY_SCOPE_READ])
    )
    limited = Credentials(cores.credentials.business_id, created.api_key)
    for core in (cores.here, cores.there):
        assert await core.admits(limited, cores.user_id)
    request = business_pb2.RevokeApiKeyRequest(
        key_id=created.key_info.key_id, idempotency_key="revoke"
    )
    revocation = cores.here.start(cores.credentials, request)
    await cores.here.clock.until_sleeping()
    assert not await cores.here.admits(limited, cores.user_id)
    assert await cores.there.admits(limited, cores.user_id)
    replay = cores.there.start(cores.credentials, request)
    await cores.there.clock.until_sleeping()
    assert not revocation.done()
    assert not replay.done()
    for core in (cores.here, cores.there):
        await core.clock.advance(PASSED_SECONDS)
    assert await replay == await revocation
    for core in (cores.here, cores.there):
        assert not await core.admits(limited, cores.user_id)
        assert await core.admits(cores.credentials, cores.user_id)


async def test_a_suspension_is_answered_when_every_core_knows_it(cores: Cores) -> None:
    request = operator_pb2.SuspendBusinessRequest(
        id=cores.credentials.business_id, decided_by="ops", reason="r"
    )
    suspension = cores.here.start(OPERATOR, request)
    await cores.here.clock.until_sleeping()
    assert not suspension.done()
    for core in (cores.here, cores.there):
        await core.clock.advance(PASSED_SECONDS)
    await suspension
    with pytest.raises(CoreError) as refused:
        await create_user(Business(cores.there.client, cores.credentials))
    assert refused.value.reason == "BUSINESS_SUSPENDED"


async def test_a_replay_of_live_keys_waits_too(cores: Cores) -> None:
    request = stripe(types_pb2.ENV_LIVE, idempotency_key="live")
    change = cores.here.start(cores.credentials, request)
    await cores.here.clock.until_sleeping()
    replay = cores.there.start(cores.credentials, request)
    await cores.there.clock.until_sleeping()
    for core in (cores.here, cores.there):
        await core.clock.advance(PASSED_SECONDS)
    assert await replay == await change


@pytest.mark.parametrize(
    "request_",
    [
        stripe(types_pb2.ENV_TEST),
        authorize(types_pb2.ENV_TEST),
        business_pb2.ModifyBusinessRequest(
            updates=business_pb2.ModifyBusinessRequest.Updates(name="Houston")
        ),
    ],
    ids=["Stripe TEST keys", "Authorize.Net TEST keys", "a name"],
)
async def test_changes_of_what_no_core_keeps_do_not_wait(cores: Cores, request_: Message) -> None:
    """Time stands still here."""
    await Business(cores.here.client, cores.credentials).call(request_)


async def test_sqlite_has_one_core_which_waits_for_nobody(tmp_path: Path) -> None:
    """Time stands still here."""
    async with core_on(fresh_sqlite(tmp_path / "nivisco.db"), tmp_path) as core:
        business = await register(core.client)
        user_id = await create_user(business)
        answer = await business.call(business_pb2.ChangeApiKeyRequest())
        assert not await core.admits(business.credentials, user_id)
        renewed = dataclasses.replace(business, credentials=with_key(answer))
        await renewed.call(stripe(types_pb2.ENV_LIVE))


async def test_a_stop_is_answered_when_no_core_begins_what_is_stopped(cores: Cores) -> None:
    """Every core reads the stops with the wallets, also while the command waits."""
    credit = wallet_pb2.AddWalletFundsRequest(
        user_id=cores.user_id, amount=money_pb2.Money(currency_code="USD", units=1)
    )
    request = operator_pb2.StopPaymentsRequest(
        scope=operator_pb2.StopScope(what=operator_pb2.STOPPABLE_EVERYTHING),
        decided_by="ops",
        reason="r",
    )

    async def reason(core: Core) -> str | None:
        try:
            await Business(core.client, cores.credentials).call(credit)
        except CoreError as error:
            return error.reason
        return None

    stopping = cores.here.start(OPERATOR, request)
    await cores.here.clock.until_sleeping()
    for core in (cores.here, cores.there):
        assert await reason(core) == "PAYMENTS_STOPPED"
    assert not stopping.done()
    for core in (cores.here, cores.there):
        await core.clock.advance(PASSED_SECONDS)
    await stopping
    for core in (cores.here, cores.there):
        assert await reason(core) == "PAYMENTS_STOPPED"
