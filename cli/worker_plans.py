"""Plans the workers of core and adapter: addresses, environment and drain times."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from cli.addresses import Address, check_free, listen, read_address
from cli.children import Spawn, nivisco
from cli.failures import SettingsError
from cli.foreground import Serve
from cli.parent_pipes import WORKER, take_descriptor
from cli.workers import Workers
from rpc.addresses import MAX_BACKOFF_SECONDS, UNIX

if TYPE_CHECKING:  # slow to import, so only the commands that need them do
    from adapter.settings import AdapterSettings
    from core.server.settings import CoreSettings

MAX_WORKERS = 64
LAME_DUCK = "NIVISCO_LAME_DUCK_SECONDS"
METRICS = "NIVISCO_METRICS"
"""Where a process serves its health and metrics."""
HTTP_SOCKET = "NIVISCO_HTTP_SOCKET"
"""The listening socket that the workers of an adapter share."""
_BACKLOG = 1024
_MARGIN_SECONDS = 2.0
"""How much longer than its drain time a worker may take to end before it is killed."""
_HTTP_DRAIN_SECONDS = 28.0
_SETTLE_SECONDS = 1.5 * MAX_BACKOFF_SECONDS
"""How long a new core serves before the next one restarts, so that clients reconnect to it."""


def workers_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option --workers to a command."""
    return click.option(
        "--workers",
        metavar="N",
        type=click.IntRange(1, MAX_WORKERS),
        default=1,
        show_default=True,
        help="Number of processes that serve. SIGUSR2 restarts them one after the other.",
    )(command)


def metrics_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option --metrics to a command."""
    return click.option(
        "--metrics",
        metavar="HOST:PORT",
        callback=read_address,
        help="Where to serve /healthz, /readyz and /metrics, for probes and Prometheus; workers on "
        "consecutive ports. NIVISCO_METRICS if absent.",
    )(command)


def check_workers(workers: int, database_url: str) -> None:
    """Check that the database supports so many cores.

    Raises:
        SettingsError: several cores on SQLite.
    """
    if workers > 1 and database_url.startswith("sqlite"):
        raise SettingsError(
            f"--workers {workers}: several cores need PostgreSQL, because only one process can "
            "use a SQLite database. Set NIVISCO_DATABASE_URL=postgresql://…, or omit --workers."
        )


def lame_duck_seconds(environ: Mapping[str, str]) -> float:
    """Return how long core and adapter serve after SIGTERM.

    Raises:
        ValueError: the variable is not a number of seconds.
    """
    from adapter.settings import AdapterSettings

    return AdapterSettings.from_environment(
        {LAME_DUCK: environ.get(LAME_DUCK, "")}
    ).lame_duck_seconds


def core_workers(settings: CoreSettings, environ: Mapping[str, str], workers: int) -> Serve:
    """Plan the workers of a core, each with its own address.

    Raises:
        SettingsError: the database, or the port range, does not allow so many.
        Failure: an address is taken.
    """
    check_workers(workers, settings.database_url)
    addresses = worker_addresses(settings.listen, workers)
    check_free([("--grpc", Address.parse(each)) for each in addresses if UNIX not in each])
    metrics = metrics_environments(environ, workers)
    drain_seconds = settings.lame_duck_seconds + settings.drain_seconds + _MARGIN_SECONDS
    spawned = [
        Spawn(
            f"core {number}",
            nivisco("core"),
            {**environ, "NIVISCO_GRPC": address, WORKER: str(number), **served},
            None,
            drain_seconds,
        )
        for number, (address, served) in enumerate(zip(addresses, metrics, strict=True), start=1)
    ]
    pool = Workers(spawned, address_variable="NIVISCO_GRPC", settle_seconds=_SETTLE_SECONDS)
    return pool.serve


def metrics_environments(environ: Mapping[str, str], workers: int) -> list[dict[str, str]]:
    """Return for each worker the setting of where it serves its metrics, if any are served.

    Raises:
        SettingsError: there are not enough ports.
        Failure: an address is taken.
    """
    first = environ.get(METRICS)
    if not first:
        return [{}] * workers
    addresses = worker_addresses(first, workers, setting=METRICS)
    check_free([("--metrics", Address.parse(each)) for each in addresses])
    return [{METRICS: each} for each in addresses]


def worker_addresses(listen_on: str, workers: int, *, setting: str = "NIVISCO_GRPC") -> list[str]:
    """Return the address of each worker: consecutive ports, or numbered unix sockets.

    Raises:
        SettingsError: there are not enough ports.
    """
    if listen_on.startswith(UNIX):
        return [f"{listen_on}.{number}" for number in range(1, workers + 1)]
    try:
        first = Address.parse(listen_on)
    except ValueError as error:
        raise SettingsError(f"{setting}: {error}.") from None
    if not first.port:
        return [str(first)] * workers
    if first.port + workers - 1 > 65535:
        raise SettingsError(f"{first} leaves no {workers} ports. Choose a lower one: {setting}.")
    return [str(Address(first.host, first.port + number)) for number in range(workers)]


def adapter_workers(settings: AdapterSettings, environ: Mapping[str, str], workers: int) -> Serve:
    """Plan the workers of an adapter, which all accept from one listening socket of this process.

    Connections made while a worker ends wait in that socket's queue for another worker.

    Raises:
        Failure: the address cannot be listened on.
    """
    metrics = metrics_environments(environ, workers)
    listener = listen("--http", Address(settings.host, settings.port), backlog=_BACKLOG)
    drain_seconds = 2 * settings.lame_duck_seconds + _HTTP_DRAIN_SECONDS + _MARGIN_SECONDS
    spawned = [
        Spawn(
            f"adapter {number}",
            nivisco("adapter"),
            {**environ, HTTP_SOCKET: str(listener.fileno()), WORKER: str(number), **served},
            None,
            drain_seconds,
        )
        for number, served in enumerate(metrics, start=1)
    ]
    pool = Workers(spawned, inherited=[listener.fileno()])

    async def serve(*arguments: Any) -> None:
        with listener:
            await pool.serve(*arguments)

    return serve


def inherited_listener() -> socket.socket | None:
    """Return the listening socket that this worker inherited; None if this is not a worker.

    Raises:
        SettingsError: the variable is not a descriptor.
    """
    descriptor = take_descriptor(HTTP_SOCKET)
    return None if descriptor is None else socket.socket(fileno=descriptor)
