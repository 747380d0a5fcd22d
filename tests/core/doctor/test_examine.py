"""OperatorService.Examine on a serving core, after and during traffic."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google.type.money_pb2 import Money
from sqlalchemy import update

from core.audit import rules
from core.audit.sequencer import Sequencer
from core.audit.service import AuditService
from core.database.changes import Change
from core.database.schema import wallets
from core.database.transactions import Database, Transaction
from core.doctor.service import DoctorService
from nivisco.internal.v1 import operator_pb2
from nivisco.payments.v1 import wallet_pb2
from rpc.client import CoreClient
from rpc.errors import CoreError
from rpc.metadata import Credentials
from tests.core.payments.charging import INTENTS, card_holder, charge_request, fund_request
from tests.core.running import (
    OPERATOR_TOKEN,
    Business,
    Gateway,
    call,
    create_user,
    keyring,
    register,
    running_core,
    settings_for,
)

OPERATOR = Credentials(service_token=OPERATOR_TOKEN)


async def wrong(client: CoreClient) -> dict[str, int]:
    answer = await call(client, OPERATOR, operator_pb2.ExamineRequest())
    assert len({check.name for check in answer.checks}) == len(answer.checks) > 12
    return {
        check.name: check.count
        for check in answer.checks
        if check.verdict != operator_pb2.CHECK_VERDICT_OK
    }


async def test_traffic_breaks_no_check(shop: Business, gateway: Gateway) -> None:
    assert await wrong(shop.client) == {}
    user_id = await card_holder(shop)
    await shop.call(fund_request(user_id))
    await shop.call(fund_request(user_id, idempotency_key="one"))
    await shop.call(fund_request(user_id, idempotency_key="one"))
    await shop.call(charge_request(user_id, idempotency_key="two"))
    await shop.call(wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=Money(units=30)))
    declined = await card_holder(shop, "pm_card_chargeCustomerFail")
    for key in (None, "three"):
        with pytest.raises(CoreError, match="declined"):
            await shop.call(charge_request(declined, idempotency_key=key))
    too_much = Money(units=1000)
    with pytest.raises(CoreError):
        await shop.call(wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=too_much))
    await gateway.fault("reset_after", INTENTS, times=20, method=None)
    for key in (None, "four"):
        with pytest.raises(CoreError, match="not known yet"):
            await shop.call(fund_request(user_id, 7, idempotency_key=key))
    assert await wrong(shop.client) == {}
    await gateway.clear()
    await shop.call(fund_request(user_id, 7, idempotency_key="four"))
    assert await wrong(shop.client) == {}


async def debit(business: Business, user_id: str) -> None:
    """Debit 1.00, and retry while the core is unavailable."""
    while True:
        try:
            await business.call(
                wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=Money(units=1))
            )
        except CoreError as error:
            if error.reason != "SERVICE_UNAVAILABLE":
                raise
        else:
            return


async def test_requests_in_flight_break_no_check(tmp_path: Path, database_url: str) -> None:
    async with running_core(settings_for(tmp_path, database_url=database_url)) as client:
        business = await register(client)
        user_ids = [await create_user(business) for _ in range(2)]
        for user_id in user_ids:
            await business.call(
                wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=Money(units=200))
            )
        debits = [
            asyncio.ensure_future(debit(business, user_ids[number % 2])) for number in range(200)
        ]
        examined = 0
        while not all(each.done() for each in debits) or not examined:
            assert await wrong(client) == {}
            examined += 1
        await asyncio.gather(*debits)
        assert await wrong(client) == {}


async def test_the_trail_is_verified_after_the_snapshot_and_beside_the_loop(
    postgresql_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = keyring()
    database = Database(postgresql_database, digest=keys.digest_of_change)
    async with database.transaction() as transaction:
        transaction.connection.changes.append(Change("users", "created", "B", "U", ()))
    await Sequencer(database, keys, None).run()
    snapshots, is_open, threads = 0, False, list[threading.Thread]()
    snapshot, broken = database.snapshot, rules.broken

    @asynccontextmanager
    async def watched() -> AsyncIterator[Transaction]:
        nonlocal snapshots, is_open
        async with snapshot() as transaction:
            snapshots, is_open = snapshots + 1, True
            yield transaction
        is_open = False

    def verified(*arguments: Any) -> Any:
        assert not is_open
        threads.append(threading.current_thread())
        return broken(*arguments)

    monkeypatch.setattr(database, "snapshot", watched)
    monkeypatch.setattr(rules, "broken", verified)
    audit = AuditService(database, keys)
    found = await DoctorService(database, key_ids=None, audit=audit).examine()
    assert "audit_trail" in {each.name for each in found.findings}
    assert snapshots == len(threads) == 1
    assert threads[0] is not threading.current_thread()
    await database.close()


async def test_rows_are_shown_by_ids_without_personal_data(
    tmp_path: Path, postgresql_database: str
) -> None:
    async with running_core(settings_for(tmp_path, database_url=postgresql_database)) as client:
        business = await register(client)
        user_id = await create_user(business)
        await business.call(
            wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=Money(units=200))
        )
        database = Database(postgresql_database)
        async with database.transaction() as transaction:
            await transaction.connection.execute(update(wallets).values(balance_minor=1))
        await database.close()
        answer = await call(client, OPERATOR, operator_pb2.ExamineRequest(limit=1))
    assert [c.name for c in answer.checks if c.count] == ["wallet_balances", "wallet_histories"]
    assert business.credentials.business_id in str(answer)
    for private in ("alicia", "Alicia", "example.com", business.credentials.api_key):
        assert private not in str(answer)


@pytest.mark.parametrize(
    "credentials", [Credentials(), Credentials(service_token="x" * 40), Credentials("B", "key")]
)
async def test_the_operators_token_is_required(core: CoreClient, credentials: Credentials) -> None:
    with pytest.raises(CoreError) as refused:
        await call(core, credentials, operator_pb2.ExamineRequest())
    assert refused.value.reason in ("SERVICE_TOKEN_REQUIRED", "INVALID_CREDENTIALS")


async def test_an_api_key_is_not_enough(business: Business) -> None:
    with pytest.raises(CoreError) as refused:
        await business.call(operator_pb2.ExamineRequest())
    assert refused.value.reason in ("SERVICE_TOKEN_REQUIRED", "INVALID_CREDENTIALS")


@pytest.mark.parametrize("limit", [0, 101, -1])
async def test_a_limit_is_from_1_to_100(core: CoreClient, limit: int) -> None:
    with pytest.raises(CoreError) as refused:
        await call(core, OPERATOR, operator_pb2.ExamineRequest(limit=limit))
    assert refused.value.reason == "INVALID_FIELDS"
