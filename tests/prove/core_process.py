"""The core under test: production's composition with failpoints, short intervals, a shared clock.

It takes commands from its driver over a Unix socket: `arm` a failpoint, `dump` the rows of
businesses, `stop`. It ends when the driver ends.
"""

import asyncio
import functools
import json
import logging
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import uvloop
from sqlalchemy import Insert, insert, literal, or_, select, update
from stripe._object_classes import get_object_class

from core.business import known_callers
from core.database.clock import Clock
from core.database.connections import Answer, Connection
from core.database.migrations import upgrade
from core.database.postgresql import PostgresqlConnection
from core.database.schema import metadata
from core.database.sqlite import SqliteConnection
from core.database.transactions import Database
from core.due_work.service import DueWork
from core.gateways.authorize.gateway import AuthorizeGateway
from core.gateways.stripe.gateway import StripeGateway
from core.security.keyring import Keyring
from core.server import composition, stream
from core.server.settings import CoreSettings
from tests.core.running import OPERATOR_TOKEN, SCHEDULER_TOKEN, WEBHOOKS_TOKEN
from tests.prove.failpoints import Failpoints, stream_with_failpoints, with_failpoints
from tests.prove.mutants import MUTANTS
from tests.prove.shared_clock import SharedClock
from tests.prove.triggers import (
    POISON_CLAIM,
    POISON_EVENT,
    POISON_EXECUTION,
    POISON_KEYS,
    POISON_PAYMENT,
    SETTLE_SECONDS,
)

GATEWAY_SECONDS = 1.0
POLL_SECONDS = 0.1
REAP_SECONDS = 0.3
RENEW_SECONDS = 0.2
SEQUENCE_SECONDS = 0.2
CALLERS_SECONDS = 0.2
POLLING = (
    "payments.sweep",
    "refunds.sweep",
    "idempotency.reap",
    "webhooks.reap",
    "webhooks.take_due",
    "recurring.claim",
)
"""Transactions that run all the time: a failpoint only when they found something to write."""
DUE_WITH_JOB_SECONDS = 2.5
"""After this, a job that a client creates now is due, too."""
_STRIPE_OBJECTS = ("customer", "payment_method", "payment_intent", "charge", "refund", "list")
DUMPED = (
    "payments",
    "wallets",
    "wallet_transactions",
    "postings",
    "users",
    "cards",
    "gateway_customers",
    "stripe_credentials",
    "authorize_credentials",
    "idempotency_records",
    "businesses",
    "api_keys",
    "recurring_jobs",
    "recurring_occurrences",
    "recurring_logs",
    "webhook_events",
    "refunds",
    "wallet_holds",
)


class InspectableDatabase(Database):
    """A database whose rows a test can read while the core runs."""

    serving: "InspectableDatabase"
    idle_turns = 0
    """How often the core looked for due work, and had none in hand after it."""

    def __init__(self, url: str, clock: Clock | None = None, **limits: Any) -> None:
        super().__init__(url, clock, **limits)
        InspectableDatabase.serving = self

    async def rows(
        self, business_ids: Sequence[str], names: Sequence[str]
    ) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of the businesses, and of businesses with these names, by table."""
        found: dict[str, list[dict[str, Any]]] = {}
        async with self.read() as transaction:
            for name in DUMPED:
                table = metadata.tables[name]
                wanted = [table.c.business_id.in_(business_ids)]
                if name == "businesses":
                    wanted.append(table.c.name.in_(names))
                rows = await transaction.connection.execute(select(table).where(or_(*wanted)))
                found[name] = [row._asdict() for row in rows]
        return found

    async def poison(self, kind: str, business_id: str) -> None:
        """Make rows of a business due that no core can carry out, see `tests.prove.poison`."""
        now = self.now() + timedelta(seconds=DUE_WITH_JOB_SECONDS if kind == POISON_CLAIM else 0)
        due = {"set_aside_at": None, "set_aside_error": None, "failed_looks": 0}
        pending = due | {"status": "pending", "attempt": "unknown", "look_at": now}
        unleased = {"lease_owner": None, "leased_until": None, "open_occurrence": None}
        due_job = due | unleased | {"next_run": now, "due_at": now}
        changes: dict[str, list[tuple[str, dict[str, Any]]]] = {
            POISON_PAYMENT: [("payments", pending)],
            POISON_KEYS: [("payments", pending), ("stripe_credentials", {"env": "LIVE"})],
            POISON_EVENT: [],
            POISON_CLAIM: [("recurring_jobs", due_job)],
            POISON_EXECUTION: [("recurring_jobs", due_job)],
        }
        sealed = ("stripe_credentials", {"env": "TEST", "sealed_secret_key": "k1:AAAA"})
        async with self.read() as transaction:  # without a failpoint at its commit
            connection = transaction.connection
            for name, values in [sealed, *changes[kind]]:
                table = metadata.tables[name]
                of_business = table.c.business_id == business_id
                await connection.execute(update(table).where(of_business).values(values))
            if kind == POISON_CLAIM:
                await connection.execute(_insert_occurrence(business_id, now))
            if kind == POISON_EVENT:
                await connection.execute(_insert_unreadable_event(business_id, now))
            await connection.commit()


def _insert_occurrence(business_id: str, at: datetime) -> Insert:
    """Return the insert of an occurrence of the business's job that was not claimed."""
    jobs, occurrences = (metadata.tables[f"recurring_{name}"] for name in ("jobs", "occurrences"))
    values: dict[str, Any] = {
        "occurrence": at,
        "amount_minor": 500,
        "currency": "usd",
        "attempt": 1,
        "checks": 0,
        "status": "skipped",
        "created_at": at,
        "updated_at": at,
    }
    job = select(
        jobs.c.business_id,
        jobs.c.recurring_id,
        *(literal(value, occurrences.c[name].type) for name, value in values.items()),
    ).where(jobs.c.business_id == business_id)
    return insert(occurrences).from_select(["business_id", "recurring_id", *values], job)


def _insert_unreadable_event(business_id: str, at: datetime) -> Insert:
    """Return the insert of an applied event about the business's payment."""
    payments, events = metadata.tables["payments"], metadata.tables["webhook_events"]
    values: dict[str, Any] = {
        "event_id": f"evt_unreadable_{at.timestamp()}",
        "type": "unreadable",
        "fact": "{",
        "needs_lookup": False,
        "state": "applied",
        "occurred_at": at,
        "received_at": at,
        "checks": 0,
    }
    names = ("business_id", "gateway", "env", "transaction_id")
    payment = select(
        *(payments.c[name] for name in names),
        *(literal(value, events.c[name].type) for name, value in values.items()),
    ).where(payments.c.business_id == business_id)
    return insert(events).from_select([*names, *values], payment)


class FailpointDatabase(InspectableDatabase):
    """A database with a failpoint before and after each named commit.

    A write that commits without a name is recorded as UNNAMED, because nothing kills a core there.
    """

    points: Failpoints

    def __init__(self, url: str, clock: Clock | None = None, **limits: Any) -> None:
        super().__init__(url, clock, **limits)
        _note_writes(PostgresqlConnection)
        _note_writes(SqliteConnection)
        _count_idle_turns()

    async def _commit(self, connection: Connection, name: str) -> None:
        write = _last_writes.pop(connection, None)
        if name and (write or name not in POLLING):
            self.points.hit(f"{name}.before")
            await super()._commit(connection, name)
            self.points.hit(f"{name}.after")
            return
        if write:
            self.points.note(f"UNNAMED {write}")
        await super()._commit(connection, name)


_last_writes: WeakKeyDictionary[Connection, str] = WeakKeyDictionary()
"""The last statement that wrote in a connection's transaction."""


def _note_writes(driver: type[Connection]) -> None:
    """Have the connections of a driver note what they write until they commit or roll back."""
    run, run_many, roll_back = driver.run, driver.run_many, driver.rollback

    def note(connection: Connection, text: str) -> None:
        if text.startswith(("INSERT", "UPDATE", "DELETE")):
            _last_writes[connection] = " ".join(text.split())[:80]

    async def noted_run(self: Connection, text: str, arguments: Sequence[Any] = ()) -> Answer:
        note(self, text)
        return await run(self, text, arguments)

    async def noted_run_many(self: Connection, text: str, rows: Sequence[Any]) -> Answer:
        note(self, text)
        return await run_many(self, text, rows)

    async def noted_rollback(self: Connection) -> None:
        _last_writes.pop(self, None)
        await roll_back(self)

    patched = _patchable(driver)
    patched.run, patched.run_many, patched.rollback = noted_run, noted_run_many, noted_rollback


def _count_idle_turns() -> None:
    look = DueWork._poll_and_log

    async def counted(self: DueWork) -> None:
        await look(self)
        InspectableDatabase.idle_turns += not self._tasks

    _patchable(DueWork)._poll_and_log = counted


def warm_up() -> None:
    """Precompute what is the same in every core and slow to compute."""
    _patchable(upgrade).head_revision = functools.cache(upgrade.head_revision)
    upgrade.head_revision()
    for kind in _STRIPE_OBJECTS:
        get_object_class("V1", kind)


def _patchable(module: Any) -> Any:
    """Return the module or class untyped, so that its attributes can be patched."""
    return module


def main(
    *,
    directory: str,
    name: str,
    database_url: str,
    keyring: str,
    gateway_url: str,
    listen: str,
    armed: tuple[str, int] | None,
    mutant: str | None,
) -> None:
    """Serve until the command `stop`, the end of the driver, or the armed failpoint."""
    place = Path(directory)
    logging.basicConfig(
        filename=place / "core.log", level=logging.WARNING, format=f"{name} %(message)s"
    )
    journal = os.open(place / "journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    points = Failpoints(journal, name)
    if armed:
        points.arm(*armed)
    patched = _patchable(composition)
    patched.POLL_SECONDS = POLL_SECONDS
    patched.REAP_SECONDS = REAP_SECONDS
    patched.RENEW_SECONDS = RENEW_SECONDS
    patched.SEQUENCE_SECONDS = SEQUENCE_SECONDS
    _patchable(known_callers).LIFETIME_SECONDS = CALLERS_SECONDS
    FailpointDatabase.points = points
    patched.Database = FailpointDatabase
    patched.StripeGateway = with_failpoints(StripeGateway, points)
    _patchable(stream).StreamConnection = stream_with_failpoints(points)
    patched.AuthorizeGateway = with_failpoints(AuthorizeGateway, points)
    if mutant:
        MUTANTS[mutant].apply()
    settings = CoreSettings(
        database_url=database_url,
        keyring=Keyring.parse(keyring),
        service_tokens={
            OPERATOR_TOKEN: "operator",
            WEBHOOKS_TOKEN: "webhooks",
            SCHEDULER_TOKEN: "scheduler",
        },
        listen=listen,
        stripe_urls={"TEST": gateway_url, "LIVE": gateway_url},
        authorize_urls={"TEST": gateway_url, "LIVE": gateway_url},
        gateway_timeout_seconds=GATEWAY_SECONDS,
        authorize_settle_seconds=SETTLE_SECONDS,
        lame_duck_seconds=0.0,
        drain_seconds=2.0,
    )
    uvloop.run(_serve(settings, place, name, points))


async def _serve(settings: CoreSettings, place: Path, name: str, points: Failpoints) -> None:
    clock = SharedClock(place / "clock")
    reader, writer = await asyncio.open_unix_connection(str(place / "control"))
    stop = asyncio.Event()

    def answer(**fields: Any) -> None:
        writer.write(json.dumps(fields, default=_plain).encode() + b"\n")

    async def run_commands() -> None:
        while line := await reader.readline():
            command = json.loads(line)
            match command.pop("command"):
                case "arm":
                    points.arm(command["point"], command["hits"])
                    answer(armed=command["point"])
                case "dump":
                    rows = await InspectableDatabase.serving.rows(**command)
                    answer(rows=rows, turns=InspectableDatabase.idle_turns)
                case "turns":
                    answer(turns=InspectableDatabase.idle_turns)
                case "poison":
                    await InspectableDatabase.serving.poison(**command)
                    answer(poisoned=True)
                case "stop":
                    stop.set()
        os._exit(0)  # the driver ended

    answer(name=name)
    commands = asyncio.ensure_future(run_commands())
    try:
        await composition.serve(settings, lambda address: answer(address=address), stop, clock)
    except Exception as error:
        answer(failed=f"{type(error).__name__}: {error}")
        await writer.drain()
        raise
    finally:
        commands.cancel()


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
