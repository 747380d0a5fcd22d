"""The driver process: runs the mutants and then scenarios on one kind of database.

`tests.prove` starts it. It prints its results as one JSON object a line.
"""

import asyncio
import json
import logging
import os
import secrets
import shutil
import signal
import sys
import time
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import Any

import click
import uvloop
from sqlalchemy import text
from sqlalchemy.engine import make_url

from core.database.engines import engine_for
from core.database.migrations.upgrade import migrate
from core.database.transactions import Database
from rpc import client
from tests.prove.environment import Environment, running_environment
from tests.prove.mutants import MUTANTS, TRIES
from tests.prove.run import Run
from tests.prove.scenario import Result, Scenario
from tests.prove.schedule import every_failpoint, systematic

TRIES_OF_MISSED = 3
TRIED_AGAIN = 10**7
"""Added to the number of a repeated scenario."""


class Databases:
    """New databases, copied from a migrated template."""

    def __init__(self, directory: Path, server_url: str) -> None:
        """Create SQLite files in `directory`, or databases on the server if there is one."""
        self._directory = directory
        self._server_url = server_url
        self._numbers = count(1)
        self._template = ""
        self._made: list[str] = []

    async def make_template(self) -> None:
        """Create and migrate the template."""
        self._template = self._name()
        if self._server_url:
            await self._execute(f'CREATE DATABASE "{self._template}"')
            self._made.append(self._template)
        database = Database(self._url(self._template))
        await migrate(database)
        await database.close()

    async def new(self) -> str:
        """Create a database and return its URL."""
        name = self._name()
        if self._server_url:
            await self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{self._template}"')
            self._made.append(name)
        else:
            shutil.copy(self._directory / self._template, self._directory / name)
        return self._url(name)

    async def drop(self) -> None:
        """Drop all databases on the server, even with open connections."""
        for name in self._made:
            await self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _name(self) -> str:
        return f"nivisco_prove_{os.getpid()}_{next(self._numbers)}"

    def _url(self, name: str) -> str:
        if not self._server_url:
            return f"sqlite:///{self._directory / name}"
        return make_url(self._server_url).set(database=name).render_as_string(hide_password=False)

    async def _execute(self, statement: str) -> None:
        engine = engine_for(self._server_url)
        try:
            async with engine.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                await connection.execute(text(statement))
        finally:
            await engine.dispose()


@click.command()
@click.option("--directory", type=click.Path(path_type=Path), required=True)
@click.option("--database", required=True)
@click.option("--server", default="", help="The PostgreSQL server.")
@click.option("--number", type=int, default=1, help="Seed of the order and of everything random.")
@click.option("--until", type=float, default=0.0, help="Unix seconds; 0: every failpoint once.")
@click.option("--part", type=int, default=0, help="The part of the scenarios to run.")
@click.option("--parts", type=int, default=1, help="The number of parts.")
@click.option("--mutant", "mutants", multiple=True)
@click.option("--seed", "seeds", multiple=True, help="Run only this scenario.")
def main(
    directory: Path,
    database: str,
    server: str,
    number: int,
    until: float,
    part: int,
    parts: int,
    mutants: tuple[str, ...],
    seeds: tuple[str, ...],
) -> None:
    """Run mutants and scenarios on one kind of database."""
    # Cores are killed all the time and restart at once: short retries, no warnings.
    client.RECONNECT_SECONDS = 0.3
    logging.getLogger("rpc").setLevel(logging.ERROR)
    logging.getLogger("core.client").setLevel(logging.ERROR)
    scenarios: Iterable[Scenario]
    if seeds:
        scenarios = [Scenario.parse(seed) for seed in seeds]
    elif until:
        scenarios = _until(until, systematic(database, number, part, parts))
    else:
        scenarios = every_failpoint(database, number)
    uvloop.run(_run(directory, database, server, mutants, scenarios, until))


def _until(until: float, scenarios: Iterator[Scenario]) -> Iterator[Scenario]:
    for scenario in scenarios:
        if time.time() >= until:
            return
        yield scenario


async def _run(
    directory: Path,
    database: str,
    server: str,
    mutants: tuple[str, ...],
    scenarios: Iterable[Scenario],
    until: float,
) -> None:
    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    databases = Databases(directory, server)
    missed: list[Scenario] = []
    keyring = "k1:" + b64encode(secrets.token_bytes(32)).decode()
    try:
        await databases.make_template()
        async with running_environment(directory, await databases.new(), keyring) as environment:
            for name in mutants:
                if until and time.time() >= until:
                    break
                await environment.use(await databases.new(), name)
                await _run_mutant(environment, name, database)
            if mutants:
                await environment.use(await databases.new())
            for scenario in _with_retries(scenarios, missed):
                if (scenario.mutant or None) != environment.mutant:
                    await environment.use(await databases.new(), scenario.mutant or None)
                result = await Run(environment, scenario).execute()
                missed += _retries_of(scenario, result)
                _print(result=asdict(result), log=_log_of(directory, result))
                if result.violations:  # its wrong rows would be found again
                    await environment.use(await databases.new())
    finally:
        with suppress(OSError):
            await databases.drop()


def _with_retries(scenarios: Iterable[Scenario], missed: list[Scenario]) -> Iterator[Scenario]:
    """Return the scenarios, each followed by the retries of the kills that it missed."""
    for scenario in scenarios:
        yield scenario
        while missed:
            yield missed.pop()


def _retries_of(scenario: Scenario, result: Result) -> list[Scenario]:
    """Return a short scenario for each missed kill, with the kill before it but in the last try.

    A kill that needs a charge in flight misses it when the one before takes too long.
    """
    if scenario.number >= TRIED_AGAIN * TRIES_OF_MISSED:
        return []
    before = int(scenario.number < TRIED_AGAIN * (TRIES_OF_MISSED - 1))
    return [
        replace(
            scenario,
            number=scenario.number + TRIED_AGAIN,
            fault="none",
            kills=scenario.kills[max(0, place - before) : place + 1],
        )
        for place, kill in enumerate(scenario.kills)
        if kill in result.missed
    ]


async def _run_mutant(environment: Environment, name: str, database: str) -> None:
    """Run a mutant's scenario until it is caught."""
    mutant = MUTANTS[name]
    started = time.monotonic()
    result = Result("")
    tries = 0
    while not result.violations and tries < TRIES:
        tries += 1
        result = await Run(environment, mutant.scenario(name, database, tries)).execute()
        _print(killed=len(result.killed))
    caught = result.violations[0] if result.violations else ""
    _print(
        mutant=name,
        bug=mutant.bug,
        seed=result.seed,
        caught=caught,
        tries=tries,
        seconds=time.monotonic() - started,
    )


def _log_of(directory: Path, result: Result) -> list[str]:
    """Empty the cores' log; return its last lines if there are violations."""
    log = directory / "core.log"
    lines = log.read_text().splitlines()[-80:] if result.violations and log.exists() else []
    if log.exists():
        with log.open("r+") as file:
            file.truncate()
    return lines


def _print(**found: Any) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
