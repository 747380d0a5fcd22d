"""A call with an idempotency key takes effect once, and retries replay its response."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from google.type.money_pb2 import Money
from sqlalchemy import func, select, update

from core.caller import Caller
from core.database.schema import idempotency_records as records
from core.database.schema import wallet_transactions
from core.database.transactions import (
    CommitUnknownError,
    Database,
    DatabaseUnavailableError,
    Transaction,
)
from core.idempotency.call import Answer, IdempotentCall, Replay, call_of
from core.idempotency.service import Idempotency
from core.server import composition
from core.wallet.batch import MovementRequest, WalletBatch
from core.wallet.rules import Direction
from nivisco.payments.v1 import (
    authentication_pb2,
    business_pb2,
    cards_pb2,
    credentials_pb2,
    payments_pb2,
    types_pb2,
    users_pb2,
    wallet_pb2,
)
from rpc.catalogue import mutating_actions
from rpc.client import CoreClient
from rpc.errors import CoreError
from rpc.metadata import Credentials
from tests.core.payments.charging import INTENTS, card_holder, charge_request, fund_request
from tests.core.running import (
    Business,
    Gateway,
    ShiftedClock,
    call,
    create_admin,
    create_user,
    register,
    running_core,
    settings_for,
    with_stripe,
)

KEY = "order-1"
VISA = "pm_card_visa"
STRIPE = {"stripe_secret_key": "sk_test_obviously_fake_a", "stripe_public_key": "pk_test_fake"}
AUTHORIZE = {"api_login_id": "obviously", "transaction_key": "obviouslyfake123"}
Request = Callable[[str], Message]


def credit(user_id: str, units: int = 100, **more: Any) -> wallet_pb2.AddWalletFundsRequest:
    return wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=Money(units=units), **more)


def debit(user_id: str, units: int = 10, **more: Any) -> wallet_pb2.ChargeWalletRequest:
    return wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=Money(units=units), **more)


def new_user(**more: Any) -> users_pb2.CreateUserRequest:
    user = users_pb2.CreateUserRequest.NewUser(name="Alicia", email="alicia@example.com")
    return users_pb2.CreateUserRequest(user=user, **more)


# Requests for mutating actions, for a user.
MUTATIONS: dict[str, Request] = {
    "RegisterBusiness": lambda _: business_pb2.RegisterBusinessRequest(
        new_business=business_pb2.RegisterBusinessRequest.NewBusiness(
            name="n", email="o@n.example.com", domain="n.example.com"
        )
    ),
    "ModifyBusiness": lambda _: business_pb2.ModifyBusinessRequest(
        updates=business_pb2.ModifyBusinessRequest.Updates(name="Houston")
    ),
    "ChangeApiKey": lambda _: business_pb2.ChangeApiKeyRequest(),
    "CreateApiKey": lambda _: business_pb2.CreateApiKeyRequest(
        name="n", scopes=[business_pb2.API_KEY_SCOPE_READ]
    ),
    "AddStripeCredentials": lambda _: credentials_pb2.AddStripeCredentialsRequest(
        credentials=credentials_pb2.AddStripeCredentialsRequest.Credentials(
            env=types_pb2.ENV_LIVE,
            stripe_secret_key="sk_live_obviously_fake",
            stripe_public_key="pk_live_obviously_fake",
        )
    ),
    "ModifyStripeCredentials": lambda _: credentials_pb2.ModifyStripeCredentialsRequest(
        credentials=credentials_pb2.ModifyStripeCredentialsRequest.Credentials(
            env=types_pb2.ENV_TEST, stripe_public_key="pk_test_obviously_other"
        )
    ),
    "AddAuthorizeCredentials": lambda _: credentials_pb2.AddAuthorizeCredentialsRequest(
        credentials=credentials_pb2.AddAuthorizeCredentialsRequest.Credentials(
            env=types_pb2.ENV_TEST, **AUTHORIZE
        )
    ),
    "CreateUser": lambda _: new_user(),
    "UpdateUser": lambda user_id: users_pb2.UpdateUserRequest(
        user_id=user_id, updates=users_pb2.UpdateUserRequest.Updates(name="Bea")
    ),
    "CreateStripeCustomer": lambda user_id: cards_pb2.CreateStripeCustomerRequest(
        user_id=user_id, payment_method_token="pm_card_mastercard"
    ),
    "ChargeCustomer": charge_request,
    "FundCustomer": fund_request,
    "ChargeWallet": debit,
    "AddWalletFunds": credit,
}
TESTED_ELSEWHERE = {
    "ModifyAuthorizeCredentials",  # like the one for Stripe
    "CreateAuthorizeCustomer",
    *("CreateRecurring", "UpdateRecurring", "PauseRecurring", "ResumeRecurring", "CancelRecurring"),
    *("RetryRecurring", "SkipNext"),
    *("SetPrimaryCard", "UpdateCard", "RemoveCard", "ImportCustomer", "RefundPayment"),
    *("CapturePayment", "VoidPayment"),
    *("RevokeApiKey", "SuspendUser", "ReactivateUser"),  # like UpdateUser
    *("TransferWallet", "HoldWallet", "CaptureHold", "ReleaseHold", "SettleReceivable"),
}


def keyed(request: Message, key: str = KEY) -> Message:
    """Return the request with an idempotency key."""
    copy = type(request)()
    copy.CopyFrom(request)
    copy.idempotency_key = key  # type: ignore[attr-defined]
    return copy


async def refusal_of(business: Business, request: Message) -> CoreError:
    with pytest.raises(CoreError) as refused:
        await business.call(request)
    return refused.value


def described(error: CoreError) -> tuple[Any, ...]:
    return (error.reason, error.message, error.code, sorted(error.metadata.items()))


async def rows_of(url: str, table: Any) -> int:
    database = Database(url)
    async with database.transaction() as transaction:
        count = await transaction.connection.scalar(select(func.count()).select_from(table))
    await database.close()
    return int(count or 0)


async def prepared(shop: Business) -> str:
    """Create a user with a card and 100 in the wallet."""
    user_id = await card_holder(shop)
    await shop.call(credit(user_id))
    return user_id


def test_every_mutating_action_is_tested() -> None:
    named = {method.descriptor.name for method in mutating_actions().values()}
    assert named == MUTATIONS.keys() | TESTED_ELSEWHERE


@pytest.mark.parametrize("name", MUTATIONS)
async def test_a_retry_replays_the_response_and_other_uses_of_the_key_are_refused(
    shop: Business, name: str
) -> None:
    user_id = await prepared(shop)
    if name == "RegisterBusiness":
        shop = replace(shop, credentials=await create_admin(shop.client))
    request = keyed(MUTATIONS[name](user_id))
    first = await shop.call(request)
    again = await shop.call(request)
    assert again.SerializeToString() == first.SerializeToString()
    if name == "ChangeApiKey":
        shop = replace(shop, credentials=Credentials(first.business_id, first.api_key))
        assert await shop.call(request) == first
    other = keyed(new_user()) if name != "CreateUser" else keyed(debit(user_id))
    assert (await refusal_of(shop, other)).reason == "IDEMPOTENCY_KEY_REUSED"


@pytest.mark.parametrize(
    ("request_of", "changes"),
    [
        (debit, {"amount": Money(units=11)}),
        (debit, {"description": "other"}),
        (debit, {"env": types_pb2.ENV_LIVE}),
        (debit, {"amount": Money(currency_code="EUR")}),
        (fund_request, {"gateway": types_pb2.GATEWAY_AUTHORIZE}),
        (fund_request, {"env": types_pb2.ENV_LIVE}),
    ],
)
async def test_a_key_with_another_request_is_refused(
    shop: Business, request_of: Request, changes: dict[str, Any]
) -> None:
    user_id = await prepared(shop)
    request = request_of(user_id)
    await shop.call(keyed(request))
    request.MergeFrom(type(request)(**changes))
    before = await shop.call(wallet_pb2.GetUserWalletRequest(user_id=user_id))
    assert (await refusal_of(shop, keyed(request))).reason == "IDEMPOTENCY_KEY_REUSED"
    assert await shop.call(wallet_pb2.GetUserWalletRequest(user_id=user_id)) == before


async def test_a_retry_that_names_the_gateway_resumes_the_charge(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await card_holder(shop)
    await gateway.fault("reset_after", INTENTS, times=20, method=None)
    unknown = await refusal_of(shop, keyed(fund_request(user_id)))
    assert unknown.reason == "OUTCOME_UNKNOWN"
    await gateway.clear()
    other = fund_request(user_id, gateway=types_pb2.GATEWAY_AUTHORIZE)
    assert (await refusal_of(shop, keyed(other))).reason == "IDEMPOTENCY_KEY_REUSED"
    named = fund_request(user_id, gateway=types_pb2.GATEWAY_STRIPE)
    assert (await shop.call(keyed(named))).wallet.balance.units == 50
    assert len(await gateway.charges()) == 1


async def test_concurrent_calls_that_differ_in_an_absent_field_take_effect_once(
    shop: Business,
) -> None:
    user_id = await prepared(shop)
    answers = await asyncio.gather(
        *(
            shop.call(keyed(debit(user_id, env=env)))
            for env in (types_pb2.ENV_UNSPECIFIED, types_pb2.ENV_TEST) * 5
        )
    )
    assert len({answer.SerializeToString() for answer in answers}) == 1
    assert answers[0].new_balance.units == 90


async def test_a_record_of_an_older_version_matches_its_request_with_an_empty_field(
    tmp_path: Path, database_url: str
) -> None:
    settings = settings_for(tmp_path, database_url=database_url)
    async with running_core(settings) as client:
        business_id = (await register(client)).credentials.business_id
    database = Database(database_url)
    idempotency = Idempotency(database, settings.keyring)
    call = call_of(Caller(business_id, "TEST"), "ChargeWallet", keyed(debit("U", description="")))
    bare = debit("U", description="").SerializeToString(deterministic=True)
    assert bare != call.content
    older = IdempotentCall(business_id, KEY, f"key:{KEY}", "ChargeWallet", bare, "hash")
    await idempotency.keep_alone(older, Answer(b"", is_refusal=False))
    with pytest.raises(Replay):
        await idempotency.keep_alone(call, Answer(b"", is_refusal=False))
    await database.close()


async def test_keys_of_two_businesses_are_independent(core: CoreClient) -> None:
    for name in ("northwind", "southwind"):
        business = await register(core, name)
        user_id = await create_user(business)
        answer = await business.call(keyed(credit(user_id)))
        assert answer.new_balance.units == 100


async def test_errors_that_are_no_outcome_are_not_stored(shop: Business, gateway: Gateway) -> None:
    user_id = await prepared(shop)
    assert (await refusal_of(shop, keyed(debit(user_id, 0)))).reason == "INVALID_FIELDS"
    euros = wallet_pb2.ChargeWalletRequest(
        user_id=user_id, amount=Money(units=1, currency_code="eur")
    )
    assert (await refusal_of(shop, keyed(euros))).reason == "INVALID_FIELDS"
    await gateway.fault("rate_limit", INTENTS)
    assert (await refusal_of(shop, keyed(fund_request(user_id)))).reason == "GATEWAY_UNAVAILABLE"
    assert (await shop.call(keyed(fund_request(user_id)))).wallet.balance.units == 150


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("pm_card_chargeCustomerFail", "CARD_DECLINED"),
        ("pm_card_authenticationRequired", "AUTHENTICATION_REQUIRED"),
    ],
)
async def test_a_refused_charge_is_replayed_and_not_repeated(
    shop: Business, gateway: Gateway, token: str, reason: str
) -> None:
    user_id = await card_holder(shop, token)
    first = await refusal_of(shop, keyed(charge_request(user_id)))
    assert first.reason == reason
    await shop.call(
        cards_pb2.CreateStripeCustomerRequest(
            user_id=user_id, payment_method_token="pm_card_visa", set_as_primary=True
        )
    )
    assert described(await refusal_of(shop, keyed(charge_request(user_id)))) == described(first)
    assert await gateway.charges() == []
    records = await shop.call(payments_pb2.GetPaymentRecordsRequest())
    assert records.total == 1


async def test_a_refusal_that_is_no_outcome_leaves_its_key_free(shop: Business) -> None:
    user_id = await create_user(shop)
    activation, deactivation = (
        users_pb2.UpdateUserRequest(
            user_id=user_id, updates=users_pb2.UpdateUserRequest.Updates(active=active)
        )
        for active in (True, False)
    )
    card = cards_pb2.CreateStripeCustomerRequest(user_id=user_id, payment_method_token=VISA)
    add, modify = (
        MUTATIONS[name](user_id) for name in ("AddStripeCredentials", "ModifyStripeCredentials")
    )
    modify.credentials.env = types_pb2.ENV_LIVE  # type: ignore[attr-defined]
    modify.credentials.stripe_public_key = "pk_live_new"  # type: ignore[attr-defined]
    await shop.call(deactivation)
    for request, reason, remedy in (
        (credit(user_id), "USER_INACTIVE", activation),
        (fund_request(user_id), "CARD_NOT_FOUND", card),
        (modify, "CREDENTIALS_NOT_FOUND", add),
    ):
        key = f"until {reason}"
        assert (await refusal_of(shop, keyed(request, key))).reason == reason
        await shop.call(remedy)
        assert await shop.call(keyed(request, key)) == await shop.call(keyed(request, key))


async def test_wallet_too_low_is_replayed_for_its_key(business: Business) -> None:
    user_id = await create_user(business)
    first = await refusal_of(business, keyed(debit(user_id)))
    assert first.reason == "WALLET_TOO_LOW"
    await business.call(credit(user_id))
    assert described(await refusal_of(business, keyed(debit(user_id)))) == described(first)
    assert (await business.call(keyed(debit(user_id), "order-2"))).new_balance.units == 90


async def test_concurrent_calls_with_one_key_take_effect_once(
    business: Business,
) -> None:
    user_id = await create_user(business)
    await business.call(credit(user_id))
    answers = await asyncio.gather(*(business.call(keyed(debit(user_id))) for _ in range(50)))
    assert len({answer.SerializeToString() for answer in answers}) == 1
    assert answers[0].new_balance.units == 90
    history = await business.call(wallet_pb2.GetWalletHistoryRequest(user_id=user_id))
    assert history.total == 2


async def test_a_key_expires_after_24_hours_by_the_databases_clock(tmp_path: Path) -> None:
    clock = ShiftedClock()
    async with running_core(settings_for(tmp_path), clock) as client:
        business = await register(client)
        user_id = await create_user(business)
        await business.call(keyed(credit(user_id)))
        clock.ahead = timedelta(hours=23, minutes=59)
        assert (await business.call(keyed(credit(user_id)))).new_balance.units == 100
        clock.ahead = timedelta(hours=24, minutes=1)
        assert (await business.call(keyed(credit(user_id)))).new_balance.units == 200
        assert (await business.call(keyed(credit(user_id)))).new_balance.units == 200


async def test_an_expired_refusal_is_replaced_by_a_new_one(
    tmp_path: Path, database_url: str
) -> None:
    clock = ShiftedClock()
    async with running_core(settings_for(tmp_path, database_url=database_url), clock) as client:
        business = await register(client)
        user_id = await create_user(business)
        for _ in range(2):
            refused = await refusal_of(business, keyed(debit(user_id)))
            assert refused.reason == "WALLET_TOO_LOW"
            clock.ahead += timedelta(hours=25)


async def test_the_record_of_an_unknown_outcome_does_not_expire(
    tmp_path: Path, gateway: Gateway
) -> None:
    clock = ShiftedClock()
    settings = settings_for(tmp_path, stripe_urls={"TEST": gateway.url, "LIVE": gateway.url})
    async with running_core(settings, clock) as client:
        shop = await with_stripe(await register(client))
        user_id = await card_holder(shop)
        await gateway.fault("reset_after", INTENTS, times=20, method=None)
        unknown = await refusal_of(shop, keyed(fund_request(user_id)))
        assert unknown.reason == "OUTCOME_UNKNOWN"
        await gateway.clear()
        clock.ahead = timedelta(hours=30)
        for _ in range(2):  # the second one is a replay
            assert (await shop.call(keyed(fund_request(user_id)))).wallet.balance.units == 50
    assert len(await gateway.charges()) == 1


async def test_a_retired_api_key_may_only_replay_its_own_rotation(
    business: Business,
) -> None:
    rotation = keyed(business_pb2.ChangeApiKeyRequest())
    issued = await business.call(rotation)
    assert await business.call(rotation) == issued
    for closed in (
        keyed(business_pb2.ChangeApiKeyRequest(), "order-2"),
        business_pb2.ChangeApiKeyRequest(),
        authentication_pb2.ValidateBusinessRequest(),
        keyed(new_user()),
    ):
        assert (await refusal_of(business, closed)).reason == "INVALID_CREDENTIALS"
    guess = Credentials(business.credentials.business_id, "0" * 64)
    with pytest.raises(CoreError) as refused:
        await call(business.client, guess, rotation)
    assert refused.value.reason == "INVALID_CREDENTIALS"


async def test_a_retired_api_key_may_not_replay_for_as_long_as_answers_are_kept(
    tmp_path: Path, database_url: str
) -> None:
    clock = ShiftedClock()
    settings = settings_for(tmp_path, database_url=database_url, keep_answers_days=30)
    async with running_core(settings, clock) as client:
        retired = await register(client)
        rotation = keyed(business_pb2.ChangeApiKeyRequest())
        issued = await retired.call(rotation)
        clock.ahead = timedelta(hours=23, minutes=59)
        assert await retired.call(rotation) == issued
        clock.ahead = timedelta(hours=24, minutes=1)
        assert (await refusal_of(retired, rotation)).reason == "INVALID_CREDENTIALS"


async def test_records_contain_no_secret_and_no_request(
    tmp_path: Path, core: CoreClient, database_url: str
) -> None:
    business = await register(core)
    issued = await business.call(keyed(business_pb2.ChangeApiKeyRequest()))
    renewed = Credentials(issued.business_id, issued.api_key)
    await call(core, renewed, keyed(new_user(), "order-2"))
    if database_url.startswith("sqlite"):
        raw = b"".join(path.read_bytes() for path in tmp_path.glob("nivisco.db*"))
        assert b"key:order-2" in raw
        assert issued.api_key.encode() not in raw
    else:
        database = Database(database_url)
        async with database.transaction() as transaction:
            rows = await transaction.connection.execute(select(records))
            stored = "".join(str(row) for row in rows)
        await database.close()
        assert "key:order-2" in stored
        assert issued.api_key not in stored
        assert "alicia@example.com" not in stored


async def test_expired_records_are_reaped_unless_their_outcome_is_unknown(
    tmp_path: Path, gateway: Gateway, postgresql_database: str
) -> None:
    settings = settings_for(
        tmp_path,
        database_url=postgresql_database,
        stripe_urls={"TEST": gateway.url, "LIVE": gateway.url},
    )
    async with running_core(settings) as client:
        shop = await with_stripe(await register(client))
        user_id = await card_holder(shop)
        await shop.call(keyed(credit(user_id), "finished"))
        await gateway.fault("reset_after", INTENTS, times=20, method=None)
        await refusal_of(shop, keyed(fund_request(user_id), "open"))
    database = Database(postgresql_database)
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(records).values(expires_at=transaction.now))
    await database.close()
    async with running_core(settings), asyncio.timeout(20):
        while await rows_of(postgresql_database, records) > 1:
            pass
    database = Database(postgresql_database)
    async with database.transaction() as transaction:
        keys = await transaction.connection.execute(select(records.c.key))
        assert list(keys.scalars()) == ["key:open"]
    await database.close()


async def test_two_cores_create_wallets_concurrently(
    tmp_path: Path, postgresql_database: str
) -> None:
    settings = settings_for(tmp_path, database_url=postgresql_database)
    async with running_core(settings) as one, running_core(settings) as other:
        business = await register(one)
        shops = [business, replace(business, client=other)]
        for _ in range(4):
            users = [await create_user(business) for _ in range(40)]
            answers = await asyncio.gather(
                *(shops[0].call(credit(user_id, env=types_pb2.ENV_LIVE)) for user_id in users),
                *(shops[1].call(credit(u, env=types_pb2.ENV_LIVE)) for u in reversed(users)),
            )
            assert sum(answer.new_balance.units for answer in answers) == 40 * (100 + 200)


async def test_two_cores_on_one_database_execute_a_key_once(
    tmp_path: Path, gateway: Gateway, postgresql_database: str
) -> None:
    settings = settings_for(
        tmp_path,
        database_url=postgresql_database,
        stripe_urls={"TEST": gateway.url, "LIVE": gateway.url},
    )
    async with running_core(settings) as one, running_core(settings) as other:
        shop = await with_stripe(await register(one))
        user_id = await prepared(shop)
        shops = [shop, replace(shop, client=other)]
        debits = await asyncio.gather(
            *(shops[number % 2].call(keyed(debit(user_id))) for number in range(40))
        )
        charges = await asyncio.gather(
            *(shops[number % 2].call(keyed(fund_request(user_id), "fund")) for number in range(20))
        )
    assert {answer.new_balance.units for answer in debits} == {90}
    assert len({answer.SerializeToString() for answer in debits}) == 1
    assert len({answer.SerializeToString() for answer in charges}) == 1
    assert len(await gateway.charges()) == 1
    assert await rows_of(postgresql_database, wallet_transactions) == 3


class UnsureDatabase(Database):
    """A database that does not confirm a commit, which takes place or not."""

    unsure: bool | None = None
    """Whether the next commit, which is not confirmed, takes place; None: it is confirmed."""

    @asynccontextmanager
    async def transaction(self, name: str = "") -> AsyncIterator[Transaction]:
        """Open a transaction; the next one that stores a record of a credit is not confirmed."""
        committed: bool | None = None
        try:
            async with super().transaction(name) as transaction:
                yield transaction
                moved = select(records.c.key).where(records.c.action == "AddWalletFunds")
                is_armed = UnsureDatabase.unsure is not None
                if is_armed and await transaction.connection.scalar(moved):
                    committed, UnsureDatabase.unsure = UnsureDatabase.unsure, None
                    if not committed:
                        raise _NotCommitted  # noqa: TRY301 - stands for a lost connection
        except _NotCommitted:
            pass
        if committed is not None:
            raise CommitUnknownError


class _NotCommitted(Exception):
    pass


@pytest.mark.parametrize("is_keyed", [True, False])
@pytest.mark.parametrize("took_place", [True, False])
async def test_an_unconfirmed_commit_is_looked_up_and_never_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_keyed: bool, took_place: bool
) -> None:
    monkeypatch.setattr(composition, "Database", UnsureDatabase)
    async with running_core(settings_for(tmp_path)) as client:
        business = await register(client)
        user_id = await create_user(business)
        request = keyed(credit(user_id)) if is_keyed else credit(user_id)
        UnsureDatabase.unsure = took_place
        if took_place:
            assert (await business.call(request)).new_balance.units == 100
        else:
            assert (await refusal_of(business, request)).reason == "SERVICE_UNAVAILABLE"
            assert (await business.call(request)).new_balance.units == 100
        wallet = await business.call(wallet_pb2.GetUserWalletRequest(user_id=user_id))
        assert wallet.wallet.balance.units == 100


@pytest.mark.parametrize("sent", [b"the same", b"another"])
async def test_the_record_of_another_run_does_not_prove_this_runs_commit(
    tmp_path: Path, database_url: str, sent: bytes
) -> None:
    settings = settings_for(tmp_path, database_url=database_url)
    async with running_core(settings) as client:
        business_id = (await register(client)).credentials.business_id
    database = Database(database_url)
    idempotency = Idempotency(database, settings.keyring)
    ours, theirs = (
        IdempotentCall(business_id, KEY, f"key:{KEY}", "ChargeWallet", content, "hash")
        for content in (b"the same", sent)
    )
    with suppress(_NotCommitted):
        async with database.transaction() as transaction:
            await idempotency.keep(transaction, ours, Answer(b"ours", is_refusal=False))
            raise _NotCommitted
    await idempotency.keep_alone(theirs, Answer(b"theirs", is_refusal=False))
    assert await idempotency.took_place(theirs)
    assert not await idempotency.took_place(ours)
    await database.close()


class LostDatabase(Database):
    """A database that is unavailable from the commit of the sixth debit on."""

    is_lost = False
    attempts = 0

    @asynccontextmanager
    async def transaction(self, name: str = "") -> AsyncIterator[Transaction]:
        """Open a transaction while the database is available."""
        if LostDatabase.is_lost:
            LostDatabase.attempts += 1
            raise DatabaseUnavailableError("away")
        async with super().transaction(name) as transaction:
            yield transaction
            debits = select(func.count()).where(records.c.action == "ChargeWallet")
            LostDatabase.is_lost = (await transaction.connection.scalar(debits) or 0) >= 6
        if LostDatabase.is_lost:
            raise CommitUnknownError


async def test_a_batch_whose_commit_is_unconfirmed_is_looked_up_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.idempotency.service.TOOK_PLACE_SECONDS", 0.0)
    settings = settings_for(tmp_path)
    async with running_core(settings) as client:
        business = await register(client)
        user_id = await create_user(business)
        await business.call(credit(user_id))
    caller = Caller(business.credentials.business_id, "TEST")
    database = LostDatabase(settings.database_url)
    moves = WalletBatch(database, Idempotency(database, settings.keyring))
    requests = [keyed(debit(user_id, 1), f"order-{number}") for number in range(8)]
    movements = [
        MovementRequest(
            caller,
            call_of(caller, "ChargeWallet", request),
            Direction.DEBIT,
            user_id,
            "TEST",
            Money(units=1),
            None,
        )
        for request in requests
    ]
    ends = await asyncio.gather(*(moves.move(each) for each in movements), return_exceptions=True)
    LostDatabase.is_lost = False
    await database.close()
    assert {type(end) for end in ends} == {CommitUnknownError}
    assert LostDatabase.attempts == 1
