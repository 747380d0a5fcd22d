"""The process `nivisco scheduler`: refused settings, work and drain."""

import asyncio
import json
import signal
from pathlib import Path

import pytest

from tests.processes import Running, Start
from tests.scheduler.occurrences_core import TOKEN, OccurrencesCore, serving

_SCHEDULER = ("-P", "-m", "cli", "scheduler", "--http", "127.0.0.1:0")


@pytest.mark.parametrize(
    ("arguments", "settings", "sentence"),
    [
        (
            ("--data-dir", "/no/such"),
            {},
            "Error: No scheduler's token. Set NIVISCO_SERVICE_TOKEN, or name the data directory",
        ),
        (
            ("--core", "192.0.2.1:50051"),
            {"NIVISCO_SERVICE_TOKEN": TOKEN},
            "Error: The core at 192.0.2.1:50051 (NIVISCO_CORE) is not on this machine's loopback",
        ),
        (
            (),
            {"NIVISCO_SERVICE_TOKEN": TOKEN, "NIVISCO_SCHEDULER_LEASE_SECONDS": "1"},
            "Error: NIVISCO_SCHEDULER_LEASE_SECONDS must be 3 at least.",
        ),
    ],
)
def test_a_wrong_setting_is_one_sentence(
    start: Start, arguments: tuple[str, ...], settings: dict[str, str], sentence: str
) -> None:
    process = start(*_SCHEDULER, *arguments, **settings)
    assert process.wait() == 2
    assert process.printed.startswith(sentence)
    assert process.printed.count("\n") == 1


async def test_sigterm_drains_and_no_log_line_shows_the_token(start: Start, tmp_path: Path) -> None:
    core = OccurrencesCore()
    core.add("a", 3)
    async with serving(core) as target:
        (tmp_path / "secrets.json").write_text(
            json.dumps(
                {
                    "secret_keys": [{"id": "k1", "key": "A" * 43 + "="}],
                    "service_tokens": {"scheduler": TOKEN, "webhooks": "w", "operator": "o"},
                }
            )
        )
        process = start(*_SCHEDULER, "--core", target, "--data-dir", str(tmp_path))
        await core.until(lambda: core.running["a"] == 3)
        process.signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait_for, '"message": "draining"')
        core.gate.set()
        assert await asyncio.to_thread(process.wait) == 0
        assert len(core.executed) == 3
    lines = [json.loads(line) for line in process.printed.splitlines()]
    assert lines[-1]["message"] == "stopped"
    assert {line["process"] for line in lines} == {"scheduler"}
    assert TOKEN not in process.printed


async def test_a_paused_scheduler_executes_nothing_that_another_took_over(start: Start) -> None:
    core = OccurrencesCore()
    settings = {
        "NIVISCO_SERVICE_TOKEN": TOKEN,
        "NIVISCO_SCHEDULER_LEASE_SECONDS": "3",
        "NIVISCO_SCHEDULER_CONCURRENCY": "2",
    }
    core.add("a", 4)
    async with serving(core) as target:
        paused = start(*_SCHEDULER, "--core", target, **settings)
        await core.until(lambda: core.running["a"] == 2)
        paused.signal(signal.SIGSTOP)
        try:
            other = start(*_SCHEDULER, "--core", target, **settings)
            core.gate.set()
            await core.until(lambda: len(core.executed) == 4)
        finally:
            paused.signal(signal.SIGCONT)
        core.add("b", 2)
        await core.until(lambda: len(core.executed) == 6)
        await _ended(paused)
        await _ended(other)
    assert {due.executions for due in core.due.values()} == {1}
    assert "Traceback" not in paused.printed


async def _ended(process: Running) -> None:
    process.signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait) == 0
