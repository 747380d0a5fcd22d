"""What a suspended user or business can and cannot do. Over gRPC, with the sandbox."""

from datetime import timedelta
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.message import Message

from nivisco.internal.v1 import operator_pb2
from nivisco.payments.v1 import (
    authentication_pb2,
    payments_pb2,
    refunds_pb2,
    users_pb2,
    wallet_pb2,
)
from nivisco.payments.v1 import recurring_pb2 as pb
from rpc.catalogue import methods_by_path
from rpc.errors import CoreError
from tests.core.recurring.running import (
    ON_SQLITE,
    OPERATOR,
    SKIPPED,
    SUCCEEDED,
    claim_and_execute,
    create_job,
    fill_wallet,
    job_of,
    job_request,
    logs_of,
    usd,
)
from tests.core.running import Business, Gateway, ShiftedClock, call, create_user, save_card

DAY = timedelta(days=1, seconds=5)
ACTIONS = {each.descriptor.name: each for each in methods_by_path().values() if each.is_action}
ALLOWED = {
    "VoidPayment",
    "ReleaseHold",
    "PauseRecurring",
    "CancelRecurring",
    "SkipNext",
    "RemoveCard",
}
CHARGES = {"ChargeCustomer", "FundCustomer", "RetryRecurring"}
"""Admitted as possible retries, and refused as `charging` shows if they are none."""


@pytest.fixture
async def payer(shop: Business) -> str:
    """A user with a card, and 100 dollars in the wallet."""
    user_id = await create_user(shop)
    await save_card(shop, user_id)
    await fill_wallet(shop, user_id, 100)
    return user_id


async def decide(shop: Business, verb: str, business_id: str = "") -> Any:
    """Suspend or reactivate the business, as an operator does."""
    request = getattr(operator_pb2, f"{verb}BusinessRequest")(
        id=business_id or shop.credentials.business_id, decided_by="ops", reason="stolen"
    )
    return await call(shop.client, OPERATOR, request)


async def change(shop: Business, who: str, user_id: str, *, suspend: bool) -> None:
    """Suspend or reactivate the user or their business."""
    if who == "business":
        await decide(shop, "Suspend" if suspend else "Reactivate")
    elif suspend:
        await shop.call(users_pb2.SuspendUserRequest(user_id=user_id))
    else:
        await shop.call(users_pb2.ReactivateUserRequest(user_id=user_id))


async def reason_of(shop: Business, request: Message) -> str | None:
    try:
        await shop.call(request)
    except CoreError as error:
        return error.reason
    return None


def charge(user_id: str, **more: Any) -> payments_pb2.ChargeCustomerRequest:
    return payments_pb2.ChargeCustomerRequest(user_id=user_id, amount=usd(5), **more)


def charging(user_id: str, other: str) -> list[Message]:
    """Return a request of each kind that takes, holds or moves a user's money."""

    def transfer(sender: str, receiver: str) -> Message:
        return wallet_pb2.TransferWalletRequest(
            from_user_id=sender, to_user_id=receiver, amount=usd(1)
        )

    return [
        charge(user_id),
        payments_pb2.FundCustomerRequest(user_id=user_id, amount=usd(5)),
        wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=usd(1)),
        wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=usd(1)),
        wallet_pb2.HoldWalletRequest(user_id=user_id, amount=usd(1), expires_in_seconds=3600),
        transfer(user_id, other),
        transfer(other, user_id),
        job_request(user_id),
    ]


@ON_SQLITE
@pytest.mark.parametrize("who", ["user", "business"])
async def test_who_is_suspended_is_not_charged_until_reactivated(
    shop: Business, payer: str, gateway: Gateway, who: str
) -> None:
    other = await create_user(shop)
    await fill_wallet(shop, other, 10)
    paid = await shop.call(charge(payer))
    await change(shop, who, payer, suspend=True)
    keyed = charge(payer, idempotency_key="k")
    for request in [*charging(payer, other), keyed]:
        assert await reason_of(shop, request) == f"{who.upper()}_SUSPENDED", request.DESCRIPTOR.name
    assert len(await gateway.charges()) == 1
    refund = refunds_pb2.RefundPaymentRequest(payment_id=paid.payment_id, amount=usd(1))
    assert (await shop.call(refund)).refund.refund_id
    assert (await shop.call(wallet_pb2.GetUserWalletRequest(user_id=payer))).wallet.balance.units
    await change(shop, who, payer, suspend=False)
    for request in [*charging(payer, other), keyed]:
        assert await reason_of(shop, request) is None, request.DESCRIPTOR.name


@ON_SQLITE
async def test_a_suspended_business_is_refused_by_the_options_of_the_methods(
    shop: Business,
) -> None:
    """An empty request is refused for its fields once the call is admitted."""
    await decide(shop, "Suspend")
    for name, method in ACTIONS.items():
        if method.admin_only or name == "ChangeApiKey":
            continue
        empty = message_factory.GetMessageClass(method.descriptor.input_type)()
        is_refused = await reason_of(shop, empty) == "BUSINESS_SUSPENDED"
        assert is_refused is (method.key_scope == "charge" and name not in ALLOWED | CHARGES), name


@ON_SQLITE
async def test_others_are_not_suspended(shop: Business, payer: str) -> None:
    other = await create_user(shop)
    await fill_wallet(shop, other, 10)
    await change(shop, "user", payer, suspend=True)
    debit = wallet_pb2.ChargeWalletRequest(user_id=other, amount=usd(1))
    assert await reason_of(shop, debit) is None


@ON_SQLITE
async def test_a_suspension_is_shown_and_repeating_it_keeps_its_time(
    shop: Business, payer: str, clock: ShiftedClock
) -> None:
    first = await shop.call(users_pb2.SuspendUserRequest(user_id=payer))
    assert first.message == "User suspended"
    assert first.user.active
    business = await decide(shop, "Suspend")
    clock.ahead = timedelta(seconds=5)
    again = await shop.call(users_pb2.SuspendUserRequest(user_id=payer))
    assert again.user.suspended_at == first.user.suspended_at
    repeated = await decide(shop, "Suspend")
    assert repeated.business.suspended_at == business.business.suspended_at
    (listed,) = (await shop.call(users_pb2.GetAllUsersRequest())).users
    assert listed == again.user
    info = await shop.call(authentication_pb2.ValidateBusinessRequest())
    assert info.business == repeated.business
    await decide(shop, "Reactivate")
    ended = await shop.call(users_pb2.ReactivateUserRequest(user_id=payer))
    assert not ended.user.HasField("suspended_at")
    info = await shop.call(authentication_pb2.ValidateBusinessRequest())
    assert not info.business.HasField("suspended_at")


@ON_SQLITE
async def test_only_a_user_of_the_business_is_suspended(shop: Business) -> None:
    for request in (
        users_pb2.SuspendUserRequest(user_id="USR-1"),
        users_pb2.ReactivateUserRequest(user_id="USR-1"),
    ):
        assert await reason_of(shop, request) == "USER_NOT_FOUND"


@ON_SQLITE
@pytest.mark.parametrize("business_id", ["ADMIN-BUSINESS", "nobody"])
async def test_only_a_merchant_is_suspended(shop: Business, business_id: str) -> None:
    with pytest.raises(CoreError) as refused:
        await decide(shop, "Suspend", business_id)
    assert [each.field for each in refused.value.fields] == ["id"]


@ON_SQLITE
@pytest.mark.parametrize("who", ["user", "business"])
@pytest.mark.parametrize("source", ["WALLET", "STRIPE"])
async def test_cycles_are_skipped_while_suspended_and_go_on_after_it(
    shop: Business, payer: str, clock: ShiftedClock, who: str, source: str
) -> None:
    """More cycles than would pause the job if they failed."""
    job = await create_job(
        shop, payer, source=pb.RecurringSource.Value(f"RECURRING_SOURCE_{source}")
    )
    await change(shop, who, payer, suspend=True)
    for day in range(1, 5):
        clock.ahead = day * DAY
        assert await claim_and_execute(shop) == 1
    await change(shop, who, payer, suspend=False)
    clock.ahead = 5 * DAY
    assert await claim_and_execute(shop) == 1
    logs = await logs_of(shop, job)
    assert [log.status for log in logs] == [SKIPPED] * 4 + [SUCCEEDED]
    assert {log.message for log in logs[:4]} == {f"The {who} is suspended; not charged"}
    after = await job_of(shop, job)
    assert (after.status, after.executed_cycles) == (pb.RECURRING_STATUS_ACTIVE, 1)


async def test_the_suspension_of_a_job_is_read_on_each_database(
    shop: Business, clock: ShiftedClock
) -> None:
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id, 100)
    job = await create_job(shop, user_id)
    await decide(shop, "Suspend")
    await change(shop, "user", user_id, suspend=True)
    debit = wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=usd(1))
    assert await reason_of(shop, debit) == "BUSINESS_SUSPENDED"
    clock.ahead = DAY
    assert await claim_and_execute(shop) == 1
    await decide(shop, "Reactivate")
    assert await reason_of(shop, debit) == "USER_SUSPENDED"
    assert [log.status for log in await logs_of(shop, job)] == [SKIPPED]


@ON_SQLITE
@pytest.mark.parametrize("who", ["user", "business"])
@pytest.mark.parametrize("key", ["k", None])
async def test_a_charge_without_an_outcome_gets_it_while_suspended(
    shop: Business, payer: str, gateway: Gateway, who: str, key: str | None
) -> None:
    """The same request resumes it: the money may have been taken."""
    await gateway.fault("reset_after", "/v1/payment_intents", times=20, method=None)
    request = charge(payer, idempotency_key=key)
    assert await reason_of(shop, request) == "OUTCOME_UNKNOWN"
    await gateway.clear()
    await change(shop, who, payer, suspend=True)
    answer = await shop.call(request)
    assert answer.transaction_id
    assert len(await gateway.charges()) == 1


@ON_SQLITE
@pytest.mark.parametrize("who", ["user", "business"])
async def test_what_was_done_is_answered_again_while_suspended(
    shop: Business, payer: str, gateway: Gateway, who: str
) -> None:
    other = await create_user(shop)
    await fill_wallet(shop, other, 10)
    done = []
    for number, request in enumerate(charging(payer, other)):
        request.idempotency_key = f"k{number}"  # type: ignore[attr-defined]
        done.append((request, await shop.call(request)))
    await change(shop, who, payer, suspend=True)
    for request, answer in done:
        assert await shop.call(request) == answer, request.DESCRIPTOR.name
    assert len(await gateway.charges()) == 2


@ON_SQLITE
async def test_a_retried_cycle_is_answered_again_while_the_business_is_suspended(
    shop: Business, gateway: Gateway, clock: ShiftedClock
) -> None:
    """Two jobs failed as there was no card."""
    user_id = await create_user(shop)
    source = pb.RECURRING_SOURCE_STRIPE
    jobs = [await create_job(shop, user_id, source=source) for _ in range(2)]
    clock.ahead = DAY
    assert await claim_and_execute(shop) == 2
    await save_card(shop, user_id)
    charged, not_begun = (
        pb.RetryRecurringRequest(recurring_id=job, idempotency_key=job) for job in jobs
    )
    await gateway.fault("reset_after", "/v1/payment_intents", times=20, method=None)
    assert await reason_of(shop, charged) == "OUTCOME_UNKNOWN"
    await gateway.clear()
    await decide(shop, "Suspend")
    assert await reason_of(shop, not_begun) == "BUSINESS_SUSPENDED"
    answer = await shop.call(charged)
    assert answer == await shop.call(charged)
    assert len(await gateway.charges()) == 1
