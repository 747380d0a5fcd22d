"""Holds: what is held counts in every check until it is captured, released or expires."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from google.type.money_pb2 import Money

from core.payments import funding
from core.wallet.receivable_store import receivable_of_wallet
from core.wallet.store import TakenBack, wallet_after_credit
from nivisco.payments.v1 import types_pb2, users_pb2, wallet_pb2
from rpc.errors import CoreError
from tests.core.running import Business, register
from tests.core.wallet.banking import Bank, reason_of


@pytest.fixture
async def bank(database_url: str) -> AsyncIterator[Bank]:
    """A business with three wallets, of which Ana's has 10."""
    bank = await Bank.opened(database_url)
    await bank.open(["ana", "bob", "cleo"])
    await bank.credit("ana", 10)
    yield bank
    await bank.database.close()


async def test_what_is_held_counts_in_every_check_until_the_hold_is_closed(bank: Bank) -> None:
    hold = await bank.hold("ana", 7)
    assert (hold.status, hold.amount_minor, hold.captured_minor) == ("open", 700, None)
    assert await bank.shown("ana") == (10, 3)
    for call in (
        bank.debit("ana", 4),
        bank.transfer("ana", "bob", 4),
        bank.hold("ana", 4),
    ):
        assert await reason_of(call) == "WALLET_TOO_LOW"
    assert await bank.shown("ana") == (10, 3)
    await bank.debit("ana", 1)
    await bank.transfer("ana", "bob", 1)
    await bank.hold("ana", 1)
    assert await bank.shown("ana") == (8, 0)
    await bank.release(hold.hold_id)
    assert await bank.shown("ana") == (8, 7)


@pytest.mark.parametrize(("units", "left"), [(None, (3, 3)), (7, (3, 3)), (2, (8, 8))])
async def test_a_capture_debits_all_or_a_part_and_releases_the_rest(
    bank: Bank, units: int | None, left: tuple[int, int]
) -> None:
    hold = await bank.hold("ana", 7)
    captured = await bank.capture(hold.hold_id, units)
    assert (captured.status, captured.captured_minor) == ("captured", 100 * (units or 7))
    assert captured.transaction_id is not None
    assert await bank.shown("ana") == left


async def test_a_hold_is_closed_once(bank: Bank) -> None:
    captured, released, expired = [await bank.hold("ana", 2, 60) for _ in range(3)]
    await bank.capture(captured.hold_id)
    await bank.release(released.hold_id)
    bank.clock.ahead += timedelta(seconds=60)
    for _ in range(2):  # before and after the queue closes it
        for hold, reason in (
            (captured, "HOLD_STATE"),
            (released, "HOLD_STATE"),
            (expired, "HOLD_EXPIRED"),
        ):
            assert await reason_of(bank.capture(hold.hold_id)) == reason
            assert await reason_of(bank.release(hold.hold_id)) == reason
        await bank.expire()
    assert await bank.shown("ana") == (8, 8)
    assert await bank.listed() == ["expired", "released", "captured"]


async def test_the_queue_closes_a_hold_when_its_time_has_come(bank: Bank) -> None:
    await bank.hold("ana", 3, 60)
    await bank.hold("ana", 4, 120)
    bank.clock.ahead += timedelta(seconds=20)
    await bank.expire()
    assert await bank.shown("ana") == (10, 3)
    bank.clock.ahead += timedelta(seconds=40)
    assert await bank.shown("ana") == (10, 3)
    await bank.expire()
    assert await bank.shown("ana") == (10, 6)
    assert await bank.listed() == ["open", "expired"]


async def test_a_capture_above_the_hold_changes_nothing(bank: Bank) -> None:
    hold = await bank.hold("ana", 7)
    assert await reason_of(bank.capture(hold.hold_id, 8)) == "HOLD_TOO_LOW"
    assert await bank.shown("ana") == (10, 3)


async def test_another_business_has_no_such_hold(bank: Bank) -> None:
    hold = await bank.hold("ana", 7)
    stranger = Bank(bank.database, bank.clock)
    await stranger.open(["ana"])
    for call in (stranger.capture(hold.hold_id), stranger.release(hold.hold_id)):
        assert await reason_of(call) == "HOLD_NOT_FOUND"
    assert await stranger.listed() == []
    assert await bank.listed(user_id="ana", status="open") == ["open"]
    assert await bank.listed(user_id="bob") == []


async def test_concurrent_holds_debits_and_transfers_take_no_more_than_is_available(
    bank: Bank,
) -> None:
    calls = [
        call
        for _ in range(8)
        for call in (bank.hold("ana", 1), bank.debit("ana", 1), bank.transfer("ana", "bob", 1))
    ]
    async with asyncio.timeout(60):
        reasons = await asyncio.gather(*map(reason_of, calls))
    assert sorted(map(str, reasons)) == ["None"] * 10 + ["WALLET_TOO_LOW"] * 14
    assert (await bank.shown("ana"))[1] == 0


async def test_concurrent_captures_releases_and_expiry_close_a_hold_once(bank: Bank) -> None:
    for _ in range(3):
        hold = await bank.hold("ana", 1, 60)
        calls = [
            call
            for _ in range(3)
            for call in (bank.capture(hold.hold_id), bank.release(hold.hold_id))
        ]
        async with asyncio.timeout(60):
            reasons = await asyncio.gather(*map(reason_of, calls))
        assert sorted(map(str, reasons)) == ["HOLD_STATE"] * 5 + ["None"]
    captures = (await bank.listed()).count("captured")
    assert await bank.shown("ana") == (10 - captures,) * 2
    expiring = await bank.hold("ana", 1, 60)
    bank.clock.ahead += timedelta(seconds=60)
    key = (bank.caller.business_id, expiring.hold_id)
    await asyncio.gather(*(bank.holds.look(key) for _ in range(3)))
    assert await bank.shown("ana") == (10 - captures,) * 2


async def test_what_a_gateway_takes_back_is_taken_from_what_is_available(bank: Bank) -> None:
    payment: Any = SimpleNamespace(
        business_id=bank.caller.business_id,
        payment_id="PAY-1",
        user_id="ana",
        env="TEST",
        gateway="stripe",
        amount_minor=500,
        currency="usd",
        description=None,
    )
    await bank.hold("ana", 9)
    async with bank.database.transaction() as transaction:
        credited = await funding.credit_wallet(transaction, payment)
    assert (credited.balance_minor, credited.held_minor) == (1500, 900)
    await bank.hold("ana", 3)
    async with bank.database.transaction() as transaction:
        after_credit = await wallet_after_credit(
            transaction, business_id=payment.business_id, payment_id="PAY-1"
        )
        await funding.move_taken_back(
            transaction,
            payment,
            wallet_id="ana",
            taken=TakenBack(0, 0),
            total_minor=500,
            reason="refund",
        )
        owed = await receivable_of_wallet(
            transaction, business_id=payment.business_id, wallet_id="ana"
        )
    assert after_credit.held_minor == 900
    assert await bank.shown("ana") == (12, 0)
    assert owed == 200


async def test_a_wallet_as_of_a_time_is_the_replay_of_its_postings(bank: Bank) -> None:
    """A minute apart, so that no transaction could have begun before the one before it."""
    shown: list[tuple[datetime, tuple[int, int]]] = []

    async def note() -> None:
        bank.clock.ahead += timedelta(minutes=2)
        shown.append((bank.clock.now(), await bank.shown("ana")))
        bank.clock.ahead += timedelta(minutes=2)

    before = bank.clock.now() - timedelta(days=1)
    await note()
    for call in (bank.debit("ana", 1), bank.transfer("ana", "bob", 2), bank.credit("ana", 4)):
        await call
        await note()
    hold = await bank.hold("ana", 5)
    await note()
    await bank.debit("ana", 1)
    await note()
    await bank.capture(hold.hold_id, 3)
    await note()
    await bank.hold("ana", 1, 60)
    await note()
    await bank.expire()
    await note()
    assert [each for _, each in shown] == [
        (10, 10), (9, 9), (7, 7), (11, 11), (11, 6), (10, 5), (7, 7), (7, 6), (7, 7),
    ]  # fmt: skip
    for moment, expected in [(before, (0, 0)), *shown, (datetime.max.replace(tzinfo=UTC), (7, 7))]:
        wallet = await bank.wallets.get_at(bank.caller, "ana", "TEST", moment)
        available = (wallet.balance_minor - wallet.held_minor) // 100
        assert (wallet.balance_minor // 100, available) == expected


async def place(business: Business, user_id: str, units: int, **others: Any) -> Any:
    """Hold an amount of a user's wallet for an hour."""
    request = wallet_pb2.HoldWalletRequest(
        user_id=user_id, amount=Money(units=units), expires_in_seconds=3600, **others
    )
    return await business.call(request)


def usd(units: int) -> Money:
    return Money(currency_code="USD", units=units)


async def test_the_actions_return_the_hold_and_the_wallet(business: Business, user_id: str) -> None:
    await business.call(wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=Money(units=10)))
    placed = await place(business, user_id, 4, description="Deposit", idempotency_key="table-5")
    hold, wallet = placed.hold, placed.wallet
    assert hold == wallet_pb2.WalletHold(
        hold_id=placed.hold_id,
        status=wallet_pb2.HOLD_STATUS_OPEN,
        amount=usd(4),
        description="Deposit",
        wallet_id=wallet.wallet_id,
        user_id=user_id,
        env=types_pb2.ENV_TEST,
        created_at=hold.created_at,
        expires_at=hold.expires_at,
    )
    assert hold.expires_at.seconds - hold.created_at.seconds == 3600
    assert (wallet.balance, wallet.available) == (usd(10), usd(6))
    read = await business.call(wallet_pb2.GetUserWalletRequest(user_id=user_id))
    assert read.wallet == wallet
    assert (await business.call(wallet_pb2.ListHoldsRequest(user_id=user_id))).holds == [hold]
    replayed = await place(business, user_id, 4, description="Deposit", idempotency_key="table-5")
    assert replayed == placed

    capture = wallet_pb2.CaptureHoldRequest(
        hold_id=hold.hold_id, amount=Money(units=3), idempotency_key="bill-5"
    )
    captured = await business.call(capture)
    assert await business.call(capture) == captured
    capture.amount.currency_code = "USD"  # the default
    assert await business.call(capture) == captured
    assert captured.hold.status == wallet_pb2.HOLD_STATUS_CAPTURED
    assert captured.hold.captured_amount == usd(3)
    assert captured.hold.transaction_id == captured.transaction_id
    assert captured.hold.HasField("closed_at")
    assert (captured.wallet.balance, captured.wallet.available) == (usd(7), usd(7))
    history = await business.call(wallet_pb2.GetWalletHistoryRequest(user_id=user_id))
    debit = history.transactions[0]
    assert debit.transaction_id == captured.transaction_id
    assert (debit.reason, debit.amount, debit.new_balance, debit.description) == (
        wallet_pb2.TRANSACTION_REASON_HOLD_CAPTURE,
        usd(3),
        usd(7),
        "Deposit",
    )

    other = await place(business, user_id, 7)
    released = await business.call(wallet_pb2.ReleaseHoldRequest(hold_id=other.hold_id))
    assert released.hold.status == wallet_pb2.HOLD_STATUS_RELEASED
    assert (released.wallet.balance, released.wallet.available) == (usd(7), usd(7))
    listed = await business.call(
        wallet_pb2.ListHoldsRequest(status=wallet_pb2.HOLD_STATUS_RELEASED)
    )
    assert (listed.total, list(listed.holds)) == (1, [released.hold])


async def test_what_cannot_be_held_or_captured_is_refused(business: Business, user_id: str) -> None:
    await business.call(wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=Money(units=10)))
    hold_id = (await place(business, user_id, 4)).hold_id
    stranger = await register(business.client, "stranger")
    euros = Money(units=1, currency_code="EUR")
    hold, capture = wallet_pb2.HoldWalletRequest, wallet_pb2.CaptureHoldRequest
    one: dict[str, Any] = {"amount": Money(units=1), "expires_in_seconds": 60}
    cases: list[tuple[Business, Any, str]] = [
        (business, hold(user_id=user_id, amount=Money(units=7), expires_in_seconds=60), "TOO_LOW"),
        (business, hold(user_id="USR-0", **one), "USER_NOT_FOUND"),
        (stranger, hold(user_id=user_id, **one), "USER_NOT_FOUND"),
        (business, hold(user_id=user_id, env=types_pb2.ENV_LIVE, **one), "TOO_LOW"),
        (business, hold(user_id=user_id, amount=euros, expires_in_seconds=60), "FIELDS"),
        (business, hold(user_id=user_id, amount=Money(units=1)), "FIELDS"),
        (business, hold(user_id=user_id, **one | {"expires_in_seconds": 2678401}), "FIELDS"),
        (business, hold(user_id=user_id, **one | {"expires_in_seconds": -1}), "FIELDS"),
        (business, capture(hold_id=hold_id, amount=Money(units=5)), "HOLD_TOO_LOW"),
        (business, capture(hold_id=hold_id, amount=euros), "FIELDS"),
        (business, capture(hold_id=hold_id, amount=Money()), "FIELDS"),
        (business, capture(hold_id=hold_id, amount=Money(units=-1)), "FIELDS"),
        (business, capture(hold_id="HLD-0"), "HOLD_NOT_FOUND"),
        (stranger, capture(hold_id=hold_id), "HOLD_NOT_FOUND"),
        (stranger, wallet_pb2.ReleaseHoldRequest(hold_id=hold_id), "HOLD_NOT_FOUND"),
    ]
    for caller, request, reason in cases:
        with pytest.raises(CoreError) as refused:
            await caller.call(request)
        assert refused.value.reason.endswith(reason), request
    updates = users_pb2.UpdateUserRequest.Updates(active=False)
    await business.call(users_pb2.UpdateUserRequest(user_id=user_id, updates=updates))
    for request in (hold(user_id=user_id, **one), capture(hold_id=hold_id)):
        with pytest.raises(CoreError) as refused:
            await business.call(request)
        assert refused.value.reason == "USER_INACTIVE"
    released = await business.call(wallet_pb2.ReleaseHoldRequest(hold_id=hold_id))
    assert (released.wallet.balance, released.wallet.available) == (usd(10), usd(10))
