"""Gateway keys: added once, modified in part, sealed at rest, of the right environment."""

from pathlib import Path
from typing import Any

import pytest

from nivisco.payments.v1 import credentials_pb2 as pb
from nivisco.payments.v1 import keys_pb2, types_pb2
from rpc.errors import CoreError
from tests.core.running import Business, register, running_core, settings_for, with_stripe

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


def modify(**keys: Any) -> Any:
    return pb.ModifyStripeCredentialsRequest(
        credentials=pb.ModifyStripeCredentialsRequest.Credentials(**keys)
    )


async def public_key(business: Business) -> Any:
    return await business.call(keys_pb2.GetStripePublicKeyRequest())


async def test_keys_are_saved_and_the_publishable_one_is_handed_out(business: Business) -> None:
    answer = await business.call(add())
    assert (answer.message, answer.env) == ("Stripe credentials saved", types_pb2.ENV_TEST)
    shown = await public_key(business)
    assert (shown.env, shown.stripe_public_key) == (types_pb2.ENV_TEST, "pk_test_fake")


async def test_adding_where_keys_exist_is_refused(business: Business) -> None:
    await business.call(add())
    with pytest.raises(CoreError) as refused:
        await business.call(add())
    assert refused.value.reason == "CREDENTIALS_EXIST"


async def test_modifying_where_no_keys_are_is_refused(business: Business) -> None:
    with pytest.raises(CoreError) as refused:
        await business.call(modify(env=types_pb2.ENV_TEST, stripe_public_key="pk_test_new"))
    assert refused.value.reason == "CREDENTIALS_NOT_FOUND"


async def test_modifying_changes_only_what_is_given(shop: Business) -> None:
    await shop.call(modify(env=types_pb2.ENV_TEST, stripe_public_key="pk_test_new"))
    assert (await public_key(shop)).stripe_public_key == "pk_test_new"


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (add(stripe_secret_key="sk_live_x"), ["credentials.stripe_secret_key"]),
        (add(types_pb2.ENV_LIVE, stripe_public_key="pk_test_x"), ["credentials.stripe_public_key"]),
        (add(stripe_secret_key="pk_test_x"), ["credentials.stripe_secret_key"]),
        (add(stripe_webhook_secret="nope"), ["credentials.stripe_webhook_secret"]),
        (add(account_id="x"), ["credentials.account_id"]),
        (modify(env=types_pb2.ENV_TEST), ["credentials"]),
        (pb.AddStripeCredentialsRequest(), ["credentials"]),
        (add(types_pb2.ENV_UNSPECIFIED), ["credentials.env"]),
    ],
)
async def test_keys_that_cannot_be_right_are_refused_by_field(
    business: Business, request_: Any, fields: list[str]
) -> None:
    with pytest.raises(CoreError) as refused:
        await business.call(request_)
    assert [problem.field for problem in refused.value.fields] == fields


async def test_live_keys_make_live_the_default(business: Business) -> None:
    await business.call(add())
    await business.call(add(types_pb2.ENV_LIVE))
    assert (await public_key(business)).env == types_pb2.ENV_LIVE


async def test_authorize_net_keys_are_saved_too(business: Business) -> None:
    keys = pb.AddAuthorizeCredentialsRequest.Credentials(
        env=types_pb2.ENV_LIVE, api_login_id="login", transaction_key="fakekey", signature_key="AB"
    )
    answer = await business.call(pb.AddAuthorizeCredentialsRequest(credentials=keys))
    assert answer.message == "Authorize.Net credentials saved"
    changed = await business.call(
        pb.ModifyAuthorizeCredentialsRequest(
            credentials=pb.ModifyAuthorizeCredentialsRequest.Credentials(
                env=types_pb2.ENV_LIVE, api_login_id="other"
            )
        )
    )
    assert changed.env == types_pb2.ENV_LIVE


async def test_no_stripe_keys_no_publishable_key(business: Business) -> None:
    with pytest.raises(CoreError) as refused:
        await public_key(business)
    assert refused.value.reason == "CREDENTIALS_MISSING"


async def test_no_secret_lies_open_in_the_database(tmp_path: Path) -> None:
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
