"""Gateway credentials: added once, modified in part, sealed, of the right environment."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.type.money_pb2 import Money
from sqlalchemy import Table, select

from core.database.schema import authorize_credentials, stripe_credentials
from core.database.transactions import Database
from core.idempotency.service import Idempotency
from core.sealing.service import SealingService
from core.security.keyring import Keyring
from nivisco.payments.v1 import credentials_pb2 as pb
from nivisco.payments.v1 import keys_pb2, types_pb2
from nivisco.payments.v1.wallet_pb2 import AddWalletFundsRequest
from rpc.client import CoreClient
from rpc.errors import CoreError
from tests.core.running import (
    Business,
    ShiftedClock,
    create_user,
    register,
    running_core,
    settings_for,
    with_stripe,
)

SECRET = "sk_test_obviouslyfake0123456789"
WEBHOOK = "whsec_obviouslyfakewebhook"


def add(env: types_pb2.Env.ValueType = types_pb2.ENV_TEST, **changes: Any) -> Any:
    word = "live" if env == types_pb2.ENV_LIVE else "test"
    keys: dict[str, Any] = {
        "env": env,
        "stripe_secret_key": SECRET.replace("test", word),
        "stripe_public_key": f"pk_{word}_fake",
    } | changes
    return pb.AddStripeCredentialsRequest(
        credentials=pb.AddStripeCredentialsRequest.Credentials(**keys)
    )


def add_authorize(**changes: Any) -> Any:
    keys: dict[str, Any] = {"api_login_id": "login", "transaction_key": "fakekey"} | changes
    return pb.AddAuthorizeCredentialsRequest(
        credentials=pb.AddAuthorizeCredentialsRequest.Credentials(
            **{"env": types_pb2.ENV_TEST} | keys
        )
    )


def modify(*mask: str, **keys: Any) -> Any:
    return pb.ModifyStripeCredentialsRequest(
        credentials=pb.ModifyStripeCredentialsRequest.Credentials(**keys),
        update_mask=FieldMask(paths=mask),
    )


async def public_key(business: Business) -> Any:
    return await business.call(keys_pb2.GetStripePublicKeyRequest())


async def test_added_credentials_have_a_publishable_key(business: Business) -> None:
    answer = await business.call(add())
    assert (answer.message, answer.env) == ("Stripe credentials saved", types_pb2.ENV_TEST)
    shown = await public_key(business)
    assert (shown.env, shown.stripe_public_key) == (types_pb2.ENV_TEST, "pk_test_fake")


async def test_adding_credentials_twice_is_refused(business: Business) -> None:
    await business.call(add())
    with pytest.raises(CoreError) as refused:
        await business.call(add())
    assert refused.value.reason == "CREDENTIALS_EXIST"


@pytest.mark.parametrize("request_", [add(), add_authorize()])
async def test_of_concurrent_additions_one_succeeds_and_the_others_are_refused(
    business: Business, request_: Any
) -> None:
    ends = await asyncio.gather(
        *(business.call(request_) for _ in range(8)), return_exceptions=True
    )
    reasons = sorted(end.reason if isinstance(end, CoreError) else "" for end in ends)
    assert reasons == ["", *["CREDENTIALS_EXIST"] * 7]


async def test_modifying_missing_credentials_is_refused(business: Business) -> None:
    with pytest.raises(CoreError) as refused:
        await business.call(modify(env=types_pb2.ENV_TEST, stripe_public_key="pk_test_new"))
    assert refused.value.reason == "CREDENTIALS_NOT_FOUND"


async def stored_columns(url: str, table: Table) -> dict[str, Any]:
    database = Database(url)
    async with database.read() as transaction:
        row = (await transaction.connection.execute(select(table))).one()
    await database.close()
    return dict(row._mapping)


STRIPE_MASK = ["credentials.stripe_public_key", "credentials.stripe_webhook_secret"]


@pytest.mark.parametrize(
    ("mask", "keys", "changed"),
    [
        ([], {"stripe_public_key": "pk_test_new"}, {"public_key": "pk_test_new"}),
        (STRIPE_MASK[:1], {"stripe_public_key": "pk_test_new", "account_id": "acct_new"},
         {"public_key": "pk_test_new"}),
        (["credentials.account_id"], {}, {"account_id": None}),
        (STRIPE_MASK, {"stripe_public_key": "pk_test_new"},
         {"public_key": "pk_test_new", "sealed_webhook_secret": None}),
    ],
)  # fmt: skip
async def test_modifying_sets_and_clears_the_fields_of_its_mask(
    tmp_path: Path,
    database_url: str,
    mask: list[str],
    keys: dict[str, str],
    changed: dict[str, Any],
) -> None:
    settings = settings_for(tmp_path, database_url=database_url)
    async with running_core(settings) as client:
        business = await register(client)
        await business.call(add(stripe_webhook_secret=WEBHOOK, account_id="acct_old"))
    before = await stored_columns(database_url, stripe_credentials)
    async with running_core(settings) as client:
        request = modify(*mask, env=types_pb2.ENV_TEST, **keys)
        await Business(client, business.credentials).call(request)
    after = await stored_columns(database_url, stripe_credentials)
    assert after == before | changed | {"updated_at": after["updated_at"]}


async def test_authorize_net_s_signature_key_can_be_cleared(
    tmp_path: Path, database_url: str
) -> None:
    async with running_core(settings_for(tmp_path, database_url=database_url)) as client:
        business = await register(client)
        await business.call(add_authorize(signature_key="AB"))
        await business.call(
            pb.ModifyAuthorizeCredentialsRequest(
                credentials=pb.ModifyAuthorizeCredentialsRequest.Credentials(
                    env=types_pb2.ENV_TEST
                ),
                update_mask=FieldMask(paths=["credentials.signature_key"]),
            )
        )
    stored = await stored_columns(database_url, authorize_credentials)
    assert (stored["api_login_id"], stored["sealed_signature_key"]) == ("login", None)


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (add(stripe_secret_key="sk_live_x"), ["credentials.stripe_secret_key"]),
        (add(types_pb2.ENV_LIVE, stripe_public_key="pk_test_x"), ["credentials.stripe_public_key"]),
        (add(stripe_secret_key="pk_test_x"), ["credentials.stripe_secret_key"]),
        (add(stripe_webhook_secret="nope"), ["credentials.stripe_webhook_secret"]),
        (add(account_id="x"), ["credentials.account_id"]),
        (modify(env=types_pb2.ENV_TEST), ["credentials"]),
        (modify("credentials.stripe_secret_key", env=types_pb2.ENV_TEST), ["update_mask"]),
        (pb.AddStripeCredentialsRequest(), ["credentials"]),
        (add(types_pb2.ENV_UNSPECIFIED), ["credentials.env"]),
    ],
)
async def test_invalid_credentials_are_refused_by_field(
    business: Business, request_: Any, fields: list[str]
) -> None:
    with pytest.raises(CoreError) as refused:
        await business.call(request_)
    assert [problem.field for problem in refused.value.fields] == fields


async def test_live_credentials_make_live_the_default_environment(business: Business) -> None:
    await business.call(add())
    await business.call(add(types_pb2.ENV_LIVE))
    assert (await public_key(business)).env == types_pb2.ENV_LIVE


async def test_authorize_net_credentials_are_added_and_modified(business: Business) -> None:
    answer = await business.call(add_authorize(env=types_pb2.ENV_LIVE, signature_key="AB"))
    assert answer.message == "Authorize.Net credentials saved"
    changed = await business.call(
        pb.ModifyAuthorizeCredentialsRequest(
            credentials=pb.ModifyAuthorizeCredentialsRequest.Credentials(
                env=types_pb2.ENV_LIVE, api_login_id="other"
            )
        )
    )
    assert changed.env == types_pb2.ENV_LIVE


async def test_without_stripe_credentials_there_is_no_publishable_key(business: Business) -> None:
    with pytest.raises(CoreError) as refused:
        await public_key(business)
    assert refused.value.reason == "CREDENTIALS_MISSING"


async def test_the_database_holds_no_secret_in_plain_text(tmp_path: Path) -> None:
    async with running_core(settings_for(tmp_path)) as client:
        business = await register(client)
        await business.call(add(stripe_webhook_secret=WEBHOOK))
        api_key = business.credentials.api_key
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("nivisco.db*"))
    assert b"pk_test_fake" in stored
    for secret in (SECRET, WEBHOOK, api_key):
        assert secret.encode() not in stored


async def test_a_core_with_another_keyring_refuses_to_start(tmp_path: Path) -> None:
    async with running_core(settings_for(tmp_path)) as client:
        await with_stripe(await register(client))
    with pytest.raises(ValueError, match="sealed with key 'k1'"):
        async with running_core(settings_for(tmp_path)):
            pass


def rings(*ids: str) -> Keyring:
    """Return a keyring of these keys, the first of which seals."""
    keys = {key_id: key_id[0].encode() * 32 for key_id in ids}
    return Keyring(ids[0], keys)


async def test_a_core_that_lacks_a_new_key_is_503_for_what_the_key_sealed(
    tmp_path: Path, postgresql_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    def core(*ids: str) -> AbstractAsyncContextManager[CoreClient]:
        return running_core(
            settings_for(tmp_path, database_url=postgresql_database, keyring=rings(*ids))
        )

    async with core("a1") as old, core("b2", "a1") as new:
        business = await register(new)
        here, there = (replace(business, client=client) for client in (old, new))
        user_id = await create_user(here)
        credit = AddWalletFundsRequest(
            user_id=user_id, amount=Money(units=1), idempotency_key="order-1"
        )
        credited = await there.call(credit)
        with pytest.raises(CoreError) as away:
            await here.call(credit)
        assert (away.value.reason, away.value.retry_after_seconds) == ("SERVICE_UNAVAILABLE", 1)
        assert any("no key 'b2'" in str(vars(line).get("reason")) for line in caplog.records)
        assert await there.call(credit) == credited


async def test_a_key_is_needed_until_nothing_is_sealed_with_it(
    tmp_path: Path, database_url: str
) -> None:
    clock = ShiftedClock()

    def core(*ids: str) -> AbstractAsyncContextManager[CoreClient]:
        settings = settings_for(tmp_path, database_url=database_url, keyring=rings(*ids))
        return running_core(settings, clock)

    async def assert_needed(key_id: str, *ids: str) -> None:
        with pytest.raises(ValueError, match=f"sealed with key '{key_id}'"):
            async with core(*ids):
                pass

    async with core("a1") as client:
        business = await register(client)
        request = add()
        request.idempotency_key = "order-1"
        await business.call(request)
    await assert_needed("a1", "b2")
    async with core("b2", "a1") as client:
        rotated = modify(env=types_pb2.ENV_TEST, stripe_secret_key=SECRET)
        await replace(business, client=client).call(rotated)
    await assert_needed("a1", "b2")  # for the stored answer
    clock.ahead = timedelta(hours=25)
    database = Database(database_url, clock)
    await Idempotency(database, rings("b2", "a1")).reap()
    await database.close()
    await assert_needed("a1", "b2")  # for the keys of the audit trails
    database = Database(database_url, clock)
    await SealingService(database, rings("b2", "a1")).rotate("", None, check_only=False)
    await database.close()
    async with core("b2") as client:
        assert await public_key(replace(business, client=client))
    await assert_needed("b2", "c3")
