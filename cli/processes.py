"""The commands that run one process each, and `migrate`; settings are NIVISCO_* variables.

The processes' own modules are imported when their command runs, so that the others stay quick.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from cli.addresses import Address, CoreAddress, read_address, read_core_address
from cli.data_dir import DEFAULT_DATA_DIR, DataDir
from cli.failures import Failure, SettingsError
from cli.foreground import Serve, on_hangup, run, sentence

Result = TypeVar("Result")


@click.command()
@click.option(
    "--grpc",
    metavar="HOST:PORT",
    callback=read_core_address,
    help="Where to listen, also unix:/path; NIVISCO_GRPC if absent.",
)
def core(grpc: CoreAddress | None) -> None:
    """Run the gRPC server, the owner of database and secrets.

    It needs NIVISCO_DATABASE_URL and NIVISCO_SECRET_KEYS. Other machines reach it by mutual TLS
    (NIVISCO_GRPC_TLS_CERTIFICATE_FILE, …_KEY_FILE, …_CLIENT_CA_FILE). SIGHUP reads renewed files.
    """

    def prepare() -> Serve:
        from core import bootstrap
        from core.settings import CoreSettings

        settings = CoreSettings.from_environment(_environment(NIVISCO_GRPC=grpc))
        return lambda ready, stop: _core_work(
            bootstrap.serve(settings, ready, stop, on_hangup=on_hangup)
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
    "core_address",
    metavar="HOST:PORT",
    callback=read_core_address,
    help="Where the core serves, also unix:/path; NIVISCO_CORE if absent.",
)
def adapter(http: Address | None, core_address: CoreAddress | None) -> None:
    """Run the JSON endpoint, which asks the core.

    Other machines reach it by TLS (NIVISCO_TLS_CERTIFICATE_FILE, NIVISCO_TLS_KEY_FILE) or through a
    proxy that NIVISCO_TRUSTED_PROXIES names. SIGHUP reads a renewed certificate.
    """

    def prepare() -> Serve:
        from adapter import server
        from adapter.settings import AdapterSettings

        environ = _environment(NIVISCO_HTTP=http, NIVISCO_CORE=core_address)
        settings = AdapterSettings.from_environment(environ)
        return lambda ready, stop: _served(server.serve(settings, ready, stop, on_hangup=on_hangup))

    run("adapter", prepare)


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
    help="Where its books are kept.",
)
def sandbox(http: Address, data_dir: Path) -> None:
    """Run stand-ins for the card gateways. No real money, no real cards."""

    def prepare() -> Serve:
        from sandbox import server

        directory = DataDir(data_dir)
        directory.make()

        async def serve(ready: Callable[[str], None], stop: asyncio.Event) -> None:
            work = server.serve(http.host, http.port, directory.path, ready)
            await _until(stop, _served(work))

        return serve

    run("sandbox", prepare)


@click.command()
def migrate() -> None:
    """Bring the database that NIVISCO_DATABASE_URL names to this version's schema.

    `nivisco up` does it by itself. A running core keeps a SQLite database to itself: stop it first.
    """
    from core import bootstrap
    from core.settings import CoreSettings

    try:
        settings = CoreSettings.from_environment(os.environ)
    except ValueError as error:
        raise SettingsError(sentence(error)) from None
    revision = asyncio.run(_core_work(bootstrap.migrate(settings)))
    click.echo(f"The database is at revision {revision}.")


def _environment(**given: CoreAddress | None) -> dict[str, str]:
    """Return the environment with the options that were given in place of its variables."""
    return dict(os.environ) | {name: str(value) for name, value in given.items() if value}


async def _core_work(work: Awaitable[Result]) -> Result:
    """Await work of the core, turning what it cannot work with into a sentence."""
    from core.database import DatabaseUnavailableError
    from core.secrets import SealBrokenError

    try:
        return await _served(work)
    except (DatabaseUnavailableError, SealBrokenError) as error:
        raise Failure(sentence(error)) from None


async def _served(work: Awaitable[Result]) -> Result:
    """Await a server, turning what the system refuses it, an address mostly, into a sentence."""
    try:
        return await work
    except OSError as error:
        raise Failure(sentence(error)) from None


async def _until(stop: asyncio.Event, work: Awaitable[None]) -> None:
    """Await work that knows no stop event, and cancel it when the event is set."""
    serving = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not serving.done():
        serving.cancel()
        await asyncio.wait({serving})
    if not serving.cancelled():
        serving.result()
