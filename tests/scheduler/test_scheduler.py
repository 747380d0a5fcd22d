"""A scheduler and a stand-in core over gRPC: claims, executions, renewals and drain."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest

from scheduler.server import serve
from scheduler.settings import SchedulerSettings
from tests.scheduler.occurrences_core import TOKEN, OccurrencesCore, serving

SETTINGS = SchedulerSettings(
    TOKEN, port=0, poll_seconds=0.02, lease_seconds=30.0, concurrency=6, per_business=4
)


@dataclass
class Running:
    """A scheduler in this process."""

    url: str
    stop: asyncio.Event
    ended: asyncio.Future[None]

    async def get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as response:
            return response.status, await response.text()

    async def until_metric(self, name: str, value: float) -> None:
        """Wait until a metric shows a number."""
        async with asyncio.timeout(30):
            while self.metric((await self.get("/metrics"))[1], name) != value:
                await asyncio.sleep(0.02)

    @staticmethod
    def metric(text: str, name: str) -> float | None:
        lines = [line for line in text.splitlines() if line.startswith(name + " ")]
        return float(lines[0].rpartition(" ")[2]) if lines else None


@asynccontextmanager
async def scheduling(target: str, **changes: Any) -> AsyncIterator[Running]:
    """Run a scheduler until the block ends."""
    stop = asyncio.Event()
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    settings = replace(SETTINGS, core_target=target, **changes)
    ended = asyncio.ensure_future(serve(settings, ready.set_result, stop))
    try:
        yield Running(await ready, stop, ended)
    finally:
        stop.set()
        await ended


async def test_each_due_occurrence_is_executed_once_within_the_bounds() -> None:
    core = OccurrencesCore()
    core.add("big", 40)
    core.add("small", 3)
    async with serving(core) as target, scheduling(target) as running:
        await core.until(lambda: core.running.total() == 6)
        assert core.running == {"big": 4, "small": 2}
        core.gate.set()
        await core.until(lambda: len(core.executed) == 43)
        await running.until_metric('nivisco_scheduler_executions_total{outcome="succeeded"}', 43)
        _, text = await running.get("/metrics")
    assert {due.executions for due in core.due.values()} == {1}
    assert (core.most_at_once, core.most_of_one) == (6, 4)
    assert not core.refused
    assert all(1 <= claim.limit <= 6 for claim in core.claims)
    assert all(0 < len(claim.owner) <= 64 for claim in core.claims)
    assert running.metric(text, "nivisco_scheduler_claimed_total") == 43
    assert running.metric(text, "nivisco_scheduler_in_flight") == 0
    assert running.metric(text, "nivisco_scheduler_waiting") == 0


async def test_a_business_with_many_occurrences_does_not_delay_others() -> None:
    core = OccurrencesCore()
    core.add("big", 500)
    async with serving(core) as target, scheduling(target):
        await core.until(lambda: core.running["big"] == 4)
        core.add("small", 1)
        await core.until(lambda: core.running["small"] == 1)
        assert not core.executed  # though all of the big one's are in flight
        core.gate.set()


async def test_a_small_business_takes_turns_with_two_large_ones() -> None:
    core = OccurrencesCore()
    core.add("big", 300)
    core.add("bigger", 300)
    async with serving(core) as target, scheduling(target):
        await core.until(lambda: core.running.total() == 6)
        core.add("small", 1)
        core.gate.set()
        small = core.due["small", "REC-600"]
        await core.until(lambda: small.executions == 1)
        assert len(core.executed) < 100


async def test_leases_are_renewed_while_waiting_and_in_flight() -> None:
    core = OccurrencesCore()
    core.add("a", 6)
    async with (
        serving(core) as target,
        scheduling(target, lease_seconds=1.5) as running,
        scheduling(target, lease_seconds=1.5),
    ):
        await core.until(lambda: len(core.renewals) >= 5)
        core.gate.set()
        await core.until(lambda: len(core.executed) == 6)
        await running.get("/metrics")
    assert {due.fencing_token for due in core.due.values()} == {1}, "no lease changed hands"
    assert not core.refused


async def test_leases_that_another_scheduler_claimed_are_dropped() -> None:
    core = OccurrencesCore()
    core.add("a", 6)
    async with serving(core) as target, scheduling(target, lease_seconds=1.5) as running:
        await core.until(lambda: core.running["a"] == 4)
        for due in core.due.values():  # as if this scheduler had been paused past its leases
            due.fencing_token += 1
            due.until = float("inf")
        await running.until_metric("nivisco_scheduler_leases_lost_total", 6)
        await running.until_metric("nivisco_scheduler_waiting", 0)
        core.gate.set()
        await running.until_metric("nivisco_scheduler_in_flight", 0)
    assert len(core.executed) == 4  # those in flight, which the core decides about


async def test_an_unreachable_core_is_retried_and_readyz_shows_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    core = OccurrencesCore()
    core.gate.set()
    async with serving(core) as target, scheduling(target) as running:
        await core.until(lambda: len(core.claims) > 2)
        assert await running.get("/healthz") == (200, '{"status":"alive"}')
        assert await running.get("/readyz") == (200, '{"status":"ready"}')
    async with scheduling(target) as running:  # no core serves there now
        await running.until_metric(
            'nivisco_scheduler_failed_calls_total{reason="service_unavailable"}', 2
        )
        assert await running.get("/readyz") == (503, '{"status":"not ready"}')
        assert (await running.get("/healthz"))[0] == 200
        core.add("a", 1)
        async with serving(core, int(target.rpartition(":")[2])):
            await core.until(lambda: len(core.executed) == 1)
            await running.until_metric("nivisco_scheduler_in_flight", 0)  # it has the answer, too
            assert (await running.get("/readyz"))[0] == 200
            messages = [each.getMessage() for each in caplog.records if each.name == "scheduler"]
    assert messages == [
        "claim succeeded, scheduler is ready",
        "claim failed, retrying",
        "claim succeeded, scheduler is ready",
    ]
    assert TOKEN not in caplog.text


async def test_a_stop_drains_what_is_in_flight_and_starts_nothing() -> None:
    core = OccurrencesCore()
    core.add("a", 8)
    async with serving(core) as target, scheduling(target, lease_seconds=1.5) as running:
        await core.until(lambda: core.running["a"] == 4)
        running.stop.set()
        before = len(core.renewals)
        await core.until(lambda: len(core.renewals) >= before + 2)  # leases in flight are renewed
        assert len(core.renewals[-1].leases) == 4
        claims = len(core.claims)
        assert not running.ended.done()
        assert (await running.get("/readyz"))[0] == 503
        core.gate.set()
        await running.ended
        assert len(core.executed) == 4
        assert len(core.claims) == claims


async def test_a_stop_ends_after_the_drain_time_without_an_outcome() -> None:
    core = OccurrencesCore()
    core.add("a", 3)
    async with serving(core) as target, scheduling(target, drain_seconds=0.2) as running:
        await core.until(lambda: core.running["a"] == 3)
        running.stop.set()
        async with asyncio.timeout(20):
            await running.ended
        core.gate.set()


async def test_an_execution_without_outcome_is_counted_by_reason_and_claimed_again() -> None:
    core = OccurrencesCore(fails_with="OUTCOME_UNKNOWN")
    core.add("a", 1)
    async with serving(core) as target, scheduling(target, lease_seconds=1.5) as running:
        await running.until_metric(
            'nivisco_scheduler_executions_total{outcome="outcome_unknown"}', 1
        )
        core.fails_with = ""
        core.gate.set()
        await core.until(lambda: len(core.executed) == 1)
    (due,) = core.executed
    assert (due.executions, due.fencing_token) == (1, 2)


async def test_a_refused_token_is_logged_once_as_an_error_that_names_the_setting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrong = "w" * 64
    async with (
        serving(OccurrencesCore()) as target,
        scheduling(target, service_token=wrong) as running,
    ):
        name = 'nivisco_scheduler_failed_calls_total{reason="service_token_required"}'
        await running.until_metric(name, 2)
        assert (await running.get("/readyz"))[0] == 503
    errors = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert len(errors) == 1  # not one for each retry
    assert "NIVISCO_SERVICE_TOKEN must be the token of scope scheduler" in errors[0]
    assert wrong not in caplog.text


async def test_the_lag_is_measured_by_the_core_s_clock_alone() -> None:
    core = OccurrencesCore()
    core.add("a", 1)
    async with serving(core) as target, scheduling(target) as running:
        await running.until_metric("nivisco_scheduler_lag_seconds", 5)
        core.gate.set()
        await running.until_metric("nivisco_scheduler_lag_seconds", 0)
        _, text = await running.get("/metrics")
        age = running.metric(text, "nivisco_scheduler_last_claim_age_seconds")
        assert age is not None
        assert 0 <= age < 30
