"""A month's story, delivered shuffled and repeated, ends in exactly the gateways' truth.

What payments, wallets, receivables and cycles should be is computed from the sandbox's books.
"""

import asyncio
import os
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from core.database.schema import payments, postings, wallet_transactions, wallets
from core.database.transactions import Database
from nivisco.internal.v1 import operator_pb2
from nivisco.payments.v1 import credentials_pb2, payments_pb2, types_pb2
from tests.core.recurring.running import OPERATOR, SUCCEEDED, TOKENS, job_of, logs_of
from tests.core.running import (
    OPERATOR_TOKEN,
    WEBHOOKS_TOKEN,
    Business,
    Gateway,
    ShiftedClock,
    call,
    register,
    running_core,
    settings_for,
    with_authorize,
    with_stripe,
)
from tests.core.webhooks.story import REPEAT, Row, Story, catching
from tests.end_to_end.signing import SIGNATURE_KEY, STRIPE_SECRET
from tests.prove.checks import ledger
from tests.prove.gateway_truth import Truth, differences, wallet_differences

DELIVERIES = int(os.environ.get("STORY_DELIVERIES", "800"))
"""Deliveries of one story: a number of events, each REPEAT times."""


async def test_shuffled_and_repeated_deliveries_end_in_the_gateways_truth(
    tmp_path: Path,
    database_url: str,
    gateway: Gateway,
    record_property: Callable[[str, object], None],
) -> None:
    clock = ShiftedClock()
    seed = int(os.environ.get("STORY_SEED", secrets.randbelow(10**6)))
    record_property("STORY_SEED", seed)
    async with running_shop(tmp_path, database_url, gateway, clock) as shop:
        story = Story(shop, gateway, random.Random(seed))  # noqa: S311 - no secret
        async with catching(story) as url:
            await send_webhooks(story, url)
            await story.begin()
            await story.spend()
            await story.overdraw()
            await story.live(max(DELIVERIES // REPEAT, len(story.caught) + 100))
            assert await _differences(story) != []
            await story.deliver()
            found = ["not compared yet"]
            with suppress(TimeoutError):
                async with asyncio.timeout(120):
                    while found := await _differences(story):
                        clock.ahead += timedelta(seconds=20)
        assert found == [], f"STORY_SEED={seed}"
        truths = await story.truths()
        examined = await call(shop.client, OPERATOR, operator_pb2.ExamineRequest())
    assert await _money_differences(database_url, truths) == [], f"STORY_SEED={seed}"
    broken = [
        check.name
        for check in examined.checks
        if check.verdict == operator_pb2.CHECK_VERDICT_BROKEN
    ]
    assert broken == []


async def send_webhooks(story: Story, url: str) -> None:
    """Have both gateways send the shop's events to a URL."""
    for name, key, secret in (
        ("stripe", {"key": story.shop.stripe_key}, STRIPE_SECRET),
        ("authorize", {"api_login_id": story.shop.login_id}, SIGNATURE_KEY),
    ):
        await story.gateway.control("webhooks", url=f"{url}/{name}", secret=secret, **key)


@asynccontextmanager
async def running_shop(
    path: Path, database_url: str, gateway: Gateway, clock: ShiftedClock
) -> AsyncIterator[Business]:
    """A business with keys of both gateways, whose signatures the core can verify."""
    urls = {"TEST": gateway.url, "LIVE": gateway.url}
    settings = settings_for(
        path,
        database_url=database_url,
        service_tokens=TOKENS | {WEBHOOKS_TOKEN: "webhooks", OPERATOR_TOKEN: "operator"},
        stripe_urls=urls,
        authorize_urls=urls,
        test_clock=True,
    )
    async with running_core(settings, clock) as client:
        shop = await with_authorize(await with_stripe(await register(client)))
        await shop.call(
            credentials_pb2.ModifyStripeCredentialsRequest(
                credentials=credentials_pb2.ModifyStripeCredentialsRequest.Credentials(
                    env=types_pb2.ENV_TEST, stripe_webhook_secret=STRIPE_SECRET
                )
            )
        )
        await shop.call(
            credentials_pb2.ModifyAuthorizeCredentialsRequest(
                credentials=credentials_pb2.ModifyAuthorizeCredentialsRequest.Credentials(
                    env=types_pb2.ENV_TEST, signature_key=SIGNATURE_KEY
                )
            )
        )
        yield shop


async def _differences(story: Story) -> list[str]:
    """Return where payments and cycles differ from the gateways' books."""
    truths = await story.truths()
    rows = [_row(each) for each in await _payments(story.shop)]
    known = {row["transaction_id"] for row in rows}
    found = [*differences(truths, rows)]
    found += [f"{each} is unknown" for each in truths if each.transaction_id not in known]
    charged = {each.transaction_id for each in truths if each.is_charged}
    for job in story.jobs:
        found += await _cycle_differences(story.shop, job, charged)
    return found


async def _payments(shop: Business) -> list[payments_pb2.Payment]:
    found: list[payments_pb2.Payment] = []
    for page in range(1, 1000):
        answer = await shop.call(payments_pb2.GetPaymentRecordsRequest(page=page, limit=100))
        found += answer.payments
        if len(found) >= answer.total:
            break
    return found


def _row(payment: payments_pb2.Payment) -> Row:
    """Return a payment as its row would be."""
    refunded = payment.amount_refunded
    kind = payments_pb2.PaymentKind.Name(payment.kind)
    status = payments_pb2.PaymentStatus.Name(payment.status)
    return {
        "payment_id": payment.payment_id,
        "kind": kind.removeprefix("PAYMENT_KIND_").lower(),
        "description": payment.description,
        "transaction_id": payment.transaction_id,
        "status": status.removeprefix("PAYMENT_STATUS_").lower(),
        "amount_refunded_minor": refunded.units * 100 + refunded.nanos // 10**7,
    }


async def _cycle_differences(shop: Business, job: str, charged: set[str]) -> list[str]:
    """Every charged occurrence is one cycle, logged as succeeded."""
    logs = await logs_of(shop, job)
    expected = Counter(str(log.occurrence) for log in logs if log.transaction_id in charged)
    shown = Counter(str(log.occurrence) for log in logs if log.status == SUCCEEDED)
    executed = (await job_of(shop, job)).executed_cycles
    if shown == expected and executed == len(expected):
        return []
    return [f"{job}: {executed} cycles, logged {shown}, charged {expected}"]


async def _money_differences(database_url: str, truths: Sequence[Truth]) -> list[str]:
    """Return where wallets, receivables and the ledger differ from the gateways' books."""
    database = Database(database_url)
    rows: dict[str, list[dict[str, Any]]] = {}
    async with database.snapshot() as transaction:
        for table in (payments, wallets, wallet_transactions, postings):
            result = await transaction.connection.execute(select(table))
            names = [column.name for column in table.columns]
            rows[table.name] = [dict(zip(names, row, strict=True)) for row in result]
    await database.close()
    movements = rows["wallet_transactions"]
    reasons = {each["reason"] for each in movements}
    assert {"wallet_fund", "business_charge", "refund", "receivable"} <= reasons, "it has them all"
    return [*wallet_differences(truths, rows["payments"], movements), *ledger(rows)]
