"""Amount caps of API keys, over gRPC: what counts, what is refused, what is released."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import message_factory
from google.type.money_pb2 import Money

from core.business import caps
from core.caller import Caller
from core.database.migrations.upgrade import migrate
from core.database.transactions import Database
from core.errors import Refusal
from core.limits import KeyCaps
from core.money import Amount
from nivisco.payments.v1 import business_pb2 as pb
from nivisco.payments.v1 import payments_pb2, refunds_pb2, wallet_pb2
from rpc.catalogue import methods_by_path
from rpc.errors import CoreError
from rpc.metadata import Credentials
from tests.core.payments.charging import INTENTS, card_holder, charge_request, fund_request
from tests.core.running import (
    Business,
    Gateway,
    ShiftedClock,
    create_user,
    register,
    running_core,
    settings_for,
    with_stripe,
)
from tests.databases import fresh_sqlite

CHARGE, REFUND = pb.API_KEY_SCOPE_CHARGE, pb.API_KEY_SCOPE_REFUND
CLOSED = {"CreateRecurring", "UpdateRecurring", "ResumeRecurring", "RetryRecurring"}
"""Actions of the scopes charge and refund that keys with caps may not call: no cap bounds them."""


class EarlyClock(ShiftedClock):
    """Time that begins an hour after midnight (UTC), so that no test runs into the next day."""

    def __init__(self) -> None:
        """Begin at one o'clock of tomorrow."""
        super().__init__()
        now = datetime.now(UTC)
        midnight = datetime.combine(now.date(), datetime.min.time(), UTC)
        self.ahead = midnight + timedelta(days=1, hours=1) - now


@pytest.fixture
def clock() -> EarlyClock:
    return EarlyClock()


@asynccontextmanager
async def a_shop(
    path: Path, gateway: Gateway, clock: EarlyClock, database_url: str
) -> AsyncIterator[Business]:
    urls = {"TEST": gateway.url, "LIVE": gateway.url}
    settings = settings_for(path, database_url=database_url, stripe_urls=urls, authorize_urls=urls)
    async with running_core(settings, clock) as client:
        yield await with_stripe(await register(client))


@pytest.fixture
async def shop(tmp_path: Path, gateway: Gateway, clock: EarlyClock) -> AsyncIterator[Business]:
    """A business with Stripe keys on SQLite; what SQL decides is tested on both databases."""
    url = fresh_sqlite(tmp_path / "nivisco.db")
    async with a_shop(tmp_path, gateway, clock, url) as business:
        yield business


def create(**fields: Any) -> pb.CreateApiKeyRequest:
    return pb.CreateApiKeyRequest(name="till", **{"scopes": [CHARGE, REFUND], **fields})


def usd(units: int | str) -> Money:
    return Money(units=int(units), currency_code="USD")


async def key_of(shop: Business, *, call: int | None = None, day: int | None = None) -> Business:
    """Return the business with a new key that has these caps."""
    amounts = {"max_amount": call, "max_amount_per_day": day}
    given = {name: usd(units) for name, units in amounts.items() if units is not None}
    answer = await shop.call(create(**given))
    return replace(shop, credentials=Credentials(shop.credentials.business_id, answer.api_key))


async def used(shop: Business) -> int:
    """Return what the newest key has moved today."""
    (_, newest, *_) = (await shop.call(pb.ListApiKeysRequest())).keys
    assert newest.HasField("used_today")
    return int(newest.used_today.units)


async def refusal(shop: Business, request: Any) -> CoreError:
    with pytest.raises(CoreError) as caught:
        await shop.call(request)
    return caught.value


async def above(shop: Business, request: Any) -> dict[str, str]:
    """Return how a request is refused that is above a cap."""
    error = await refusal(shop, request)
    assert error.reason == "API_KEY_CAPPED", error
    return error.metadata


def debit(user_id: str, units: int = 10, **more: Any) -> wallet_pb2.ChargeWalletRequest:
    return wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=Money(units=units), **more)


def credit(user_id: str, units: int) -> wallet_pb2.AddWalletFundsRequest:
    return wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=Money(units=units))


def hold(user_id: str, units: int) -> wallet_pb2.HoldWalletRequest:
    return wallet_pb2.HoldWalletRequest(
        user_id=user_id, amount=Money(units=units), expires_in_seconds=600
    )


async def counted(calls: list[Any]) -> int:
    """Return how many of these calls succeed at once; the others are above the cap per day."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    errors = [each for each in outcomes if isinstance(each, BaseException)]
    for error in errors:
        assert isinstance(error, CoreError), error
        assert (error.reason, error.metadata) == (
            "API_KEY_CAPPED",
            {"cap": "max_amount_per_day", "left": "0.00 usd"},
        )
    return len(outcomes) - len(errors)


async def test_calls_at_once_move_no_more_than_the_cap_of_the_day(
    tmp_path: Path, gateway: Gateway, clock: EarlyClock, database_url: str
) -> None:
    """Charges, and debits of one wallet among those of a key without caps."""
    async with a_shop(tmp_path, gateway, clock, database_url) as shop:
        user_id = await card_holder(shop)
        till = await key_of(shop, day=100)
        charges = [
            till.call(charge_request(user_id, 10, idempotency_key=f"order-{each}"))
            for each in range(50)
        ]
        assert await counted(charges) == 10
        assert await used(shop) == 100
        assert (await shop.call(payments_pb2.GetPaymentRecordsRequest())).total == 10
        await shop.call(credit(user_id, 1000))
        till = await key_of(shop, day=100)
        debits = [(till, each) for each in range(30)] + [(shop, each) for each in range(10)]
        assert await counted([who.call(debit(user_id)) for who, _ in debits]) == 20
        assert await used(shop) == 100
        wallet = await shop.call(wallet_pb2.GetUserWalletRequest(user_id=user_id))
        assert wallet.wallet.balance.units == 800


async def test_every_amount_that_a_key_takes_or_moves_counts_once(shop: Business) -> None:
    user_id, other_id = await card_holder(shop), await create_user(shop)
    authorized = (await shop.call(charge_request(user_id, 9, capture=False))).payment_id
    held = await shop.call(credit(user_id, 500)) and await shop.call(hold(user_id, 8))
    till = await key_of(shop, call=20, day=100)

    def capture(payment_id: str, units: int) -> payments_pb2.CapturePaymentRequest:
        return payments_pb2.CapturePaymentRequest(payment_id=payment_id, amount=Money(units=units))

    def of_hold(hold_id: str) -> wallet_pb2.CaptureHoldRequest:
        return wallet_pb2.CaptureHoldRequest(hold_id=hold_id)

    async def total(request: Any) -> tuple[Any, int]:
        return await till.call(request), await used(shop)

    charged, so_far = await total(charge_request(user_id, 10))
    assert so_far == 10
    own, so_far = await total(charge_request(user_id, 6, capture=False))
    assert so_far == 16
    # What the key itself authorized or held has counted then; of others it counts when captured.
    assert (await total(capture(own.payment_id, 5)))[1] == 16
    assert (await total(capture(authorized, 4)))[1] == 20
    own, so_far = await total(hold(user_id, 3))
    assert so_far == 23
    assert (await total(of_hold(own.hold_id)))[1] == 23
    assert (await total(of_hold(held.hold_id)))[1] == 31
    assert (await total(fund_request(user_id, 2)))[1] == 33
    assert (await total(debit(user_id, 2)))[1] == 35
    assert (await total(credit(user_id, 2)))[1] == 37
    transfer = wallet_pb2.TransferWalletRequest(
        from_user_id=user_id, to_user_id=other_id, amount=Money(units=2)
    )
    assert (await total(transfer))[1] == 39
    refund = refunds_pb2.RefundPaymentRequest(payment_id=charged.payment_id, amount=Money(units=2))
    assert (await total(refund))[1] == 41


async def test_an_amount_above_the_cap_of_a_call_is_refused_and_nothing_is_done(
    shop: Business,
) -> None:
    user_id, other_id = await card_holder(shop), await create_user(shop)
    await shop.call(credit(user_id, 500))
    held = (await shop.call(hold(user_id, 30))).hold_id
    authorized = (await shop.call(charge_request(user_id, 30, capture=False))).payment_id
    charged = (await shop.call(charge_request(user_id, 31))).payment_id
    till = await key_of(shop, call=20, day=1000)
    before = await _records(shop)
    for request in (
        charge_request(user_id, 21),
        charge_request(user_id, 21, capture=False),
        fund_request(user_id, 21),
        payments_pb2.CapturePaymentRequest(payment_id=authorized),
        refunds_pb2.RefundPaymentRequest(payment_id=charged),
        debit(user_id, 21),
        credit(user_id, 21),
        hold(user_id, 21),
        wallet_pb2.CaptureHoldRequest(hold_id=held),
        wallet_pb2.TransferWalletRequest(
            from_user_id=user_id, to_user_id=other_id, amount=Money(units=21)
        ),
    ):
        assert await above(till, request) == {"cap": "max_amount", "left": "20.00 usd"}
    assert await _records(shop) == before
    wallet = (await shop.call(wallet_pb2.GetUserWalletRequest(user_id=user_id))).wallet
    assert (wallet.balance.units, wallet.available.units) == (500, 470)
    assert await used(shop) == 0


async def _records(shop: Business) -> list[tuple[Any, ...]]:
    """Return the payments without `updated_at`, which changes when a response was delivered."""
    answer = await shop.call(payments_pb2.GetPaymentRecordsRequest())
    return [
        (each.payment_id, each.status, each.amount.units, each.amount_refunded.units)
        for each in answer.payments
    ]


async def test_only_a_charge_that_certainly_failed_is_released(
    shop: Business, gateway: Gateway
) -> None:
    declined = await card_holder(shop, "pm_card_chargeCustomerFail")
    user_id = await card_holder(shop)
    till = await key_of(shop, day=100)
    assert (await refusal(till, charge_request(declined, 60))).reason == "CARD_DECLINED"
    assert await used(shop) == 0
    await gateway.fault("reset_after", INTENTS, times=1)
    await gateway.fault("reset_before", f"{INTENTS}*", times=100, method=None)
    unknown = charge_request(user_id, 60, idempotency_key="order-1")
    assert (await refusal(till, unknown)).reason == "OUTCOME_UNKNOWN"
    assert await used(shop) == 60
    assert await above(till, charge_request(user_id, 41)) == {
        "cap": "max_amount_per_day",
        "left": "40.00 usd",
    }


async def test_a_charge_of_another_key_counts_for_the_key_that_resumes_it(
    shop: Business, gateway: Gateway
) -> None:
    request = charge_request(await card_holder(shop), 60)
    await gateway.fault("reset_after", INTENTS, times=1)
    await gateway.fault("reset_before", f"{INTENTS}*", times=100, method=None)
    assert (await refusal(shop, request)).reason == "OUTCOME_UNKNOWN"
    till = await key_of(shop, day=50)
    assert await above(till, request) == {"cap": "max_amount_per_day", "left": "50.00 usd"}


async def test_a_repeated_request_counts_once_and_is_answered_also_above_the_cap(
    shop: Business, clock: EarlyClock
) -> None:
    user_id = await card_holder(shop)
    await shop.call(credit(user_id, 500))
    till = await key_of(shop, day=100)
    requests = (
        charge_request(user_id, 60, idempotency_key="order-1"),
        debit(user_id, 40, idempotency_key="order-2"),
    )
    first = [await till.call(each) for each in requests]
    assert await used(shop) == 100
    assert [await till.call(each) for each in requests] == first
    # The refused key is free: the next day (UTC), the same request is another one.
    late = debit(user_id, 1, idempotency_key="order-3")
    assert (await above(till, late))["left"] == "0.00 usd"
    clock.ahead += timedelta(days=1)
    assert await used(shop) == 0
    await till.call(late)
    assert await used(shop) == 1


async def test_a_key_with_a_cap_of_a_call_only_has_no_counter(shop: Business) -> None:
    user_id = await card_holder(shop)
    till = await key_of(shop, call=20)
    for _ in range(3):
        await till.call(credit(user_id, 20))
    (_, key) = (await shop.call(pb.ListApiKeysRequest())).keys
    assert key.max_amount == usd(20)
    assert not key.HasField("max_amount_per_day")
    assert not key.HasField("used_today")
    euros = charge_request(user_id, 1)
    euros.amount.currency_code = "EUR"
    assert await above(till, euros) == {"cap": "currency"}


async def test_actions_that_no_cap_bounds_are_closed_to_keys_with_caps(shop: Business) -> None:
    """An empty request is refused for its fields where the key is admitted."""
    till = await key_of(shop, call=20)
    closed = set()
    for method in methods_by_path().values():
        if method.is_action and not method.admin_only and method.key_scope in ("charge", "refund"):
            request = message_factory.GetMessageClass(method.descriptor.input_type)()
            error = await refusal(till, request)
            if error.reason == "API_KEY_CAPPED":
                assert error.metadata == {"cap": "action"}
                closed.add(method.descriptor.name)
            else:
                assert error.reason == "INVALID_FIELDS", error
    assert closed == CLOSED


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"max_amount": Money(units=1)}, "max_amount.currency_code"),
        (
            {"max_amount": usd(1), "max_amount_per_day": Money(units=1, currency_code="EUR")},
            "max_amount.currency_code",
        ),
        (
            {"max_amount_per_day": Money(units=1, nanos=1, currency_code="USD")},
            "max_amount_per_day",
        ),
        ({"max_amount": usd(0)}, "max_amount"),
        ({"max_amount": usd(1), "scopes": [CHARGE, pb.API_KEY_SCOPE_ADMIN]}, "scopes"),
    ],
)
async def test_caps_have_one_currency_and_no_key_that_can_create_others(
    shop: Business, fields: Any, problem: str
) -> None:
    error = await refusal(shop, create(**fields))
    assert [each.field for each in error.fields] == [problem]


async def test_a_counter_follows_the_status_of_its_payment(database_url: str) -> None:
    """The amount may come back although others took its room: the gateway says it was charged."""
    database = Database(database_url)
    await migrate(database)
    for statuses, left in (
        (("pending", "succeeded", "refunded"), "0.40 usd"),
        (("pending", "requires_action", "authorized", "voided"), "0.40 usd"),
        (("pending", "declined"), "1.00 usd"),
        (("pending", "needs_review", "failed"), "1.00 usd"),
        (("pending", "failed", "declined"), "1.00 usd"),
        (("pending", "failed", "succeeded"), "0.40 usd"),
    ):
        key_id = "-".join(statuses)
        caller = Caller("NORTHWIND", "TEST", key_id=key_id, caps=KeyCaps("usd", None, 100))
        async with database.transaction() as transaction:
            await caps.reserve(transaction, caller, Amount(60, "usd"))
            for before, after in pairwise(statuses):
                await caps.follow_status(
                    transaction,
                    business_id=caller.business_id,
                    key_id=key_id,
                    day=transaction.now.date().isoformat(),
                    amount_minor=60,
                    before=before,
                    after=after,
                )
            with pytest.raises(Refusal) as refused:
                await caps.reserve(transaction, caller, Amount(101, "usd"))
            assert refused.value.metadata["left"] == left, statuses
    await database.close()
