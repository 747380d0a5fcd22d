"""What the workers of core and adapter are: their addresses, environment and time to end."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from cli.addresses import Address, check_free, listen
from cli.children import Spawn, nivisco
from cli.failures import SettingsError
from cli.foreground import Serve
from cli.lifelines import WORKER, take_descriptor
from cli.workers import Workers
from rpc.addresses import MAX_BACKOFF_SECONDS, UNIX

if TYPE_CHECKING:  # the processes' own modules are for those who run them
    from adapter.settings import AdapterSettings
    from core.server.settings import CoreSettings

MOST_WORKERS = 64
LAME_DUCK = "NIVISCO_LAME_DUCK_SECONDS"
HTTP_SOCKET = "NIVISCO_HTTP_SOCKET"
"""The listening socket that the workers of an adapter share."""
_BACKLOG = 1024
_MARGIN_SECONDS = 2.0
"""How much longer than its own bounds a worker may take to end."""
_HTTP_DRAIN_SECONDS = 28.0
_SETTLE_SECONDS = 1.5 * MAX_BACKOFF_SECONDS
"""How long a new core serves before the next one is renewed: its clients are back by then."""


def workers_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option --workers to a command."""
    return click.option(
        "--workers",
        metavar="N",
        type=click.IntRange(1, MOST_WORKERS),
        default=1,
        show_default=True,
        help="How many processes serve. SIGUSR2 restarts them one after the other.",
    )(command)


def check_workers(workers: int, database_url: str) -> None:
    """Refuse several cores on SQLite.

    Raises:
        SettingsError: the database is SQLite.
    """
    if workers > 1 and database_url.startswith("sqlite"):
        raise SettingsError(
            f"--workers {workers}: several cores need PostgreSQL, because a SQLite database is one "
            "process's alone. Name one with NIVISCO_DATABASE_URL=postgresql://…, or leave "
            "--workers out."
        )


def lame_duck_seconds(environ: Mapping[str, str]) -> float:
    """Return how long core and adapter serve on once they were told to stop.

    Raises:
        ValueError: the variable holds something else.
    """
    from adapter.settings import AdapterSettings

    return AdapterSettings.from_environment(
        {LAME_DUCK: environ.get(LAME_DUCK, "")}
    ).lame_duck_seconds


def core_workers(settings: CoreSettings, environ: Mapping[str, str], workers: int) -> Serve:
    """Plan the workers of a core, each with an address of its own.

    Raises:
        SettingsError: the database, or the port, is not made for so many.
        Failure: an address is taken.
    """
    check_workers(workers, settings.database_url)
    addresses = worker_addresses(settings.listen, workers)
    check_free([("--grpc", Address.parse(each)) for each in addresses if UNIX not in each])
    drain_seconds = settings.lame_duck_seconds + settings.drain_seconds + _MARGIN_SECONDS
    spawned = [
        Spawn(
            f"core {number}",
            nivisco("core"),
            {**environ, "NIVISCO_GRPC": address, WORKER: str(number)},
            None,
            drain_seconds,
        )
        for number, address in enumerate(addresses, start=1)
    ]
    pool = Workers(spawned, address_variable="NIVISCO_GRPC", settle_seconds=_SETTLE_SECONDS)
    return pool.serve


def worker_addresses(listen_on: str, workers: int) -> list[str]:
    """Return where each worker of a core listens: on ports in a row, or sockets with a number.

    Raises:
        SettingsError: there are not so many ports.
    """
    if listen_on.startswith(UNIX):
        return [f"{listen_on}.{number}" for number in range(1, workers + 1)]
    try:
        first = Address.parse(listen_on)
    except ValueError as error:
        raise SettingsError(f"NIVISCO_GRPC: {error}.") from None
    if not first.port:
        return [str(first)] * workers
    if first.port + workers - 1 > 65535:
        raise SettingsError(f"{first} leaves no {workers} ports. Choose a lower one with --grpc.")
    return [str(Address(first.host, first.port + number)) for number in range(workers)]


def adapter_workers(settings: AdapterSettings, environ: Mapping[str, str], workers: int) -> Serve:
    """Plan the workers of an adapter, which all accept from one socket that this process holds.

    What has connected while a worker ends is in that socket's queue, and another one takes it.

    Raises:
        Failure: the address is taken, or cannot be had.
    """
    listener = listen("--http", Address(settings.host, settings.port), backlog=_BACKLOG)
    drain_seconds = 2 * settings.lame_duck_seconds + _HTTP_DRAIN_SECONDS + _MARGIN_SECONDS
    spawned = [
        Spawn(
            f"adapter {number}",
            nivisco("adapter"),
            {**environ, HTTP_SOCKET: str(listener.fileno()), WORKER: str(number)},
            None,
            drain_seconds,
        )
        for number in range(1, workers + 1)
    ]
    pool = Workers(spawned, held=[listener.fileno()])

    async def serve(*told: Any) -> None:
        with listener:
            await pool.serve(*told)

    return serve


def inherited_listener() -> socket.socket | None:
    """Return the socket that this worker was given to accept from, if it is one.

    Raises:
        SettingsError: the variable holds no descriptor.
    """
    descriptor = take_descriptor(HTTP_SOCKET)
    return None if descriptor is None else socket.socket(fileno=descriptor)
