"""The database of each kept schema is migrated, and its work goes on: nothing lost or doubled."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.type.money_pb2 import Money

from core.security.keyring import Keyring
from nivisco.internal.v1 import operator_pb2
from nivisco.payments.v1 import (
    payments_pb2,
    refunds_pb2,
    users_pb2,
    wallet_pb2,
)
from rpc.errors import CoreError
from rpc.metadata import Credentials
from sandbox import server as sandbox_server
from sandbox.books import Books
from tests.core.recurring.running import (
    OPERATOR,
    SUCCEEDED,
    TOKENS,
    claim_and_execute,
    logs_of,
)
from tests.core.running import (
    WEBHOOKS_TOKEN,
    Business,
    Gateway,
    ShiftedClock,
    call,
    running_core,
    running_sandbox,
    settings_for,
)
from tests.databases import drop_database, empty_database
from tests.upgrades.kept import (
    DUE_AFTER,
    KEYRING,
    POSTGRESQL,
    SANDBOX,
    SQLITE,
    Answer,
    Expected,
    answer_to,
    folders,
    load_postgresql,
    load_sqlite,
)

LATER = DUE_AFTER + timedelta(minutes=1)
"""When the new version starts: leases are over, jobs are due and the short hold has expired."""
PENDING = payments_pb2.PAYMENT_STATUS_PENDING


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A core of this version on a kept database."""

    shop: Business
    gateway: Gateway
    kept: Expected

    async def payments(self) -> list[Any]:
        """Return all payments of the business."""
        request = payments_pb2.GetPaymentRecordsRequest(limit=100)
        return list((await self.shop.call(request)).payments)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'kept.db'}"
        return
    server = request.getfixturevalue("postgresql")
    url = empty_database(server)
    yield url
    drop_database(server, url)


@pytest.fixture(params=folders(), ids=lambda folder: folder.name)
async def upgraded(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    empty_url: str,
) -> AsyncIterator[Upgraded]:
    """A core that migrated a kept database when it started."""
    folder: Path = request.param
    kept = Expected.read(folder)
    clock = ShiftedClock()
    clock.ahead = kept.moment + LATER - datetime.now(UTC)
    load_sqlite(folder / SANDBOX, tmp_path / "sandbox.db")
    monkeypatch.setattr(
        sandbox_server, "Books", partial(Books, clock=lambda: clock.now().timestamp())
    )
    if empty_url.startswith("sqlite"):
        load_sqlite(folder / SQLITE, tmp_path / "kept.db")
    else:
        await load_postgresql(folder / POSTGRESQL, empty_url)
    async with running_sandbox(tmp_path) as gateway:
        urls = {"TEST": gateway, "LIVE": gateway}
        settings = settings_for(
            tmp_path,
            database_url=empty_url,
            keyring=Keyring.parse(KEYRING),
            stripe_urls=urls,
            authorize_urls=urls,
            service_tokens={**TOKENS, WEBHOOKS_TOKEN: "webhooks"},
        )
        async with running_core(settings, clock) as client:
            credentials = Credentials(kept.business_id, kept.api_key)
            shop = Business(client, credentials, login_id=kept.login_id)
            yield Upgraded(shop, Gateway(gateway), kept)


async def test_the_work_of_a_kept_database_goes_on(upgraded: Upgraded) -> None:
    """One test, because each start of a core on a loaded database takes a second."""
    await kept_answers_are_replayed_byte_for_byte(upgraded)
    await due_jobs_are_charged_once(upgraded)
    await open_payments_are_resolved_once(upgraded)
    await the_open_refund_is_made_once(upgraded)
    await what_waits_still_can_be_completed(upgraded)
    await keys_and_holds_last(upgraded)
    await kept_answers_are_replayed_byte_for_byte(upgraded)
    await the_gateways_books_show_each_payment_once(upgraded)
    await the_doctor_finds_nothing(upgraded)


async def kept_answers_are_replayed_byte_for_byte(upgraded: Upgraded) -> None:
    for kept in upgraded.kept.answers:
        assert await answer_to(upgraded.shop, kept.request_message()) == kept


async def due_jobs_are_charged_once(upgraded: Upgraded) -> None:
    assert await claim_and_execute(upgraded.shop) == len(upgraded.kept.recurring_ids)
    for recurring_id in upgraded.kept.recurring_ids:
        (log,) = await logs_of(upgraded.shop, recurring_id)
        assert log.status == SUCCEEDED
    assert await claim_and_execute(upgraded.shop) == 0


async def open_payments_are_resolved_once(upgraded: Upgraded) -> None:
    for kept in upgraded.kept.open:
        if kept.answer.startswith("GATEWAY_UNAVAILABLE"):  # only its caller sends it again
            await answer_to(upgraded.shop, kept.request_message())
    async with asyncio.timeout(20):
        while any(payment.status == PENDING for payment in await upgraded.payments()):
            await asyncio.sleep(0.05)
    for kept in upgraded.kept.open:
        if kept.method == "FundCustomer":
            await answers_alike_twice(upgraded, kept)


async def answers_alike_twice(upgraded: Upgraded, kept: Answer) -> None:
    first, second = [await answer_to(upgraded.shop, kept.request_message()) for _ in range(2)]
    assert first == second
    assert ":" not in first.answer, "it succeeded"


async def the_open_refund_is_made_once(upgraded: Upgraded) -> None:
    async with asyncio.timeout(20):
        while True:
            listed = await upgraded.shop.call(refunds_pb2.ListRefundsRequest(limit=100))
            (found,) = [row for row in listed.refunds if row.refund_id == upgraded.kept.refund_id]
            if found.status == refunds_pb2.REFUND_STATUS_SUCCEEDED:
                return
            await asyncio.sleep(0.05)


async def what_waits_still_can_be_completed(upgraded: Upgraded) -> None:
    kept = upgraded.kept
    statuses = {each.payment_id: each.status for each in await upgraded.payments()}
    assert statuses[kept.authorized_payment_id] == payments_pb2.PAYMENT_STATUS_AUTHORIZED
    assert statuses[kept.action_payment_id] == payments_pb2.PAYMENT_STATUS_REQUIRES_ACTION
    await upgraded.shop.call(
        payments_pb2.CapturePaymentRequest(
            payment_id=kept.authorized_payment_id, amount=Money(units=30)
        )
    )


async def keys_and_holds_last(upgraded: Upgraded) -> None:
    kept = upgraded.kept
    second = replace(upgraded.shop, credentials=Credentials(kept.business_id, kept.second_api_key))
    assert (await second.call(users_pb2.GetAllUsersRequest())).total > 0
    with pytest.raises(CoreError) as refused:
        await second.call(wallet_pb2.AddWalletFundsRequest(user_id=kept.user_id))
    assert refused.value.reason == "SCOPE_MISSING"
    await upgraded.shop.call(wallet_pb2.CaptureHoldRequest(hold_id=kept.hold_id))
    with pytest.raises(CoreError):
        await upgraded.shop.call(wallet_pb2.CaptureHoldRequest(hold_id=kept.expired_hold_id))


async def the_gateways_books_show_each_payment_once(upgraded: Upgraded) -> None:
    charged = Counter(
        book["metadata"]["payment_id"]
        for account in await upgraded.gateway.books()
        for book in account.get("payment_intents", [])
        if book["status"] == "succeeded"
    )
    settled = await upgraded.gateway.authorize_charges(upgraded.kept.login_id)
    charged.update(transaction["invoice_number"] for transaction in settled)
    final = {
        payment.payment_id
        for payment in await upgraded.payments()
        if payment.status
        in (
            payments_pb2.PAYMENT_STATUS_SUCCEEDED,
            payments_pb2.PAYMENT_STATUS_REFUNDED,
            payments_pb2.PAYMENT_STATUS_PARTIALLY_REFUNDED,
        )
    }
    assert charged == Counter(final)


async def the_doctor_finds_nothing(upgraded: Upgraded) -> None:
    answer = await call(upgraded.shop.client, OPERATOR, operator_pb2.ExamineRequest())
    ok = operator_pb2.CHECK_VERDICT_OK
    assert [check.name for check in answer.checks if check.verdict != ok] == []
