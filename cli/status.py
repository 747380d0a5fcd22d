"""The commands `status` and `open`: what a `nivisco up` runs, and its portal in a browser."""

import asyncio
import http.client
import os
import ssl
import webbrowser
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import click

from cli.addresses import Address
from cli.call_output import is_coloured, print_json
from cli.core_access import core_client
from cli.data_dir import DEFAULT_DATA_DIR, DataDir, Endpoints, Served
from cli.failures import Failure
from cli.operators import json_option
from cli.tables import columns

_TIMEOUT_SECONDS = 5.0
_READINESS = {"sandbox": "/healthz", "adapter": "/readyz", "scheduler": "/readyz"}
"""The path that says whether a process serves; a core has gRPC's health service."""
_READY, _GONE = "ready", "not running"
_COLOURS = {_READY: "green", "runs": "green", "not ready": "yellow"}

_data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="The data directory of the `nivisco up`.",
)


@click.command()
@_data_dir_option
@json_option
def status(data_dir: Path, *, as_json: bool) -> None:
    """Show what a `nivisco up` runs: processes, addresses, readiness and versions.

    Each process is asked now. Exit code 0: all of them serve; 1: not all do, or none runs.

    \b
    nivisco status
    nivisco status -o json
    """  # noqa: D301 - \b keeps the lines apart
    directory = DataDir(data_dir)
    endpoints = _endpoints(directory)
    rows = [row for each in endpoints.processes for row in _rows(each)]
    serves = bool(rows) and all(row["state"] in (_READY, "runs") for row in rows)
    if as_json:
        values = {"version": endpoints.version, "command_version": version("nivisco")}
        paths = {"data_dir": str(directory.path), "url": endpoints.json}
        print_json(values | paths | {"processes": rows})
    else:
        click.echo(f"version  {endpoints.version} (this command: {version('nivisco')})")
        click.echo(f"data     {directory.path}")
        click.echo(f"url      {endpoints.json}\n")
        click.echo(_coloured(columns(rows)))
    if not serves:
        raise click.exceptions.Exit(1)


@click.command("open")
@click.argument("page", default="portal")
@_data_dir_option
@click.option("--url", envvar="NIVISCO_URL", help="Another instance; also NIVISCO_URL.")
def open_(page: str, data_dir: Path, url: str | None) -> None:
    """Open a page of the portal in a browser: portal, docs, live-test, or another path.

    \b
    nivisco open
    nivisco open live-test
    """  # noqa: D301 - \b keeps the lines apart
    base = url or _endpoints(DataDir(data_dir)).json
    address = urljoin(base, page.lstrip("/"))
    if urlsplit(base).scheme not in ("http", "https") or not address.startswith(base):
        raise click.UsageError(f"'{address}' is not a page of {base}.")
    click.echo(address)
    if not webbrowser.open(address):
        raise Failure("No browser is found on this machine: open the address elsewhere.")


def _endpoints(directory: DataDir) -> Endpoints:
    """Return where the latest `up` served.

    Raises:
        Failure: none has run here.
    """
    endpoints = directory.read_endpoints()
    if endpoints is None:
        raise Failure(
            f"No `nivisco up` has run on {directory.path}. Start one, or name its directory with "
            "--data-dir."
        )
    return endpoints


def _rows(process: Served) -> list[dict[str, str]]:
    """Return a row for each address of a process, or one for a process without."""
    is_there = _is_alive(process.pid)
    named = {"process": process.name, "pid": str(process.pid)}
    if not process.addresses:
        return [named | {"address": "", "state": "runs" if is_there else _GONE}]
    return [
        named | {"address": each, "state": _state(process.name, each) if is_there else _GONE}
        for each in process.addresses
    ]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _state(name: str, address: str) -> str:
    path = _READINESS.get(name)
    if path is None:
        return _READY if asyncio.run(_core_is_ready(address)) else "not ready"
    where = Address.parse(address).reachable()
    connection: http.client.HTTPConnection
    if where.scheme == "https":
        # Nothing is sent, and the certificate has the public name, not this machine's address.
        unverified = ssl.create_default_context()
        unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            where.host, where.port, timeout=_TIMEOUT_SECONDS, context=unverified
        )
    else:
        connection = http.client.HTTPConnection(where.host, where.port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        return _READY if connection.getresponse().status == http.client.OK else "not ready"
    except (OSError, http.client.HTTPException):
        return "no answer"
    finally:
        connection.close()


async def _core_is_ready(address: str) -> bool:
    client = core_client(str(Address.parse(address).reachable()))
    try:
        return await client.is_ready(timeout_seconds=_TIMEOUT_SECONDS)
    finally:
        await client.close()


def _coloured(text: str) -> str:
    """Return the table with each line in the colour of its state, on a terminal."""
    if not is_coloured():
        return text
    heading, *lines = text.splitlines()
    return "\n".join([heading, *(click.style(line, fg=_colour(line)) for line in lines)])


def _colour(line: str) -> str:
    return next((c for state, c in _COLOURS.items() if line.endswith(f"  {state}")), "red")
