"""Responses that an older version stored are replayed with complete resources."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from google.type.money_pb2 import Money
from sqlalchemy import update

from core.database.schema import idempotency_records as records
from core.database.transactions import Database
from core.server.settings import CoreSettings
from nivisco.payments.v1 import cards_pb2, payments_pb2, users_pb2, wallet_pb2
from tests.core.running import (
    Business,
    Gateway,
    create_user,
    register,
    running_core,
    save_card,
    settings_for,
    with_stripe,
)

KEY = "order-1"


def create_user_request(user_id: str) -> Message:
    user = users_pb2.CreateUserRequest.NewUser(name="Bea", email="bea@example.com")
    return users_pb2.CreateUserRequest(user=user, idempotency_key=KEY)


def fund_request(user_id: str) -> Message:
    return payments_pb2.FundCustomerRequest(
        user_id=user_id, amount=Money(units=5), idempotency_key=KEY
    )


def debit_request(user_id: str) -> Message:
    return wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=Money(units=3))


def save_card_request(user_id: str) -> Message:
    return cards_pb2.CreateStripeCustomerRequest(
        user_id=user_id, payment_method_token="pm_card_mastercard", idempotency_key=KEY
    )


def old_created_user(now: users_pb2.CreateUserResponse) -> Message:
    return users_pb2.CreateUserResponse(
        user=users_pb2.User(user_id=now.user.user_id),
        wallet=wallet_pb2.Wallet(wallet_id=now.wallet.wallet_id),
    )


def old_funding(now: payments_pb2.FundCustomerResponse) -> Message:
    wallet = wallet_pb2.Wallet(wallet_id=now.wallet.wallet_id, balance=now.wallet.balance)
    return payments_pb2.FundCustomerResponse(transaction_id=now.transaction_id, wallet=wallet)


def old_saved_card(now: cards_pb2.CreateStripeCustomerResponse) -> Message:
    old = cards_pb2.CreateStripeCustomerResponse()
    old.CopyFrom(now)
    old.card.ClearField("user_id")
    old.card.ClearField("created_at")
    return old


def replayed_funding(now: payments_pb2.FundCustomerResponse) -> Message:
    return payments_pb2.FundCustomerResponse(transaction_id=now.transaction_id, wallet=now.wallet)


async def store_as_schema_1(settings: CoreSettings, business_id: str, old: Message) -> None:
    """Replace the stored answer by one that an older version would have written."""
    key = f"key:{KEY}"
    sealed = settings.keyring.seal_bytes(
        b"A" + old.SerializeToString(), business_id=business_id, purpose=f"idempotency/{key}"
    )
    database = Database(settings.database_url)
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            update(records)
            .where(records.c.business_id == business_id, records.c.key == key)
            .values(sealed_answer=sealed, answer_schema=None)
        )
    await database.close()


async def replay_as_old(
    settings: CoreSettings, request_for: Any, old_form: Any, *later: Any
) -> tuple[Any, Any]:
    """Return a call's first response, and its replay from a record of schema 1.

    `later` are further requests for the user between the two.
    """
    async with running_core(settings) as client:
        shop = await with_stripe(await register(client))
        user_id = await create_user(shop)
        await save_card(shop, user_id)
        first = await shop.call(request_for(user_id))
        for request in later:
            await shop.call(request(user_id))
    await store_as_schema_1(settings, shop.credentials.business_id, old_form(first))
    async with running_core(settings) as client:
        return first, await Business(client, shop.credentials).call(request_for(user_id))


@pytest.fixture
def settings(tmp_path: Path, database_url: str, gateway: Gateway) -> CoreSettings:
    urls = {"TEST": gateway.url, "LIVE": gateway.url}
    return settings_for(tmp_path, database_url=database_url, stripe_urls=urls)


@pytest.mark.parametrize(
    ("request_for", "old_form", "replay_of"),
    [
        (create_user_request, old_created_user, lambda first: first),
        (fund_request, old_funding, replayed_funding),
        (save_card_request, old_saved_card, lambda first: first),
    ],
)
async def test_an_old_response_is_replayed_with_complete_resources(
    settings: CoreSettings, request_for: Any, old_form: Any, replay_of: Any
) -> None:
    first, replayed = await replay_as_old(settings, request_for, old_form)
    assert replayed == replay_of(first)


async def test_an_old_funding_is_replayed_with_its_balance(settings: CoreSettings) -> None:
    first, replayed = await replay_as_old(settings, fund_request, old_funding, debit_request)
    assert replayed.wallet.balance == first.wallet.balance
    assert replayed.wallet.user_id == first.wallet.user_id
