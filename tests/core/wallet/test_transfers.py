"""Transfers between wallets over gRPC: both change or none does, and each key has one effect."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from google.type.money_pb2 import Money

from core.wallet import rules
from nivisco.payments.v1 import types_pb2, users_pb2, wallet_pb2
from rpc.errors import CoreError
from tests.core.running import Business, create_user, register

LIVE = types_pb2.ENV_LIVE


def transfer_request(sender: str, receiver: str, units: int, **others: Any) -> Any:
    amount = Money(units=units, currency_code=others.pop("currency", ""))
    return wallet_pb2.TransferWalletRequest(
        from_user_id=sender, to_user_id=receiver, amount=amount, **others
    )


async def fund(business: Business, user_id: str, units: int, **others: Any) -> None:
    await business.call(
        wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=Money(units=units), **others)
    )


async def balance(business: Business, user_id: str, **others: Any) -> int:
    request = wallet_pb2.GetUserWalletRequest(user_id=user_id, **others)
    return int((await business.call(request)).wallet.balance.units)


async def set_active(business: Business, user_id: str, *, active: bool) -> None:
    updates = users_pb2.UpdateUserRequest.Updates(active=active)
    await business.call(users_pb2.UpdateUserRequest(user_id=user_id, updates=updates))


@pytest.fixture
async def other_user_id(business: Business) -> str:
    """Another user of the business."""
    return await create_user(business)


async def test_a_transfer_debits_one_wallet_and_credits_the_other(
    business: Business, user_id: str, other_user_id: str
) -> None:
    await fund(business, user_id, 50)
    await fund(business, other_user_id, 5)
    answer = await business.call(
        transfer_request(user_id, other_user_id, 20, description="Half of the rent")
    )
    assert answer == wallet_pb2.TransferWalletResponse(
        message="Transfer completed successfully",
        amount=Money(currency_code="USD", units=20),
        description="Half of the rent",
        env=types_pb2.ENV_TEST,
        from_user_id=user_id,
        from_new_balance=Money(currency_code="USD", units=30),
        to_user_id=other_user_id,
        to_new_balance=Money(currency_code="USD", units=25),
        **{
            name: getattr(answer, name)
            for name in (
                *("transfer_id", "from_wallet_id", "from_transaction_id"),
                *("to_wallet_id", "to_transaction_id"),
            )
        },
    )
    assert answer.transfer_id.startswith("TRF-")
    for owner, other, side, kind in (
        (user_id, other_user_id, "from", wallet_pb2.TRANSACTION_TYPE_DEBIT),
        (other_user_id, user_id, "to", wallet_pb2.TRANSACTION_TYPE_CREDIT),
    ):
        history = await business.call(wallet_pb2.GetWalletHistoryRequest(user_id=owner))
        row, funding = history.transactions
        assert row == wallet_pb2.WalletTransaction(
            transaction_id=getattr(answer, f"{side}_transaction_id"),
            wallet_id=getattr(answer, f"{side}_wallet_id"),
            type=kind,
            amount=answer.amount,
            source=wallet_pb2.TRANSACTION_SOURCE_SYSTEM,
            reason=wallet_pb2.TRANSACTION_REASON_TRANSFER,
            description="Half of the rent",
            created_at=row.created_at,
            new_balance=getattr(answer, f"{side}_new_balance"),
            user_id=owner,
            env=types_pb2.ENV_TEST,
            transfer_id=answer.transfer_id,
            other_user_id=other,
        )
        assert not funding.HasField("transfer_id")
        assert not funding.HasField("other_user_id")


async def test_a_transfer_creates_the_receivers_wallet_of_its_environment(
    business: Business, user_id: str, other_user_id: str
) -> None:
    await fund(business, user_id, 7, env=LIVE)
    answer = await business.call(transfer_request(user_id, other_user_id, 7, env=LIVE))
    assert (answer.env, answer.to_new_balance.units) == (LIVE, 7)
    assert [await balance(business, user, env=LIVE) for user in (user_id, other_user_id)] == [0, 7]
    assert await balance(business, other_user_id) == 0


Change = Callable[[Business, str, str], Awaitable[dict[str, Any]]]
"""Prepares a transfer between two users, and returns what its request has otherwise."""


async def as_it_is(business: Business, sender: str, receiver: str) -> dict[str, Any]:
    return {}


async def to_nobody(business: Business, sender: str, receiver: str) -> dict[str, Any]:
    return {"to_user_id": "USR-" + "0" * 26}


async def from_nobody(business: Business, sender: str, receiver: str) -> dict[str, Any]:
    return {"from_user_id": "USR-" + "0" * 26}


async def to_anothers_user(business: Business, sender: str, receiver: str) -> dict[str, Any]:
    return {"to_user_id": await create_user(await register(business.client, "stranger"))}


async def to_an_inactive_user(business: Business, sender: str, receiver: str) -> dict[str, Any]:
    await set_active(business, receiver, active=False)
    return {}


async def from_an_inactive_user(business: Business, sender: str, receiver: str) -> dict[str, Any]:
    await set_active(business, sender, active=False)
    return {}


async def to_a_wallet_in_euros(business: Business, sender: str, receiver: str) -> dict[str, Any]:
    return {"to_user_id": await create_user(business, "eur")}


async def from_a_wallet_without_use(
    business: Business, sender: str, receiver: str
) -> dict[str, Any]:
    return {"env": LIVE}


async def to_the_same_user(business: Business, sender: str, receiver: str) -> dict[str, Any]:
    return {"to_user_id": sender}


async def an_amount_in_euros(business: Business, sender: str, receiver: str) -> dict[str, Any]:
    return {"amount": Money(units=1, currency_code="EUR")}


REFUSED = (
    (as_it_is, 11, "WALLET_TOO_LOW"),
    (to_nobody, 1, "USER_NOT_FOUND"),
    (from_nobody, 1, "USER_NOT_FOUND"),
    (to_anothers_user, 1, "USER_NOT_FOUND"),
    (to_an_inactive_user, 1, "USER_INACTIVE"),
    (from_an_inactive_user, 1, "USER_INACTIVE"),
    (to_a_wallet_in_euros, 1, "WALLET_CURRENCY"),
    (from_a_wallet_without_use, 1, "WALLET_TOO_LOW"),
    (to_the_same_user, 1, "INVALID_FIELDS"),
    (an_amount_in_euros, 1, "INVALID_FIELDS"),
)
"""A change, the amount, and the reason of the refusal."""


async def test_a_transfer_that_is_refused_changes_nothing(business: Business) -> None:
    for change, units, reason in REFUSED:
        sender, receiver = await create_user(business), await create_user(business)
        await fund(business, sender, 10)
        request = transfer_request(sender, receiver, units)
        request.MergeFrom(
            wallet_pb2.TransferWalletRequest(**await change(business, sender, receiver))
        )
        with pytest.raises(CoreError) as refused:
            await business.call(request)
        assert (change.__name__, refused.value.reason) == (change.__name__, reason)
        assert [await balance(business, user) for user in (sender, receiver)] == [10, 0]


async def test_a_transfer_above_the_receivers_limit_is_refused(
    business: Business, user_id: str, other_user_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fund(business, user_id, 10)
    await fund(business, other_user_id, 5)
    monkeypatch.setattr(rules, "MAX_BALANCE_MINOR", 1000)
    with pytest.raises(CoreError) as refused:
        await business.call(transfer_request(user_id, other_user_id, 6))
    assert refused.value.reason == "WALLET_LIMIT"
    assert [await balance(business, user) for user in (user_id, other_user_id)] == [10, 5]


async def test_a_key_has_one_transfer_and_one_answer(
    business: Business, user_id: str, other_user_id: str
) -> None:
    request = transfer_request(user_id, other_user_id, 4, idempotency_key="rent")
    with pytest.raises(CoreError) as refused:
        await business.call(request)
    await fund(business, user_id, 10)
    with pytest.raises(CoreError) as replayed:
        await business.call(request)
    assert (refused.value.reason, replayed.value.reason) == ("WALLET_TOO_LOW",) * 2
    request.idempotency_key = "rent, again"
    answers = await asyncio.gather(*(business.call(request) for _ in range(4)))
    answers.append(await business.call(request))
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    request.env, request.amount.currency_code = types_pb2.ENV_TEST, "USD"  # the defaults
    assert await business.call(request) == answers[0]
    assert [await balance(business, user) for user in (user_id, other_user_id)] == [6, 4]
    request.amount.units = 5
    with pytest.raises(CoreError) as reused:
        await business.call(request)
    assert reused.value.reason == "IDEMPOTENCY_KEY_REUSED"


async def test_transfers_in_a_circle_and_debits_at_the_same_time_lose_nothing(
    business: Business,
) -> None:
    users = [await create_user(business) for _ in range(3)]
    for user in users:
        await fund(business, user, 5)
    requests = [
        each
        for n in range(15)
        for each in (
            transfer_request(users[n % 3], users[(n + 1) % 3], 3),
            transfer_request(users[n % 3], users[(n + 2) % 3], 3),
            wallet_pb2.ChargeWalletRequest(user_id=users[n % 3], amount=Money(units=1)),
        )
    ]
    async with asyncio.timeout(60):
        results = await asyncio.gather(*map(business.call, requests), return_exceptions=True)
    refused = {result.reason for result in results if isinstance(result, CoreError)}
    assert refused <= {"WALLET_TOO_LOW"}
    debited = sum(isinstance(result, wallet_pb2.ChargeWalletResponse) for result in results)
    left = [await balance(business, user) for user in users]
    assert sum(left) == 15 - debited
    assert min(left) >= 0


async def test_concurrent_transfers_take_no_more_than_the_balance(
    business: Business, user_id: str, other_user_id: str
) -> None:
    await fund(business, user_id, 10)
    request = transfer_request(user_id, other_user_id, 1)
    results = await asyncio.gather(
        *(business.call(request) for _ in range(25)), return_exceptions=True
    )
    refused = [result.reason for result in results if isinstance(result, CoreError)]
    assert refused == ["WALLET_TOO_LOW"] * 15
    assert [await balance(business, user) for user in (user_id, other_user_id)] == [0, 10]
