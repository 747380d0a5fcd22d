"""A core as the proof runs it: production's own composition, failpoints around it, a test's hand.

Its constants of waiting are shortened, its clock is the proof's, and it obeys its driver over a
Unix socket: `arm` a failpoint, `dump` the rows of businesses, `stop`. When the driver goes, it
goes.
"""

import asyncio
import functools
import json
import logging
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import uvloop
from sqlalchemy import or_, select
from stripe._object_classes import get_object_class

from core.database.clock import Clock
from core.database.migrations import upgrade
from core.database.schema import metadata
from core.database.transactions import Database
from core.gateways.authorize.gateway import AuthorizeGateway
from core.gateways.stripe.gateway import StripeGateway
from core.security.keyring import Keyring
from core.server import composition
from core.server.settings import CoreSettings
from tests.core.running import OPERATOR_TOKEN
from tests.prove.failpoints import (
    Failpoints,
    commit_sites,
    lay_around_commits,
    with_failpoints,
)
from tests.prove.mutants import MUTANTS
from tests.prove.shared_clock import SharedClock
from tests.prove.stage import SETTLE_SECONDS

GATEWAY_SECONDS = 1.0
SWEEP_SECONDS = 0.1
REAP_SECONDS = 0.3
RENEW_SECONDS = 0.2
_STRIPE_OBJECTS = ("customer", "payment_method", "payment_intent", "charge", "list")
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
)


class ProvedDatabase(Database):
    """The database, which the proof can look into."""

    serving: "ProvedDatabase"

    def __init__(self, url: str, clock: Clock | None = None, **limits: Any) -> None:
        super().__init__(url, clock, **limits)
        ProvedDatabase.serving = self

    async def rows(
        self, business_ids: Sequence[str], names: Sequence[str]
    ) -> dict[str, list[dict[str, Any]]]:
        """Return all that is stored of the businesses; and businesses of these names."""
        found: dict[str, list[dict[str, Any]]] = {}
        async with self._engine.connect() as connection:
            for name in DUMPED:
                table = metadata.tables[name]
                wanted = [table.c.business_id.in_(business_ids)]
                if name == "businesses":
                    wanted.append(table.c.name.in_(names))
                rows = await connection.execute(select(table).where(or_(*wanted)))
                found[name] = [dict(row._mapping) for row in rows]
            await connection.rollback()
        return found


def warm_up() -> None:
    """Do what every core does at its start and what is the same each time."""
    _changed(upgrade).head_revision = functools.cache(upgrade.head_revision)
    upgrade.head_revision()
    commit_sites()
    for kind in _STRIPE_OBJECTS:
        get_object_class("V1", kind)


def _changed(module: Any) -> Any:
    """Return what is changed here, untyped: production code knows nothing of it."""
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
    """Serve until told to stop, until the driver goes, or until a failpoint kills."""
    place = Path(directory)
    logging.basicConfig(
        filename=place / "core.log", level=logging.WARNING, format=f"{name} %(message)s"
    )
    journal = os.open(place / "journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    points = Failpoints(journal, name)
    if armed:
        points.arm(*armed)
    changed = _changed(composition)
    changed.SWEEP_SECONDS = SWEEP_SECONDS
    changed.REAP_SECONDS = REAP_SECONDS
    changed.RENEW_SECONDS = RENEW_SECONDS
    changed.Database = ProvedDatabase
    changed.StripeGateway = with_failpoints(StripeGateway, points)
    changed.AuthorizeGateway = with_failpoints(AuthorizeGateway, points)
    lay_around_commits(points)
    if mutant:
        MUTANTS[mutant].apply()
    settings = CoreSettings(
        database_url=database_url,
        keyring=Keyring.parse(keyring),
        service_tokens={OPERATOR_TOKEN: "operator"},
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

    def say(**answer: Any) -> None:
        writer.write(json.dumps(answer, default=_plain).encode() + b"\n")

    async def obey() -> None:
        while line := await reader.readline():
            order = json.loads(line)
            match order.pop("order"):
                case "arm":
                    points.arm(order["point"], order["hits"])
                    say(armed=order["point"])
                case "dump":
                    say(rows=await ProvedDatabase.serving.rows(**order))
                case "stop":
                    stop.set()
        os._exit(0)  # the driver is gone

    say(name=name)
    obeying = asyncio.ensure_future(obey())
    try:
        await composition.serve(settings, lambda address: say(address=address), stop, clock)
    except Exception as error:
        say(failed=f"{type(error).__name__}: {error}")
        await writer.drain()
        raise
    finally:
        obeying.cancel()


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
