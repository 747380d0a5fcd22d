"""What users owe for reversed fundings: listed, and settled from the wallet, never too much."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from google.type.money_pb2 import Money
from hypothesis import given
from hypothesis import strategies as st

from core.caller import Caller
from core.database.paging import PageRequest
from core.database.transactions import Database, Transaction
from core.doctor.rules import Verdict
from core.doctor.service import DoctorService
from core.errors import Refusal
from core.ids import new_wallet_transaction_id
from core.wallet import ledger
from core.wallet.batch import MovementRequest
from core.wallet.receivables import Receivables
from core.wallet.rules import (
    RECEIVABLES,
    Direction,
    Movement,
    SettlementRefusal,
    settled_minor,
)
from core.wallet.service import WalletService
from nivisco.internal.v1.webhooks_pb2 import ReceiveWebhookRequest
from nivisco.payments.v1 import (
    authentication_pb2,
    business_pb2,
    credentials_pb2,
    types_pb2,
    wallet_pb2,
)
from rpc.errors import CoreError
from rpc.metadata import Credentials
from tests.core.payments.charging import card_holder, fund_request
from tests.core.running import WEBHOOKS_TOKEN, Business, call, create_user, register
from tests.core.wallet import moving
from tests.core.wallet.ledgers import credit, open_wallets
from tests.end_to_end.signing import STRIPE_SECRET, stripe_event, stripe_signature

CALLER = Caller("B", "TEST")
OWED, LOW = SettlementRefusal.RECEIVABLE_TOO_LOW, SettlementRefusal.WALLET_TOO_LOW


@pytest.mark.parametrize(
    ("asked", "owed", "available", "expected"),
    [
        (None, 0, 100, OWED),
        (None, 0, 0, OWED),
        (None, 30, 100, 30),
        (None, 30, 30, 30),
        (None, 30, 20, 20),
        (None, 30, 0, LOW),
        (10, 30, 100, 10),
        (30, 30, 30, 30),
        (31, 30, 100, OWED),
        (31, 30, 10, OWED),
        (20, 30, 19, LOW),
        (1, 0, 100, OWED),
    ],
)
def test_how_much_is_settled(
    asked: int | None, owed: int, available: int, expected: int | SettlementRefusal
) -> None:
    assert settled_minor(asked, owed_minor=owed, available_minor=available) == expected


@given(st.none() | st.integers(1, 50), st.integers(0, 50), st.integers(0, 50))
def test_no_more_is_settled_than_is_asked_owed_and_available(
    asked: int | None, owed: int, available: int
) -> None:
    settled = settled_minor(asked, owed_minor=owed, available_minor=available)
    if isinstance(settled, int):
        assert 0 < settled <= min(owed, available)
        assert settled == (asked or min(owed, available))


async def owe(transaction: Transaction, key: tuple[str, str], amount_minor: int) -> None:
    """Take an amount back from a wallet that has nothing, as a refund does."""
    borne = Movement(
        *key,
        new_wallet_transaction_id(),
        Direction.CREDIT,
        amount_minor,
        source="stripe",
        reason="receivable",
        account=RECEIVABLES,
    )
    taken = borne._replace(
        transaction_id=new_wallet_transaction_id(),
        direction=Direction.DEBIT,
        reason="refund",
        account="funding",
    )
    await ledger.move(transaction, [borne, taken])


async def debtor(database: Database, owed: int, balance: int, user: str = "U") -> None:
    async with database.transaction() as transaction:
        (key,) = await open_wallets(transaction, "B", [user])
        await owe(transaction, key, owed)
        if balance:
            await ledger.move(transaction, [credit(key, balance)])


async def listed(database: Database, **page: Any) -> list[tuple[str, int]]:
    found = await Receivables(database).page(CALLER, "TEST", None, PageRequest(**page))
    return [(each.user_id, each.receivable_minor) for each in found.rows]


async def is_sound(database: Database) -> None:
    examined = await DoctorService(database, key_ids=None).examine()
    broken = [each.name for each in examined.findings if each.verdict is Verdict.BROKEN]
    assert broken == []


async def settle(database: Database, units: int | None = None) -> tuple[int, int, int] | str:
    """Return the settled amount, the balance and what is still owed, or the refusal's reason."""
    money = None if units is None else Money(units=units)
    try:
        done = await Receivables(database).settle(CALLER, "U", "TEST", money)
    except Refusal as refusal:
        return refusal.message
    return done.movement.amount_minor, done.wallet.balance_minor, done.receivable_minor


async def test_a_settlement_moves_money_to_the_receivables(database: Database) -> None:
    await debtor(database, owed=3000, balance=5000)
    assert await listed(database) == [("U", 3000)]
    assert await settle(database, 10) == (1000, 4000, 2000)
    assert await listed(database) == [("U", 2000)]
    assert await settle(database) == (2000, 2000, 0)
    assert await listed(database) == []
    assert "owes" in str(await settle(database))
    await is_sound(database)


async def test_what_the_balance_covers_is_settled(database: Database) -> None:
    await debtor(database, owed=3000, balance=1000)
    assert "below" in str(await settle(database, 20))
    assert await settle(database) == (1000, 0, 2000)
    assert "below" in str(await settle(database))
    await is_sound(database)


async def test_concurrent_settlements_settle_what_is_owed_once(postgresql_only: Database) -> None:
    await debtor(postgresql_only, owed=3000, balance=9000)
    done = await asyncio.gather(*(settle(postgresql_only, 5) for _ in range(16)))
    assert sum(each[0] for each in done if isinstance(each, tuple)) == 3000
    assert sorted(each[2] for each in done if isinstance(each, tuple)) == [*range(0, 3000, 500)]
    await is_sound(postgresql_only)


async def test_settlements_and_new_receivables_at_the_same_time_add_up(
    postgresql_only: Database,
) -> None:
    await debtor(postgresql_only, owed=1000, balance=90000)

    async def owe_more() -> None:
        async with postgresql_only.transaction() as transaction:
            await owe(transaction, ("B", "U"), 100)

    settling = asyncio.gather(*(settle(postgresql_only, 1) for _ in range(12)))
    await asyncio.gather(settling, *(owe_more() for _ in range(12)))
    settled = sum(each[0] for each in settling.result() if isinstance(each, tuple))
    assert await listed(postgresql_only) == [("U", 1000 + 1200 - settled)]
    await is_sound(postgresql_only)


async def test_receivables_are_listed_newest_first_with_pages(database: Database) -> None:
    async with database.transaction() as transaction:
        keys = await open_wallets(transaction, "B", ["U1", "U2", "U3"])
    for key, owed in zip(keys, (10, 20, 30), strict=True):
        async with database.transaction() as transaction:
            await owe(transaction, key, owed)
    async with database.transaction() as transaction:
        await owe(transaction, keys[0], 5)  # it has owed something for the longest time
    assert await listed(database) == [("U3", 30), ("U2", 20), ("U1", 15)]
    assert await listed(database, page=2, limit=2) == [("U1", 15)]
    receivables = Receivables(database)
    one = await receivables.page(CALLER, "TEST", "U2", PageRequest())
    assert [each.user_id for each in one.rows] == ["U2"]
    since = one.rows[0].receivable_since
    assert await listed(database, from_date=since) == [("U3", 30), ("U2", 20)]
    for env, user in (("LIVE", None), ("TEST", "U9")):
        assert not (await receivables.page(CALLER, env, user, PageRequest())).rows
    other = Caller("OTHER", "TEST")
    assert not (await receivables.page(other, "TEST", "U2", PageRequest())).rows


async def refund_a_spent_funding(shop: Business) -> str:
    """Fund a wallet with 50, spend 30 of it, have the gateway refund 50; return the user."""
    user_id = await card_holder(shop)
    funded = await shop.call(fund_request(user_id))
    await shop.call(wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=Money(units=30)))
    keys = credentials_pb2.ModifyStripeCredentialsRequest.Credentials(
        env=types_pb2.ENV_TEST, stripe_webhook_secret=STRIPE_SECRET
    )
    await shop.call(credentials_pb2.ModifyStripeCredentialsRequest(credentials=keys))
    thing = {"id": "re_1", "amount": 5000, "currency": "usd", "status": "succeeded"}
    body = stripe_event(
        "evt_1", "refund.created", int(time.time()), payment_intent=funded.transaction_id, **thing
    ).body
    event = ReceiveWebhookRequest(
        business_id=shop.credentials.business_id,
        gateway=types_pb2.GATEWAY_STRIPE,
        body=body,
        signature=stripe_signature(body, time.time()),
    )
    await call(shop.client, Credentials(service_token=WEBHOOKS_TOKEN), event)
    return user_id


async def add_funds(shop: Business, user_id: str, units: int) -> Any:
    return await shop.call(
        wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=Money(units=units))
    )


async def state(shop: Business, user_id: str) -> tuple[int, int]:
    """Return the balance and what is owed, in whole units."""
    found = await shop.call(wallet_pb2.GetUserWalletRequest(user_id=user_id))
    assert found.receivable.currency_code == "USD"
    return found.wallet.balance.units, found.receivable.units


async def test_a_user_owes_what_a_refund_took_beyond_the_balance(shop: Business) -> None:
    user_id = await refund_a_spent_funding(shop)
    assert await state(shop, user_id) == (0, 30)
    (owed,) = (await shop.call(wallet_pb2.ListReceivablesRequest())).receivables
    assert (owed.user_id, owed.amount.units, owed.env) == (user_id, 30, types_pb2.ENV_TEST)
    assert owed.since.seconds > 0
    await add_funds(shop, user_id, 100)
    assert await state(shop, user_id) == (100, 30), "nothing is settled unless it is asked for"
    request = wallet_pb2.SettleReceivableRequest(user_id=user_id, idempotency_key="k")
    settled = await shop.call(request)
    assert (settled.amount.units, settled.new_balance.units) == (30, 70)
    assert settled.receivable == Money(currency_code="USD")
    assert await state(shop, user_id) == (70, 0)
    assert await shop.call(request) == settled, "the key replays the response"
    request.env = types_pb2.ENV_TEST  # the default
    assert await shop.call(request) == settled
    assert await state(shop, user_id) == (70, 0)
    history = await shop.call(wallet_pb2.GetWalletHistoryRequest(user_id=user_id, limit=1))
    (last,) = history.transactions
    assert last.transaction_id == settled.transaction_id
    assert (last.reason, last.source, last.description, last.new_balance.units) == (
        wallet_pb2.TRANSACTION_REASON_RECEIVABLE,
        wallet_pb2.TRANSACTION_SOURCE_SYSTEM,
        "Receivable settled",
        70,
    )


async def test_requests_that_settle_nothing(business: Business) -> None:
    user_id = await create_user(business)
    stranger = await register(business.client, "stranger")
    theirs = await create_user(stranger)
    refused: list[tuple[dict[str, Any], str, list[str]]] = [
        ({"user_id": user_id}, "RECEIVABLE_TOO_LOW", []),
        ({"user_id": user_id, "amount": Money(units=1)}, "RECEIVABLE_TOO_LOW", []),
        ({"user_id": theirs}, "USER_NOT_FOUND", []),
        ({"user_id": "USR-NONE"}, "USER_NOT_FOUND", []),
        (
            {"user_id": user_id, "amount": Money(units=1, currency_code="EUR")},
            "INVALID_FIELDS",
            ["amount.currency_code"],
        ),
        ({"user_id": user_id, "amount": Money()}, "INVALID_FIELDS", ["amount"]),
        ({"user_id": user_id, "amount": Money(units=-1)}, "INVALID_FIELDS", ["amount"]),
        ({"user_id": user_id, "amount": Money(nanos=1)}, "INVALID_FIELDS", ["amount"]),
    ]
    for fields, reason, problems in refused:
        with pytest.raises(CoreError) as error:
            await business.call(wallet_pb2.SettleReceivableRequest(**fields))
        assert error.value.reason == reason, fields
        assert [each.field for each in error.value.fields] == problems
    assert await state(business, user_id) == (0, 0)


SETTLING = Caller("B", "TEST", "hash", settles_receivables=True)


def settling_credit(user: str, units: int, key: str = "") -> MovementRequest:
    return replace(moving.credit(user, units, key), caller=SETTLING)


async def state_of(database: Database, user: str) -> tuple[int, int]:
    """Return the balance and what is owed, in minor units."""
    wallet = await WalletService(database).get(CALLER, user, "TEST")
    return wallet.balance_minor, wallet.receivable_minor


@pytest.mark.parametrize(("units", "balance", "owed"), [(10, 0, 2000), (30, 0, 0), (50, 2000, 0)])
async def test_a_credit_settles_what_it_covers(
    database: Database, units: int, balance: int, owed: int
) -> None:
    await debtor(database, owed=3000, balance=0)
    batch = moving.batch_of(database)
    assert await moving.outcome(batch, settling_credit("U", units, "k")) == str(units)
    assert await state_of(database, "U") == (balance, owed)
    assert await moving.outcome(batch, settling_credit("U", units, "k")) == f"replay: {units}"
    assert await state_of(database, "U") == (balance, owed)
    await is_sound(database)


async def test_a_batch_settles_for_those_who_are_credited_and_owe(database: Database) -> None:
    async with database.transaction() as transaction:
        keys = await open_wallets(transaction, "B", ["U1", "U2", "U3", "U4"])
        for key in (keys[0], keys[2], keys[3]):
            await owe(transaction, key, 500)
        await ledger.move(transaction, [credit(keys[3], 900)])
    done = await moving.outcomes(
        moving.batch_of(database),
        [
            settling_credit("U1", 3),
            settling_credit("U1", 4),
            moving.debit("U1", 1),
            settling_credit("U2", 7),
            moving.credit("U3", 7),  # this caller does not settle
            replace(moving.debit("U4", 1), caller=SETTLING),
            settling_credit("U9", 1),
        ],
    )
    assert done == ["3", "7", "6", "7", "7", "8", "User not found"]
    assert [await state_of(database, user) for user in ("U1", "U2", "U3", "U4")] == [
        (100, 0),
        (700, 0),
        (700, 500),
        (800, 500),
    ]
    await is_sound(database)


async def test_credits_debits_settlements_and_refunds_at_once_add_up(
    postgresql_only: Database,
) -> None:
    await debtor(postgresql_only, owed=2000, balance=0)
    batch = moving.batch_of(postgresql_only)

    async def owe_more() -> None:
        async with postgresql_only.transaction() as transaction:
            await owe(transaction, ("B", "U"), 100)

    requests = [settling_credit("U", 1) for _ in range(40)]
    requests += [moving.debit("U", 1) for _ in range(10)]
    running = asyncio.gather(*(moving.outcome(batch, each) for each in requests))
    await asyncio.gather(running, *(settle(postgresql_only) for _ in range(5)))
    await asyncio.gather(*(owe_more() for _ in range(8)))
    debits = sum(100 for each in running.result()[40:] if each.isdigit())
    balance, owed = await state_of(postgresql_only, "U")
    assert balance - owed == 4000 - debits - 2000 - 800
    await is_sound(postgresql_only)


async def test_wallets_settle_when_they_are_funded_if_the_business_wants_it(
    shop: Business,
) -> None:
    user_id = await refund_a_spent_funding(shop)
    await shop.call(fund_request(user_id, 5))
    assert await state(shop, user_id) == (5, 30)
    updates = business_pb2.ModifyBusinessRequest.Updates(settle_receivables=True)
    modified = await shop.call(business_pb2.ModifyBusinessRequest(updates=updates))
    assert list(modified.updated_fields) == ["settle_receivables"]
    assert modified.business.settle_receivables
    info = await shop.call(authentication_pb2.GetBusinessInfoRequest())
    assert info.business == modified.business
    added = await add_funds(shop, user_id, 10)
    assert added.new_balance.units == 15, "the balance of the credit's transaction"
    assert await state(shop, user_id) == (0, 15)
    request = fund_request(user_id, idempotency_key="f")
    funded = await shop.call(request)
    assert funded.wallet.balance.units == 50
    assert await state(shop, user_id) == (35, 0)
    assert await shop.call(request) == funded
    updates = business_pb2.ModifyBusinessRequest.Updates(settle_receivables=False)
    await shop.call(business_pb2.ModifyBusinessRequest(updates=updates))
    info = await shop.call(authentication_pb2.GetBusinessInfoRequest())
    assert not info.business.settle_receivables
