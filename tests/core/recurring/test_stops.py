"""What is refused, waits and goes on while it is stopped. Over gRPC, with the sandbox."""

from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.message import Message

from core.business.known_callers import KnownCallers
from nivisco.internal.v1 import operator_pb2
from nivisco.payments.v1 import payments_pb2, refunds_pb2, types_pb2, wallet_pb2
from nivisco.payments.v1 import recurring_pb2 as pb
from rpc.catalogue import methods_by_path
from rpc.errors import CoreError
from tests.core.recurring.running import (
    DECLINED,
    ON_SQLITE,
    OPERATOR,
    SKIPPED,
    SUCCEEDED,
    claim,
    claim_and_execute,
    create_job,
    execute,
    fill_wallet,
    intent_statuses,
    job_of,
    logs_of,
    usd,
)
from tests.core.running import Business, Gateway, ShiftedClock, call, create_user, save_card

DAY = timedelta(days=1, seconds=5)
STRIPE = pb.RECURRING_SOURCE_STRIPE
STOPPED = "PAYMENTS_STOPPED"


@pytest.fixture
async def payer(shop: Business) -> str:
    """A user with a card, and 100 dollars in the wallet."""
    user_id = await create_user(shop)
    await save_card(shop, user_id)
    await fill_wallet(shop, user_id, 100)
    return user_id


async def decide(shop: Business, verb: str, what: str, gateway: str | None = None) -> Any:
    """Stop or start payments of all businesses, as an operator does."""
    scope = operator_pb2.StopScope(
        what=operator_pb2.Stoppable.Value(f"STOPPABLE_{what.upper()}"),
        gateway=types_pb2.Gateway.Value(f"GATEWAY_{gateway.upper()}") if gateway else None,
    )
    request = getattr(operator_pb2, f"{verb}PaymentsRequest")(
        scope=scope, decided_by="ops", reason="wrong prices"
    )
    return await call(shop.client, OPERATOR, request)


async def reason_of(shop: Business, request: Message) -> str | None:
    try:
        await shop.call(request)
    except CoreError as error:
        return error.reason
    return None


def charge(user_id: str, **more: Any) -> payments_pb2.ChargeCustomerRequest:
    return payments_pb2.ChargeCustomerRequest(user_id=user_id, amount=usd(5), **more)


async def requests_of(shop: Business, payer: str) -> dict[str, Message]:
    """Return a request of each action that moves money, which succeeds."""
    other = await create_user(shop)
    authorized = await shop.call(charge(payer, capture=False))
    hold = wallet_pb2.HoldWalletRequest(user_id=payer, amount=usd(1), expires_in_seconds=3600)
    held = await shop.call(hold)
    return {
        "ChargeCustomer": charge(payer),
        "FundCustomer": payments_pb2.FundCustomerRequest(user_id=payer, amount=usd(5)),
        "CapturePayment": payments_pb2.CapturePaymentRequest(payment_id=authorized.payment_id),
        "ChargeWallet": wallet_pb2.ChargeWalletRequest(user_id=payer, amount=usd(1)),
        "AddWalletFunds": wallet_pb2.AddWalletFundsRequest(user_id=payer, amount=usd(1)),
        "HoldWallet": hold,
        "CaptureHold": wallet_pb2.CaptureHoldRequest(hold_id=held.hold.hold_id),
        "TransferWallet": wallet_pb2.TransferWalletRequest(
            from_user_id=payer, to_user_id=other, amount=usd(1)
        ),
    }


CHARGES = {"ChargeCustomer", "FundCustomer"}
AT_GATEWAY = {*CHARGES, "CapturePayment"}
OWED_OR_RETRIED = {"SettleReceivable", "RetryRecurring"}
"""Actions that need more than this test makes; the last one has a test of its own."""
WHAT_IS_REFUSED = {
    ("charges", None): CHARGES,
    ("charges", "stripe"): CHARGES,
    ("charges", "authorize"): set[str](),
    ("recurring", None): set[str](),
    ("everything", "stripe"): AT_GATEWAY,
    ("everything", None): {
        *AT_GATEWAY,
        *("ChargeWallet", "AddWalletFunds", "HoldWallet", "CaptureHold", "TransferWallet"),
    },
}


@pytest.fixture
def admission(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A core that admits callers as they are, or still as they were when there was no stop."""
    if request.param == "before the stop":
        monkeypatch.setattr(KnownCallers, "forget_at_end", lambda *_: None)


AS_ADMITTED = pytest.mark.parametrize(
    "admission", ["after the stop", "before the stop"], indirect=True
)


@ON_SQLITE
@pytest.mark.usefixtures("admission")
@AS_ADMITTED
async def test_each_stop_refuses_what_it_is_of_and_nothing_else(
    shop: Business, payer: str, gateway: Gateway
) -> None:
    """Every request that is refused succeeds after the stop, with its key."""
    requests = await requests_of(shop, payer)
    movers = {m.descriptor.name for m in methods_by_path().values() if m.moves_money}
    assert movers == {*requests, *OWED_OR_RETRIED}
    for number, (scope, refused) in enumerate(WHAT_IS_REFUSED.items()):
        await decide(shop, "Stop", *scope)
        for name in refused:
            requests[name].idempotency_key = f"{name}-{number}"  # type: ignore[attr-defined]
            assert await reason_of(shop, requests[name]) == STOPPED, (scope, name)
            requests[name].ClearField("idempotency_key")
            assert await reason_of(shop, requests[name]) == STOPPED, (scope, name)
        if scope == ("recurring", None):
            assert await reason_of(shop, requests["ChargeCustomer"]) is None
            assert await reason_of(shop, requests["ChargeWallet"]) is None
        await decide(shop, "Start", *scope)
    assert len(await gateway.charges()) == 2
    for name, request in requests.items():
        request.idempotency_key = name  # type: ignore[attr-defined]
        assert await reason_of(shop, request) is None, name


@ON_SQLITE
async def test_what_gives_back_or_reads_and_what_was_done_goes_on(
    shop: Business, payer: str, gateway: Gateway
) -> None:
    keyed = charge(payer, idempotency_key="k")
    debit = wallet_pb2.ChargeWalletRequest(user_id=payer, amount=usd(1), idempotency_key="d")
    paid, debited = await shop.call(keyed), await shop.call(debit)
    authorized = await shop.call(charge(payer, capture=False))
    hold = wallet_pb2.HoldWalletRequest(user_id=payer, amount=usd(1), expires_in_seconds=3600)
    held = await shop.call(hold)
    await decide(shop, "Stop", "everything")
    assert await shop.call(keyed) == paid
    assert await shop.call(debit) == debited
    for request in (
        refunds_pb2.RefundPaymentRequest(payment_id=paid.payment_id, amount=usd(1)),
        payments_pb2.VoidPaymentRequest(payment_id=authorized.payment_id),
        wallet_pb2.ReleaseHoldRequest(hold_id=held.hold.hold_id),
        payments_pb2.GetPaymentRequest(payment_id=paid.payment_id),
        wallet_pb2.GetUserWalletRequest(user_id=payer),
        pb.CreateRecurringRequest(
            user_id=payer, amount=usd(1), interval_type=pb.INTERVAL_TYPE_DAY, source=STRIPE
        ),
    ):
        assert await reason_of(shop, request) is None, request.DESCRIPTOR.name
    await save_card(shop, await create_user(shop))
    with pytest.raises(CoreError) as refused:
        await shop.call(charge(payer))
    assert refused.value.retry_after_seconds == 60


@ON_SQLITE
@pytest.mark.parametrize("key", ["k", None])
async def test_a_charge_without_an_outcome_gets_it_while_stopped(
    shop: Business, payer: str, gateway: Gateway, key: str | None
) -> None:
    """The same request resumes it: the money may have been taken."""
    await gateway.fault("reset_after", "/v1/payment_intents", times=20, method=None)
    request = charge(payer, idempotency_key=key)
    assert await reason_of(shop, request) == "OUTCOME_UNKNOWN"
    await gateway.clear()
    await decide(shop, "Stop", "everything")
    assert (await shop.call(request)).transaction_id
    assert len(await gateway.charges()) == 1


@ON_SQLITE
async def test_a_charge_that_the_gateway_never_got_is_sent_after_the_stop(
    shop: Business, payer: str, gateway: Gateway
) -> None:
    await gateway.fault("reset_before", "/v1/payment_intents", times=20, method=None)
    request = charge(payer, idempotency_key="k")
    assert await reason_of(shop, request) == "OUTCOME_UNKNOWN"
    await gateway.clear()
    await decide(shop, "Stop", "charges", "stripe")
    assert await reason_of(shop, request) == "OUTCOME_UNKNOWN"
    assert not await gateway.charges()
    await decide(shop, "Start", "charges", "stripe")
    assert await reason_of(shop, request) is None
    assert len(await gateway.charges()) == 1


@ON_SQLITE
@pytest.mark.parametrize(("what", "source"), [("recurring", "WALLET"), ("everything", "STRIPE")])
async def test_due_cycles_wait_and_are_charged_once_after_the_stop(
    shop: Business, payer: str, clock: ShiftedClock, what: str, source: str
) -> None:
    job = await create_job(
        shop, payer, source=pb.RecurringSource.Value(f"RECURRING_SOURCE_{source}")
    )
    await decide(shop, "Stop", what)
    clock.ahead = DAY
    assert await claim(shop) == []
    await decide(shop, "Start", what)
    clock.ahead = DAY + timedelta(hours=1)
    assert await claim_and_execute(shop) == 1
    assert await claim_and_execute(shop) == 0
    assert [log.status for log in await logs_of(shop, job)] == [SUCCEEDED]


@pytest.mark.parametrize("source", ["WALLET", "STRIPE"])
async def test_a_cycle_that_was_claimed_before_the_stop_waits_too(
    shop: Business, payer: str, clock: ShiftedClock, gateway: Gateway, source: str
) -> None:
    job = await create_job(
        shop, payer, source=pb.RecurringSource.Value(f"RECURRING_SOURCE_{source}")
    )
    clock.ahead = DAY
    (lease,) = await claim(shop)
    await decide(shop, "Stop", "recurring")
    assert (await execute(shop, lease)).HasField("next_attempt_at")
    assert await logs_of(shop, job) == []
    await decide(shop, "Start", "recurring")
    clock.ahead = DAY + timedelta(minutes=2)
    assert await claim_and_execute(shop) == 1
    assert [log.status for log in await logs_of(shop, job)] == [SUCCEEDED]


@ON_SQLITE
async def test_a_stop_at_one_gateway_lets_the_others_and_wallets_charge(
    shop: Business, payer: str, clock: ShiftedClock, gateway: Gateway
) -> None:
    """The next cycle takes the place of one that waited for too long, which did not fail."""
    card = await create_job(shop, payer, source=STRIPE)
    wallet = await create_job(shop, payer)
    await decide(shop, "Stop", "recurring", "stripe")
    for day in range(1, 5):
        clock.ahead = day * DAY
        await claim_and_execute(shop)
    assert not await gateway.charges()
    assert [log.status for log in await logs_of(shop, wallet)] == [SUCCEEDED] * 4
    await decide(shop, "Start", "recurring", "stripe")
    clock.ahead = 4 * DAY + timedelta(minutes=2)
    await claim_and_execute(shop)
    logs = await logs_of(shop, card)
    assert [log.status for log in logs] == [SKIPPED] * 3 + [SUCCEEDED]
    assert "Payments were stopped until the next cycle was due" in logs[0].message
    job = await job_of(shop, card)
    assert (job.status, job.executed_cycles) == (pb.RECURRING_STATUS_ACTIVE, 1)
    assert len(await gateway.charges()) == 1


@ON_SQLITE
@pytest.mark.parametrize(
    ("what", "source", "is_refused"),
    [
        ("charges", "STRIPE", True),
        ("charges", "WALLET", False),
        ("recurring", "STRIPE", True),
        ("charges", "UNSPECIFIED", True),
        ("recurring", "UNSPECIFIED", True),
        ("recurring", "WALLET", True),
        ("everything", "WALLET", True),
    ],
)
@pytest.mark.usefixtures("admission")
@AS_ADMITTED
async def test_a_failed_cycle_is_retried_by_hand_only_if_its_source_is_not_stopped(
    shop: Business, clock: ShiftedClock, what: str, source: str, is_refused: bool
) -> None:
    user_id = await create_user(shop)
    job = await create_job(
        shop, user_id, source=pb.RecurringSource.Value(f"RECURRING_SOURCE_{source}")
    )
    clock.ahead = DAY
    assert await claim_and_execute(shop) == 1
    await save_card(shop, user_id)
    await fill_wallet(shop, user_id, 100)
    retry = pb.RetryRecurringRequest(recurring_id=job, idempotency_key="k")
    await decide(shop, "Stop", what)
    assert await reason_of(shop, retry) == (STOPPED if is_refused else None)
    await decide(shop, "Start", what)
    assert await reason_of(shop, retry) is None


@ON_SQLITE
async def test_a_retry_that_is_stopped_cancels_no_earlier_payment(
    shop: Business, clock: ShiftedClock, gateway: Gateway
) -> None:
    """Whether it is due or asked for."""
    user_id = await create_user(shop)
    await save_card(shop, user_id, "pm_card_chargeCustomerFail")
    job = await create_job(shop, user_id, source=STRIPE, interval_type=pb.INTERVAL_TYPE_MONTH)
    clock.ahead = 32 * DAY
    assert await claim_and_execute(shop) == 1
    clock.ahead = 36 * DAY
    await decide(shop, "Stop", "everything", "stripe")
    (lease,) = await claim(shop)
    assert (await execute(shop, lease)).HasField("next_attempt_at")
    assert await reason_of(shop, pb.RetryRecurringRequest(recurring_id=job)) == STOPPED
    assert "canceled" not in await intent_statuses(gateway)
    await decide(shop, "Start", "everything", "stripe")
    assert await reason_of(shop, pb.RetryRecurringRequest(recurring_id=job)) == "CARD_DECLINED"
    assert "canceled" in await intent_statuses(gateway)


@ON_SQLITE
async def test_a_cycle_whose_retry_was_stopped_until_the_next_one_does_not_count_as_failed(
    shop: Business, clock: ShiftedClock, gateway: Gateway
) -> None:
    user_id = await create_user(shop)
    await save_card(shop, user_id, "pm_card_chargeCustomerFail")
    job = await create_job(shop, user_id, source=STRIPE, interval_type=pb.INTERVAL_TYPE_MONTH)
    clock.ahead = 32 * DAY
    assert await claim_and_execute(shop) == 1
    await decide(shop, "Stop", "recurring", "stripe")
    clock.ahead = 64 * DAY
    (lease,) = await claim(shop)
    await execute(shop, lease)
    logs = await logs_of(shop, job)
    assert [(log.attempt, log.status) for log in logs] == [(1, DECLINED), (2, SKIPPED)]
    assert "Payments were stopped until the next cycle was due" in logs[1].message
    assert (await shop.call(pb.GetRecurringRequest(recurring_id=job))).failed_cycles == 0


@ON_SQLITE
async def test_operators_see_what_is_stopped_until_it_ends(shop: Business) -> None:
    stopped = await decide(shop, "Stop", "charges", "stripe")
    examined = await call(shop.client, OPERATOR, operator_pb2.ExamineRequest())
    (finding,) = [each for each in examined.checks if each.name == "stops"]
    assert finding.verdict == operator_pb2.CHECK_VERDICT_WARNING
    listed = await call(shop.client, OPERATOR, operator_pb2.ListStopsRequest())
    assert list(listed.stops) == [stopped.stop]
    assert stopped.stop.reason == "wrong prices"
    ended = await decide(shop, "Start", "charges", "stripe")
    assert ended.stop.HasField("ended_at")
    assert not (await call(shop.client, OPERATOR, operator_pb2.ListStopsRequest())).stops
