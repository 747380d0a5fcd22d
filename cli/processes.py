"""The commands that run one process each, and `migrate`.

Each imports its process's modules when it runs, so that the other commands start fast.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from cli.addresses import Address, CoreAddress, read_address, read_core_address, read_cores
from cli.core_access import service_token
from cli.data_dir import DEFAULT_DATA_DIR, DataDir
from cli.failures import Failure, SettingsError, sentence
from cli.foreground import Serve, on_hangup, run, until
from cli.worker_plans import (
    adapter_workers,
    core_workers,
    inherited_listener,
    metrics_option,
    workers_option,
)

Result = TypeVar("Result")


@click.command()
@click.option(
    "--grpc",
    metavar="HOST:PORT",
    callback=read_core_address,
    help="Where to listen, also unix:/path; NIVISCO_GRPC if absent.",
)
@metrics_option
@workers_option
def core(grpc: CoreAddress | None, metrics: Address | None, workers: int) -> None:
    """Run the gRPC server, which owns database and secrets.

    It needs NIVISCO_DATABASE_URL and NIVISCO_SECRET_KEYS. Several workers need PostgreSQL and
    listen on consecutive ports from that of --grpc, or on any free ports if it is 0. Other machines
    need mutual TLS (NIVISCO_GRPC_TLS_CERTIFICATE_FILE, …_KEY_FILE, …_CLIENT_CA_FILE). SIGHUP
    reloads those files.
    """

    def prepare() -> Serve:
        from core.server import composition
        from core.server.settings import CoreSettings

        environ = _environment(NIVISCO_GRPC=grpc, NIVISCO_METRICS=metrics)
        settings = CoreSettings.from_environment(environ)
        if workers > 1:
            return core_workers(settings, environ, workers)
        return lambda ready, stop: _core_work(
            composition.serve(settings, ready, stop, on_hangup=on_hangup)
        )

    run("core", prepare)


@click.command()
@click.option(
    "--http",
    metavar="HOST:PORT",
    callback=read_address,
    help="Where to listen; NIVISCO_HTTP if absent.",
)
@click.option(
    "--core",
    "cores",
    metavar="HOST:PORT[,…]",
    callback=read_cores,
    help="Where the core or cores serve, also unix:/path; NIVISCO_CORE if absent.",
)
@metrics_option
@workers_option
def adapter(http: Address | None, cores: str | None, metrics: Address | None, workers: int) -> None:
    """Run the JSON endpoint, which calls the core, or several in turn. Workers share its port.

    Other machines need TLS (NIVISCO_TLS_CERTIFICATE_FILE, NIVISCO_TLS_KEY_FILE) or a proxy in
    NIVISCO_TRUSTED_PROXIES. SIGHUP reloads the certificate.
    """

    def prepare() -> Serve:
        from adapter import server
        from adapter.settings import AdapterSettings

        environ = _environment(NIVISCO_HTTP=http, NIVISCO_CORE=cores, NIVISCO_METRICS=metrics)
        settings = AdapterSettings.from_environment(environ)
        if workers > 1:
            return adapter_workers(settings, environ, workers)
        listener = inherited_listener()
        return lambda ready, stop: _served(
            server.serve(settings, ready, stop, listener=listener, on_hangup=on_hangup)
        )

    run("adapter", prepare)


@click.command()
@click.option(
    "--core",
    "cores",
    metavar="HOST:PORT[,…]",
    callback=read_cores,
    help="Where the core or cores serve, also unix:/path; NIVISCO_CORE if absent.",
)
@click.option(
    "--metrics",
    "--http",
    metavar="HOST:PORT",
    callback=read_address,
    help="Where to serve /healthz, /readyz and /metrics; NIVISCO_METRICS or NIVISCO_SCHEDULER_HTTP "
    "if absent.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="The data directory of a `nivisco up`, which has the token; NIVISCO_SERVICE_TOKEN if set.",
)
def scheduler(cores: str | None, metrics: Address | None, data_dir: Path | None) -> None:
    """Run the scheduler, which claims due occurrences of recurring jobs and calls the core.

    Any number may run, on any machine: each occurrence is executed once. It needs the token of
    scope scheduler and no database. After SIGTERM it finishes the occurrences in flight.
    """

    def prepare() -> Serve:
        from scheduler import server
        from scheduler.settings import SchedulerSettings

        environ = _environment(
            NIVISCO_CORE=cores,
            NIVISCO_METRICS=metrics,
            NIVISCO_SERVICE_TOKEN=service_token(
                "scheduler", DataDir(data_dir) if data_dir else None
            ),
        )
        settings = SchedulerSettings.from_environment(environ)
        return lambda ready, stop: _served(server.serve(settings, ready, stop))

    run("scheduler", prepare)


@click.command()
@click.option(
    "--http",
    metavar="HOST:PORT",
    callback=read_address,
    default="127.0.0.1:8090",
    show_default=True,
    help="Where to listen.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="Where its database is kept.",
)
def sandbox(http: Address, data_dir: Path) -> None:
    """Run stand-ins for the card gateways. No real money, no real cards."""

    def prepare() -> Serve:
        from sandbox import server

        directory = DataDir(data_dir)
        directory.make()

        async def serve(ready: Callable[[str], None], stop: asyncio.Event) -> None:
            work = server.serve(http.host, http.port, directory.path, ready)
            await until(stop, _served(work))

        return serve

    run("sandbox", prepare)


@click.command()
def migrate() -> None:
    """Migrate the database in NIVISCO_DATABASE_URL to this version's schema.

    `nivisco up` does it by itself. Each revision is named before it runs. A running core locks a
    SQLite database: stop it first.
    """
    from core.server import composition
    from core.server.settings import CoreSettings

    try:
        settings = CoreSettings.from_environment(os.environ)
    except ValueError as error:
        raise SettingsError(sentence(error)) from None
    _show_revisions()
    revision = asyncio.run(_core_work(composition.migrate(settings)))
    click.echo(f"The database is at revision {revision}.")


def _show_revisions() -> None:
    """Have each revision named on stderr before it runs: one of a large table takes minutes."""
    shown = logging.StreamHandler()
    shown.addFilter(lambda record: record.getMessage().startswith("Running upgrade"))
    alembic = logging.getLogger("alembic.runtime.migration")
    alembic.setLevel(logging.INFO)
    alembic.addHandler(shown)


def _environment(**given: CoreAddress | str | None) -> dict[str, str]:
    """Return the environment with the given options in place of its variables."""
    return dict(os.environ) | {name: str(value) for name, value in given.items() if value}


async def _core_work(work: Awaitable[Result]) -> Result:
    """Await work of the core; its database and keyring errors become a Failure."""
    from core.database.transactions import DatabaseUnavailableError
    from core.security.keyring import SealBrokenError

    try:
        return await _served(work)
    except (DatabaseUnavailableError, SealBrokenError) as error:
        raise Failure(sentence(error)) from None


async def _served(work: Awaitable[Result]) -> Result:
    """Await a server; an OSError, mostly of its address, becomes a Failure."""
    try:
        return await work
    except OSError as error:
        raise Failure(sentence(error)) from None
