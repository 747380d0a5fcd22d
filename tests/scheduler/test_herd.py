"""Schedulers killed and paused at random, clocks that disagree, and downtimes.

Each occurrence is charged once according to log, gateway and wallet. HERD_JOBS sets the number of
jobs of the first test.
"""

import asyncio
import logging
import os
import random
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core.server.settings import CoreSettings
from nivisco.payments.v1 import recurring_pb2, wallet_pb2
from rpc.client import CoreClient
from tests.core.running import Gateway, running_core, running_sandbox
from tests.processes import Running, Start, serving_line
from tests.scheduler.due_jobs import (
    AMOUNT_UNITS,
    FUNDED_UNITS,
    KEYRING,
    SERVICE_TOKENS,
    Merchant,
    check_each_charged_once,
    core_of_the_past,
    core_settings,
    merchants_with_due_jobs,
    new_merchant,
)
from tests.scheduler.herd import Herd

logger = logging.getLogger("tests")

JOBS = int(os.environ.get("HERD_JOBS", "100"))
PATIENCE_SECONDS = 60 + JOBS


def is_over(merchants: list[Merchant]) -> Callable[[], Awaitable[bool]]:
    """Return a function that returns whether each of the merchants' jobs has a log row."""

    async def check() -> bool:
        for merchant in merchants:
            answer = await merchant.business.call(recurring_pb2.GetRecurringLogsRequest(limit=1))
            if answer.total < len(merchant.jobs):
                return False
        return True

    return check


async def check_books(merchants: list[Merchant], gateway: Gateway) -> None:
    """Check that logs, the gateway's charges and wallets agree."""
    for merchant in merchants:
        await check_each_charged_once(merchant)
        by_wallet = len(merchant.jobs) // 4
        charges = await gateway.charges(merchant.account)
        assert len(charges) == 1 + len(merchant.jobs) - by_wallet  # and the funding
        wallet = await merchant.business.call(
            wallet_pb2.GetUserWalletRequest(user_id=merchant.user_id)
        )
        assert wallet.wallet.balance.units == FUNDED_UNITS - AMOUNT_UNITS * by_wallet


async def test_five_schedulers_killed_and_paused_at_random_charge_each_occurrence_once(
    start: Start, tmp_path: Path, postgresql_database: str
) -> None:
    seed = random.randrange(10**6)  # noqa: S311
    chance = random.Random(seed)  # noqa: S311
    async with running_sandbox(tmp_path) as sandbox_url:
        gateway = Gateway(sandbox_url)
        settings = core_settings(tmp_path, postgresql_database, sandbox_url)
        shares = [JOBS // 2, JOBS // 4, JOBS // 8, JOBS - JOBS // 2 - JOBS // 4 - JOBS // 8]
        made = await merchants_with_due_jobs(settings, shares)
        await gateway.fault("delay", "/v1/payment_intents", times=JOBS, seconds=0.4)
        async with running_core(settings) as client:
            merchants = [each.by(client) for each in made]
            herd = Herd(start, client.target)
            herd.add(5)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await herd.harass(chance, is_over(merchants))
            await herd.end()
            logger.info("seed %d: %s", seed, dict(herd.done))
            await check_books(merchants, gateway)


def skewed_core(start: Start, seconds: int, database_url: str, sandbox_url: str) -> Running:
    """Start a core whose clock is ahead."""
    return start(
        *("-m", "tests.scheduler.skewed", str(seconds), "core", "--grpc", "127.0.0.1:0"),
        NIVISCO_DATABASE_URL=database_url,
        NIVISCO_SECRET_KEYS=KEYRING,
        NIVISCO_SERVICE_TOKENS=",".join(f"{s}:{token}" for token, s in SERVICE_TOKENS.items()),
        NIVISCO_STRIPE_TEST_URL=sandbox_url,
        NIVISCO_LAME_DUCK_SECONDS="0",
    )


async def test_clocks_an_hour_apart_change_no_charge(
    start: Start, tmp_path: Path, postgresql_database: str
) -> None:
    async with running_sandbox(tmp_path) as sandbox_url:
        settings = core_settings(tmp_path, postgresql_database, sandbox_url)
        made = await merchants_with_due_jobs(settings, [12, 12])
        await _add_job_due_in_half_an_hour(settings, made)
        cores = [
            skewed_core(start, ahead, postgresql_database, sandbox_url) for ahead in (3600, -3600)
        ]
        serving = serving_line("core")
        addresses = [(await asyncio.to_thread(core.wait_for_match, serving))[1] for core in cores]
        herd = Herd(start, ",".join(addresses), skews=(3600, -3600, 0))
        herd.add(3)
        client = CoreClient(addresses[0])
        merchants = [each.by(client) for each in made]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await is_over(merchants)():
                await asyncio.sleep(0.1)
        await herd.end()
        await check_books(merchants, Gateway(sandbox_url))
        await client.close()
        for core in cores:
            core.signal(signal.SIGTERM)
            assert await asyncio.to_thread(core.wait) == 0


async def _add_job_due_in_half_an_hour(settings: CoreSettings, merchants: list[Merchant]) -> None:
    """Create a job that is due only by a clock that is ahead."""
    async with running_core(settings) as client:
        soon = datetime.now(UTC) + timedelta(minutes=30)
        first = merchants[0].by(client)
        await first.create_job(recurring_pb2.RECURRING_SOURCE_STRIPE, soon)
        merchants[0].jobs.pop()  # it is not due, so it must have no log row


SUCCEEDED = recurring_pb2.RECURRING_LOG_STATUS_SUCCEEDED
SKIPPED = recurring_pb2.RECURRING_LOG_STATUS_SKIPPED
POLICIES = {
    recurring_pb2.CATCH_UP_LATEST: [SKIPPED, SKIPPED, SUCCEEDED],
    recurring_pb2.CATCH_UP_ALL: [SUCCEEDED, SUCCEEDED, SUCCEEDED],
    recurring_pb2.CATCH_UP_SKIP: [SKIPPED, SKIPPED, SKIPPED],
}


async def test_after_three_missed_periods_each_catch_up_policy_is_applied(
    start: Start, tmp_path: Path, database_url: str
) -> None:
    async with running_sandbox(tmp_path) as sandbox_url:
        settings = core_settings(tmp_path, database_url, sandbox_url)
        jobs = {}
        async with core_of_the_past(settings, timedelta(days=3)) as (client, then):
            made = await new_merchant(client)
            for policy in POLICIES:
                start_at = then + timedelta(hours=12)
                job = await made.create_job(recurring_pb2.RECURRING_SOURCE_STRIPE, start_at, policy)
                jobs[job] = policy
        async with running_core(settings) as client:
            merchant = made.by(client)
            herd = Herd(start, client.target)
            herd.add(2)
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(await merchant.logs()) < 9:
                    await asyncio.sleep(0.1)
            await herd.end()
            rows = sorted(await merchant.logs(), key=lambda row: row.occurrence.ToNanoseconds())
            for job, policy in jobs.items():
                of_job = [row for row in rows if row.recurring_id == job]
                assert [row.status for row in of_job] == POLICIES[policy]
                days = [row.occurrence.ToDatetime(UTC) for row in of_job]
                assert days == [days[0] + n * timedelta(days=1) for n in range(3)]
            attempted = [
                row.attempted_at.ToNanoseconds()
                for row in rows
                if jobs[row.recurring_id] == recurring_pb2.CATCH_UP_ALL
            ]
            assert attempted == sorted(attempted), "oldest first"
            charges = await Gateway(sandbox_url).charges(merchant.account)
            assert len(charges) == 1 + 4  # and the funding
