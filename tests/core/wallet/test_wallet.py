"""Wallets over gRPC: credited, debited, never below zero, however many ask at once."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money

from core.wallet import batch
from core.wallet.messages import MovementResponse, movement_response
from core.wallet.rules import Movement, WalletState
from nivisco.payments.v1 import types_pb2, users_pb2, wallet_pb2
from rpc.client import CoreClient
from rpc.errors import CoreError
from tests.core.running import Business, create_user, register


def usd(text: str) -> Money:
    amount = Decimal(text)
    units = int(amount)
    return Money(units=units, nanos=int((amount - units) * 10**9))


async def fund(business: Business, user_id: str, text: str) -> Any:
    return await business.call(wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=usd(text)))


async def debit(business: Business, user_id: str, text: str) -> Any:
    return await business.call(wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=usd(text)))


async def balance(business: Business, user_id: str) -> tuple[int, int]:
    answer = await business.call(wallet_pb2.GetUserWalletRequest(user_id=user_id))
    return answer.wallet.balance.units, answer.wallet.balance.nanos


async def test_a_credit_and_a_debit_answer_as_the_reference_shows(
    business: Business, user_id: str
) -> None:
    credited = await fund(business, user_id, "150.00")
    assert credited.new_balance == Money(currency_code="USD", units=150)
    assert (credited.type, credited.source, credited.reason) == (
        wallet_pb2.TRANSACTION_TYPE_CREDIT,
        wallet_pb2.TRANSACTION_SOURCE_MANUAL,
        wallet_pb2.TRANSACTION_REASON_MANUAL_CREDIT,
    )
    debited = await debit(business, user_id, "34.50")
    assert debited.new_balance == Money(currency_code="USD", units=115, nanos=500_000_000)
    assert (debited.type, debited.source, debited.reason) == (
        wallet_pb2.TRANSACTION_TYPE_DEBIT,
        wallet_pb2.TRANSACTION_SOURCE_SYSTEM,
        wallet_pb2.TRANSACTION_REASON_BUSINESS_CHARGE,
    )
    assert debited.message == "Wallet updated successfully"
    assert await balance(business, user_id) == (115, 500_000_000)


async def test_a_debit_above_the_balance_is_refused_and_changes_nothing(
    business: Business, user_id: str
) -> None:
    await fund(business, user_id, "10")
    with pytest.raises(CoreError) as refused:
        await debit(business, user_id, "10.01")
    assert refused.value.reason == "WALLET_TOO_LOW"
    assert await balance(business, user_id) == (10, 0)


async def test_of_200_debits_at_once_exactly_those_that_the_funds_cover_succeed(
    business: Business, user_id: str
) -> None:
    async def debit_when_there_is_room() -> Any:
        while True:
            try:
                return await debit(business, user_id, "1")
            except CoreError as error:  # a busy machine: nothing was changed, so ask again
                if error.reason != "SERVICE_UNAVAILABLE":
                    raise

    await fund(business, user_id, "120")
    async with asyncio.timeout(60):
        results = await asyncio.gather(
            *(debit_when_there_is_room() for _ in range(200)), return_exceptions=True
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


async def test_history_is_bounded_by_dates_that_include_their_moment(
    business: Business, user_id: str
) -> None:
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


async def test_test_money_never_becomes_real(business: Business, user_id: str) -> None:
    await fund(business, user_id, "5")
    live = await business.call(
        wallet_pb2.GetUserWalletRequest(user_id=user_id, env=types_pb2.ENV_LIVE)
    )
    test = await business.call(
        wallet_pb2.GetUserWalletRequest(user_id=user_id, env=types_pb2.ENV_TEST)
    )
    assert live.wallet.wallet_id != test.wallet.wallet_id
    assert (live.wallet.balance.units, test.wallet.balance.units) == (0, 5)


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


async def test_no_money_of_an_inactive_user_moves(business: Business, user_id: str) -> None:
    await business.call(
        users_pb2.UpdateUserRequest(
            user_id=user_id, updates=users_pb2.UpdateUserRequest.Updates(active=False)
        )
    )
    for move in (fund, debit):
        with pytest.raises(CoreError) as refused:
            await move(business, user_id, "1")
        assert refused.value.reason == "USER_INACTIVE"


async def test_two_businesses_with_one_core_do_not_see_each_others_wallets(
    core: CoreClient, business: Business, user_id: str
) -> None:
    stranger = await register(core, "southwind")
    with pytest.raises(CoreError) as foreign:
        await fund(stranger, user_id, "1")
    with pytest.raises(CoreError) as unknown:
        await fund(stranger, "USR-NOBODY", "1")
    assert (foreign.value.reason, foreign.value.message) == (
        unknown.value.reason,
        unknown.value.message,
    )


async def test_a_fault_with_one_movement_of_a_group_is_no_other_callers_fault(
    business: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_for_13(movement: Movement, user_id: str, after: WalletState) -> MovementResponse:
        if movement.amount_minor == 1300:
            raise LookupError("a fault")
        return movement_response(movement, user_id, after)

    monkeypatch.setattr(batch, "movement_response", fail_for_13)
    users = [await create_user(business) for _ in range(4)]
    amounts = ("1", "13", "2", "3")
    ends: list[Any] = await asyncio.gather(
        *(fund(business, user, amount) for user, amount in zip(users, amounts, strict=True)),
        return_exceptions=True,
    )
    told = [end.reason if isinstance(end, CoreError) else end.new_balance.units for end in ends]
    assert told == [1, "INTERNAL", 2, 3]
    assert [(await balance(business, user))[0] for user in users] == [1, 0, 2, 3]
