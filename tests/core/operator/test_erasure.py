"""OperatorService.EraseUser: a person goes, and the books stay."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from core.database.schema import metadata as schema
from core.database.transactions import Database
from core.operator import erasure_store
from nivisco.internal.v1 import operator_pb2 as pb
from nivisco.payments.v1 import (
    cards_pb2,
    payments_pb2,
    recurring_pb2,
    types_pb2,
    users_pb2,
    wallet_pb2,
)
from rpc.errors import CoreError
from rpc.metadata import Credentials
from tests.core.payments.charging import INTENTS, card_holder, charge_request, fund_request, records
from tests.core.recurring.running import create_job, usd
from tests.core.refunds.refunding import balance_of, refund_request, refunds_of
from tests.core.running import (
    OPERATOR_TOKEN,
    Business,
    Gateway,
    call,
    create_user,
    register,
    running_core,
    save_card,
    settings_for,
    with_stripe,
)

OPERATOR = Credentials(service_token=OPERATOR_TOKEN)
PERSONAL = ("Alicia", "alicia", "passport-17")
PAIRS = {"document": "passport-17"}
Act = Callable[[Business, str], Awaitable[object]]


async def erase(shop: Business, erased_id: str, /, **changes: str) -> Any:
    fields = {
        "business_id": shop.credentials.business_id,
        "user_id": erased_id,
        "decided_by": "ana",
        "reason": "asked for it",
    }
    return await call(shop.client, OPERATOR, pb.EraseUserRequest(**fields | changes))


async def person(shop: Business) -> str:
    """Return a user with metadata on everything, who has nothing left to charge."""
    created = await shop.call(
        users_pb2.CreateUserRequest(
            user=users_pb2.CreateUserRequest.NewUser(
                name="Alicia Gomez", email="alicia@example.com", metadata=PAIRS
            )
        )
    )
    user_id: str = created.user.user_id
    card = await save_card(shop, user_id)
    await shop.call(fund_request(user_id, metadata=PAIRS, idempotency_key="one"))
    (payment,) = await records(shop)
    await shop.call(refund_request(payment.payment_id, 20, metadata=PAIRS))
    job = await create_job(shop, user_id, metadata=PAIRS)
    await shop.call(recurring_pb2.CancelRecurringRequest(recurring_id=job))
    hold = wallet_pb2.HoldWalletRequest(
        user_id=user_id, amount=usd(1), expires_in_seconds=60, metadata=PAIRS
    )
    await shop.call(hold)
    await shop.call(cards_pb2.RemoveCardRequest(card_id=card.card.card_id))
    return user_id


async def everything(url: str) -> str:
    """Return the rows of all tables as text."""
    database = Database(url)
    try:
        async with database.transaction() as transaction:
            rows = [
                str((await transaction.connection.execute(select(table))).all())
                for table in schema.sorted_tables
            ]
    finally:
        await database.close()
    return "\n".join(rows)


async def test_what_identifies_a_person_is_in_no_table_and_the_books_stay(
    tmp_path: Path, database_url: str, gateway: Gateway
) -> None:
    settings = settings_for(tmp_path, database_url=database_url, stripe_urls={"TEST": gateway.url})
    async with running_core(settings) as client:
        shop = await with_stripe(await register(client))
        user_id = await person(shop)
        before = await records(shop), await refunds_of(shop), await balance_of(shop, user_id)
        erased = await erase(shop, user_id)
        after = await records(shop), await refunds_of(shop), await balance_of(shop, user_id)
    assert (erased.user.name, erased.user.email, erased.user.active) == (
        "Erased user",
        f"{user_id.lower()}@erased.invalid",
        False,
    )
    assert (erased.decision.action, erased.decision.decided_by) == ("erase", "ana")
    assert erased.cleared == 4
    (customer,) = erased.gateway_customers
    assert customer.env == types_pb2.ENV_TEST
    assert customer.customer_id.startswith("cus_")
    stored = await everything(database_url)
    assert [word for word in PERSONAL if word in stored] == []
    for each in (*before[0], *before[1]):
        assert dict(each.metadata) == PAIRS
        each.ClearField("metadata")
    assert after == before


async def test_an_interrupted_erasure_is_continued(
    shop: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = await card_holder(shop)
    for _ in range(3):
        await shop.call(charge_request(user_id, metadata=PAIRS))
    (card,) = (await shop.call(cards_pb2.GetUserCardsRequest(user_id=user_id))).cards
    await shop.call(cards_pb2.RemoveCardRequest(card_id=card.card_id))
    monkeypatch.setattr(erasure_store, "BATCH", 2)
    clear = erasure_store.clear_metadata
    batches: list[int] = []

    async def dying(*arguments: Any, **named: Any) -> int:
        if len(batches) == 1:
            raise RuntimeError
        batches.append(await clear(*arguments, **named))
        return batches[-1]

    monkeypatch.setattr(erasure_store, "clear_metadata", dying)
    with pytest.raises(CoreError):
        await erase(shop, user_id)
    assert [bool(each.metadata) for each in await records(shop)].count(True) == 1
    monkeypatch.setattr(erasure_store, "clear_metadata", clear)
    assert (await erase(shop, user_id)).cleared == 1
    assert not any(each.metadata for each in await records(shop))
    by_pair = payments_pb2.GetPaymentRecordsRequest(metadata=PAIRS)
    assert (await shop.call(by_pair)).total == 0


async def authorized(shop: Business, user_id: str) -> None:
    await shop.call(charge_request(user_id, capture=False))


async def unknown(shop: Business, user_id: str) -> None:
    with pytest.raises(CoreError, match="not known yet"):
        await shop.call(charge_request(user_id))


async def job(shop: Business, user_id: str) -> None:
    await create_job(shop, user_id)


async def paused_job(shop: Business, user_id: str) -> None:
    made = await create_job(shop, user_id)
    await shop.call(recurring_pb2.PauseRecurringRequest(recurring_id=made))


@pytest.mark.parametrize(
    ("act", "has"),
    [
        (save_card, "cards (1)"),
        (job, "recurring jobs (1)"),
        (paused_job, "recurring jobs (1)"),
        (authorized, "open payments (1)"),
        (unknown, "open payments (1)"),
    ],
)
async def test_a_user_who_may_still_be_charged_is_not_erased(
    shop: Business, gateway: Gateway, act: Act, has: str
) -> None:
    user_id = await create_user(shop)
    if act in (authorized, unknown):
        await save_card(shop, user_id)
    if act is unknown:
        await gateway.fault("reset_after", INTENTS, times=1000, method=None)
    await act(shop, user_id)
    with pytest.raises(CoreError) as refused:
        await erase(shop, user_id)
    assert refused.value.reason == "INVALID_FIELDS"
    (problem,) = refused.value.fields
    assert problem.field == "user_id"
    assert has in problem.description
    user = (await shop.call(users_pb2.GetUserInfoRequest(user_id=user_id))).user
    assert (user.name, user.active) == ("Alicia Gomez", True)
    await gateway.clear()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"user_id": "USR-NONE"}, "USER_NOT_FOUND"),
        ({"business_id": "BUS-NONE"}, "USER_NOT_FOUND"),
        ({"business_id": ""}, "INVALID_FIELDS"),
        ({"reason": " "}, "INVALID_FIELDS"),
        ({"decided_by": ""}, "INVALID_FIELDS"),
    ],
)
async def test_an_erasure_names_an_existing_user_and_who_decides(
    shop: Business, changes: dict[str, str], reason: str
) -> None:
    with pytest.raises(CoreError) as refused:
        await erase(shop, await create_user(shop), **changes)
    assert refused.value.reason == reason
