"""Jobs with due occurrences, created by a core whose clock is behind, and checks of their logs."""

import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from google.type import money_pb2

from core.security.keyring import Keyring
from core.server.settings import CoreSettings
from nivisco.payments.v1 import payments_pb2, recurring_pb2
from rpc.client import CoreClient
from tests.core.running import (
    OPERATOR_TOKEN,
    Business,
    ShiftedClock,
    create_user,
    register,
    running_core,
    save_card,
    settings_for,
    with_stripe,
)
from tests.scheduler.occurrences_core import TOKEN

KEYRING = "k1:" + "A" * 43 + "="
SERVICE_TOKENS = {OPERATOR_TOKEN: "operator", TOKEN: "scheduler"}
AMOUNT_UNITS = 7
FUNDED_UNITS = 10_000


def core_settings(path: Path, database_url: str, sandbox_url: str) -> CoreSettings:
    """Return settings of a core with tokens for operators and schedulers."""
    return settings_for(
        path,
        keyring=Keyring.parse(KEYRING),
        database_url=database_url,
        service_tokens=SERVICE_TOKENS,
        stripe_urls={"TEST": sandbox_url, "LIVE": sandbox_url},
    )


@dataclass
class Merchant:
    """A business with a user who has a card and a funded wallet, and its jobs."""

    business: Business
    user_id: str
    jobs: list[str]

    @property
    def account(self) -> str:
        """The account id at the gateway."""
        return "acct_" + self.business.stripe_key.split("_")[2]

    def by(self, client: CoreClient) -> "Merchant":
        """Return the same merchant as a client of another core."""
        return replace(self, business=replace(self.business, client=client))

    async def create_job(
        self,
        source: recurring_pb2.RecurringSource.ValueType,
        start_at: datetime,
        catch_up: recurring_pb2.CatchUp.ValueType = recurring_pb2.CATCH_UP_LATEST,
    ) -> str:
        """Create a daily job."""
        answer = await self.business.call(
            recurring_pb2.CreateRecurringRequest(
                user_id=self.user_id,
                amount=money_pb2.Money(currency_code="USD", units=AMOUNT_UNITS),
                interval_type=recurring_pb2.INTERVAL_TYPE_DAY,
                source=source,
                start_at=start_at.isoformat(),
                catch_up=catch_up,
            )
        )
        self.jobs.append(answer.recurring_id)
        return str(answer.recurring_id)

    async def logs(self) -> list[recurring_pb2.RecurringLog]:
        """Return all log rows of the merchant."""
        rows: list[recurring_pb2.RecurringLog] = []
        while True:
            page = 1 + len(rows) // 100
            answer = await self.business.call(
                recurring_pb2.GetRecurringLogsRequest(page=page, limit=100)
            )
            rows += answer.logs
            if len(rows) >= answer.total:
                return rows


async def new_merchant(client: CoreClient) -> Merchant:
    """Register a business with a user, a card and a funded wallet."""
    business = await with_stripe(await register(client, f"m{secrets.token_hex(4)}"))
    user_id = await create_user(business)
    await save_card(business, user_id)
    await business.call(
        payments_pb2.FundCustomerRequest(
            user_id=user_id, amount=money_pb2.Money(currency_code="USD", units=FUNDED_UNITS)
        )
    )
    return Merchant(business, user_id, [])


@asynccontextmanager
async def core_of_the_past(
    settings: CoreSettings, behind: timedelta
) -> AsyncIterator[tuple[CoreClient, datetime]]:
    """Run a core whose clock is behind; yield a client and the time of that clock."""
    clock = ShiftedClock()
    clock.ahead = -behind
    async with running_core(settings, clock) as client:
        yield client, datetime.now(UTC) - behind


async def merchants_with_due_jobs(
    settings: CoreSettings, shares: Sequence[int], *, behind: timedelta = timedelta(hours=20)
) -> list[Merchant]:
    """Create merchants with `shares` daily jobs each, all due once now; one in four by wallet."""
    merchants = []
    async with core_of_the_past(settings, behind) as (client, then):
        for share in shares:
            merchant = await new_merchant(client)
            for number in range(share):
                source = (
                    recurring_pb2.RECURRING_SOURCE_WALLET
                    if number % 4 == 3
                    else recurring_pb2.RECURRING_SOURCE_STRIPE
                )
                await merchant.create_job(source, then + timedelta(minutes=5))
            merchants.append(merchant)
    return merchants


async def check_each_charged_once(merchant: Merchant) -> None:
    """Check that the merchant's log has one successful charge for each job."""
    rows = await merchant.logs()
    per_job = Counter(row.recurring_id for row in rows)
    assert per_job == Counter(merchant.jobs), "one row for each job"
    statuses = Counter(recurring_pb2.RecurringLogStatus.Name(row.status) for row in rows)
    assert statuses == {"RECURRING_LOG_STATUS_SUCCEEDED": len(merchant.jobs)}
    assert len({row.transaction_id for row in rows}) == len(merchant.jobs)
