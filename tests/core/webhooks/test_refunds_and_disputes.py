"""Refunds and disputes that change their state: the money follows the latest one."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.type.money_pb2 import Money

from core.database.transactions import Database
from core.doctor.rules import Verdict
from core.doctor.service import DoctorService
from core.wallet.batch import MovementRequest, WalletBatch
from core.wallet.rules import Direction
from tests.core.payments.running_service import RunningService, running_service
from tests.core.running import Gateway, ShiftedClock
from tests.core.webhooks.receiving import AMOUNT, Hooks, hooks_of
from tests.databases import fresh_sqlite

Step = tuple[str, str, int, dict[str, Any]]


@pytest.fixture
async def running(tmp_path: Path, gateway: Gateway) -> AsyncIterator[RunningService]:
    database = Database(fresh_sqlite(tmp_path / "n.db"))
    async with running_service(database, ShiftedClock(), gateway) as service:
        yield service


@pytest.fixture
async def hooks(running: RunningService) -> Hooks:
    return await hooks_of(running)


def refund(number: int, kind: str, second: int, status: str | None, amount: int = AMOUNT) -> Step:
    thing: dict[str, Any] = {"id": "re_1", "amount": amount, "status": status}
    return f"evt_{number}", kind, second, thing


def dispute(number: int, change: str, second: int, **thing: Any) -> Step:
    kind = f"charge.dispute.{change}"
    return f"evt_{number}", kind, second, {"id": "dp_1", "amount": AMOUNT} | thing


async def send_all(hooks: Hooks, steps: list[Step]) -> None:
    for event_id, kind, second, thing in steps:
        await hooks.send(event_id, kind, second, **thing)


FAILED_REFUNDS = [
    [refund(1, "refund.created", 1, "pending"), refund(2, "refund.updated", 2, "canceled")],
    [refund(1, "refund.created", 1, "pending"), refund(2, "refund.failed", 1, "failed")],
    [
        refund(1, "refund.created", 1, "succeeded"),
        ("evt_2", "charge.refunded", 1, {"id": "ch_1", "amount_refunded": AMOUNT}),
        refund(3, "charge.refund.updated", 2, "failed"),
    ],
]


@pytest.mark.parametrize("steps", FAILED_REFUNDS)
async def test_a_failed_refund_returns_the_money_in_any_order(
    hooks: Hooks, steps: list[Step]
) -> None:
    for order in itertools.permutations(steps):
        await send_all(hooks, [*order, *order])
        assert await hooks.state() == ("succeeded", 0, AMOUNT)


async def test_a_refund_takes_the_money_until_it_fails(hooks: Hooks) -> None:
    first, last = FAILED_REFUNDS[0]
    await send_all(hooks, [first])
    assert await hooks.state() == ("refunded", AMOUNT, 0)
    await send_all(hooks, [last])
    assert await hooks.state() == ("succeeded", 0, AMOUNT)
    again = refund(3, "refund.created", 3, "succeeded")
    again[3]["id"] = "re_2"
    await send_all(hooks, [again])
    assert await hooks.state() == ("refunded", AMOUNT, 0)


async def spend(hooks: Hooks, amount: int) -> None:
    running = hooks.running
    await WalletBatch(running.database, running.idempotency).move(
        MovementRequest(
            running.caller,
            running.call(f"spend-{amount}"),
            Direction.DEBIT,
            running.user_id,
            "TEST",
            Money(units=amount),
            None,
        )
    )


async def test_money_that_the_user_owed_is_repaid_first(hooks: Hooks) -> None:
    await spend(hooks, 20)
    await send_all(hooks, [refund(1, "refund.created", 1, "succeeded", 4000)])
    assert await hooks.state() == ("partially_refunded", 4000, 0)
    assert await hooks.receivable() == 1000
    await send_all(hooks, [refund(2, "refund.updated", 2, "failed", 4000)])
    assert await hooks.state() == ("succeeded", 0, 3000)
    assert await hooks.receivable() == 0


OPEN = dispute(1, "created", 1, status="needs_response")
LOST = dispute(2, "closed", 2, status="lost")


@pytest.mark.parametrize(
    "last",
    [
        dispute(3, "closed", 3, status="won"),
        dispute(3, "funds_reinstated", 3, status="lost"),
        dispute(3, "closed", 2, status="won"),
        dispute(3, "updated", 3, status="won"),
    ],
)
async def test_a_dispute_that_is_won_after_it_was_lost_returns_the_money(
    hooks: Hooks, last: Step
) -> None:
    await send_all(hooks, [OPEN, LOST])
    assert await hooks.state() == ("disputed", 0, 0)
    for order in itertools.permutations([OPEN, LOST, last]):
        await send_all(hooks, [*order, *order])
        assert await hooks.state() == ("succeeded", 0, AMOUNT)


async def test_an_inquiry_changes_nothing(hooks: Hooks) -> None:
    await send_all(
        hooks,
        [
            dispute(1, "created", 1, status="warning_needs_response"),
            dispute(2, "updated", 2, status="warning_under_review"),
            dispute(3, "closed", 3, status="warning_closed"),
        ],
    )
    assert await hooks.state() == ("succeeded", 0, AMOUNT)


@pytest.mark.parametrize(
    "escalation",
    [
        dispute(2, "updated", 2, status="needs_response"),
        dispute(2, "funds_withdrawn", 2, status="needs_response"),
        dispute(2, "funds_withdrawn", 2),
    ],
)
async def test_an_inquiry_that_becomes_a_dispute_is_followed(
    hooks: Hooks, escalation: Step
) -> None:
    await send_all(hooks, [dispute(1, "created", 1, status="warning_needs_response"), escalation])
    assert await hooks.state() == ("disputed", 0, AMOUNT)


@pytest.mark.parametrize("currency", ["eur", "xcg", "zzz"])
async def test_a_dispute_in_another_currency_takes_the_whole_payment(
    hooks: Hooks, currency: str
) -> None:
    await send_all(
        hooks,
        [
            dispute(1, "created", 1, status="needs_response", amount=4600, currency=currency),
            dispute(2, "closed", 2, status="lost", amount=4600, currency=currency),
        ],
    )
    assert await hooks.state() == ("disputed", 0, 0)


async def test_a_dispute_of_a_part_takes_that_part(hooks: Hooks) -> None:
    await send_all(hooks, [dispute(1, "closed", 1, status="lost", amount=1500)])
    assert await hooks.state() == ("disputed", 0, AMOUNT - 1500)


async def test_doctor_finds_nothing_after_money_went_back_and_forth(hooks: Hooks) -> None:
    await spend(hooks, 20)
    await send_all(hooks, [*FAILED_REFUNDS[2], OPEN, LOST, dispute(9, "closed", 9, status="won")])
    assert await hooks.state() == ("succeeded", 0, 3000)
    examination = await DoctorService(hooks.running.database, key_ids=None).examine()
    broken = [each for each in examination.findings if each.verdict is Verdict.BROKEN]
    assert broken == []
