"""Calls on a running core's jobs: the merchant's, the scheduler's and the operator's."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.type import money_pb2

from nivisco.internal.v1 import occurrences_pb2, test_clock_pb2
from nivisco.payments.v1 import recurring_pb2 as pb
from nivisco.payments.v1 import wallet_pb2
from rpc.metadata import Credentials
from tests.core.running import (
    OPERATOR_TOKEN,
    SCHEDULER_TOKEN,
    Business,
    Gateway,
    ShiftedClock,
    call,
    create_user,
)

TOKENS = {OPERATOR_TOKEN: "operator", SCHEDULER_TOKEN: "scheduler"}
SCHEDULER = Credentials(service_token=SCHEDULER_TOKEN)
OPERATOR = Credentials(service_token=OPERATOR_TOKEN)
SUCCEEDED = pb.RECURRING_LOG_STATUS_SUCCEEDED
DECLINED = pb.RECURRING_LOG_STATUS_DECLINED
FAILED = pb.RECURRING_LOG_STATUS_FAILED
SKIPPED = pb.RECURRING_LOG_STATUS_SKIPPED
REQUIRES_ACTION = pb.RECURRING_LOG_STATUS_REQUIRES_ACTION
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""Marks a test whose statements other tests execute on each database."""


def usd(units: int, cents: int = 0) -> money_pb2.Money:
    """Return an amount of dollars."""
    return money_pb2.Money(currency_code="USD", units=units, nanos=cents * 10**7)


def job_request(user_id: str, **changes: Any) -> pb.CreateRecurringRequest:
    """Return a request for a daily job of one dollar from the wallet."""
    fields: dict[str, Any] = {
        "user_id": user_id,
        "amount": usd(1),
        "interval_type": pb.INTERVAL_TYPE_DAY,
        "source": pb.RECURRING_SOURCE_WALLET,
    }
    return pb.CreateRecurringRequest(**(fields | changes))


async def create_job(business: Business, user_id: str, **changes: Any) -> str:
    """Create a job and return its id."""
    response = await business.call(job_request(user_id, **changes))
    return str(response.recurring_id)


async def fill_wallet(business: Business, user_id: str, dollars: int = 1_000_000) -> None:
    """Credit the user's wallet."""
    await business.call(wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=usd(dollars)))


async def job_of(business: Business, recurring_id: str) -> Any:
    """Return a job from the list."""
    response = await business.call(pb.ListRecurringRequest(limit=100))
    (found,) = [job for job in response.recurring if job.recurring_id == recurring_id]
    return found


async def logs_of(business: Business, recurring_id: str) -> list[Any]:
    """Return all log entries of a job, oldest first."""
    rows: list[Any] = []
    for page in range(1, 1000):
        response = await business.call(
            pb.GetRecurringLogsRequest(recurring_id=recurring_id, page=page, limit=100)
        )
        rows += response.logs
        if len(rows) == response.total:
            break
    return rows[::-1]


async def claim(
    business: Business, limit: int = 100, lease_seconds: int = 60, **changes: Any
) -> list[Any]:
    """Claim due occurrences as a scheduler does."""
    response = await call(
        business.client,
        SCHEDULER,
        occurrences_pb2.ClaimDueOccurrencesRequest(
            owner="test", limit=limit, lease_duration=Duration(seconds=lease_seconds), **changes
        ),
    )
    return list(response.leases)


async def renew(business: Business, *leases: Any, lease_seconds: int = 60) -> list[Any]:
    """Renew leases as a scheduler does."""
    response = await call(
        business.client,
        SCHEDULER,
        occurrences_pb2.RenewLeasesRequest(
            leases=leases, lease_duration=Duration(seconds=lease_seconds)
        ),
    )
    return list(response.leases)


async def execute(business: Business, lease: Any) -> Any:
    """Execute a claimed occurrence as a scheduler does."""
    return await call(
        business.client, SCHEDULER, occurrences_pb2.ExecuteOccurrenceRequest(lease=lease)
    )


async def advance_once(business: Business, to: datetime, **changes: Any) -> Any:
    """Advance the business's test clock with one call."""
    moment = Timestamp()
    moment.FromDatetime(to)
    request = test_clock_pb2.AdvanceTestClockRequest(
        business_id=business.credentials.business_id, advance_to=moment, **changes
    )
    return await call(business.client, OPERATOR, request)


async def advance(business: Business, to: datetime) -> int:
    """Advance the business's test clock until it is done, and return the number of attempts."""
    attempts = 0
    for _ in range(1000):
        response = await advance_once(business, to)
        attempts += int(response.attempt_count)
        if response.done:
            return attempts
    raise AssertionError("the clock does not reach its target")


def moment_of(stamp: Timestamp) -> datetime:
    """Return the time of a message."""
    return stamp.ToDatetime(tzinfo=UTC)


def now() -> datetime:
    """Return the current time in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def in_days(days: float) -> datetime:
    """Return the time in so many days."""
    return now() + timedelta(days=days)


def at(text: str) -> datetime:
    """Return an ISO 8601 time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def set_time(clock: ShiftedClock, text: str) -> None:
    """Set the core's clock to a time in UTC."""
    clock.ahead = at(text) - datetime.now(UTC)


async def update(shop: Business, job: str, **fields: Any) -> Any:
    """Update a job and return it."""
    response = await shop.call(pb.UpdateRecurringRequest(recurring_id=job, **fields))
    return response.recurring


async def claim_and_execute(shop: Business) -> int:
    """Execute what is due, and return the number of executions."""
    count = 0
    while leases := await claim(shop):
        for lease in leases:
            await execute(shop, lease)
        count += len(leases)
    return count


async def intent_statuses(gateway: Gateway) -> set[str]:
    """Return the statuses of the payment intents in the sandbox's books."""
    (books,) = await gateway.books()
    return {each["status"] for each in books["payment_intents"]}


async def cycles_of(shop: Business, job: str) -> list[tuple[str, str]]:
    """Return time and outcome of all log entries, by time."""
    word = {SUCCEEDED: "charged", SKIPPED: "skipped", DECLINED: "declined"}
    return sorted(
        (f"{moment_of(log.occurrence):%Y-%m-%d %H:%M}", word[log.status])
        for log in await logs_of(shop, job)
    )


async def monthly_job(shop: Business, clock: ShiftedClock, **changes: Any) -> str:
    """Create a job on the 28th at 10:00 in Chicago, and charge January and February 2024."""
    set_time(clock, "2024-01-20T12:00")
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id)
    fields = {"start_at": "2024-01-28T10:00:00", "timezone": "America/Chicago"} | changes
    job = await create_job(shop, user_id, interval_type=pb.INTERVAL_TYPE_MONTH, **fields)
    for month in ("01", "02"):
        set_time(clock, f"2024-{month}-28T16:00:30")
        assert await claim_and_execute(shop) == 1
    return job
