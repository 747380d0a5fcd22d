"""`nivisco audit` and `nivisco doctor` on a trail that somebody altered."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Executable, delete, update

from cli.main import main
from core.database.schema import audit_events
from core.database.transactions import Database
from core.server import composition
from tests.core.audit.waiting import events_when
from tests.core.conftest import NOWHERE
from tests.core.running import (
    OPERATOR_TOKEN,
    Business,
    create_user,
    register,
    running_core,
    settings_for,
)


@dataclass(frozen=True)
class Trail:
    """The trail of a business on PostgreSQL, where a test can write beside the core."""

    business: Business
    database_url: str
    checkpoints: Path

    async def run(self, *arguments: str, **variables: str) -> Result:
        """Run an operator's command against the core."""
        environment = {"NIVISCO_SERVICE_TOKEN": OPERATOR_TOKEN} | variables
        command = [*arguments, "--core", self.business.client.target]
        return await asyncio.to_thread(CliRunner().invoke, main, command, env=environment)

    async def alter(self, statement: Executable) -> None:
        """Write to the database as somebody who has its password."""
        database = Database(self.database_url)
        async with database.transaction() as transaction:
            await transaction.connection.execute(statement)
        await database.close()

    async def exported(self) -> list[dict[str, Any]]:
        """Return the lines that `export` prints of the business."""
        of_business = ("--business", self.business.credentials.business_id)
        result = await self.run("audit", "export", *of_business)
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
async def trail(
    tmp_path: Path, postgresql_database: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Trail]:
    """A trail with a checkpoint of its end."""
    monkeypatch.setattr(composition, "SEQUENCE_SECONDS", 0.02)
    settings = settings_for(
        tmp_path, database_url=postgresql_database, stripe_urls=NOWHERE, authorize_urls=NOWHERE
    )
    async with running_core(settings) as client:
        business = await register(client)
        for _ in range(4):
            await create_user(business)
        await events_when(
            business, lambda found: sum(each.action == "create_user" for each in found) == 4
        )
        found = Trail(business, postgresql_database, tmp_path / "checkpoints.jsonl")
        last = (await found.exported())[-1]
        line = json.dumps({name: last[name] for name in ("business_id", "sequence", "hash")})
        found.checkpoints.write_text(f"a line of another kind\n{line}\n")
        yield found


async def test_a_trail_that_nobody_altered_is_exported_and_verifies(trail: Trail) -> None:
    lines = await trail.exported()
    assert [line["sequence"] for line in lines] == list(range(1, len(lines) + 1))
    assert [line["action"] for line in lines].count("create_user") == 4
    everything = await trail.run("audit", "export")
    assert len(everything.stdout.splitlines()) > len(lines), "also of the admin business"
    verified = await trail.run("audit", "verify", "--checkpoints", str(trail.checkpoints))
    assert verified.exit_code == 0, verified.output
    assert "events and 1 checkpoints were verified." in verified.stdout
    of_log = await trail.run("audit", "verify", "--json", NIVISCO_AUDIT_CHECKPOINTS="log")
    assert of_log.exit_code == 0, of_log.output
    content = json.loads(of_log.stdout)
    assert (content["checkpoints"], content["problems"]) == (0, [])
    missing = await trail.run("audit", "verify", "--checkpoints", str(trail.checkpoints) + ".no")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "--checkpoints: No such file" in missing.stderr


async def test_tampering_is_found_by_verify_and_by_the_doctor(trail: Trail) -> None:
    last = (await trail.exported())[-1]
    of_business = audit_events.c.business_id == last["business_id"]
    healthy = await trail.run("doctor")
    assert "\nok       audit_trail " in healthy.stdout
    await trail.alter(
        update(audit_events).where(of_business, audit_events.c.sequence == 2).values(actor="core")
    )
    found = await trail.run("audit", "verify", "--json")
    assert found.exit_code == 1
    assert [each["sequence"] for each in json.loads(found.stdout)["problems"]] == [2]
    assert "The audit trail was altered." in found.stderr
    doctor = await trail.run("doctor")
    assert doctor.exit_code == 1
    assert "\nbroken   audit_trail " in doctor.stdout
    assert "sequence=2" in doctor.stdout


async def test_an_end_that_was_cut_off_is_found_by_a_checkpoint(trail: Trail) -> None:
    last = (await trail.exported())[-1]
    of_business = audit_events.c.business_id == last["business_id"]
    await trail.alter(
        delete(audit_events).where(of_business, audit_events.c.sequence == last["sequence"])
    )
    found = await trail.run("audit", "verify", NIVISCO_AUDIT_CHECKPOINTS=str(trail.checkpoints))
    assert found.exit_code == 1
    assert "its end was cut off" in found.stdout
    assert f"event {last['sequence'] - 1}: the chain should end with event" in found.stdout
