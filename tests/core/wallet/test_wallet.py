"""WalletService over gRPC: credits, debits and history; a balance is never negative."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money

from core.business import store as business_store
from core.caller import Caller
from core.database.migrations.upgrade import migrate
from core.database.transactions import Database
from core.users import store as user_store
from core.users.service import UsersService
from core.wallet import batch
from core.wallet.messages import (
    MovementResponse,
    movement_response,
    wallet_transaction_message,
)
from core.wallet.rules import Movement, WalletState
from core.wallet.service import WalletService
from core.wallet.store import Wallet, WalletTransaction
from nivisco.payments.v1 import types_pb2, users_pb2, wallet_pb2
from rpc.errors import CoreError
from tests.core.running import Business, create_user


def usd(text: str) -> Money:
    amount = Decimal(text)
    units = int(amount)
    return Money(units=units, nanos=int((amount - units) * 10**9))


async def fund(business: Business, user_id: str, text: str) -> Any:
    return await business.call(wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=usd(text)))


async def debit(business: Business, user_id: str, text: str) -> Any:
    return await business.call(wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=usd(text)))


async def wallet_of(
    business: Business, user_id: str, env: types_pb2.Env.ValueType = types_pb2.ENV_UNSPECIFIED
) -> Any:
    request = wallet_pb2.GetUserWalletRequest(user_id=user_id, env=env)
    return (await business.call(request)).wallet


async def balance(business: Business, user_id: str) -> tuple[int, int]:
    wallet = await wallet_of(business, user_id)
    return wallet.balance.units, wallet.balance.nanos


async def test_credit_and_debit_return_the_transaction(business: Business, user_id: str) -> None:
    wallet_id = (await wallet_of(business, user_id)).wallet_id
    credited = await fund(business, user_id, "150.00")
    debited = await business.call(
        wallet_pb2.ChargeWalletRequest(
            user_id=user_id, amount=usd("34.50"), description="Two lattes"
        )
    )
    common: dict[str, Any] = {
        "wallet_id": wallet_id,
        "user_id": user_id,
        "env": types_pb2.ENV_TEST,
        "message": "Wallet updated successfully",
    }
    assert credited == wallet_pb2.AddWalletFundsResponse(
        **common,
        transaction_id=credited.transaction_id,
        type=wallet_pb2.TRANSACTION_TYPE_CREDIT,
        source=wallet_pb2.TRANSACTION_SOURCE_MANUAL,
        reason=wallet_pb2.TRANSACTION_REASON_MANUAL_CREDIT,
        amount=Money(currency_code="USD", units=150),
        new_balance=Money(currency_code="USD", units=150),
    )
    assert debited == wallet_pb2.ChargeWalletResponse(
        **common,
        transaction_id=debited.transaction_id,
        type=wallet_pb2.TRANSACTION_TYPE_DEBIT,
        source=wallet_pb2.TRANSACTION_SOURCE_SYSTEM,
        reason=wallet_pb2.TRANSACTION_REASON_BUSINESS_CHARGE,
        amount=Money(currency_code="USD", units=34, nanos=500_000_000),
        new_balance=Money(currency_code="USD", units=115, nanos=500_000_000),
        description="Two lattes",
    )
    assert await balance(business, user_id) == (115, 500_000_000)


async def test_history_returns_complete_transactions(business: Business, user_id: str) -> None:
    moved = await fund(business, user_id, "150.00")
    (row,) = (await business.call(wallet_pb2.GetWalletHistoryRequest(user_id=user_id))).transactions
    wallet = await wallet_of(business, user_id)
    assert row == wallet_pb2.WalletTransaction(
        created_at=wallet.updated_at,
        description="Manual wallet credit",
        **{
            name: getattr(moved, name)
            for name in (
                "transaction_id",
                "wallet_id",
                "user_id",
                "env",
                "type",
                "source",
                "reason",
                "amount",
                "new_balance",
            )
        },
    )


@pytest.mark.parametrize(
    ("source", "reason", "description"),
    [
        ("system", "business_charge", "Wallet charge"),
        ("manual", "manual_credit", "Manual wallet credit"),
        ("stripe", "wallet_fund", "Stripe wallet funding"),
        ("authorize", "wallet_fund", "Authorize.Net wallet funding"),
        ("stripe", "refund", "Stripe wallet refund"),
        ("authorize", "dispute", "Authorize.Net wallet dispute"),
        ("recurring", "recurring_charge", "Recurring wallet charge"),
        ("stripe", "receivable", "Stripe wallet receivable"),
        ("system", "transfer", "Wallet transfer"),
        ("system", "hold_capture", "Captured wallet hold"),
    ],
)
def test_a_transaction_without_a_description_has_a_default_one(
    source: str, reason: str, description: str
) -> None:
    moment = datetime(2024, 2, 20, tzinfo=UTC)
    wallet = Wallet("WAL-1", "USR-1", "TEST", "usd", 40, moment, moment)
    for given, shown in ((None, description), ("Two lattes", "Two lattes")):
        row = WalletTransaction("WTX-1", "credit", 40, source, reason, given, None, 40, moment)
        assert wallet_transaction_message(row, wallet).description == shown


async def test_a_wallet_is_the_same_resource_everywhere(business: Business) -> None:
    created = await business.call(
        users_pb2.CreateUserRequest(
            user=users_pb2.CreateUserRequest.NewUser(
                name="Alicia", email="a@example.com", currency="EUR"
            )
        )
    )
    wallet = await wallet_of(business, created.user.user_id)
    assert wallet == created.wallet
    assert wallet == wallet_pb2.Wallet(
        wallet_id=wallet.wallet_id,
        user_id=created.user.user_id,
        env=types_pb2.ENV_TEST,
        balance=Money(currency_code="EUR"),
        available=Money(currency_code="EUR"),
        created_at=created.user.created_at,
        updated_at=created.user.created_at,
    )


async def test_a_debit_above_the_balance_is_refused_and_changes_nothing(
    business: Business, user_id: str
) -> None:
    await fund(business, user_id, "10")
    with pytest.raises(CoreError) as refused:
        await debit(business, user_id, "10.01")
    assert refused.value.reason == "WALLET_TOO_LOW"
    assert await balance(business, user_id) == (10, 0)


async def test_concurrent_debits_succeed_up_to_the_balance(
    business: Business, user_id: str
) -> None:
    async def debit_with_retries() -> Any:
        while True:
            try:
                return await debit(business, user_id, "1")
            except CoreError as error:  # a busy machine: nothing was changed
                if error.reason != "SERVICE_UNAVAILABLE":
                    raise

    await fund(business, user_id, "120")
    async with asyncio.timeout(60):
        results = await asyncio.gather(
            *(debit_with_retries() for _ in range(200)), return_exceptions=True
        )
    refused = [result.reason for result in results if isinstance(result, CoreError)]
    assert refused == ["WALLET_TOO_LOW"] * 80
    assert await balance(business, user_id) == (0, 0)
    history = await business.call(wallet_pb2.GetWalletHistoryRequest(user_id=user_id, limit=100))
    debits = [row for row in history.transactions if row.type == wallet_pb2.TRANSACTION_TYPE_DEBIT]
    assert (history.total, len(debits)) == (121, 100)


async def test_history_is_newest_first_in_pages_with_a_total(
    business: Business, user_id: str
) -> None:
    for cents in range(1, 6):
        await fund(business, user_id, f"0.0{cents}")
    pages = [
        await business.call(wallet_pb2.GetWalletHistoryRequest(user_id=user_id, page=page, limit=2))
        for page in (1, 2, 3, 4)
    ]
    shown = [[row.amount.nanos // 10**7 for row in page.transactions] for page in pages]
    assert shown == [[5, 4], [3, 2], [1], []]
    assert [(page.count, page.total) for page in pages] == [(2, 5), (2, 5), (1, 5), (0, 5)]


async def test_history_dates_are_inclusive(business: Business, user_id: str) -> None:
    await fund(business, user_id, "1")
    (row,) = (await business.call(wallet_pb2.GetWalletHistoryRequest(user_id=user_id))).transactions
    moment = row.created_at
    past = Timestamp(seconds=moment.seconds - 1)
    later = Timestamp(seconds=moment.seconds + 1)
    for from_date, to_date, total in (
        (moment, moment, 1), (past, later, 1), (later, None, 0), (None, past, 0),
    ):  # fmt: skip
        answer = await business.call(
            wallet_pb2.GetWalletHistoryRequest(
                user_id=user_id, from_date=from_date, to_date=to_date
            )
        )
        assert answer.total == total


async def test_each_environment_has_its_own_wallet(business: Business, user_id: str) -> None:
    await fund(business, user_id, "5")
    live = await wallet_of(business, user_id, types_pb2.ENV_LIVE)
    test = await wallet_of(business, user_id, types_pb2.ENV_TEST)
    assert live.wallet_id != test.wallet_id
    assert (live.balance.units, test.balance.units) == (0, 5)
    assert (live.env, test.env) == (types_pb2.ENV_LIVE, types_pb2.ENV_TEST)


async def test_another_currency_than_the_wallets_is_refused(
    business: Business, user_id: str
) -> None:
    with pytest.raises(CoreError) as refused:
        await business.call(
            wallet_pb2.AddWalletFundsRequest(
                user_id=user_id, amount=Money(currency_code="EUR", units=1)
            )
        )
    assert [problem.field for problem in refused.value.fields] == ["amount.currency_code"]


async def test_a_wallet_in_yen_has_no_decimals(business: Business) -> None:
    user_id = await create_user(business, "jpy")
    answer = await fund(business, user_id, "500")
    assert answer.new_balance == Money(currency_code="JPY", units=500)
    with pytest.raises(CoreError) as refused:
        await fund(business, user_id, "0.5")
    assert [problem.field for problem in refused.value.fields] == ["amount"]


async def test_the_wallet_of_an_inactive_user_is_frozen(business: Business, user_id: str) -> None:
    await business.call(
        users_pb2.UpdateUserRequest(
            user_id=user_id, updates=users_pb2.UpdateUserRequest.Updates(active=False)
        )
    )
    for move in (fund, debit):
        with pytest.raises(CoreError) as refused:
            await move(business, user_id, "1")
        assert refused.value.reason == "USER_INACTIVE"


async def test_a_fault_with_one_request_of_a_batch_does_not_fail_the_others(
    business: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_for_13(movement: Movement, user_id: str, after: WalletState) -> MovementResponse:
        if movement.amount_minor == 1300:
            raise LookupError("a fault")
        return movement_response(movement, user_id, after)

    monkeypatch.setattr(batch, "movement_response", fail_for_13)
    users = [await create_user(business) for _ in range(4)]
    amounts = ("1", "13", "2", "3")
    results: list[Any] = await asyncio.gather(
        *(fund(business, user, amount) for user, amount in zip(users, amounts, strict=True)),
        return_exceptions=True,
    )
    found = [
        each.reason if isinstance(each, CoreError) else each.new_balance.units for each in results
    ]
    assert found == [1, "INTERNAL", 2, 3]
    assert [(await balance(business, user))[0] for user in users] == [1, 0, 2, 3]


async def test_businesses_with_equal_user_ids_read_their_own_at_the_same_time(
    database_url: str,
) -> None:
    database = Database(database_url)
    await migrate(database)
    callers = [Caller("B1", "TEST"), Caller("B2", "TEST")]
    async with database.transaction() as transaction:
        for caller, currency in zip(callers, ("usd", "eur"), strict=True):
            await business_store.insert_business(
                transaction,
                business_id=caller.business_id,
                name="A",
                email="a@b.co",
                domain=f"{caller.business_id}.co",
                api_key_hash="",
            )
            await user_store.insert_user(
                transaction,
                business_id=caller.business_id,
                user_id="USR",
                name=f"of {caller.business_id}",
                email="a@b.co",
                currency=currency,
            )
    service, users = WalletService(database), UsersService(database)
    for environment in ("TEST", "TEST", "LIVE"):  # created by the first, read by the second
        wallets = await asyncio.gather(*(service.get(each, "USR", environment) for each in callers))
        assert [(each.currency, each.env) for each in wallets] == [
            ("usd", environment),
            ("eur", environment),
        ]
    found = await asyncio.gather(*(users.get(each, "USR") for each in callers))
    assert [each.name for each in found] == ["of B1", "of B2"]
    await database.close()
