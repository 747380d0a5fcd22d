"""`nivisco retention` against a core: what is due is shown, and nothing is deleted."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from tests.core.conftest import NOWHERE
from tests.core.running import OPERATOR_TOKEN, running_core, settings_for


def run(address: str, *more: str) -> Any:
    environment = {"NIVISCO_SERVICE_TOKEN": OPERATOR_TOKEN}
    return CliRunner().invoke(main, ["retention", "--core", address, *more], env=environment)


@pytest.mark.parametrize(
    ("more", "printed"),
    [
        ([], "idempotency_records: kept for 3 days (NIVISCO_KEEP_ANSWERS_DAYS), 0 to be deleted\n"),
        ([], "ignored_events: kept for 40 days (NIVISCO_KEEP_IGNORED_EVENTS_DAYS), 0 to be"),
        (["--json"], '"days": 40'),
    ],
)
async def test_what_is_kept_and_for_how_long_is_shown(
    tmp_path: Path, more: list[str], printed: str
) -> None:
    urls = {"stripe_urls": NOWHERE, "authorize_urls": NOWHERE}
    settings = settings_for(tmp_path, keep_answers_days=3, keep_ignored_events_days=40, **urls)
    async with running_core(settings) as client:
        result = await asyncio.to_thread(run, client.target, *more)
    assert result.exit_code == 0, result.output
    assert printed in result.output
